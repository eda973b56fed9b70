-- What calls added up to, by minute, hour and day, and by one thing at a time. Written with the counts of client keys.
CREATE TABLE usage_rollups (
    bucket TEXT COLLATE "C" NOT NULL,
    dimension TEXT COLLATE "C" NOT NULL,
    start BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    node TEXT COLLATE "C" NOT NULL,
    requests BIGINT NOT NULL,
    client_errors BIGINT NOT NULL,
    provider_errors BIGINT NOT NULL,
    our_errors BIGINT NOT NULL,
    bytes_in BIGINT NOT NULL,
    bytes_out BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    durations BYTEA NOT NULL,
    PRIMARY KEY (bucket, dimension, start, name, node)
);
