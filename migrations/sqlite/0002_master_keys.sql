-- Which master key wrapped a key-encryption key: its kind, and its id in lower-case hexadecimal or as a
-- KMS names it. Rows of before were wrapped by a file, whose id stands in their envelope. Every row has both;
-- nullable only because a column that is added must be.
ALTER TABLE keks ADD COLUMN master_kind TEXT;
ALTER TABLE keks ADD COLUMN master_id TEXT;
UPDATE keks SET master_kind = 'file', master_id = lower(hex(substr(wrapped, 8, 16)));

-- A master key that a passphrase opens: itself in an envelope, under what Argon2id makes of the passphrase.
CREATE TABLE master_passphrases (
    master_id TEXT NOT NULL PRIMARY KEY,
    wrapped BLOB NOT NULL,
    salt BLOB NOT NULL,
    memory_kib INTEGER NOT NULL,
    passes INTEGER NOT NULL,
    lanes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
