-- Which rows of the table providers the house wrote, each by a keyed hash over it, and a keyed hash over all of that:
-- the key is not in the database. The first start that has it at hand lists the rows as they stand.
CREATE TABLE provider_list (
    singleton INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    epoch INTEGER NOT NULL,
    entries TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT;
