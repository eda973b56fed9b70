//! `GET …/api-keys/{id}/audit`: what a client key did on both faces.
//! Answers after the key is gone, too.
//! Must never show more of the trail than the caller's role may read.

use axum::extract::Path;
use axum::http::Uri;

use super::super::answer::Answer;
use super::super::call::{Call, identified};
use super::super::members::Members;
use super::super::page;
use super::super::records::{self, Records};
use super::super::refused::Refused;
use super::WHAT;
use crate::ledger::Filter;

/// What a client key did, newest first.
///
/// Admin and proxied calls; operators see the proxied ones. Answers after deletion, too.
#[utoipa::path(get, path = "/api/v1/admin/api-keys/{id}/audit", tag = "Client keys",
    params(("id" = String, Path),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = Records)))]
pub(in super::super) async fn trail(
    call: Call,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Answer, Refused> {
    let id = identified(&id, WHAT)?;
    let mut query = Members::of_query(&uri)?;
    let limit = page::limit(&mut query);
    let cursor = records::cursor(&mut query);
    query.finish()?;
    let mut filter = Filter { actor_id: Some(id), ..Filter::default() };
    records::narrowed(&call, &mut filter)?;
    records::search(&call, &filter, limit, cursor.as_ref()).await
}
