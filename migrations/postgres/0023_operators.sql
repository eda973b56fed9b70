-- Who signs in to the console, apart from client keys, and where each is signed in. A seal is a keyed hash that no
-- edited row fits; the secret of the codes lies in an envelope whose key is not in the database.
CREATE TABLE operators (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    email TEXT COLLATE "C",
    role TEXT COLLATE "C" NOT NULL,
    password TEXT COLLATE "C",
    totp BYTEA,
    totp_step BIGINT NOT NULL,
    recovery BYTEA NOT NULL,
    invitation BYTEA,
    invitation_ends_at BIGINT,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL,
    seal BYTEA NOT NULL
);
CREATE UNIQUE INDEX operators_by_name ON operators (name);

CREATE TABLE operator_sessions (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    digest BYTEA NOT NULL,
    operator_id TEXT COLLATE "C" NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    stepped_up_at BIGINT,
    last_seen_at BIGINT NOT NULL,
    address TEXT COLLATE "C",
    user_agent TEXT COLLATE "C",
    seal BYTEA NOT NULL
);
CREATE UNIQUE INDEX operator_sessions_by_digest ON operator_sessions (digest);
CREATE INDEX operator_sessions_by_operator ON operator_sessions (operator_id);
