-- What vouches for the trail: signed by a node over the records from `first_sequence` to `last_sequence`. A copy of
-- each is pushed to where this database's owner cannot write.
CREATE TABLE record_checkpoints (
    node TEXT COLLATE "C" NOT NULL,
    last_sequence BIGINT NOT NULL,
    first_sequence BIGINT NOT NULL,
    head_hash BYTEA NOT NULL,
    root BYTEA NOT NULL,
    digest_before BYTEA NOT NULL,
    inventory_epoch BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    public_key BYTEA NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (node, last_sequence)
);
