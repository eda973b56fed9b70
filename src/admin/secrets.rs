//! Secrets of providers: one file for each thing that can be done with them. Values come in
//! through `fields` alone and go straight to the vault; no route of this room can answer with
//! one.

mod add;
mod automatic;
mod change;
mod destroy;
mod integrity;
mod list;
mod pool;
mod reseal;
mod rotate;
mod validate;
mod view;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use self::pool::Share;
use self::view::Secret;
use super::call::Call;
use super::house::House;
use super::refused::Refused;
use crate::crypto::CryptoError;
use crate::refusal::{FieldFault, Reason, Refusal};
use crate::vault::{SecretView, VaultError};

const WHAT: &str = "secret";

/// For whoever may read metadata.
pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(list::show))
        .routes(routes!(integrity::integrity))
        .routes(routes!(validate::checks))
}

/// For whoever operates.
pub(super) fn changing() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new()
        .routes(routes!(add::add))
        .routes(routes!(change::change))
        .routes(routes!(validate::validate))
        .routes(routes!(rotate::version))
        .routes(routes!(rotate::promote))
        .routes(routes!(rotate::rollback))
        .routes(routes!(rotate::pause))
        .routes(routes!(rotate::resume))
        .routes(routes!(reseal::reseal))
        .routes(routes!(pool::place))
}

/// For admins: what cannot be undone, and what only somebody who has looked may say.
pub(super) fn destroying() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(destroy::destroy)).routes(routes!(integrity::accept))
}

/// As it is shown, with what the last check found.
async fn resource(call: &Call, secret: &SecretView) -> Result<Secret, Refused> {
    let stands = call.house.store.secret_health(secret.id).await;
    let stands = stands.map_err(|fault| Refused::of_store(&fault))?;
    let rotation = call.house.store.rotation(secret.id).await;
    let rotation = rotation.map_err(|fault| Refused::of_store(&fault))?;
    let places = call.house.store.secret_places().await;
    let places = places.map_err(|fault| Refused::of_store(&fault))?;
    let place = places.iter().find(|place| place.secret_id == secret.id);
    let share = Share::of(&call.house, secret, place);
    let renewal = call.house.store.renewal(secret.id).await;
    let renewal = renewal.map_err(|fault| Refused::of_store(&fault))?;
    let policy = call.house.rotor.policy_view(secret, renewal.as_ref());
    let shown = Secret::of(secret, stands.as_ref(), rotation.as_ref(), share);
    Ok(shown.with_policy(policy))
}

async fn shown(call: &Call, id: Uuid) -> Result<SecretView, Refused> {
    let found = call.house.vault.show(id).await.map_err(refusal_of)?;
    found.ok_or_else(|| Refused::not_found(WHAT))
}

pub(super) fn refusal_of(error: VaultError) -> Refused {
    match error {
        VaultError::UnknownProvider => Refusal::invalid_field(
            "provider",
            "is not in the catalogue; see /api/v1/admin/providers",
        )
        .into(),
        VaultError::Duplicate => {
            Refused::conflict("This provider has a secret of that name already.")
        }
        VaultError::BadFields(faults) => {
            Refusal::invalid(faults.into_iter().map(named_as_sent).collect()).into()
        }
        VaultError::Sealed => {
            let detail = "Sealgate is sealed; an administrator has to unseal it.";
            Refusal::new(Reason::Sealed, detail).into()
        }
        VaultError::JobRuns
        | VaultError::Worn
        | VaultError::Stale
        | VaultError::Tampered
        | VaultError::Unreadable(_)
        | VaultError::NoActiveKek(_)
        | VaultError::Rotates
        | VaultError::NothingToReplace
        | VaultError::Closed(_) => Refused::conflict(capital(&error.to_string())),
        VaultError::Crypto(
            fault @ (CryptoError::Malformed
            | CryptoError::WrongLayer
            | CryptoError::WrongParent
            | CryptoError::NotAuthentic),
        ) => Refused::conflict(format!(
            "A stored row does not open: {fault}. Its row was changed outside Sealgate; `sealgate \
             doctor` names it. Restore a backup, or destroy the secret and enter the provider's \
             key again."
        )),
        // Admins alone come here, and are told what the log is told; there is nothing secret in it.
        VaultError::Kms(kms) if kms.is_of_the_master() => {
            Refused::conflict(capital(&kms.to_string()))
        }
        VaultError::Store(fault) => Refused::of_store(&fault),
        VaultError::Vanished
        | VaultError::UnknownCategory
        | VaultError::OtherMasterKey
        | VaultError::Crypto(_)
        | VaultError::Kms(_) => Refused::internal(error),
    }
}

/// Details are sentences; lines of the command line begin small.
fn capital(line: &str) -> String {
    let mut letters = line.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str().trim_end_matches('.'))
}

/// The member of the body in which the field stood.
fn named_as_sent(fault: FieldFault) -> FieldFault {
    let field = match fault.field.strip_prefix("fields") {
        Some(_) => fault.field,
        None => format!("fields.{}", fault.field),
    };
    FieldFault { field, fault: fault.fault }
}
