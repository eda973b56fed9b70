-- Keys that the house gets by itself: how far it is with each, and which key at the provider is its own. The body is
-- JSON, and the seal is over it.
CREATE TABLE renewals (
    secret_id TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL,
    seal BLOB NOT NULL,
    claimed_by TEXT,
    claimed_until INTEGER
) STRICT;
