-- What was counted of each client key, so that a restart forgets no quota. All three are written with the records
-- that they count, in one transaction.
CREATE TABLE monthly_calls (
    client_id TEXT NOT NULL,
    start BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    PRIMARY KEY (client_id)
);

-- The window's calls of one node: those of a short span that ends at `end_at`.
CREATE TABLE recent_calls (
    node TEXT NOT NULL,
    end_at BIGINT NOT NULL,
    client_id TEXT NOT NULL,
    calls BIGINT NOT NULL,
    PRIMARY KEY (node, end_at, client_id)
);

-- Records of the node from this number on are not counted yet.
CREATE TABLE counted_records (
    node TEXT NOT NULL,
    next_sequence BIGINT NOT NULL,
    PRIMARY KEY (node)
);
