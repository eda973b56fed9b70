-- How a new version of a secret takes over from the one before it, step by step; the last rotation of each secret.
CREATE TABLE rotations (
    secret_id TEXT NOT NULL PRIMARY KEY REFERENCES secrets (id) ON DELETE CASCADE,
    from_version INTEGER NOT NULL,
    to_version INTEGER NOT NULL,
    state TEXT NOT NULL,
    steps TEXT NOT NULL,
    step INTEGER NOT NULL,
    hold_ms INTEGER NOT NULL,
    step_since INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    why TEXT,
    old_used_at INTEGER,
    retired_at INTEGER,
    -- What came of calls on all nodes, and how that stood when the step began.
    new_calls INTEGER NOT NULL DEFAULT 0,
    new_refused INTEGER NOT NULL DEFAULT 0,
    new_failed INTEGER NOT NULL DEFAULT 0,
    old_calls INTEGER NOT NULL DEFAULT 0,
    old_refused INTEGER NOT NULL DEFAULT 0,
    old_failed INTEGER NOT NULL DEFAULT 0,
    saved INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    at_step TEXT NOT NULL DEFAULT '[]'
) STRICT;
