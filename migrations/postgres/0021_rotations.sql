-- How a new version of a secret takes over from the one before it, step by step; the last rotation of each secret.
CREATE TABLE rotations (
    secret_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES secrets (id) ON DELETE CASCADE,
    from_version BIGINT NOT NULL,
    to_version BIGINT NOT NULL,
    state TEXT NOT NULL,
    steps TEXT NOT NULL,
    step BIGINT NOT NULL,
    hold_ms BIGINT NOT NULL,
    step_since BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    why TEXT,
    old_used_at BIGINT,
    retired_at BIGINT,
    -- What came of calls on all nodes, and how that stood when the step began.
    new_calls BIGINT NOT NULL DEFAULT 0,
    new_refused BIGINT NOT NULL DEFAULT 0,
    new_failed BIGINT NOT NULL DEFAULT 0,
    old_calls BIGINT NOT NULL DEFAULT 0,
    old_refused BIGINT NOT NULL DEFAULT 0,
    old_failed BIGINT NOT NULL DEFAULT 0,
    saved BIGINT NOT NULL DEFAULT 0,
    lost BIGINT NOT NULL DEFAULT 0,
    at_step TEXT NOT NULL DEFAULT '[]'
);
