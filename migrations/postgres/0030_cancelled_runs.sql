-- Who wants a run to end before its time; null for one that goes its way.
ALTER TABLE backfill_history ADD COLUMN cancelled_by TEXT;
