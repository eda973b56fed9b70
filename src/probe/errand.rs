//! A call of the house to a provider with a stored key that serves no caller, such as the one with
//! which new keys are made: the same permit, injection and way out as every call. Must never be
//! sent with a key that callers are served with, nor tell what was answered to anybody else.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use uuid::Uuid;

use super::Prober;
use super::call::Question;
use crate::policy::{self, Purpose};
use crate::provider::Provider;
use crate::secret::SecretBytes;

/// What is to be done at the provider.
pub(crate) struct Errand<'a> {
    pub(crate) method: Method,
    /// With its query.
    pub(crate) path: &'a str,
    pub(crate) json: Option<&'a str>,
    pub(crate) within: Duration,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const SERVES_CALLERS: &str = "is active, so whoever may call the provider could call with it; disable it: only the house \
     needs it";

impl Prober {
    /// The status and the whole answer, which may hold a key; else why there is none.
    pub(crate) async fn errand(
        &self,
        (id, provider): (Uuid, &Arc<Provider>),
        errand: Errand<'_>,
    ) -> Result<(u16, SecretBytes), String> {
        let _seat = self.seats.acquire().await;
        let shown = self.vault.show(id).await.map_err(|fault| fault.to_string())?;
        if shown.is_none_or(|secret| secret.active) {
            return Err(format!("the key for it {SERVES_CALLERS}"));
        }
        let candidate = self.vault.candidate_of((id, provider), None).await;
        let candidate = candidate.map_err(|fault| fault.to_string())?;
        let candidate = candidate.ok_or("the key for it has no version in service")?;
        let permit = policy::house(Purpose::Rotation, provider);
        let headers = errand.json.map(|_| (CONTENT_TYPE, JSON));
        let question = Question {
            method: &errand.method,
            path: errand.path,
            headers: headers.as_slice(),
            json: errand.json,
            within: errand.within,
        };
        let ticket = candidate.counted(&self.clock);
        let asked = self.caller.ask((&permit, candidate.open(&permit)), question);
        let answered = tokio::select! {
            answered = asked => answered,
            refusal = self.until_sealed() => Err(refusal),
        };
        if let Some(ticket) = ticket {
            ticket.failed(None);
        }
        let answer = answered.map_err(|refusal| refusal.detail.to_string())?;
        let body = SecretBytes::new(answer.body);
        match answer.is_whole {
            true => Ok((answer.status, body)),
            false => Err(String::from("its answer broke off, is packed or is too long")),
        }
    }
}
