-- Tokens of models, and calls whose cost nobody knows.
ALTER TABLE usage_rollups ADD COLUMN tokens_in BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_rollups ADD COLUMN tokens_out BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_rollups ADD COLUMN unpriced BIGINT NOT NULL DEFAULT 0;
