-- What a job on the key hierarchy was begun with, and how it ended, under a key that is not in the database: a row
-- that somebody wrote is worked on by nobody. NULL in rows from before; one of them that runs is begun again.
ALTER TABLE key_jobs ADD COLUMN seal BYTEA;
