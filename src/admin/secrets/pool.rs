//! `PUT …/secrets/{id}/pool`: a secret's part of the load that it shares with the others of its
//! provider, set aside or put back; and how that is shown. What the provider gives for it is shown
//! with it. Must never touch a value.

use axum::extract::Path;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::{Call, identified};
use super::super::house::House;
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::view::{Secret, alterable};
use super::{WHAT, resource, shown};
use crate::clock::rfc3339;
use crate::pool::{self, Wish};
use crate::quota::Standing;
use crate::store::PlaceRow;
use crate::vault::SecretView;

const HEAVIEST: u64 = 1_000;

/// The body of `PUT …/secrets/{id}/pool`: only what is sent changes.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `read` reads it")]
pub(super) struct PoolChange {
    /// Its part of the calls beside the parts of the others.
    #[schema(minimum = 1, maximum = 1000, default = 1)]
    weight: Option<u32>,
    /// `true` sets it aside: calls that name no secret go to the others. `false` puts it back, out
    /// of quarantine too.
    drained: Option<bool>,
}

/// Where it stands beside the others of its provider.
#[derive(Serialize, ToSchema)]
#[schema(as = PoolPlace)]
pub(super) struct PoolView {
    weight: u32,
    /// `serving`, `cooling` (its provider wants no calls with it until then), `quarantined`
    /// (refused again and again), `drained` (set aside).
    #[schema(value_type = String, example = "serving")]
    state: &'static str,
    #[schema(format = DateTime)]
    since: Option<String>,
    #[schema(format = DateTime)]
    until: Option<String>,
}

/// What its provider gives for it, as far as this node knows.
#[derive(Serialize, ToSchema)]
#[schema(as = SecretLimit)]
pub(super) struct LimitView {
    /// In so many seconds; null where only a refusal has told of a limit.
    calls: Option<u64>,
    window_seconds: Option<u64>,
    /// Calls under way.
    under_way: u64,
    /// Found by refusals alone: calls in a minute.
    learnt_per_minute: Option<u64>,
    /// No call leaves before then.
    #[schema(format = DateTime)]
    closed_until: Option<String>,
}

/// Both, for whoever looks.
pub(super) struct Share {
    pub(super) pool: Option<PoolView>,
    pub(super) limit: Option<LimitView>,
}

impl Share {
    pub(super) fn of(house: &House, secret: &SecretView, row: Option<&PlaceRow>) -> Self {
        let now = house.clock.now();
        let standing = house.vault.supply(secret.id).standing(now.monotonic_ns);
        let at = |ns: u64| {
            let ms = i64::try_from(ns.saturating_sub(now.monotonic_ns) / 1_000_000).unwrap_or(0);
            rfc3339(now.unix_ms.saturating_add(ms))
        };
        let closed_until = standing.closed_until_ns.map(at);
        let rests_until = standing.rests_until_ns.map(at);
        let provider = house.catalogue.get(&secret.provider);
        let is_pooled = provider.is_some_and(|provider| provider.pool);
        let is_known = standing != Standing::default();
        Self {
            pool: is_pooled.then(|| PoolView::of(row, rests_until)),
            limit: is_known.then(|| LimitView {
                calls: standing.limit.map(|(calls, _)| calls),
                window_seconds: standing.limit.map(|(_, seconds)| seconds),
                under_way: standing.under_way,
                learnt_per_minute: standing.learnt_per_minute,
                closed_until,
            }),
        }
    }
}

impl PoolView {
    fn of(row: Option<&PlaceRow>, rests_until: Option<String>) -> Self {
        let drained = row.and_then(|row| row.drained_at);
        let quarantined = row.and_then(|row| row.quarantined_at);
        let (state, since, until) = match (drained, quarantined, rests_until) {
            (Some(since), _, _) => ("drained", Some(since), None),
            (None, Some(since), _) => ("quarantined", Some(since), None),
            (None, None, Some(until)) => ("cooling", None, Some(until)),
            (None, None, None) => ("serving", None, None),
        };
        let weight = row.map_or(1, |row| row.weight);
        Self { weight, state, since: since.map(rfc3339), until }
    }
}

/// Change a secret's part of the load, set it aside or put it back.
#[utoipa::path(put, path = "/api/v1/admin/secrets/{id}/pool", tag = "Secrets",
    params(("id" = String, Path)), request_body = PoolChange,
    responses((status = 200, description = "As it stands now.", body = Secret)))]
pub(in super::super) async fn place(
    call: Call,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Answer, Refused> {
    let id: Uuid = identified(&id, WHAT)?;
    let mut members = sent.members()?;
    let weight = members.whole("weight", 1, HEAVIEST).value();
    let drained = members.flag("drained").value();
    members.finish()?;
    let wish = Wish { weight: weight.and_then(|weight| u32::try_from(weight).ok()), drained };
    let before = shown(&call, id).await?;
    let wanted = json!({"weight": wish.weight, "drained": wish.drained});
    let act = Act::begin(&call, &before.provider, Some(alterable(&before)), &wanted)?;
    let house = &call.house;
    let by = (house.clock.unix_ms(), call.caller.actor());
    let moved = pool::wish((&house.store, &house.vault), id, wish, (by.0, &by.1)).await;
    match moved {
        Ok(()) => {
            act.done(200, Some(&wanted));
            Answer::ok(&resource(&call, &before).await?)
        }
        Err(fault) => Err(act.refused(Refused::of_store(&fault))),
    }
}
