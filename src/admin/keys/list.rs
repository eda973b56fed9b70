//! `GET …/api-keys` and `GET …/api-keys/{id}`: what is known of
//! client keys, a page at a time or one. Must never show a key or its
//! digest.

use axum::extract::Path;
use axum::http::Uri;
use utoipa::ToSchema;

use super::super::answer::{Answer, Page};
use super::super::call::{Call, identified};
use super::super::members::Members;
use super::super::page;
use super::super::refused::Refused;
use super::left::WithLimits;
use super::view::ClientKey;
use super::{WHAT, shown, standing};
use crate::store::ListedClientKey;

/// A page of client keys, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Page` is answered")]
pub(super) struct ClientKeys {
    items: Vec<ClientKey>,
    next_cursor: Option<String>,
}

/// List client keys, newest first.
#[utoipa::path(get, path = "/api/v1/admin/api-keys", tag = "Client keys",
    params(("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = ClientKeys)))]
pub(in super::super) async fn list(call: Call, uri: Uri) -> Result<Answer, Refused> {
    let mut query = Members::of_query(&uri)?;
    let limit = page::limit(&mut query);
    let after = page::after_id(&mut query);
    query.finish()?;
    let store = &call.house.store;
    let rows = store.client_keys_page(after, limit + 1).await.map_err(Refused::internal)?;
    let (rows, next_cursor) = page::split(rows, limit, |listed| listed.key.id.to_string());
    let now_ms = call.house.clock.unix_ms();
    let shown = |listed: &ListedClientKey| {
        ClientKey::of(&listed.key, &listed.previews, now_ms).with_fault(listed.fault)
    };
    let items: Vec<ClientKey> = rows.iter().map(shown).collect();
    Answer::ok(&Page { items, next_cursor })
}

/// Show a client key, and what is left to it.
#[utoipa::path(get, path = "/api/v1/admin/api-keys/{id}", tag = "Client keys",
    params(("id" = String, Path)),
    responses((status = 200, description = "The client key.", body = WithLimits)))]
pub(in super::super) async fn show(call: Call, Path(id): Path<String>) -> Result<Answer, Refused> {
    let id = identified(&id, WHAT)?;
    let standing = standing(&call, id).await?;
    let key = shown(&call, &standing).await?;
    Answer::ok(&WithLimits::of(&call, &standing.key, key).await?)
}
