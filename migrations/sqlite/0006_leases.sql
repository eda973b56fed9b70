-- Whose turn it is to do what nodes must not do twice, until when, and when it was last done.
CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    held_until INTEGER NOT NULL,
    done_at INTEGER NOT NULL
) STRICT;
