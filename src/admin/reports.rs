//! `GET …/reports/{kind}`: what is read from tables, sums and trail for people, as JSON, CSV or a
//! page to print.
//! Must never show a kind to whoever may not read what it is made of.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::call::Call;
use super::house::House;
use super::members::Members;
use super::records;
use super::refused::Refused;
use super::secrets;
use crate::client::Right;
use crate::crypto::sha256;
use crate::refusal::Refusal;
use crate::report::{Asked, Document, Limits, ReportError, ReportKind, STYLE, Sources};

pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(report))
}

const A_DAY_MS: i64 = 86_400_000;
/// Where nobody says from when.
const DAYS: i64 = 30;
const MOST_DAYS: u64 = 36_500;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
    Html,
}

impl Format {
    const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::Html];

    fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Html => "html",
        }
    }
}

/// A report. Its sections are lists of rows; which it has is its kind's: `findings` of `hygiene`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; the report writes itself")]
struct WrittenReport {
    #[schema(example = "hygiene")]
    kind: String,
    #[schema(format = DateTime)]
    made_at: String,
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    /// The client key that it was asked for.
    client: Option<String>,
    /// The provider that it was asked for.
    provider: Option<String>,
    /// What it was judged by.
    #[schema(value_type = Object)]
    settings: serde_json::Value,
    /// What it comes to.
    #[schema(value_type = Object)]
    summary: serde_json::Value,
    /// Of `hygiene`.
    findings: Option<Vec<ReportFinding>>,
    /// Of `usage`: this period and the one before it, then by day, and, where nothing was narrowed,
    /// by `providers`, `clients`, `secrets`, `statuses` and `models`.
    #[schema(value_type = Option<Vec<Object>>)]
    totals: Option<serde_json::Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    days: Option<serde_json::Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    providers: Option<serde_json::Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    clients: Option<serde_json::Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    secrets: Option<serde_json::Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    statuses: Option<serde_json::Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    models: Option<serde_json::Value>,
    /// Of `security`: what was refused, `addresses` that failed to prove themselves, `alerts`,
    /// `changes`, what the house `found`, the last `backups`, who is signed in, and how far the
    /// `trail` is signed.
    #[schema(value_type = Option<Vec<Object>>)]
    refusals: Option<serde_json::Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    addresses: Option<serde_json::Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    alerts: Option<serde_json::Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    changes: Option<serde_json::Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    found: Option<serde_json::Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    backups: Option<serde_json::Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    sessions: Option<serde_json::Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    trail: Option<serde_json::Value>,
}

/// Something that is amiss with a key.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone")]
struct ReportFinding {
    /// `info`, `warning` or `critical`.
    #[schema(example = "warning")]
    severity: String,
    /// `unused_paid`, `shared`, `over_broad`, `expired`, `never_used`, `idle`, `old`, `left_over`,
    /// `no_expiry` or `repeated_calls`.
    #[schema(example = "over_broad")]
    kind: String,
    subject: ReportSubject,
    /// Of a secret, and of repeated calls.
    provider: Option<String>,
    /// Since when it is so.
    #[schema(format = DateTime)]
    since: Option<String>,
    detail: String,
    /// What it was found by: `used`, `unused`, `allowed` and `narrower` of `over_broad`,
    /// `addresses` or `secrets` of `shared`; `path`, `calls`, `of_calls`, `bytes`, `fresh_seconds`,
    /// `cost_of_calls_micros` and `cost_of_plan_micros` of `repeated_calls`.
    #[schema(value_type = Option<Object>)]
    evidence: Option<serde_json::Value>,
    /// In dollars, over the period.
    cost: Option<f64>,
    /// The same in whole millionths of a dollar.
    cost_micros: Option<u64>,
    remedy: ReportRemedy,
}

/// What a finding is about.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone")]
struct ReportSubject {
    /// `secret` or `client_key`.
    r#type: String,
    id: String,
    name: String,
}

/// What to do about it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone")]
struct ReportRemedy {
    what: String,
    /// A command, ready to be run.
    command: String,
    /// The same as a call of this face; null where it needs a value that nobody here has.
    method: Option<String>,
    path: Option<String>,
    #[schema(value_type = Option<Object>)]
    body: Option<serde_json::Value>,
}

/// Read a report.
///
/// `hygiene`: keys that somebody should look at, client keys and secrets: never used, idle, without
/// an end, old, shared, allowed more than they use, paid for and not used, over and still there,
/// and calls that asked again for what was still fresh; each with what to do, ready to be done.
/// `usage`: what calls came to, beside the period before. `security`: refusals, alerts, changes,
/// findings, backups, sessions and checkpoints; for those who may read the whole trail. Without
/// `from` the last 30 days.
#[utoipa::path(get, path = "/api/v1/admin/reports/{kind}", tag = "Usage",
    params(("kind" = String, Path, description = "`hygiene`, `usage` or `security`."),
        ("format" = Option<String>, Query,
            description = "`json` (if not said), `csv`, or `html`: a page that prints well."),
        ("from" = Option<String>, Query, format = DateTime),
        ("to" = Option<String>, Query, format = DateTime, description = "Before this moment."),
        ("client" = Option<String>, Query, description = "The id or the name of a client key."),
        ("provider" = Option<String>, Query),
        ("idle_days" = Option<u64>, Query, maximum = 36500,
            description = "Of `hygiene`: not used for so long; 30 if not said."),
        ("old_days" = Option<u64>, Query, maximum = 36500,
            description = "The same value for so long; 90."),
        ("new_days" = Option<u64>, Query, maximum = 36500,
            description = "Never used so long after it was made; 7."),
        ("watch_days" = Option<u64>, Query, maximum = 36500,
            description = "Watched so long before its scopes are judged; 7."),
        ("addresses" = Option<u64>, Query, maximum = 1000000,
            description = "A client key used from more than so many is shared; 5."),
        ("repeats" = Option<u64>, Query, minimum = 1, maximum = 1_000_000_000,
            description = "Calls that asked again for what was fresh, from so many on; 100.")),
    responses((status = 200, description = "The report.", body = WrittenReport)))]
async fn report(call: Call, Path(kind): Path<String>, uri: Uri) -> Result<Response, Refused> {
    let kind = ReportKind::parse(&kind).ok_or_else(|| {
        let kinds = ReportKind::ALL.map(ReportKind::as_str).join(", ");
        let detail = format!("There is no report of that kind; there is {kinds}.");
        Refusal::new(crate::refusal::Reason::NotFound, detail)
    })?;
    let now_ms = call.house.clock.unix_ms();
    let mut query = Members::of_query(&uri)?;
    let format = query.word("format", &Format::ALL, Format::as_str).value();
    let asked = asked(&mut query, now_ms);
    let limits = limits(&mut query, kind);
    if kind != ReportKind::Hygiene && asked.client.is_some() && asked.provider.is_some() {
        query.fault("provider", "cannot be asked for together with `client`: no sums say both");
    }
    query.finish()?;
    if kind == ReportKind::Security && !call.caller.may(Right::ReadTrail) {
        let role = call.caller.role().as_str();
        let detail = format!("A key of the role {role} may not read the whole trail.");
        return Err(Refused::forbidden(detail));
    }
    records::settled(&call).await;
    let House { store, vault, backups, .. } = &*call.house;
    let sources = Sources { store, vault, backups, now_ms };
    let made = match kind {
        ReportKind::Hygiene => sources.hygiene(&asked, &limits).await,
        ReportKind::Usage => sources.usage(&asked).await,
        ReportKind::Security => sources.security(&asked, &call.house.ledger).await,
    };
    let made = made.map_err(refusal_of)?;
    Ok(match format.unwrap_or(Format::Json) {
        Format::Json => Answer::ok(&made.to_json())?.into_response(),
        Format::Csv => csv(&made)?,
        Format::Html => page(&made)?,
    })
}

fn asked(query: &mut Members, now_ms: i64) -> Asked {
    let (from, to) = (query.time("from").value(), query.time("to").value());
    let to_ms = to.unwrap_or_else(|| now_ms.saturating_add(1));
    let from_ms = from.unwrap_or_else(|| to_ms.saturating_sub(DAYS * A_DAY_MS));
    if from_ms >= to_ms {
        query.fault("from", "must be before `to`");
    }
    let (client, provider) = (query.text("client").value(), query.text("provider").value());
    Asked { from_ms, to_ms, client, provider }
}

/// What hygiene is judged by; no other kind takes these.
fn limits(query: &mut Members, kind: ReportKind) -> Limits {
    let usual = Limits::USUAL;
    if kind != ReportKind::Hygiene {
        return usual;
    }
    let mut days = |name, usual| query.whole(name, 0, MOST_DAYS).value().unwrap_or(usual);
    Limits {
        idle_days: days("idle_days", usual.idle_days),
        old_days: days("old_days", usual.old_days),
        new_days: days("new_days", usual.new_days),
        watch_days: days("watch_days", usual.watch_days),
        addresses: query.whole("addresses", 0, 1_000_000).value().unwrap_or(usual.addresses),
        repeats: query.whole("repeats", 1, 1_000_000_000).value().unwrap_or(usual.repeats),
    }
}

fn refusal_of(fault: ReportError) -> Refused {
    match fault {
        ReportError::Store(fault) => Refused::of_store(&fault),
        ReportError::Vault(fault) => secrets::refusal_of(fault),
        ReportError::TooMuch => {
            let what = "is too long ago: there is more than one report holds; ask for less";
            Refusal::invalid_field("from", what).into()
        }
    }
}

fn csv(made: &Document) -> Result<Response, Refused> {
    let name = format!("attachment; filename=\"{}.csv\"", made.file_name());
    let headers = [
        (header::CONTENT_TYPE, value("text/csv; charset=utf-8")?),
        (header::CONTENT_DISPOSITION, value(&name)?),
    ];
    Ok(answered(headers, made.to_csv()))
}

/// Nothing may run or be loaded in it, and no style but its own.
fn page(made: &Document) -> Result<Response, Refused> {
    let digest = base64::engine::general_purpose::STANDARD.encode(sha256(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_TYPE, value("text/html; charset=utf-8")?),
        (header::CONTENT_SECURITY_POLICY, value(&policy)?),
    ];
    Ok(answered(headers, made.to_html()))
}

fn answered(headers: [(HeaderName, HeaderValue); 2], text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().extend(headers);
    response
}

fn value(text: &str) -> Result<HeaderValue, Refused> {
    HeaderValue::from_str(text).map_err(Refused::internal)
}
