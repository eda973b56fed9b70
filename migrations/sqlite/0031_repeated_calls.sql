-- Calls that asked again for what their client key had been told shortly before, by day, secret and way. Written with the
-- counts of client keys, by each node for itself.
CREATE TABLE repeated_calls (
    client_id TEXT NOT NULL,
    node TEXT NOT NULL,
    day INTEGER NOT NULL,
    secret_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    path TEXT NOT NULL,
    calls INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    fresh_seconds INTEGER NOT NULL,
    PRIMARY KEY (client_id, node, day, secret_id, provider, path)
) STRICT;
CREATE INDEX repeated_calls_by_day ON repeated_calls (day);
