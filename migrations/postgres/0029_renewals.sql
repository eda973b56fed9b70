-- Keys that the house gets by itself: how far it is with each, and which key at the provider is its own. The body is
-- JSON, and the seal is over it.
CREATE TABLE renewals (
    secret_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    seal BYTEA NOT NULL,
    claimed_by TEXT COLLATE "C",
    claimed_until BIGINT
);
