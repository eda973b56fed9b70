-- What vouches for the trail: signed by a node over the records from `first_sequence` to `last_sequence`. A copy of
-- each is pushed to where this database's owner cannot write.
CREATE TABLE record_checkpoints (
    node TEXT NOT NULL,
    last_sequence INTEGER NOT NULL,
    first_sequence INTEGER NOT NULL,
    head_hash BLOB NOT NULL,
    root BLOB NOT NULL,
    digest_before BLOB NOT NULL,
    inventory_epoch INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    public_key BLOB NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (node, last_sequence)
) STRICT;
