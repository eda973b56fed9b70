-- What somebody has to know of: alerts, where they are delivered, each delivery until it is confirmed, and how far the
-- trail was read for them. What a destination is lies in an envelope whose key is not in the database.
CREATE TABLE alerts (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    severity TEXT NOT NULL,
    state TEXT NOT NULL,
    subject_type TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    subject_name TEXT NOT NULL,
    level INTEGER NOT NULL,
    detail TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    count INTEGER NOT NULL,
    acknowledged_at INTEGER,
    acknowledged_by TEXT,
    resolved_at INTEGER,
    -- Kind and subject while it stands, so that there is one; none once it is resolved.
    standing TEXT
) STRICT;
CREATE UNIQUE INDEX alerts_by_standing ON alerts (standing);

CREATE TABLE alert_destinations (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX alert_destinations_by_name ON alert_destinations (name);

CREATE TABLE alert_deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    destination_id TEXT NOT NULL REFERENCES alert_destinations (id) ON DELETE CASCADE,
    alert_id TEXT,
    event TEXT NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    claimed_by TEXT,
    claimed_until INTEGER NOT NULL,
    fault TEXT,
    created_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;
CREATE INDEX alert_deliveries_by_state ON alert_deliveries (state, next_at);
CREATE INDEX alert_deliveries_by_destination ON alert_deliveries (destination_id);

CREATE TABLE alert_places (
    node TEXT NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT;

-- From where each client key has called, so that a new address is known as one.
CREATE TABLE client_addresses (
    client_id TEXT NOT NULL,
    address TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (client_id, address)
) STRICT;
CREATE INDEX client_addresses_by_first_seen ON client_addresses (first_seen);
