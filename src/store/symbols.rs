//! The table `symbols`: what the house keeps history of.
//! Its ids are integers, which callers see. Must never lose a symbol: one that is no longer tracked
//! is inactive.

use super::columns::{Place, words};
use super::dialect::{changing, row, rows};
use super::lenient::Unread;
use super::{Error, Store};

words! {
    AssetClass {
        Stock = "stock",
        Etf = "etf",
        Crypto = "crypto",
    }
}

words! {
    BackfillStatus {
        Pending = "pending",
        InProgress = "in_progress",
        Completed = "completed",
        Failed = "failed",
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SymbolRow {
    pub(crate) id: i64,
    pub(crate) symbol: String,
    pub(crate) asset_class: AssetClass,
    pub(crate) active: bool,
    pub(crate) date_added: i64,
    pub(crate) backfill_status: BackfillStatus,
    pub(crate) backfill_error: Option<String>,
    pub(crate) last_backfill: Option<i64>,
    /// Where its history comes from; None: as the settings say.
    pub(crate) provider: Option<String>,
    /// Seconds of one candle; None: as the settings say.
    pub(crate) span: Option<i64>,
}

/// A symbol that is about to be tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewSymbol {
    pub(crate) symbol: String,
    pub(crate) asset_class: AssetClass,
    pub(crate) active: bool,
    pub(crate) last_backfill: Option<i64>,
    pub(crate) provider: Option<String>,
    pub(crate) span: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct RawSymbol {
    id: i64,
    symbol: String,
    asset_class: String,
    active: i64,
    date_added: i64,
    backfill_status: String,
    backfill_error: Option<String>,
    last_backfill: Option<i64>,
    provider: Option<String>,
    span: Option<i64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, symbol, asset_class, active, date_added, backfill_status, backfill_error,
            last_backfill, provider, span FROM symbols ",
            $rest
        )
    };
}

const SEED: &str = "INSERT INTO symbols
    (symbol, asset_class, active, date_added, backfill_status)
    VALUES ($1, $2, 1, $3, 'pending') ON CONFLICT (symbol) DO NOTHING";

const ADD: &str = "INSERT INTO symbols
    (symbol, asset_class, active, date_added, backfill_status, last_backfill, provider, span)
    VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7) ON CONFLICT (symbol) DO NOTHING";
const CHANGE: &str = "UPDATE symbols SET active = $2, provider = $3, span = $4 WHERE id = $1";
const ADOPT: &str = "UPDATE symbols SET last_backfill = $2, active = $3, provider = $4, span = $5
    WHERE id = $1 AND last_backfill IS NULL
        AND id NOT IN (SELECT symbol_id FROM market_series WHERE records > 0)";
const STANDS: &str = "UPDATE symbols SET backfill_status = $2, backfill_error = $3,
    last_backfill = CASE WHEN $4 IS NULL OR last_backfill > $4 THEN last_backfill ELSE $4 END
    WHERE id = $1";

impl Store {
    /// False where it is tracked already.
    pub(crate) async fn add_symbol(&self, new: &NewSymbol) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let added = changing!(
            &mut tx,
            sqlx::query(ADD)
                .bind(new.symbol.as_str())
                .bind(new.asset_class.as_str())
                .bind(i64::from(new.active))
                .bind(self.clock.unix_ms())
                .bind(new.last_backfill)
                .bind(new.provider.as_deref())
                .bind(new.span)
        )?;
        tx.commit().await?;
        Ok(added > 0)
    }

    /// What may be changed of it.
    pub(crate) async fn change_symbol(&self, row: &SymbolRow) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let changed = changing!(
            &mut tx,
            sqlx::query(CHANGE)
                .bind(row.id)
                .bind(i64::from(row.active))
                .bind(row.provider.as_deref())
                .bind(row.span)
        )?;
        tx.commit().await?;
        Ok(changed > 0)
    }

    /// What an older warehouse says of a symbol that is tracked already, and of which nothing was
    /// fetched. False where something was.
    pub(crate) async fn adopt_symbol(&self, id: i64, new: &NewSymbol) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let adopted = changing!(
            &mut tx,
            sqlx::query(ADOPT)
                .bind(id)
                .bind(new.last_backfill)
                .bind(i64::from(new.active))
                .bind(new.provider.as_deref())
                .bind(new.span)
        )?;
        tx.commit().await?;
        Ok(adopted > 0)
    }

    /// How far its history is; the time of the last backfill stays where none is given, or an
    /// earlier one.
    pub(crate) async fn note_backfill(
        &self,
        id: i64,
        (status, error): (BackfillStatus, Option<&str>),
        last_backfill: Option<i64>,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        changing!(
            &mut tx,
            sqlx::query(STANDS).bind(id).bind(status.as_str()).bind(error).bind(last_backfill)
        )?;
        Ok(tx.commit().await?)
    }

    /// Adds those that are not there; existing ones stay as they are. Yields how many were added.
    pub(crate) async fn seed_symbols(&self, symbols: &[(&str, AssetClass)]) -> Result<u64, Error> {
        let now_ms = self.clock.unix_ms();
        let mut tx = self.begin().await?;
        let mut added = 0;
        for (symbol, asset_class) in symbols {
            added += changing!(
                &mut tx,
                sqlx::query(SEED).bind(*symbol).bind(asset_class.as_str()).bind(now_ms)
            )?;
        }
        tx.commit().await?;
        Ok(added)
    }

    /// By symbol. One that cannot be read hides no other.
    pub(crate) async fn symbols(&self) -> Result<Vec<SymbolRow>, Error> {
        const ALL: &str = select!("ORDER BY symbol");
        let raw = rows!(self, "symbols", sqlx::query(ALL));
        let read = |raw: Result<RawSymbol, Unread>| from_raw(raw.ok()?).ok();
        Ok(raw.into_iter().filter_map(read).collect())
    }

    /// By symbol, from the one that follows `after`.
    pub(crate) async fn symbols_page(
        &self,
        active_only: bool,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<SymbolRow>, Error> {
        const PAGE: &str = select!("WHERE symbol > $1 AND active >= $2 ORDER BY symbol LIMIT $3");
        let raw = rows!(
            self,
            "symbols",
            sqlx::query(PAGE)
                .bind(after.unwrap_or_default())
                .bind(i64::from(active_only))
                .bind(i64::from(limit))
        );
        // One that cannot be read hides no other; `doctor` names it.
        let read = |raw: Result<RawSymbol, Unread>| from_raw(raw.ok()?).ok();
        Ok(raw.into_iter().filter_map(read).collect())
    }

    /// A line for each row that says what cannot be.
    pub(crate) async fn symbol_faults(&self) -> Result<Vec<String>, Error> {
        const ALL: &str = select!("ORDER BY symbol");
        let raw = rows!(self, "symbols", sqlx::query(ALL));
        let fault = |raw: Result<RawSymbol, Unread>| {
            let fault = raw.map_err(Error::from).and_then(from_raw).err()?;
            Some(format!("{fault} It is in no list until then."))
        };
        Ok(raw.into_iter().filter_map(fault).collect())
    }

    pub(crate) async fn symbol(&self, symbol: &str) -> Result<Option<SymbolRow>, Error> {
        const BY_SYMBOL: &str = select!("WHERE symbol = $1");
        let raw = row!(self, "symbols", sqlx::query(BY_SYMBOL).bind(symbol))?;
        raw.map(from_raw).transpose()
    }
}

fn from_raw(raw: RawSymbol) -> Result<SymbolRow, Error> {
    let place = Place { table: "symbols", row: &raw.symbol };
    Ok(SymbolRow {
        id: raw.id,
        asset_class: place.word("asset_class", &raw.asset_class, AssetClass::parse)?,
        active: place.flag("active", raw.active)?,
        backfill_status: place.word(
            "backfill_status",
            &raw.backfill_status,
            BackfillStatus::parse,
        )?,
        symbol: raw.symbol,
        date_added: raw.date_added,
        backfill_error: raw.backfill_error,
        last_backfill: raw.last_backfill,
        provider: raw.provider,
        span: raw.span,
    })
}
