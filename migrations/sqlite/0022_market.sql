-- The history of tracked symbols: candles as the provider wrote them, what is known of each series, and the runs that fetch them.
ALTER TABLE symbols ADD COLUMN provider TEXT;
ALTER TABLE symbols ADD COLUMN span INTEGER;

CREATE TABLE market_data (
    symbol_id INTEGER NOT NULL,
    span INTEGER NOT NULL,
    time INTEGER NOT NULL,
    open TEXT NOT NULL,
    high TEXT NOT NULL,
    low TEXT NOT NULL,
    close TEXT NOT NULL,
    volume TEXT NOT NULL,
    vwap TEXT,
    trades INTEGER,
    PRIMARY KEY (symbol_id, span, time)
) WITHOUT ROWID, STRICT;

CREATE TABLE market_series (
    symbol_id INTEGER NOT NULL,
    span INTEGER NOT NULL,
    records INTEGER NOT NULL,
    earliest INTEGER,
    latest INTEGER,
    seen INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    covered_to INTEGER,
    days_expected INTEGER NOT NULL,
    days_present INTEGER NOT NULL,
    gaps TEXT NOT NULL,
    PRIMARY KEY (symbol_id, span)
) STRICT;

CREATE TABLE backfill_history (
    id TEXT NOT NULL PRIMARY KEY,
    cause TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    wanted TEXT,
    from_ms INTEGER,
    to_ms INTEGER NOT NULL,
    span INTEGER,
    state TEXT NOT NULL,
    error TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER
) STRICT;
CREATE INDEX backfill_history_by_state ON backfill_history (state);

CREATE TABLE backfill_parts (
    run_id TEXT NOT NULL REFERENCES backfill_history (id) ON DELETE CASCADE,
    symbol_id INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    provider TEXT NOT NULL,
    span INTEGER NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    from_ns INTEGER NOT NULL,
    to_ns INTEGER NOT NULL,
    next_ns INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    candles INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    reasons TEXT NOT NULL,
    days_expected INTEGER NOT NULL,
    days_present INTEGER NOT NULL,
    gaps TEXT NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    PRIMARY KEY (run_id, symbol_id)
) STRICT;
