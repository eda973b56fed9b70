-- What each category holds, as a sealed list: rows that are deleted, inserted or rolled back differ from it.
CREATE TABLE inventories (
    category TEXT NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL,
    kek_id TEXT NOT NULL REFERENCES keks (id),
    sealed BLOB NOT NULL
) STRICT;

-- Work on the key hierarchy. `running` is 1 while it runs, else NULL: of two that begin at once, one is refused.
CREATE TABLE key_jobs (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    running INTEGER UNIQUE,
    holder TEXT,
    lease_until INTEGER NOT NULL,
    total INTEGER NOT NULL,
    done INTEGER NOT NULL,
    after_id TEXT,
    detail TEXT,
    outcome TEXT,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    finished_at INTEGER
) STRICT;
