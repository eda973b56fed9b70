//! `…/backups`: the backups that the house keeps, one more now, or one sent as the answer. A caller
//! never names a file: what is kept lies in the folder of the settings. Must never answer with a
//! backup that is not encrypted to somebody.

mod making;

use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Frame;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tracing::Instrument;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use self::making::Making;
use super::act::Act;
use super::answer::Answer;
use super::call::Call;
use super::house::House;
use super::members::Members;
use super::refused::Refused;
use super::sent::Sent;
use crate::backup::{self, Fault, Kept, Lock, Progress, Shelf, Shelved, Source};
use crate::clock::rfc3339;
use crate::refusal::{Reason, Refusal};
use crate::secret::SecretBytes;
use crate::vault::VaultError;

/// Pieces of an answer that wait for a slow reader.
const QUEUE: usize = 4;
const PIECE_BYTES: usize = 256 * 1024;
/// In the head of a backup that is sent: a line for each thing that is damaged in this house.
const DAMAGED: &str = "x-sealgate-damaged";
const MOST_TOLD: usize = 10;
/// In the same place: the id under which the list shows how far it is.
const BACKUP: &str = "x-sealgate-backup";

/// For admins: a backup holds everything.
pub(super) fn administering() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(create))
}

/// A backup in the house's own folder.
#[derive(Serialize, ToSchema)]
struct Backup {
    #[schema(example = "sealgate-20260115T120000000Z.age")]
    name: String,
    bytes: u64,
    #[schema(format = DateTime)]
    created_at: String,
    /// Of one that was made just now: what was damaged in the house, and is so in the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    faults: Option<Vec<String>>,
}

/// The body of `POST …/backups`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `read` reads it")]
struct NewBackup {
    /// Public keys of age that can open it; those of the settings where neither these nor a
    /// passphrase are given.
    #[schema(example = json!(["age1…"]))]
    recipients: Option<Vec<String>>,
    passphrase: Option<String>,
    /// Answer with the backup itself instead of keeping it.
    #[schema(default = false)]
    stream: Option<bool>,
}

/// A list of backups.
#[derive(Serialize, ToSchema)]
struct Backups {
    items: Vec<Backup>,
    next_cursor: Option<String>,
    /// Those that are being made now.
    making: Vec<BackupProgress>,
}

/// A backup that is being made.
#[derive(Serialize, ToSchema)]
struct BackupProgress {
    /// As the header `X-Sealgate-Backup` of the answer that carries it.
    id: String,
    rows: u64,
    total: u64,
}

/// List the backups that the house keeps, newest first.
#[utoipa::path(get, path = "/api/v1/admin/backups", tag = "Backups",
    responses((status = 200, description = "All of them.", body = Backups)))]
async fn list(call: Call, uri: Uri) -> Result<Answer, Refused> {
    Members::of_query(&uri)?.finish()?;
    let shelf = Shelf::new(&call.house.backups.folder);
    let listed = tokio::task::spawn_blocking(move || shelf.list()).await;
    let listed = listed.map_err(Refused::internal)?.map_err(Refused::internal)?;
    let items: Vec<Backup> = listed.into_iter().map(Backup::of).collect();
    let making = call.house.making.list().into_iter();
    let making = making.map(|(id, rows, total)| BackupProgress { id: id.to_string(), rows, total });
    Answer::ok(&Backups { items, next_cursor: None, making: making.collect() })
}

/// Make a backup now: kept in the house's folder, or sent as the answer.
///
/// The file is in the age format. Whoever makes one for himself can open everything in it, so this
/// is for admins alone and stands in the trail.
#[utoipa::path(post, path = "/api/v1/admin/backups", tag = "Backups", request_body = NewBackup,
    responses((status = 201, description = "Made and kept.", body = Backup),
        (status = 200, description = "The backup itself, where `stream` is true; what is damaged \
            in the house stands in headers `X-Sealgate-Damaged`.",
            content_type = "application/octet-stream", body = Vec<u8>)))]
async fn create(call: Call, sent: Sent) -> Result<Response, Refused> {
    let (lock, stream) = read(&call, &sent)?;
    if stream {
        // It leaves the house, for whoever can open it.
        call.demand_step_up()?;
    }
    let act = Act::begin(&call, "", None, &json!({"backup": {"stream": stream}}))?;
    if call.house.vault.is_sealed() {
        return Err(act.refused(refusal_of(Fault::Vault(VaultError::Sealed))));
    }
    if stream {
        let faults = match call.house.vault.damage().await {
            Ok(faults) => faults,
            Err(fault) => return Err(act.refused(refusal_of(fault.into()))),
        };
        return Ok(streamed(&call, lock, (act, faults)));
    }
    let shelf = Shelf::new(&call.house.backups.folder);
    let (_, progress) = call.house.making.begin();
    match shelf.add(source(&call.house, progress), lock).await {
        Ok(Kept { shelved: made, faults }) => {
            let told = json!({"name": made.name, "bytes": made.bytes, "faults": faults});
            act.done(201, Some(&told));
            let made = Backup { faults: Some(faults), ..Backup::of(made) };
            Ok(Answer::created(&made)?.into_response())
        }
        Err(fault) => Err(act.refused(refusal_of(fault))),
    }
}

fn read(call: &Call, sent: &Sent) -> Result<(Lock, bool), Refused> {
    let mut members = sent.members()?;
    let recipients = members.texts("recipients").value();
    let passphrase = members.text("passphrase").value().map(SecretBytes::from_string);
    let stream = members.flag("stream").value().unwrap_or(false);
    if recipients.is_some() && passphrase.is_some() {
        members.fault("passphrase", "a backup is for a passphrase or for recipients, not for both");
    }
    let lock = match (passphrase, recipients) {
        (Some(passphrase), _) => {
            let lock = Lock::passphrase(passphrase);
            lock.map_err(|fault| members.fault("passphrase", fault.to_string())).ok()
        }
        (None, named) => {
            let named = named.unwrap_or_else(|| call.house.backups.recipients.clone());
            let lock = Lock::recipients(&named);
            lock.map_err(|fault| members.fault("recipients", fault.to_string())).ok()
        }
    };
    members.finish()?;
    let lock = lock.ok_or_else(|| Refused::internal("a fault of a member was not told"))?;
    Ok((lock, stream))
}

fn source(house: &House, progress: Arc<Progress>) -> Source<'_> {
    Source {
        store: &house.store,
        vault: &house.vault,
        ledger: &house.ledger,
        clock: &house.clock,
        progress,
    }
}

/// Goes on behind the answer's head; a fault cuts the answer, so that nobody takes it for whole.
fn streamed(call: &Call, lock: Lock, (act, faults): (Act, Vec<String>)) -> Response {
    let (sender, pieces) = mpsc::channel(QUEUE);
    let house = Arc::clone(&call.house);
    let mut response = Response::new(Body::new(Streamed(pieces)));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    let (id, progress) = house.making.begin();
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(BACKUP, id);
    }
    for fault in told(&faults) {
        response.headers_mut().append(DAMAGED, fault);
    }
    let making = async move {
        let sink = Pieces { sender: sender.clone(), waiting: Vec::with_capacity(PIECE_BYTES) };
        match backup::create(source(&house, progress), lock, sink).await {
            // The head said of a whole house, and is gone: this is not what was asked for.
            Ok(made) if faults.is_empty() && !made.faults.is_empty() => {
                let _gone = sender.send(Err(broken_off())).await;
                tracing::error!(faults = made.faults.join("; "), "a backup broke off");
                let _refused = act.refused(refusal_of(Fault::BrokenOff));
            }
            Ok(made) => {
                let all: Vec<_> = faults.iter().chain(&made.faults).collect();
                act.done(200, Some(&json!({"rows": made.rows, "faults": all})));
            }
            Err(fault) => {
                let _gone = sender.send(Err(broken_off())).await;
                let _refused = act.refused(refusal_of(fault));
            }
        }
    };
    tokio::spawn(making.in_current_span());
    response
}

fn broken_off() -> std::io::Error {
    std::io::Error::other("the backup broke off")
}

/// The first few, as far as a header can hold them.
fn told(faults: &[String]) -> Vec<HeaderValue> {
    let mut lines: Vec<String> = faults.iter().take(MOST_TOLD).cloned().collect();
    let more = faults.len().saturating_sub(lines.len());
    if more > 0 {
        lines.push(format!("{more} more; `sealgate backup verify` names them all"));
    }
    let plain = |line: String| line.replace(|letter: char| letter.is_control(), " ");
    lines.into_iter().filter_map(|line| HeaderValue::try_from(plain(line)).ok()).collect()
}

fn refusal_of(fault: Fault) -> Refused {
    match fault {
        Fault::Vault(VaultError::Sealed) => {
            let detail = "Sealgate is sealed; an administrator has to unseal it.";
            Refusal::new(Reason::Sealed, detail).into()
        }
        other @ (Fault::Io(_)
        | Fault::NoRecipient
        | Fault::BadRecipient(_)
        | Fault::BadIdentity(_)
        | Fault::WrongKey(_)
        | Fault::Damaged(_)
        | Fault::Newer { .. }
        | Fault::NotEmpty
        | Fault::BrokenOff
        | Fault::Store(_)
        | Fault::Vault(_)
        | Fault::Kms(_)) => Refused::internal(other),
    }
}

impl Backup {
    fn of(shelved: Shelved) -> Self {
        let Shelved { name, bytes, created_at_ms } = shelved;
        Self { name, bytes, created_at: rfc3339(created_at_ms), faults: None }
    }
}

pub(super) type Piece = Result<Bytes, std::io::Error>;

/// The writing end: a slow reader slows the backup down, and fills no memory.
struct Pieces {
    sender: mpsc::Sender<Piece>,
    waiting: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.waiting));
        let gone = |_| std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        self.sender.blocking_send(Ok(piece)).map_err(gone)
    }
}

/// The reading end, as a body.
pub(super) struct Streamed(pub(super) mpsc::Receiver<Piece>);

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
