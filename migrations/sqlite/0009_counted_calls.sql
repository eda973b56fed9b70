-- What was counted of each client key, so that a restart forgets no quota. All three are written with the records
-- that they count, in one transaction.
CREATE TABLE monthly_calls (
    client_id TEXT NOT NULL,
    start INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (client_id)
) STRICT;

-- The window's calls of one node: those of a short span that ends at `end_at`.
CREATE TABLE recent_calls (
    node TEXT NOT NULL,
    end_at INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (node, end_at, client_id)
) STRICT;

-- Records of the node from this number on are not counted yet.
CREATE TABLE counted_records (
    node TEXT NOT NULL,
    next_sequence INTEGER NOT NULL,
    PRIMARY KEY (node)
) STRICT;
