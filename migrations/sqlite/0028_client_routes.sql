-- Which ways the calls of each client key went: what varies in a path stands as * in it, and behind ** anything may
-- follow. Written with the counts of client keys, by each node for itself.
CREATE TABLE client_routes (
    client_id TEXT NOT NULL,
    node TEXT NOT NULL,
    provider TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    calls INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (client_id, node, provider, method, path)
) STRICT;
CREATE INDEX client_routes_by_node ON client_routes (node, last_seen);
