-- A keyed hash over how often a key-encryption key has wrapped, by that key itself: an edited count does not fit
-- it. NULL in rows from before; the first start that has the key at hand seals what stands.
ALTER TABLE keks ADD COLUMN wraps_seal BYTEA;
