-- What calls added up to, by minute, hour and day, and by one thing at a time. Written with the counts of client keys.
CREATE TABLE usage_rollups (
    bucket TEXT NOT NULL,
    dimension TEXT NOT NULL,
    start INTEGER NOT NULL,
    name TEXT NOT NULL,
    node TEXT NOT NULL,
    requests INTEGER NOT NULL,
    client_errors INTEGER NOT NULL,
    provider_errors INTEGER NOT NULL,
    our_errors INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    durations BLOB NOT NULL,
    PRIMARY KEY (bucket, dimension, start, name, node)
) STRICT;
