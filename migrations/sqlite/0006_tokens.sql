-- Short-lived tokens of client keys, by their digest. A token has at most its client key's rights; what it lacks of
-- them stands here.
CREATE TABLE client_tokens (
    token_hash BLOB NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    client_key_id TEXT NOT NULL REFERENCES client_keys (id) ON DELETE CASCADE,
    tier TEXT,
    scopes TEXT,
    origin TEXT,
    address TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX client_tokens_by_client_key ON client_tokens (client_key_id);
CREATE INDEX client_tokens_by_expires_at ON client_tokens (expires_at);

-- Keys that sign tokens, each sealed under a key-encryption key, in the order in which they were made.
CREATE TABLE signing_keys (
    number INTEGER NOT NULL PRIMARY KEY,
    kek_id TEXT NOT NULL REFERENCES keks (id),
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
