-- The trail's blocks are many and alike, and read back whole: lz4 makes them as small as PostgreSQL's own way of
-- compressing does, in a fraction of its time. A server that was built without it, or is older than 14, keeps its own.
-- What searches go by is as good as random, so nobody tries.
DO $$
BEGIN
    EXECUTE 'ALTER TABLE record_blocks ALTER COLUMN body SET COMPRESSION lz4';
EXCEPTION
    WHEN feature_not_supported OR syntax_error THEN NULL;
END
$$;
ALTER TABLE record_marks ALTER COLUMN marks SET STORAGE EXTERNAL;
