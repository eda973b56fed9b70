-- Keys of older systems are known by a digest without a preview; whether there are any is asked at every start.
CREATE INDEX client_key_hashes_imported ON client_key_hashes (client_key_id) WHERE key_preview IS NULL;

-- The last warning of the end of a key: how many days before it was, 0 once the key has ended.
ALTER TABLE client_keys ADD COLUMN expiry_warned BIGINT;
CREATE INDEX client_keys_by_expires_at ON client_keys (expires_at)
    WHERE expires_at IS NOT NULL AND (expiry_warned IS NULL OR expiry_warned > 0);
