-- Nothing is compressed here; the number is PostgreSQL's.
SELECT 1;
