-- Short-lived tokens of client keys, by their digest. A token has at most its client key's rights; what it lacks of
-- them stands here.
CREATE TABLE client_tokens (
    token_hash BYTEA NOT NULL PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL,
    client_key_id TEXT COLLATE "C" NOT NULL REFERENCES client_keys (id) ON DELETE CASCADE,
    tier TEXT COLLATE "C",
    scopes TEXT COLLATE "C",
    origin TEXT COLLATE "C",
    address TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX client_tokens_by_client_key ON client_tokens (client_key_id);
CREATE INDEX client_tokens_by_expires_at ON client_tokens (expires_at);

-- Keys that sign tokens, each sealed under a key-encryption key, in the order in which they were made.
CREATE TABLE signing_keys (
    number BIGINT NOT NULL PRIMARY KEY,
    kek_id TEXT COLLATE "C" NOT NULL REFERENCES keks (id),
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
