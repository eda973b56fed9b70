-- Who signs in to the console, apart from client keys, and where each is signed in. A seal is a keyed hash that no
-- edited row fits; the secret of the codes lies in an envelope whose key is not in the database.
CREATE TABLE operators (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT,
    role TEXT NOT NULL,
    password TEXT,
    totp BLOB,
    totp_step INTEGER NOT NULL,
    recovery BLOB NOT NULL,
    invitation BLOB,
    invitation_ends_at INTEGER,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    seal BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX operators_by_name ON operators (name);

CREATE TABLE operator_sessions (
    id TEXT NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL,
    operator_id TEXT NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    stepped_up_at INTEGER,
    last_seen_at INTEGER NOT NULL,
    address TEXT,
    user_agent TEXT,
    seal BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX operator_sessions_by_digest ON operator_sessions (digest);
CREATE INDEX operator_sessions_by_operator ON operator_sessions (operator_id);
