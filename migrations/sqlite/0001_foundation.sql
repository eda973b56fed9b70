-- Times are milliseconds since 1970, ids are UUIDs in lower case, booleans are 0 or 1.
-- STRICT, so that a column can hold nothing but what it was declared for.

CREATE TABLE installation (
    singleton INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE client_keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    tier TEXT NOT NULL,
    scopes TEXT,
    allowed_ips TEXT,
    allowed_origins TEXT,
    description TEXT,
    owner TEXT,
    expires_at INTEGER,
    quota_limit INTEGER,
    monthly_quota INTEGER,
    max_concurrent INTEGER,
    secrets TEXT,
    active INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    last_used_at INTEGER,
    last_used_endpoint TEXT,
    last_used_address TEXT,
    request_count INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE client_key_hashes (
    key_hash BLOB NOT NULL PRIMARY KEY,
    client_key_id TEXT NOT NULL REFERENCES client_keys (id) ON DELETE CASCADE,
    key_preview TEXT,
    created_at INTEGER NOT NULL,
    valid_until INTEGER
) STRICT;
CREATE INDEX client_key_hashes_by_client_key ON client_key_hashes (client_key_id);

CREATE TABLE keks (
    id TEXT NOT NULL PRIMARY KEY,
    category TEXT NOT NULL,
    generation INTEGER NOT NULL,
    wrapped BLOB NOT NULL,
    state TEXT NOT NULL,
    wraps INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    UNIQUE (category, generation)
) STRICT;

CREATE TABLE secrets (
    id TEXT NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    owner TEXT,
    labels TEXT,
    expires_at INTEGER,
    active INTEGER NOT NULL,
    kek_id TEXT NOT NULL REFERENCES keks (id),
    data_key BLOB NOT NULL,
    fingerprint TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (provider, name)
) STRICT;
CREATE INDEX secrets_by_kek ON secrets (kek_id);

CREATE TABLE secret_versions (
    secret_id TEXT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    envelope BLOB,
    destinations BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    last_used_at INTEGER,
    PRIMARY KEY (secret_id, version)
) STRICT;

CREATE TABLE record_blocks (
    node TEXT NOT NULL,
    first_sequence INTEGER NOT NULL,
    records INTEGER NOT NULL,
    first_time INTEGER NOT NULL,
    last_time INTEGER NOT NULL,
    head_hash BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (node, first_sequence)
) STRICT;
CREATE INDEX record_blocks_by_last_time ON record_blocks (last_time);

CREATE TABLE idempotency (
    actor TEXT NOT NULL,
    route TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    body_digest BLOB NOT NULL,
    status INTEGER,
    answer TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (actor, route, idempotency_key)
) STRICT;
CREATE INDEX idempotency_by_created_at ON idempotency (created_at);

CREATE TABLE symbols (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    symbol TEXT NOT NULL UNIQUE,
    asset_class TEXT NOT NULL,
    active INTEGER NOT NULL,
    date_added INTEGER NOT NULL,
    backfill_status TEXT NOT NULL,
    backfill_error TEXT,
    last_backfill INTEGER
) STRICT;
