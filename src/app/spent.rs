//! The calls of the last window, as the trail tells them: a provider whose limit is named has
//! counted them, whatever ended the process that made them.
//! Must never take long: of a window as many records are read as it has calls.

use std::collections::HashMap;

use uuid::Uuid;

use crate::catalogue::InForce;
use crate::clock::Clock;
use crate::ledger::{Filter, Kind, Ledger, StoredRecord};
use crate::store;
use crate::vault::Vault;

const MS_NS: u64 = 1_000_000;
const RECORDS_A_PAGE: usize = 500;
/// A window of more calls than that is begun with these alone.
const MOST_CALLS: u64 = 20_000;

/// Before the first call is let out.
pub(super) async fn recall(
    ledger: &Ledger,
    (vault, catalogue): (&Vault, &InForce),
    clock: &Clock,
) -> Result<(), store::Error> {
    let all = catalogue.now();
    for provider in all.iter() {
        let Some(window) = provider.window() else { continue };
        let counted = spent(ledger, (&provider.id, window), clock).await?;
        for (secret, ages_ns) in counted {
            vault.supply(secret).recall_calls(window, &ages_ns, clock.monotonic_ns());
        }
    }
    Ok(())
}

/// How long ago each call came back, by secret, the oldest first.
async fn spent(
    ledger: &Ledger,
    (provider, (calls, window_ns)): (&str, (u64, u64)),
    clock: &Clock,
) -> Result<HashMap<Uuid, Vec<u64>>, store::Error> {
    let now_ms = clock.unix_ms();
    let window_ms = i64::try_from(window_ns / MS_NS).unwrap_or(i64::MAX);
    let filter = Filter {
        kind: Some(Kind::Usage),
        provider: Some(provider.to_owned()),
        from_ms: Some(now_ms.saturating_sub(window_ms)),
        ..Filter::default()
    };
    let mut found: HashMap<Uuid, Vec<u64>> = HashMap::new();
    let (mut cursor, mut left) = (None, calls.min(MOST_CALLS));
    loop {
        let page = ledger.query(&filter, RECORDS_A_PAGE, cursor.as_ref()).await?;
        for record in page.items.iter().filter(|record| has_left(record)) {
            let Some(secret) = record.secret_id else { continue };
            found.entry(secret).or_default().push(age_ns(record, now_ms));
            left = left.saturating_sub(1);
        }
        cursor = page.next;
        if cursor.is_none() || left == 0 {
            break;
        }
    }
    for ages_ns in found.values_mut() {
        ages_ns.sort_unstable_by_key(|age_ns| std::cmp::Reverse(*age_ns));
    }
    Ok(found)
}

fn has_left(record: &StoredRecord) -> bool {
    record.request_id_sent.is_some() || record.upstream_ns > 0
}

fn age_ns(record: &StoredRecord, now_ms: i64) -> u64 {
    let since_ms = u64::try_from(now_ms.saturating_sub(record.started_at_ms)).unwrap_or(0);
    since_ms.saturating_mul(MS_NS).saturating_sub(record.duration_ns)
}
