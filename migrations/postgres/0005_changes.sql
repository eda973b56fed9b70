-- What one node tells the others: which row of which table they must read again. Numbered without a gap, in
-- the order of the commits; the last ten thousand are kept.
CREATE TABLE change_revision (
    singleton BIGINT NOT NULL PRIMARY KEY CHECK (singleton = 1),
    revision BIGINT NOT NULL
);
INSERT INTO change_revision (singleton, revision) VALUES (1, 0);

CREATE TABLE changes (
    revision BIGINT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    id TEXT NOT NULL
);
