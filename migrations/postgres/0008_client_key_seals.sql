-- What the house set of a client key and its digests, under a key that is not in the database: an edited row does
-- not fit it. NULL in rows from before; the first start that has the keys at hand seals them as they stand.
ALTER TABLE client_keys ADD COLUMN seal BYTEA;
