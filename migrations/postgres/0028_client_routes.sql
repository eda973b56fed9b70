-- Which ways the calls of each client key went: what varies in a path stands as * in it, and behind ** anything may
-- follow. Written with the counts of client keys, by each node for itself.
CREATE TABLE client_routes (
    client_id TEXT COLLATE "C" NOT NULL,
    node TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    calls BIGINT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    PRIMARY KEY (client_id, node, provider, method, path)
);
CREATE INDEX client_routes_by_node ON client_routes (node, last_seen);
