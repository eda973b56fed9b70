-- Tokens of models, and calls whose cost nobody knows.
ALTER TABLE usage_rollups ADD COLUMN tokens_in INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_rollups ADD COLUMN tokens_out INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_rollups ADD COLUMN unpriced INTEGER NOT NULL DEFAULT 0;
