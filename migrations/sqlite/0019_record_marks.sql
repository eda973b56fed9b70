-- What a search may find in a block, so that it need not read the others. Derived from the block, checked with it.
CREATE TABLE record_marks (
    node TEXT NOT NULL,
    first_sequence INTEGER NOT NULL,
    marks BLOB NOT NULL,
    PRIMARY KEY (node, first_sequence)
) STRICT;
