-- The history of tracked symbols: candles as the provider wrote them, what is known of each series, and the runs that fetch them.
ALTER TABLE symbols ADD COLUMN provider TEXT;
ALTER TABLE symbols ADD COLUMN span BIGINT;

CREATE TABLE market_data (
    symbol_id BIGINT NOT NULL,
    span BIGINT NOT NULL,
    time BIGINT NOT NULL,
    open TEXT NOT NULL,
    high TEXT NOT NULL,
    low TEXT NOT NULL,
    close TEXT NOT NULL,
    volume TEXT NOT NULL,
    vwap TEXT,
    trades BIGINT,
    PRIMARY KEY (symbol_id, span, time)
) PARTITION BY RANGE (time);

CREATE TABLE market_series (
    symbol_id BIGINT NOT NULL,
    span BIGINT NOT NULL,
    records BIGINT NOT NULL,
    earliest BIGINT,
    latest BIGINT,
    seen BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    covered_to BIGINT,
    days_expected BIGINT NOT NULL,
    days_present BIGINT NOT NULL,
    gaps TEXT NOT NULL,
    PRIMARY KEY (symbol_id, span)
);

CREATE TABLE backfill_history (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    cause TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    wanted TEXT,
    from_ms BIGINT,
    to_ms BIGINT NOT NULL,
    span BIGINT,
    state TEXT NOT NULL,
    error TEXT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT
);
CREATE INDEX backfill_history_by_state ON backfill_history (state);

CREATE TABLE backfill_parts (
    run_id TEXT COLLATE "C" NOT NULL REFERENCES backfill_history (id) ON DELETE CASCADE,
    symbol_id BIGINT NOT NULL,
    symbol TEXT NOT NULL,
    provider TEXT NOT NULL,
    span BIGINT NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    from_ns BIGINT NOT NULL,
    to_ns BIGINT NOT NULL,
    next_ns BIGINT NOT NULL,
    pages BIGINT NOT NULL,
    candles BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    reasons TEXT NOT NULL,
    days_expected BIGINT NOT NULL,
    days_present BIGINT NOT NULL,
    gaps TEXT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    PRIMARY KEY (run_id, symbol_id)
);

-- The partition of one month, made when the first candle of it comes; times are nanoseconds since 1970. Whoever else is about to make it waits.
CREATE FUNCTION market_data_month(month_start BIGINT) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    first_day TIMESTAMP := to_timestamp(month_start / 1000000000) AT TIME ZONE 'UTC';
    next_start BIGINT := EXTRACT(EPOCH FROM first_day + INTERVAL '1 month')::BIGINT * 1000000000;
    partition TEXT := 'market_data_' || to_char(first_day, 'YYYY_MM');
BEGIN
    IF to_regclass(quote_ident(partition)) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(x'7365616c6d61726b'::BIGINT);
    EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF market_data FOR VALUES FROM (%s) TO (%s)',
        partition, month_start, next_start);
END
$$;
