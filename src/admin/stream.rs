//! `GET …/audit/stream`: the trail as it grows, as server-sent events. Ends when its reader may no
//! longer read, when the house is sealed or stops, and when nobody takes what is sent: a slow
//! reader holds nobody up. Must never send a record on after its reader was revoked.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::Instrument;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::audit;
use super::call::Call;
use super::caller::Caller;
use super::export::shown;
use super::house::House;
use super::members::Members;
use super::page;
use super::records;
use super::refused::Refused;
use super::serve::Cut;
use crate::client::{Client, Standing};
use crate::ledger::{Passed, Places, Tail};
use crate::refusal::{Reason, Refusal};

pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(stream))
}

/// Readers at once; each looks into the database by himself.
pub(super) const MOST_TAILS: usize = 32;
/// Pieces that wait for a reader, and about how long each is.
const MOST_WAITING: usize = 16;
const PIECE_BYTES: usize = 32 * 1024;
/// Whoever takes nothing for so long is let go. A reader that comes back goes on where it was.
const SLOW_AFTER: Duration = Duration::from_secs(10);
/// A sign of life, for whatever stands between.
const ALIVE_EVERY_NS: u64 = 15_000_000_000;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const MOST_LAST: u64 = 1_000;

/// Why a stream ended, in the words of its last event.
#[derive(Clone, Copy)]
enum End {
    Revoked,
    Sealed,
    Stopping,
    Failed,
}

/// The reading end, as a body.
struct Live {
    pieces: mpsc::Receiver<Bytes>,
    client: Option<Arc<Client>>,
}

/// Who follows, and on what.
struct Reader {
    caller: Caller,
    house: Arc<House>,
    was_sealed: bool,
    cut: Cut,
    _place: OwnedSemaphorePermit,
}

/// Follow the trail as it grows.
///
/// Server-sent events: `record` with the record, `end` with a `reason` (`revoked`, `sealed`,
/// `stopping`, `failed`) where the house ends it. The id of an event, sent back as `Last-Event-ID`
/// or `cursor`, goes on behind it. Whoever takes nothing for ten seconds is let go.
#[utoipa::path(get, path = "/api/v1/admin/audit/stream", tag = "Audit",
    params(("last" = Option<u64>, Query, minimum = 0, maximum = 1000,
            description = "Begin with so many records that stand there; 0 if not said."),
        ("cursor" = Option<String>, Query, description = "Go on behind this event's id."),
        ("kind" = Option<super::words::RecordKind>, Query),
        ("actor" = Option<String>, Query),
        ("provider" = Option<String>, Query),
        ("secret" = Option<String>, Query),
        ("status" = Option<u16>, Query),
        ("from" = Option<String>, Query, format = DateTime),
        ("to" = Option<String>, Query, format = DateTime),
        ("request_id" = Option<String>, Query)),
    responses((status = 200, description = "The events.", content_type = "text/event-stream",
        body = String)))]
async fn stream(
    call: Call,
    Extension(cut): Extension<Cut>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refused> {
    let mut query = Members::of_query(&uri)?;
    let last = query.whole("last", 0, MOST_LAST).value().unwrap_or(0);
    let named = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let cursor = page::after_text(&mut query).or_else(|| named.filter(|id| !id.is_empty()));
    let places = cursor.as_deref().map(Places::parse);
    if places == Some(None) {
        query.fault("cursor", "is not the id of an event of this stream");
    }
    let mut filter = audit::filter(&mut query);
    query.finish()?;
    records::narrowed(&call, &mut filter)?;
    let house = Arc::clone(&call.house);
    let Ok(place) = Arc::clone(&house.tails).try_acquire_owned() else {
        let detail = format!("{MOST_TAILS} readers follow the trail already; try again later.");
        return Err(Refusal::new(Reason::Overloaded, detail).into());
    };
    records::settled(&call).await;
    let last = usize::try_from(last).unwrap_or(0);
    let tail = house.ledger.tail(filter, places.flatten(), last).await;
    let tail = tail.map_err(|fault| Refused::of_store(&fault))?;
    let (sender, pieces) = mpsc::channel(MOST_WAITING);
    let client = match &call.caller {
        Caller::Key(client) | Caller::ByKey(client, _) => Some(Arc::clone(client)),
        Caller::Local | Caller::Operator(_) => None,
    };
    let was_sealed = house.vault.is_sealed();
    let reader = Reader { caller: call.caller.clone(), house, was_sealed, cut, _place: place };
    tokio::spawn(follow(reader, tail, sender).in_current_span());
    let mut response = Response::new(Body::new(Live { pieces, client }));
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

async fn follow(reader: Reader, mut tail: Tail, sender: mpsc::Sender<Bytes>) {
    let mut leaving = reader.house.leaving.subscribe();
    let clock = &reader.house.clock;
    let mut sent_ns = clock.monotonic_ns();
    // So that whoever waits for the head has it.
    let mut piece = String::from(": the trail as it grows\n\n");
    let end = loop {
        if !piece.is_empty() {
            if !reader.takes(&sender, std::mem::take(&mut piece)).await {
                return;
            }
            sent_ns = clock.monotonic_ns();
        }
        let passed = tokio::select! {
            passed = tail.next() => passed,
            _ = leaving.wait_for(|leaving| *leaving) => break End::Stopping,
            () = sender.closed() => return,
        };
        if let Some(end) = reader.ended().await {
            break end;
        }
        let passed = match passed {
            Ok(passed) => passed,
            Err(fault) => {
                tracing::error!(%fault, "the trail could not be followed");
                break End::Failed;
            }
        };
        for event in passed.into_iter().map(event) {
            piece.push_str(&event);
            if piece.len() < PIECE_BYTES {
                continue;
            }
            // A block may take a slow reader long.
            if reader.ended().await.is_some() {
                break;
            }
            if !reader.takes(&sender, std::mem::take(&mut piece)).await {
                return;
            }
        }
        let silent_ns = clock.monotonic_ns().saturating_sub(sent_ns);
        if piece.is_empty() && silent_ns >= ALIVE_EVERY_NS {
            piece.push_str(":\n\n");
        }
    };
    let last = format!("event: end\ndata: {}\n\n", json!({"reason": end.as_str()}));
    let _goes_anyway = reader.takes(&sender, last).await;
}

impl Reader {
    /// False if he has left, or takes nothing: then he is let go, and his connection with him.
    async fn takes(&self, sender: &mpsc::Sender<Bytes>, piece: String) -> bool {
        match tokio::time::timeout(SLOW_AFTER, sender.send(Bytes::from(piece))).await {
            Ok(taken) => taken.is_ok(),
            Err(_) => {
                tracing::info!("a reader of the trail took nothing and was let go");
                self.cut.now();
                false
            }
        }
    }

    /// May he read on?
    async fn ended(&self) -> Option<End> {
        let stands = match &self.caller {
            Caller::Local => true,
            Caller::Operator(signed) => self.house.operators.stands(signed).await,
            Caller::Key(client) | Caller::ByKey(client, _) => {
                client.standing(&self.house.clock) == Standing::Good
            }
        };
        match stands {
            false => Some(End::Revoked),
            true => (!self.was_sealed && self.house.vault.is_sealed()).then_some(End::Sealed),
        }
    }
}

fn event(passed: Passed) -> String {
    let Passed { record, places } = passed;
    format!("id: {places}\nevent: record\ndata: {}\n\n", shown(record))
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Sealed => "sealed",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }
}

impl http_body::Body for Live {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    /// What waits for a reader who was revoked stays here.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        let is_gone = self.client.as_ref().is_some_and(|client| client.fate.has_ended());
        loop {
            match self.pieces.poll_recv(context) {
                Poll::Ready(Some(piece)) if is_gone && !piece.starts_with(b"event: end") => {}
                Poll::Ready(piece) => {
                    return Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
