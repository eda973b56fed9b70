-- What each category holds, as a sealed list: rows that are deleted, inserted or rolled back differ from it.
CREATE TABLE inventories (
    category TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,
    kek_id TEXT COLLATE "C" NOT NULL REFERENCES keks (id),
    sealed BYTEA NOT NULL
);

-- Work on the key hierarchy. `running` is 1 while it runs, else NULL: of two that begin at once, one is refused.
CREATE TABLE key_jobs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    running BIGINT UNIQUE,
    holder TEXT COLLATE "C",
    lease_until BIGINT NOT NULL,
    total BIGINT NOT NULL,
    done BIGINT NOT NULL,
    after_id TEXT COLLATE "C",
    detail TEXT,
    outcome TEXT,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    finished_at BIGINT
);
