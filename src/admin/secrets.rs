//! Secrets of providers: one file for each thing that can be done with them. Values come in
//! through `fields` alone and go straight to the vault; no route of this room can answer with
//! one.

mod add;
mod change;
mod destroy;
mod list;
mod validate;
mod view;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::call::Call;
use super::house::House;
use super::refused::Refused;
use crate::refusal::{FieldFault, Reason, Refusal};
use crate::vault::{SecretView, VaultError};

const WHAT: &str = "secret";

/// For whoever may read metadata.
pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(list::show))
}

/// For whoever operates.
pub(super) fn changing() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new()
        .routes(routes!(add::add))
        .routes(routes!(change::change))
        .routes(routes!(validate::validate))
}

/// For admins: what cannot be undone.
pub(super) fn destroying() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(destroy::destroy))
}

async fn shown(call: &Call, id: Uuid) -> Result<SecretView, Refused> {
    let found = call.house.vault.show(id).await.map_err(refusal_of)?;
    found.ok_or_else(|| Refused::not_found(WHAT))
}

fn refusal_of(error: VaultError) -> Refused {
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
        VaultError::Vanished
        | VaultError::OtherMasterKey
        | VaultError::Store(_)
        | VaultError::Crypto(_)
        | VaultError::Kms(_) => Refused::internal(error),
    }
}

/// The member of the body in which the field stood.
fn named_as_sent(fault: FieldFault) -> FieldFault {
    let field = match fault.field.strip_prefix("fields") {
        Some(_) => fault.field,
        None => format!("fields.{}", fault.field),
    };
    FieldFault { field, fault: fault.fault }
}
