//! `GET …/secrets` and `GET …/secrets/{id}`: what is known of
//! secrets, a page at a time or one. Metadata alone; must never open
//! anything.

use axum::extract::Path;
use axum::http::Uri;
use utoipa::ToSchema;

use super::super::answer::{Answer, Page};
use super::super::call::{Call, identified};
use super::super::members::Members;
use super::super::page;
use super::super::refused::Refused;
use super::pool::Share;
use super::view::Secret;
use super::{WHAT, refusal_of, resource, shown};
use crate::store::RenewalRow;
use crate::vault::SecretView;

/// A page of secrets, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Page` is answered")]
pub(super) struct Secrets {
    items: Vec<Secret>,
    next_cursor: Option<String>,
}

/// List secrets, newest first; metadata alone.
#[utoipa::path(get, path = "/api/v1/admin/secrets", tag = "Secrets",
    params(("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = Secrets)))]
pub(in super::super) async fn list(call: Call, uri: Uri) -> Result<Answer, Refused> {
    let mut query = Members::of_query(&uri)?;
    let limit = page::limit(&mut query);
    let after = page::after_id(&mut query);
    query.finish()?;
    // Few, and the vault holds them all as it is.
    let mut secrets = call.house.vault.list().await.map_err(refusal_of)?;
    secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.id));
    secrets.retain(|secret| after.is_none_or(|after| secret.id < after));
    let (secrets, next_cursor) = page::split(secrets, limit, |secret| secret.id.to_string());
    let stands = call.house.store.secret_healths().await;
    let stands = stands.map_err(|fault| Refused::of_store(&fault))?;
    let rotations = call.house.store.rotations().await;
    let rotations = rotations.map_err(|fault| Refused::of_store(&fault))?;
    let places = call.house.store.secret_places().await;
    let places = places.map_err(|fault| Refused::of_store(&fault))?;
    let renewals = call.house.store.renewals().await;
    let renewals = renewals.map_err(|fault| Refused::of_store(&fault))?.unwrap_or_default();
    let renewals: Vec<RenewalRow> = renewals.into_iter().flatten().collect();
    let of = |secret: &SecretView| {
        let rotation = rotations.iter().find(|rotation| rotation.secret_id == secret.id);
        let stands = stands.iter().find(|stands| stands.secret_id == secret.id);
        let place = places.iter().find(|place| place.secret_id == secret.id);
        let renewal = renewals.iter().find(|row| row.secret_id == secret.id);
        let policy = call.house.rotor.policy_view(secret, renewal);
        let shown = Secret::of(secret, stands, rotation, Share::of(&call.house, secret, place));
        shown.with_policy(policy)
    };
    let items: Vec<Secret> = secrets.iter().map(of).collect();
    Answer::ok(&Page { items, next_cursor })
}

/// Show a secret's metadata.
#[utoipa::path(get, path = "/api/v1/admin/secrets/{id}", tag = "Secrets",
    params(("id" = String, Path)),
    responses((status = 200, description = "The secret's metadata.", body = Secret)))]
pub(in super::super) async fn show(call: Call, Path(id): Path<String>) -> Result<Answer, Refused> {
    let secret = shown(&call, identified(&id, WHAT)?).await?;
    Answer::ok(&resource(&call, &secret).await?)
}
