-- What of the trail lies in files: the records from `first_sequence` to `last_sequence` of a node, which signed that
-- it put them there. The chain in `record_blocks` goes on behind the last of them.
CREATE TABLE record_archives (
    node TEXT COLLATE "C" NOT NULL,
    first_sequence BIGINT NOT NULL,
    last_sequence BIGINT NOT NULL,
    hash_before BYTEA NOT NULL,
    head_hash BYTEA NOT NULL,
    first_time BIGINT NOT NULL,
    last_time BIGINT NOT NULL,
    file TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    public_key BYTEA NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (node, first_sequence)
);
