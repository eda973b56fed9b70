-- A secret beside the others of its provider, where these share the load; and what was learnt of the provider's limit for it.
CREATE TABLE secret_places (
    secret_id TEXT NOT NULL PRIMARY KEY REFERENCES secrets (id) ON DELETE CASCADE,
    weight INTEGER NOT NULL DEFAULT 1,
    drained_at INTEGER,
    quarantined_at INTEGER,
    quarantined_version INTEGER,
    updated_at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    -- Closed by the provider until then; calls in a thousand seconds, and at once.
    closed_until INTEGER,
    learnt_rate INTEGER,
    learnt_depth INTEGER
) STRICT;
