//! `POST …/secrets`: a provider's key goes from the body into the vault. Whoever takes
//! `text/event-stream` hears of each step of its check as it ends. It must never come out of this
//! face again, neither in the answer nor in a fault that says what is wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::Instrument;
use utoipa::ToSchema;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::backups::Piece;
use super::super::call::Call;
use super::super::members::{Members, Patch};
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::validate::{MOST_EVENTS, event, of_events, takes_events};
use super::view::{Secret, alterable};
use super::{refusal_of, resource};
use crate::clock::rfc3339;
use crate::probe::{Asked, Live, Report, Step, Tell};
use crate::provider::Provider;
use crate::refusal::{FieldFault, Reason, Refusal};
use crate::secret::SecretBytes;
use crate::store::Cause;
use crate::vault::{NewSecret, VaultError};

/// The body of `POST …/secrets`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `read` reads it")]
pub(super) struct NewSecretBody {
    #[schema(example = "polygon")]
    provider: String,
    /// Unique within the provider; callers name it in the header `X-Sealgate-Secret`.
    #[schema(default = "default", min_length = 1, max_length = 100)]
    name: Option<String>,
    /// As the provider's catalogue entry names them.
    #[schema(example = json!({"api_key": "the provider's key"}))]
    fields: BTreeMap<String, String>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    owner: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    /// The provider is asked before anything is stored: what it refuses is a 422 with `report`, and
    /// where it cannot be asked a 502. `false`: only the format is checked; `health` is `unknown`.
    #[schema(default = true)]
    validate: Option<bool>,
}

const LONGEST_NAME: usize = 100;
const FIRST: u32 = 1;
pub(super) const LONGEST_OWNER: usize = 200;

/// Add a secret.
///
/// With `Accept: text/event-stream` each step of the check comes as it ends, in an event `step`;
/// the last event is `stored` with the secret, or `failed` with the refusal and its `status`.
#[utoipa::path(post, path = "/api/v1/admin/secrets", tag = "Secrets",
    request_body = NewSecretBody,
    responses((status = 201, description = "Sealed and in service.", body = Secret)))]
pub(in super::super) async fn add(
    call: Call,
    headers: HeaderMap,
    sent: Sent,
) -> Result<Response, Refused> {
    let wanted = read(&call, &sent)?;
    if !takes_events(&headers) {
        let secret = added(&call, wanted, &mut |_| {}).await?;
        return Ok(Answer::created(&secret)?.into_response());
    }
    let (sender, receiver) = mpsc::channel::<Piece>(MOST_EVENTS);
    // Goes on where its reader leaves, as every change does.
    let running = async move {
        let told = sender.clone();
        let mut tell = move |step: &Step| {
            let _gone = told.try_send(Ok(event("step", &step.json())));
        };
        let last = match added(&call, wanted, &mut tell).await {
            Ok(secret) => event("stored", &json!(secret)),
            Err(refused) => event("failed", &told_of(&call, &refused)),
        };
        let _gone = sender.send(Ok(last)).await;
    };
    tokio::spawn(running.in_current_span());
    Ok(of_events(receiver))
}

/// The body of a refusal, with its status.
fn told_of(call: &Call, refused: &Refused) -> Value {
    let refusal = refused.refusal();
    let body = refusal.body(&call.trace.request_id);
    let mut body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if let Some(members) = body.as_object_mut() {
        members.insert(String::from("status"), json!(refusal.reason.status()));
    }
    body
}

async fn added(
    call: &Call,
    (new, validate): (NewSecret, bool),
    tell: &mut Tell<'_>,
) -> Result<Secret, Refused> {
    let wanted = json!({
        "provider": new.provider,
        "name": new.name,
        "owner": new.owner,
        "expires_at": new.expires_at_ms.map(rfc3339),
    });
    let act = Act::begin(call, &new.provider, None, &wanted)?;
    let report = match proven(call, &new, validate, tell).await {
        Ok(report) => report,
        Err(refused) => return Err(act.refused(refused)),
    };
    match call.house.vault.add(new).await {
        Ok(secret) => {
            let mut after = alterable(&secret);
            if let Some(report) = &report {
                let actor = call.caller.actor();
                let asked = Asked { cause: Cause::Entry, actor: &actor };
                call.house.prober.note((&secret, FIRST), asked, report).await;
                if let Some(members) = after.as_object_mut() {
                    members.insert(String::from("validation"), report.summary());
                }
            }
            act.done(201, Some(&after));
            resource(call, &secret).await
        }
        Err(error) => Err(act.refused(refusal_of(error))),
    }
}

/// What the check of a value found that nobody refuses, where one was wanted; else the refusal with
/// what it found.
async fn proven(
    call: &Call,
    new: &NewSecret,
    validate: bool,
    tell: &mut Tell<'_>,
) -> Result<Option<Report>, Refused> {
    let Some(provider) = call.house.catalogue.get(&new.provider) else {
        return Err(refusal_of(VaultError::UnknownProvider));
    };
    let faults = crate::vault::faults(&provider, &new.fields);
    if !faults.is_empty() {
        let hint = call.house.catalogue.now().lookalike(&provider, &new.fields);
        return Err(refusal_of(VaultError::BadFields(hinted(faults, hint))));
    }
    match validate {
        true => entered(call, &provider, (&new.fields, new.expires_at_ms), tell).await.map(Some),
        false => Ok(None),
    }
}

/// A fault of the format, with whose key it looks like.
pub(super) fn hinted(mut faults: Vec<FieldFault>, hint: Option<String>) -> Vec<FieldFault> {
    if let (Some(title), Some(first)) = (hint, faults.first_mut()) {
        first.fault.push_str(&format!("; this looks like a key of {title}"));
    }
    faults
}

/// Asks the provider; its no is a 422, and no answer a 502.
pub(super) async fn entered(
    call: &Call,
    provider: &Arc<Provider>,
    asked_about: (&[(String, SecretBytes)], Option<i64>),
    tell: &mut Tell<'_>,
) -> Result<Report, Refused> {
    let checked = call.house.prober.entered(provider, asked_about, tell).await;
    let report = checked.map_err(refusal_of)?;
    let untold = |reason| Err(Refusal::new(reason, format!("{} {UNTOLD}", report.why())).into());
    match report.live {
        Live::Good | Live::AnyString | Live::NotAsked => Ok(report),
        Live::Unreached => untold(Reason::UpstreamUnreachable),
        Live::Untold => untold(Reason::UpstreamInvalid),
        Live::Refused => {
            let lookalike = call.house.catalogue.now().lookalike(provider, asked_about.0);
            let hint = lookalike.map(|title| format!(" This looks like a key of {title}."));
            let hint = hint.unwrap_or_default();
            let detail = format!("{}{hint} Nothing was stored.", report.why());
            Err(Refusal::new(Reason::Invalid, detail).with_report(report.json()).into())
        }
    }
}

const UNTOLD: &str = "Nothing was stored; try again, or send `validate: false` (`--no-validate`) to store it unasked.";

fn read(call: &Call, sent: &Sent) -> Result<(NewSecret, bool), Refused> {
    let mut members = sent.members()?;
    let provider = members.text("provider");
    members.required("provider", &provider);
    let fields = members.secrets("fields");
    members.required("fields", &fields);
    let provider = provider.value().unwrap_or_default();
    let fields = fields.value().unwrap_or_default();
    let new = NewSecret {
        name: name(&mut members).value().unwrap_or_else(|| String::from("default")),
        expires_at_ms: future(&mut members, call).value(),
        owner: members.text_up_to("owner", LONGEST_OWNER).value(),
        labels: members.pairs("labels").value().unwrap_or_default(),
        created_by: call.caller.actor(),
        provider,
        fields,
    };
    let validate = members.flag("validate").value().unwrap_or(true);
    if !new.provider.is_empty() && call.house.catalogue.get(&new.provider).is_none() {
        members.fault("provider", "is not in the catalogue; see /api/v1/admin/providers");
    }
    members.finish()?;
    Ok((new, validate))
}

/// What callers of the proxy can say in a header, and operators in a path.
pub(super) fn name(members: &mut Members) -> Patch<String> {
    let patch = members.text_up_to("name", LONGEST_NAME);
    if let Patch::Set(name) = &patch {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@:+=,".contains(&byte);
        if !name.bytes().all(fits) || matches!(name.as_str(), "." | "..") {
            members.fault("name", "may have letters, digits and - . _ ~ @ : + = , alone");
        }
    }
    patch
}

pub(super) fn future(members: &mut Members, call: &Call) -> Patch<i64> {
    let time = members.time("expires_at");
    if let Patch::Set(expires_at) = time
        && expires_at <= call.house.clock.unix_ms()
    {
        members.fault("expires_at", "must lie in the future; to disable, send active: false");
    }
    time
}
