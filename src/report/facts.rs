//! What findings are made of, read once: client keys, secrets, from where and for what they were
//! used.
//! Must never read more than a report holds.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Asked, ReportError, Sources};
use crate::store::{
    Bucket, ClientRoute, Dimension, HealthRow, ListedClientKey, Repeated, RepeatedCalls,
};
use crate::vault::SecretView;

pub(super) struct Facts<'a> {
    pub(super) now_ms: i64,
    pub(super) asked: &'a Asked,
    pub(super) keys: Vec<ListedClientKey>,
    pub(super) secrets: Vec<SecretView>,
    pub(super) healths: Vec<HealthRow>,
    /// From where each client key called in the period.
    pub(super) addresses: HashMap<Uuid, Vec<String>>,
    /// Which ways it went.
    pub(super) routes: HashMap<Uuid, Vec<ClientRoute>>,
    /// Since when ways are written down.
    pub(super) routes_since: Option<i64>,
    /// Calls of each secret in the period.
    pub(super) uses: HashMap<Uuid, u64>,
    /// Calls that asked again for what was fresh; and, of the same whole days, all calls of each
    /// secret and of each client key.
    pub(super) repeated: HashMap<Uuid, Vec<(RepeatedCalls, Repeated)>>,
    pub(super) day_uses: HashMap<Uuid, u64>,
    pub(super) client_calls: HashMap<Uuid, u64>,
    /// When the last hour began in which it was used.
    pub(super) last_uses: HashMap<Uuid, i64>,
    /// Secrets that hold the same value.
    pub(super) twins: Vec<Vec<Uuid>>,
}

const PAGE: u32 = 1_000;
const MOST_ROUTES: u32 = 200_000;
const MOST_REPEATS: u32 = 200_000;
/// So long ago hours are kept.
const HOURS_MS: i64 = 399 * 86_400_000;

impl<'a> Facts<'a> {
    pub(super) async fn read(sources: &Sources<'_>, asked: &'a Asked) -> Result<Self, ReportError> {
        let (store, now_ms) = (sources.store, sources.now_ms);
        let routes = store.client_routes(asked.from_ms, MOST_ROUTES).await?;
        let routes = routes.ok_or(ReportError::TooMuch)?;
        let bucket = match asked.from_ms < now_ms.saturating_sub(HOURS_MS) {
            true => Bucket::Day,
            false => Bucket::Hour,
        };
        let span = (bucket.start_of(asked.from_ms), asked.to_ms);
        let uses = store.usage_by_name((bucket, Dimension::Secret), span).await?;
        let last_uses = store.last_uses(Dimension::Secret, asked.to_ms).await?;
        let days = (Bucket::Day.start_of(asked.from_ms), asked.to_ms);
        let repeated = store.repeated_calls(days, MOST_REPEATS).await?;
        let repeated = repeated.ok_or(ReportError::TooMuch)?;
        let by_day = async |dimension| store.usage_by_name((Bucket::Day, dimension), days).await;
        let (day_uses, calls) =
            (by_day(Dimension::Secret).await?, by_day(Dimension::Client).await?);
        let mut facts = Self {
            now_ms,
            asked,
            keys: every_key(sources).await?,
            secrets: sources.vault.list().await?,
            healths: store.secret_healths().await?,
            addresses: by_key(store.addresses_since(asked.from_ms).await?),
            routes: by_key(routes.into_iter().map(|one| (one.client_id, one))),
            routes_since: store.routes_since().await?,
            uses: uses.into_iter().filter_map(|(id, calls, _)| named(&id, calls)).collect(),
            repeated: by_key(repeated.into_iter().map(|one| (one.0.client_id, one))),
            day_uses: day_uses.into_iter().filter_map(|(id, all, _)| named(&id, all)).collect(),
            client_calls: calls.into_iter().filter_map(|(id, all, _)| named(&id, all)).collect(),
            last_uses: last_uses.into_iter().filter_map(|(id, at)| named(&id, at)).collect(),
            twins: sources.vault.twins().await?,
        };
        facts.narrow();
        Ok(facts)
    }

    /// To what was asked for.
    fn narrow(&mut self) {
        let Self { asked, keys, routes, .. } = self;
        if let Some(client) = &asked.client {
            let is_meant = |key: &ListedClientKey| {
                key.key.id.to_string() == *client || key.key.name == *client
            };
            keys.retain(is_meant);
        }
        if let Some(provider) = &asked.provider {
            keys.retain(|key| {
                let gone = routes.get(&key.key.id).into_iter().flatten();
                gone.into_iter().any(|one| one.route.provider == *provider)
            });
        }
    }
}

impl Facts<'_> {
    /// Those that were asked for; of a client key none.
    pub(super) fn wanted_secrets(&self) -> impl Iterator<Item = &SecretView> {
        let Asked { client, provider, .. } = self.asked;
        let is_wanted = move |secret: &&SecretView| {
            client.is_none() && provider.as_ref().is_none_or(|named| *named == secret.provider)
        };
        self.secrets.iter().filter(is_wanted)
    }
}

pub(super) async fn every_key(sources: &Sources<'_>) -> Result<Vec<ListedClientKey>, ReportError> {
    let mut keys: Vec<ListedClientKey> = Vec::new();
    loop {
        let after = keys.last().map(|last| last.key.id);
        let page = sources.store.client_keys_page(after, PAGE).await?;
        let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        keys.extend(page);
        if is_last {
            return Ok(keys);
        }
    }
}

fn by_key<T>(pairs: impl IntoIterator<Item = (Uuid, T)>) -> HashMap<Uuid, Vec<T>> {
    let mut by_key: HashMap<Uuid, Vec<T>> = HashMap::new();
    for (id, one) in pairs {
        by_key.entry(id).or_default().push(one);
    }
    by_key
}

fn named<T>(id: &str, value: T) -> Option<(Uuid, T)> {
    Some((Uuid::try_parse(id).ok()?, value))
}
