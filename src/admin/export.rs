//! `GET …/audit/export`: the trail as lines, as fast as they are taken. Without a filter an export
//! can be verified with nothing but the public key; one that broke off goes on behind its last
//! record. Must never hold more than a page of it in memory.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::Instrument;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::audit;
use super::backups::{Piece, Streamed};
use super::call::Call;
use super::house::House;
use super::members::Members;
use super::page;
use super::records;
use super::refused::Refused;
use crate::ledger::{Export, Exported, FORM, Packing, StoredRecord};
use crate::report::quoted;

pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(export))
}

const COLUMNS: [&str; 32] = [
    "id",
    "kind",
    "timestamp",
    "request_id",
    "actor.type",
    "actor.id",
    "actor.name",
    "address",
    "provider",
    "secret",
    "version",
    "method",
    "endpoint",
    "status_code",
    "fault",
    "error_code",
    "bytes_in",
    "bytes_out",
    "duration_ms",
    "upstream_ms",
    "retries",
    "node",
    "sequence",
    "end",
    "scrub_hits",
    "model",
    "tokens.input",
    "tokens.cached",
    "tokens.written",
    "tokens.written_long",
    "tokens.output",
    "cost_micros",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Ndjson,
    Csv,
}

impl Format {
    const ALL: [Self; 2] = [Self::Ndjson, Self::Csv];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
}

/// Export the trail, oldest first, node by node.
///
/// `ndjson`: a line for each record with its bytes and its hash, checkpoints between them; whole,
/// it is verified by `sealgate audit verify --offline`. `csv`: the records alone. Packed as zstd or
/// gzip where `Accept-Encoding` takes it, each piece by itself.
#[utoipa::path(get, path = "/api/v1/admin/audit/export", tag = "Audit",
    params(("format" = Option<String>, Query, description = "`ndjson` (if not said) or `csv`."),
        ("cursor" = Option<String>, Query,
            description = "Go on behind this record, NODE:SEQUENCE, of an export that broke off."),
        ("kind" = Option<super::words::RecordKind>, Query),
        ("actor" = Option<String>, Query),
        ("provider" = Option<String>, Query),
        ("secret" = Option<String>, Query),
        ("status" = Option<u16>, Query),
        ("from" = Option<String>, Query, format = DateTime),
        ("to" = Option<String>, Query, format = DateTime),
        ("request_id" = Option<String>, Query)),
    responses((status = 200, description = "The lines.", content_type = "application/x-ndjson",
        body = String)))]
async fn export(call: Call, headers: HeaderMap, uri: Uri) -> Result<Response, Refused> {
    let mut query = Members::of_query(&uri)?;
    let format = query.word("format", &Format::ALL, Format::as_str).value();
    let resume = page::after_text(&mut query).map(|text| {
        let parts = text.rsplit_once(':');
        parts.and_then(|(node, sequence)| Some((node.to_owned(), sequence.parse().ok()?)))
    });
    if resume == Some(None) {
        query.fault("cursor", "must be NODE:SEQUENCE, of the last record that was had");
    }
    let mut filter = audit::filter(&mut query);
    query.finish()?;
    records::narrowed(&call, &mut filter)?;
    let format = format.unwrap_or(Format::Ndjson);
    let is_whole = filter.is_whole();
    let is_new = resume.is_none();
    let export = call.house.ledger.export(filter, resume.flatten()).await;
    let export = export.map_err(|fault| Refused::of_store(&fault))?;
    let head = match format {
        Format::Ndjson if is_new => json!({"export": FORM, "whole": is_whole}).to_string() + "\n",
        Format::Csv if is_new => COLUMNS.join(",") + "\n",
        Format::Ndjson | Format::Csv => String::new(),
    };
    let (sender, receiver) = mpsc::channel(2);
    let packing = packing(&headers);
    let sending = Sending { format, is_whole, packing, sender };
    tokio::spawn(sending.run(export, head).in_current_span());
    let mut response = Response::new(Body::new(Streamed(receiver)));
    let media_type = HeaderValue::from_static(format.media_type());
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    let vary = HeaderValue::from_name(header::ACCEPT_ENCODING);
    response.headers_mut().insert(header::VARY, vary);
    if let Some(packing) = packing {
        let coding = HeaderValue::from_static(packing.as_str());
        response.headers_mut().insert(header::CONTENT_ENCODING, coding);
    }
    Ok(response)
}

/// The best that the caller takes.
fn packing(headers: &HeaderMap) -> Option<Packing> {
    let values = || headers.get_all(header::ACCEPT_ENCODING).iter();
    let taken = |wanted: &Packing| {
        let mut elements = values().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        elements.any(|element| {
            let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let is_refused = |part: &[u8]| {
                let weight = part.strip_prefix(b"q=").unwrap_or(b"1");
                weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
            };
            name.eq_ignore_ascii_case(wanted.as_str().as_bytes()) && !parts.any(is_refused)
        })
    };
    Packing::ALL.into_iter().find(taken)
}

/// An export on its way out.
struct Sending {
    format: Format,
    is_whole: bool,
    packing: Option<Packing>,
    sender: mpsc::Sender<Piece>,
}

impl Sending {
    async fn run(self, mut export: Export, head: String) {
        let mut piece = head;
        loop {
            if !piece.is_empty() && !self.takes(std::mem::take(&mut piece)).await {
                return;
            }
            let lines = match export.next().await {
                Ok(lines) => lines,
                Err(fault) => {
                    tracing::error!(%fault, "an export of the trail broke off");
                    return self.breaks_off().await;
                }
            };
            if lines.is_empty() {
                return;
            }
            for line in lines {
                let line = match self.format {
                    Format::Ndjson => line.into_line(shown, self.is_whole),
                    Format::Csv => csv(line),
                };
                if let Some(line) = line {
                    piece.push_str(&line);
                    piece.push('\n');
                }
            }
        }
    }

    /// False if nobody takes any more.
    async fn takes(&self, piece: String) -> bool {
        let Some(packing) = self.packing else {
            return self.sender.send(Ok(Bytes::from(piece))).await.is_ok();
        };
        // A mebibyte or two take their time.
        let packed = tokio::task::spawn_blocking(move || packing.pack(piece.as_bytes())).await;
        let Ok(Ok(packed)) = packed else {
            tracing::error!("an export of the trail could not be packed");
            self.breaks_off().await;
            return false;
        };
        self.sender.send(Ok(Bytes::from(packed))).await.is_ok()
    }

    async fn breaks_off(&self) {
        let broken = std::io::Error::other("the export broke off");
        let _gone = self.sender.send(Err(broken)).await;
    }
}

/// A record as it stands in a line, without what proves it.
pub(crate) fn shown(record: StoredRecord) -> Value {
    serde_json::to_value(records::Record::of(record)).unwrap_or(Value::Null)
}

fn csv(line: Exported) -> Option<String> {
    let record = match line {
        Exported::Record { record, .. } => shown(*record),
        Exported::Chain { .. }
        | Exported::Checkpoint(_)
        | Exported::ChainEnd { .. }
        | Exported::End { .. } => return None,
    };
    let cell = |column: &&str| {
        let member = column.split('.').try_fold(&record, |value, name| value.get(name));
        match member {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => quoted(text),
            Some(other) => other.to_string(),
        }
    };
    Some(COLUMNS.iter().map(cell).collect::<Vec<_>>().join(","))
}
