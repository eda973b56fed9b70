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
    retired_at INTEGER
) STRICT;
