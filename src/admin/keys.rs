//! Client keys: one file for each thing that can be done with them. The key itself passes through
//! here twice, when it is made and when it is rotated, and must never be written anywhere but into
//! the answer.

mod accept;
mod change;
mod create;
mod delete;
mod grant;
mod import;
mod left;
mod list;
mod rotate;
mod token;
mod trail;
mod view;
mod wanted;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use self::view::ClientKey;
pub(super) use self::wanted::name_bad_scopes;
use super::answer::Answer;
use super::call::Call;
use super::house::House;
use super::refused::Refused;
use crate::client::Role;
use crate::refusal::Refusal;
use crate::roster::RosterError;
use crate::secret::SecretBytes;
use crate::store::{self, ClientKeyRow, RowFault, StandingKey};

const WHAT: &str = "client key";

/// For whoever may read metadata.
pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(list::show))
}

/// For whoever may read at least the proxied calls.
pub(super) fn reading_trail() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(trail::trail))
}

/// For whoever operates; each route asks for more where the key's role demands it.
pub(super) fn changing() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new()
        .routes(routes!(create::create))
        .routes(routes!(change::change))
        .routes(routes!(import::import))
        .routes(routes!(delete::delete))
        .routes(routes!(rotate::rotate))
        .routes(routes!(token::issue_token))
}

/// For admins: what only somebody who has looked may say.
pub(super) fn accepting() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(accept::accept))
}

/// A client key as its row stands, and what may be wrong with that.
async fn standing(call: &Call, id: Uuid) -> Result<StandingKey, Refused> {
    let found = call.house.store.standing_client_key(id).await;
    let found = found.map_err(|fault| Refused::of_store(&fault))?;
    found.ok_or_else(|| Refused::not_found(WHAT))
}

/// The same, for what builds on it: a row that somebody has edited is nothing to build on.
async fn row(call: &Call, id: Uuid) -> Result<ClientKeyRow, Refused> {
    let standing = standing(call, id).await?;
    match standing.fault {
        Some(fault) => Err(Refused::conflict(fault.to_string())),
        None => Ok(standing.key),
    }
}

/// What is no longer readable may have been anything.
fn role_to_touch(standing: &StandingKey) -> Role {
    match standing.fault {
        Some(RowFault::Unreadable { .. }) => Role::Admin,
        Some(RowFault::Edited | RowFault::Lost) | None => standing.key.role,
    }
}

async fn shown(call: &Call, standing: &StandingKey) -> Result<ClientKey, Refused> {
    let id = standing.key.id;
    let previews = call.house.store.client_key_previews(id).await.map_err(Refused::internal)?;
    let shown = ClientKey::of(&standing.key, &previews, call.house.clock.unix_ms());
    Ok(shown.with_fault(standing.fault))
}

fn shown_once(shown: &ClientKey, key: SecretBytes) -> Result<Answer, Refused> {
    Ok(Answer::created(shown)?.showing_once("key", key))
}

fn refusal_of(error: RosterError) -> Refused {
    match error {
        RosterError::LastAdmin => Refused::conflict(error.to_string()),
        RosterError::NotFound => Refused::not_found(WHAT),
        RosterError::BadMember { member, fault } => Refusal::invalid_field(member, fault).into(),
        RosterError::BadScope(bad) => Refusal::invalid_field("scopes", bad.fault).into(),
        RosterError::Store(error @ store::Error::Contradiction { .. }) => {
            Refused::conflict(error.to_string())
        }
        RosterError::Store(error) => Refused::of_store(&error),
        RosterError::Crypto(error) => Refused::internal(error),
    }
}
