//! `POST …/secrets`: a provider's key goes from the body into the vault. It must never come
//! out of this face again, neither in the answer nor in a fault that says what is wrong with
//! it.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::ToSchema;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::Call;
use super::super::members::{Members, Patch};
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::refusal_of;
use super::view::{Secret, alterable};
use crate::clock::rfc3339;
use crate::vault::NewSecret;

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
    /// The format is checked in any case; the live check at the provider is not part of this
    /// version, so `health` is `unknown` either way.
    #[schema(default = true)]
    validate: Option<bool>,
}

const LONGEST_NAME: usize = 100;
pub(super) const LONGEST_OWNER: usize = 200;

/// Add a secret.
#[utoipa::path(post, path = "/api/v1/admin/secrets", tag = "Secrets",
    request_body = NewSecretBody,
    responses((status = 201, description = "Sealed and in service.", body = Secret)))]
pub(in super::super) async fn add(call: Call, sent: Sent) -> Result<Answer, Refused> {
    let new = read(&call, &sent)?;
    let wanted = json!({
        "provider": new.provider,
        "name": new.name,
        "owner": new.owner,
        "expires_at": new.expires_at_ms.map(rfc3339),
    });
    let act = Act::begin(&call, &new.provider, None, &wanted)?;
    match call.house.vault.add(new).await {
        Ok(secret) => {
            act.done(201, Some(&alterable(&secret)));
            Answer::created(&Secret::of(&secret))
        }
        Err(error) => Err(act.refused(refusal_of(error))),
    }
}

fn read(call: &Call, sent: &Sent) -> Result<NewSecret, Refused> {
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
    let _ = members.flag("validate");
    if !new.provider.is_empty() && call.house.catalogue.get(&new.provider).is_none() {
        members.fault("provider", "is not in the catalogue; see /api/v1/admin/providers");
    }
    members.finish()?;
    Ok(new)
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
