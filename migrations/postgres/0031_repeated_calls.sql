-- Calls that asked again for what their client key had been told shortly before, by day, secret and way. Written with the
-- counts of client keys, by each node for itself.
CREATE TABLE repeated_calls (
    client_id TEXT COLLATE "C" NOT NULL,
    node TEXT COLLATE "C" NOT NULL,
    day BIGINT NOT NULL,
    secret_id TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    calls BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    fresh_seconds BIGINT NOT NULL,
    PRIMARY KEY (client_id, node, day, secret_id, provider, path)
);
CREATE INDEX repeated_calls_by_day ON repeated_calls (day);
