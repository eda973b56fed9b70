-- What of the trail lies in files: the records from `first_sequence` to `last_sequence` of a node, which signed that
-- it put them there. The chain in `record_blocks` goes on behind the last of them.
CREATE TABLE record_archives (
    node TEXT NOT NULL,
    first_sequence INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    hash_before BLOB NOT NULL,
    head_hash BLOB NOT NULL,
    first_time INTEGER NOT NULL,
    last_time INTEGER NOT NULL,
    file TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    digest BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    public_key BLOB NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (node, first_sequence)
) STRICT;
