-- What was found of a provider's key: each check with its report, the last ones of every secret, and where it stands now.
CREATE TABLE secret_checks (
    id TEXT NOT NULL PRIMARY KEY,
    secret_id TEXT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    checked_at INTEGER NOT NULL,
    cause TEXT NOT NULL,
    actor TEXT NOT NULL,
    outcome TEXT NOT NULL,
    health TEXT NOT NULL,
    report TEXT NOT NULL
) STRICT;
CREATE INDEX secret_checks_by_secret ON secret_checks (secret_id);

CREATE TABLE secret_health (
    secret_id TEXT NOT NULL PRIMARY KEY REFERENCES secrets (id) ON DELETE CASCADE,
    health TEXT NOT NULL,
    why TEXT NOT NULL,
    since INTEGER NOT NULL,
    checked_at INTEGER NOT NULL,
    account TEXT,
    permissions TEXT,
    limits TEXT,
    told_end INTEGER,
    next_check INTEGER,
    warned INTEGER,
    warned_of INTEGER
) STRICT;
