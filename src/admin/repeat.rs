//! `Idempotency-Key`: a POST that is sent again within a day answers with the same resource and
//! changes nothing. Kept are a digest of the caller's key, a keyed digest of the body, and the
//! resource without what was shown once. Must never keep a body, nor a digest of one that could be
//! guessed from.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::answer::Kept;
use super::house::House;
use super::refused::Refused;
use super::sent::Sent;
use crate::crypto::{Sha256, hmac_sha256};
use crate::refusal::Refusal;
use crate::secret::{Key, same};
use crate::store::{Claim, IdempotentCall};

const HEADER: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replay");
const NAME_LABEL: &[u8] = b"sealgate/v1/idempotency/name";
const BODY_LABEL: &[u8] = b"sealgate/v1/idempotency/body";
const LONGEST_KEY: usize = 255;
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// One repeatable call.
pub(super) struct Repeatable {
    actor: String,
    route: String,
    /// A digest of the caller's key, under which the call is found again.
    name: String,
    /// A digest of the body, keyed with the caller's key: a short provider key in a body cannot be
    /// guessed from a stolen database, because the caller's key is not in there.
    body_digest: [u8; 32],
}

impl Repeatable {
    /// None if the caller did not ask for it.
    pub(super) fn asked_for(
        headers: &HeaderMap,
        actor: String,
        route: String,
        sent: &Sent,
    ) -> Result<Option<Self>, Refused> {
        let mut keys = headers.get_all(HEADER).iter();
        let Some(key) = keys.next() else { return Ok(None) };
        let key = key.as_bytes();
        let is_visible = key.iter().all(u8::is_ascii_graphic);
        if keys.next().is_some() || !(1..=LONGEST_KEY).contains(&key.len()) || !is_visible {
            let detail =
                format!("Idempotency-Key is one header of 1 to {LONGEST_KEY} visible characters.");
            return Err(Refusal::bad_request(detail).into());
        }
        let body_key = Key::copy_of(&labelled(BODY_LABEL, key));
        Ok(Some(Self {
            actor,
            route,
            name: hex(&labelled(NAME_LABEL, key)),
            body_digest: hmac_sha256(&body_key, &[sent.bytes().expose()]),
        }))
    }

    /// The earlier answer, or leave to run.
    pub(super) async fn earlier(&self, house: &House) -> Result<Option<Response>, Refused> {
        house
            .store
            .prune_idempotent(house.clock.unix_ms().saturating_sub(KEPT_MS))
            .await
            .map_err(Refused::internal)?;
        let claim = house.store.claim_idempotent(self.call(), &self.body_digest).await;
        match claim.map_err(Refused::internal)? {
            Claim::New => Ok(None),
            Claim::Running => Err(Refused::conflict(
                "The same call under this Idempotency-Key is running; repeat it in a moment.",
            )),
            Claim::Edited => Err(Refused::conflict(
                "What was answered under this Idempotency-Key was edited in the database, or kept by \
                 an earlier version, and is not repeated; see what stands, and take a new key.",
            )),
            Claim::Done { body_digest, .. } if !same(&body_digest, &self.body_digest) => {
                let fault = "was used for another body; take a new key for a new call";
                Err(Refusal::invalid_field("Idempotency-Key", fault).into())
            }
            Claim::Done { status, answer, .. } => Ok(Some(replay(status, answer))),
        }
    }

    /// Keeps a success for repeats; anything else may be tried again.
    pub(super) async fn settle(&self, house: &House, status: StatusCode, kept: Option<Kept>) {
        let settled = match kept {
            Some(Kept(resource)) if status.is_success() => {
                house.store.finish_idempotent(self.call(), status.as_u16(), &resource).await
            }
            Some(_) | None => house.store.release_idempotent(self.call()).await,
        };
        if let Err(fault) = settled {
            // The change itself stands and is answered; only a repeat of it will not be recognised.
            tracing::error!(name: "admin.idempotency_failed", %fault, "an answer was not kept");
        }
    }

    fn call(&self) -> IdempotentCall<'_> {
        IdempotentCall { actor: &self.actor, route: &self.route, key: &self.name }
    }
}

fn replay(status: u16, answer: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (REPLAYED, HeaderValue::from_static("true")),
    ];
    (status, headers, answer).into_response()
}

fn labelled(label: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new(label);
    digest.update(bytes);
    digest.finish()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
