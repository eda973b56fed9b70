-- The nodes that share the limits, as each says of itself: which process it is, when it was last there, which memory
-- of Redis knows all that it counted, since when it judges alone (0: it does not), with which other processes it
-- shares then, and what it had let in by itself when they came.
CREATE TABLE nodes (
    node TEXT NOT NULL,
    boot TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    era TEXT NOT NULL,
    alone_since BIGINT NOT NULL,
    knows TEXT NOT NULL,
    spent TEXT NOT NULL,
    PRIMARY KEY (node)
);
