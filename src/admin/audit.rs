//! `GET …/audit`, `…/audit/verify` and `…/audit/archives`: the trail as it is
//! searched, whether it still holds, and what of it lies in files. Read only:
//! must never offer a way to alter or remove a record.

use std::sync::Arc;

use axum::http::Uri;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::house::House;
use super::members::Members;
use super::page;
use super::records::{self, Records};
use super::refused::Refused;
use crate::clock::rfc3339;
use crate::ledger::{self, Filter, Kind};

pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(list))
}

pub(super) fn verifying() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(verify)).routes(routes!(archives))
}

/// Search the trail, newest first.
///
/// Operators see proxied calls (`usage`); admins and auditors see everything. A page may hold fewer
/// records than asked for and still have a next one.
#[utoipa::path(get, path = "/api/v1/admin/audit", tag = "Audit",
    params(("kind" = Option<super::words::RecordKind>, Query),
        ("actor" = Option<String>, Query, description = "The id of a client key."),
        ("provider" = Option<String>, Query),
        ("secret" = Option<String>, Query, description = "The id of a secret."),
        ("status" = Option<u16>, Query),
        ("from" = Option<String>, Query, format = DateTime),
        ("to" = Option<String>, Query, format = DateTime, description = "Before this moment."),
        ("request_id" = Option<String>, Query),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = Records)))]
async fn list(call: Call, uri: Uri) -> Result<Answer, Refused> {
    let mut query = Members::of_query(&uri)?;
    let limit = page::limit(&mut query);
    let cursor = records::cursor(&mut query);
    let mut filter = filter(&mut query);
    query.finish()?;
    records::narrowed(&call, &mut filter)?;
    records::search(&call, &filter, limit, cursor.as_ref()).await
}

pub(super) fn filter(query: &mut Members) -> Filter {
    let status = query.whole("status", 100, 599).value();
    Filter {
        kind: query.word("kind", &Kind::ALL, Kind::as_str).value(),
        actor_id: id(query, "actor"),
        provider: query.text("provider").value(),
        secret_id: id(query, "secret"),
        status: status.and_then(|status| u16::try_from(status).ok()),
        from_ms: query.time("from").value(),
        to_ms: query.time("to").value(),
        request_id: query.text("request_id").value(),
    }
}

fn id(query: &mut Members, name: &str) -> Option<Uuid> {
    let text = query.text(name).value()?;
    let id = Uuid::try_parse(&text).ok();
    if id.is_none() {
        query.fault(name, "must be an id");
    }
    id
}

#[derive(Serialize, ToSchema)]
struct Verification {
    ok: bool,
    /// How many records of the database hold.
    records: u64,
    first_bad: Option<FirstBad>,
    /// How far the records of each node are vouched for.
    nodes: Vec<Covered>,
}

#[derive(Serialize, ToSchema)]
struct Covered {
    node: String,
    /// The number of the last record that holds.
    records: u64,
    /// Those up to this one lie in archives, which are verified by themselves.
    archived: u64,
    /// The last record that a signed checkpoint covers.
    signed_through: u64,
    /// The last one whose checkpoint a place outside the database has confirmed.
    pushed_through: u64,
    /// Records behind it: who owns machine and database could still alter them unseen.
    not_yet_covered: u64,
    /// The key that signs, to be kept elsewhere.
    public_key: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct FirstBad {
    node: String,
    sequence: u64,
    id: Option<String>,
    #[schema(value_type = String)]
    reason: &'static str,
}

/// Recompute every node's chain, check what was signed of it, and name the first bad record.
#[utoipa::path(get, path = "/api/v1/admin/audit/verify", tag = "Audit",
    responses((status = 200, description = "What was found.", body = Verification)))]
async fn verify(call: Call, uri: Uri) -> Result<Answer, Refused> {
    Members::of_query(&uri)?.finish()?;
    records::settled(&call).await;
    let verified = call.house.ledger.verify().await.map_err(Refused::internal)?;
    let first_bad = verified.first_bad.map(|bad| FirstBad {
        node: bad.node,
        sequence: bad.sequence,
        id: bad.id.map(|id| id.to_string()),
        reason: bad.reason,
    });
    let (ok, records) = (first_bad.is_none(), verified.records);
    let nodes = verified.nodes.into_iter().map(covered).collect();
    Answer::ok(&Verification { ok, records, first_bad, nodes })
}

fn covered(of: ledger::Covered) -> Covered {
    Covered {
        not_yet_covered: of.not_covered(),
        node: of.node,
        records: of.records,
        archived: of.archived,
        signed_through: of.signed_through,
        pushed_through: of.pushed_through,
        public_key: of.public_key.as_ref().map(ledger::public_key_text),
    }
}

/// Records that were carried out of the database.
#[derive(Serialize, ToSchema)]
struct Archive {
    node: String,
    /// Numbers of its first and its last record.
    first: u64,
    last: u64,
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    file: String,
    bytes: u64,
    sha256: String,
    #[schema(format = DateTime)]
    created_at: String,
}

#[derive(Serialize, ToSchema)]
struct Archives {
    items: Vec<Archive>,
    next_cursor: Option<String>,
}

/// List the archives of records older than `audit.retention_days`, node by node, oldest first.
#[utoipa::path(get, path = "/api/v1/admin/audit/archives", tag = "Audit",
    responses((status = 200, description = "Every archive.", body = Archives)))]
async fn archives(call: Call, uri: Uri) -> Result<Answer, Refused> {
    Members::of_query(&uri)?.finish()?;
    let held = call.house.ledger.archives().await;
    let held = held.map_err(|fault| Refused::of_store(&fault))?;
    let items = held.into_iter().map(|one| Archive {
        node: one.node,
        first: one.first,
        last: one.last,
        from: rfc3339(one.first_time),
        to: rfc3339(one.last_time),
        file: one.file,
        bytes: one.bytes,
        sha256: ledger::hex(&one.digest),
        created_at: rfc3339(one.created_at),
    });
    Answer::ok(&Archives { items: items.collect(), next_cursor: None })
}
