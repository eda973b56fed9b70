-- What was found of a provider's key: each check with its report, the last ones of every secret, and where it stands now.
CREATE TABLE secret_checks (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    secret_id TEXT COLLATE "C" NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    checked_at BIGINT NOT NULL,
    cause TEXT NOT NULL,
    actor TEXT NOT NULL,
    outcome TEXT NOT NULL,
    health TEXT NOT NULL,
    report TEXT NOT NULL
);
CREATE INDEX secret_checks_by_secret ON secret_checks (secret_id);

CREATE TABLE secret_health (
    secret_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES secrets (id) ON DELETE CASCADE,
    health TEXT NOT NULL,
    why TEXT NOT NULL,
    since BIGINT NOT NULL,
    checked_at BIGINT NOT NULL,
    account TEXT,
    permissions TEXT,
    limits TEXT,
    told_end BIGINT,
    next_check BIGINT,
    warned BIGINT,
    warned_of BIGINT
);
