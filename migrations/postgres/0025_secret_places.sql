-- A secret beside the others of its provider, where these share the load; and what was learnt of the provider's limit for it.
CREATE TABLE secret_places (
    secret_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES secrets (id) ON DELETE CASCADE,
    weight BIGINT NOT NULL DEFAULT 1,
    drained_at BIGINT,
    quarantined_at BIGINT,
    quarantined_version BIGINT,
    updated_at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    -- Closed by the provider until then; calls in a thousand seconds, and at once.
    closed_until BIGINT,
    learnt_rate BIGINT,
    learnt_depth BIGINT
);
