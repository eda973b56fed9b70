//! The only SQL. One file for each table, every statement written once for SQLite and PostgreSQL;
//! what differs between the two stands in `store/dialect.rs` and in the two files that open them.
//! Not found is `Ok(None)`, a row that contradicts the model is an error that names it.
//! Must never show a password, and must never put a value into the text of a statement.

mod alert_claims;
mod alert_deliveries;
mod alert_destinations;
mod alert_nodes;
mod alert_places;
mod alert_words;
mod alerts;
mod archive;
mod backfill_parts;
mod backfills;
mod cells;
mod changes;
mod checkpoints;
mod client_addresses;
mod client_key_ends;
mod client_key_guard;
mod client_key_hashes;
mod client_key_imports;
mod client_key_row;
mod client_key_seals;
mod client_key_standing;
mod client_keys;
mod client_routes;
mod client_tokens;
mod columns;
mod counted_records;
mod dialect;
mod durations;
mod error;
mod idempotency;
mod installation;
mod inventories;
mod keks;
mod key_jobs;
mod key_moves;
mod leases;
mod lenient;
mod market_data;
mod market_series;
mod master_passphrases;
mod migrate;
mod monthly_calls;
mod nodes;
mod operator_seals;
mod operator_sessions;
mod operators;
mod postgres;
mod providers;
mod recent_calls;
mod record_archives;
mod record_blocks;
mod record_marks;
mod renewals;
mod repeated_calls;
mod report_deliveries;
mod rotations;
mod schema;
mod secret_checks;
mod secret_places;
mod secret_versions;
mod secrets;
mod signing_keys;
mod sqlite;
mod symbols;
#[cfg(test)]
pub(crate) mod tests;
mod usage_rollups;
mod wraps;

use std::sync::Arc;

pub(crate) use self::alert_claims::DeliveryClaim;
pub(crate) use self::alert_deliveries::{DeliveryRow, DeliveryState, Event, Tried};
pub(crate) use self::alert_destinations::DestinationRow;
pub(crate) use self::alert_nodes::AlertNode;
pub(crate) use self::alert_words::{AlertKind, AlertState, Severity};
pub(crate) use self::alerts::{AlertRow, Move, Seen, Subject};
pub(crate) use self::archive::{ARCHIVED, Archived, Cell, Loading};
pub(crate) use self::backfill_parts::{PartRow, Progress as PartProgress, Tally};
pub(crate) use self::backfills::{RunCause, RunRow, RunSums};
pub(crate) use self::changes::{Changed, Ear, Told};
pub(crate) use self::checkpoints::Checkpoint;
pub(crate) use self::client_addresses::CalledFrom;
pub(crate) use self::client_key_ends::EndingKey;
pub(crate) use self::client_key_hashes::{KeyPreview, NextDigest};
pub(crate) use self::client_key_imports::ImportedKey;
pub(crate) use self::client_key_row::ClientKeyRow;
pub(crate) use self::client_key_seals::RowKey;
pub(crate) use self::client_key_standing::{ListedClientKey, RowFault, StandingKey};
pub(crate) use self::client_keys::Touch;
pub(crate) use self::client_routes::{ClientRoute, Gone};
pub(crate) use self::client_tokens::ClientTokenRow;
pub(crate) use self::counted_records::Counted;
use self::dialect::{Pools, Tx, reading};
pub(crate) use self::error::Error;
pub(crate) use self::idempotency::{Claim, IdempotentCall};
pub(crate) use self::installation::Installation;
pub(crate) use self::inventories::{InventoryRow, Listed};
pub(crate) use self::keks::{KekRow, KekState, MasterId, MasterKind};
pub(crate) use self::key_jobs::{JobKind, JobRow, JobState, JobStep};
pub(crate) use self::key_moves::{Remastered, Resealed, Rewrapped};
pub(crate) use self::leases::{Span, Turn};
pub(crate) use self::market_data::{CandleRow, NewCandle, PageEnd};
pub(crate) use self::market_series::{Quality, SeriesRow};
pub(crate) use self::master_passphrases::PassphraseRow;
pub(crate) use self::monthly_calls::MonthlyCalls;
pub(crate) use self::nodes::NodeRow;
pub(crate) use self::operator_sessions::{ListedSession, SessionRow, SignedIn};
pub(crate) use self::operators::{OperatorRow, StandingOperator};
pub(crate) use self::providers::{Judge, Judged, ProviderList, ProviderRow};
pub(crate) use self::recent_calls::RecentCalls;
pub(crate) use self::record_archives::{BlockSpan, RecordArchive};
pub(crate) use self::record_blocks::{Along, RecordBlock};
pub(crate) use self::renewals::{OwnKey, RenewalResult, RenewalRow, RenewalState};
pub(crate) use self::repeated_calls::{Repeated, RepeatedCalls};
pub(crate) use self::rotations::{Counts, RotationRow, RotationState};
pub(crate) use self::secret_checks::{Cause, CheckRow, Health, HealthRow, Outcome};
pub(crate) use self::secret_places::{LearntRow, PlaceRow};
pub(crate) use self::secret_versions::{Former, Shift, VersionRow, VersionState, VersionUse};
pub(crate) use self::secrets::{Loaded, SecretRow, StoredSecret, Unreadable};
pub(crate) use self::signing_keys::SigningKeyRow;
pub(crate) use self::symbols::{AssetClass, BackfillStatus, NewSymbol, SymbolRow};
pub(crate) use self::usage_rollups::{Bucket, Dimension, UsageKey, UsageSum};
pub(crate) use self::wraps::MOST_WRAPS;
use crate::clock::Clock;

/// Where the database is.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) target: Target,
}

#[derive(Clone)]
pub(crate) enum Target {
    Sqlite(std::path::PathBuf),
    /// The whole URL, password included, hence never printed.
    Postgres(Arc<crate::secret::SecretBytes>),
}

/// The open database, brought to the binary's schema. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    pools: Pools,
    clock: Clock,
    place: Arc<str>,
    /// By what edited client keys are found.
    seals: client_key_seals::Seals,
    /// By what edited counts of wraps are found.
    meters: wraps::Meters,
}

impl Store {
    /// Connects, creates what is missing, and runs the pending migrations. Safe for several nodes
    /// that start at once. A database that is newer, damaged or foreign is left as it is.
    /// Once in a process for one SQLite file, and one process for one file: whoever opens holds the
    /// data folder's lock.
    pub(crate) async fn open(settings: &Settings, clock: Clock) -> Result<Self, Error> {
        let (pools, place) = match &settings.target {
            Target::Sqlite(path) => sqlite::open(path, None).await?,
            Target::Postgres(url) => postgres::open(url).await?,
        };
        Ok(Self::of(pools, place, clock))
    }

    fn of(pools: Pools, place: String, clock: Clock) -> Self {
        let (seals, meters) = Default::default();
        Self { pools, clock, place: place.into(), seals, meters }
    }

    /// A new SQLite file with the schema of an earlier program, for what that program has written.
    pub(crate) async fn create_at(
        path: &std::path::Path,
        schema: i64,
        clock: Clock,
    ) -> Result<Self, Error> {
        let (pools, place) = sqlite::open(path, Some(schema)).await?;
        Ok(Self::of(pools, place, clock))
    }

    /// The newest schema that this program knows.
    pub(crate) fn newest_schema() -> i64 {
        migrate::newest()
    }

    /// What it is and where, for people; never the password.
    pub(crate) fn describe(&self) -> &str {
        &self.place
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        const SQL: &str = "SELECT CAST(1 AS BIGINT)";
        reading!(self, db => sqlx::query_scalar::<_, i64>(SQL).fetch_one(db))?;
        Ok(())
    }

    /// The number of the newest migration that was applied.
    pub(crate) async fn schema_version(&self) -> Result<i64, Error> {
        const SQL: &str = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations";
        Ok(reading!(self, db => sqlx::query_scalar::<_, i64>(SQL).fetch_one(db))?)
    }

    /// For `doctor`. Reads the whole file on SQLite; PostgreSQL checks its own pages.
    pub(crate) async fn check_integrity(&self) -> Result<(), Error> {
        match &self.pools {
            Pools::Sqlite { readers, .. } => sqlite::check_integrity(readers, &self.place).await,
            Pools::Postgres(_) => self.ping().await,
        }
    }

    /// Waits for running statements, then closes. On SQLite the journal is folded into the file.
    pub(crate) async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }

    /// Does what somebody with the database's password could do.
    #[cfg(test)]
    pub(crate) async fn tamper(&self, sql: &'static str) -> u64 {
        let mut tx = self.begin().await.unwrap();
        let changed = dialect::changing!(&mut tx, sqlx::query(sql)).unwrap();
        tx.commit().await.unwrap();
        changed
    }

    /// SQLite's journal still has the pages as they were before a change; folding it into the file
    /// empties it, and `secure_delete` has overwritten what was there. For whatever must not be
    /// found any more: keys as they were wrapped before, and what was destroyed.
    pub(crate) async fn forget_journal(&self) {
        match &self.pools {
            Pools::Sqlite { writer, .. } => sqlite::fold(writer).await,
            // Its own journal lies with the server, which alone decides how long.
            Pools::Postgres(_) => {}
        }
    }

    async fn begin(&self) -> Result<Tx, Error> {
        Ok(Tx::begin(&self.pools).await?)
    }
}
