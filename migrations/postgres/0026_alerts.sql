-- What somebody has to know of: alerts, where they are delivered, each delivery until it is confirmed, and how far the
-- trail was read for them. What a destination is lies in an envelope whose key is not in the database.
CREATE TABLE alerts (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    severity TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    subject_type TEXT COLLATE "C" NOT NULL,
    subject_id TEXT COLLATE "C" NOT NULL,
    subject_name TEXT COLLATE "C" NOT NULL,
    level BIGINT NOT NULL,
    detail TEXT COLLATE "C" NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    count BIGINT NOT NULL,
    acknowledged_at BIGINT,
    acknowledged_by TEXT COLLATE "C",
    resolved_at BIGINT,
    -- Kind and subject while it stands, so that there is one; none once it is resolved.
    standing TEXT COLLATE "C"
);
CREATE UNIQUE INDEX alerts_by_standing ON alerts (standing);

CREATE TABLE alert_destinations (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX alert_destinations_by_name ON alert_destinations (name);

CREATE TABLE alert_deliveries (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    destination_id TEXT COLLATE "C" NOT NULL REFERENCES alert_destinations (id) ON DELETE CASCADE,
    alert_id TEXT COLLATE "C",
    event TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    claimed_by TEXT COLLATE "C",
    claimed_until BIGINT NOT NULL,
    fault TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX alert_deliveries_by_state ON alert_deliveries (state, next_at);
CREATE INDEX alert_deliveries_by_destination ON alert_deliveries (destination_id);

CREATE TABLE alert_places (
    node TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL
);

-- From where each client key has called, so that a new address is known as one.
CREATE TABLE client_addresses (
    client_id TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    PRIMARY KEY (client_id, address)
);
CREATE INDEX client_addresses_by_first_seen ON client_addresses (first_seen);
