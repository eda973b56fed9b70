-- What operators laid over the catalogue, or added to it, without the settings: the members as they were sent.
CREATE TABLE providers (
    id TEXT NOT NULL PRIMARY KEY,
    members TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    updated_by TEXT NOT NULL
) STRICT;
