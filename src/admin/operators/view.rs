//! An operator as admins see him, and as the trail writes him down.
//! Must never hold a hash, an envelope or a digest: whoever reads lists
//! could try them.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::words;
use super::EDITED;
use crate::clock::rfc3339;
use crate::store::{OperatorRow, StandingOperator};

/// An account of the console.
#[derive(Serialize, ToSchema)]
pub(super) struct Operator {
    id: String,
    name: String,
    email: Option<String>,
    #[schema(value_type = words::RoleOfOperator)]
    role: &'static str,
    #[schema(value_type = words::OperatorState)]
    state: &'static str,
    /// Until when an invitation that was not accepted can be.
    #[schema(format = DateTime)]
    invitation_expires_at: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    created_by: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// Why nobody signs in by it, where somebody has edited the row.
    fault: Option<&'static str>,
}

impl Operator {
    pub(super) fn of(standing: &StandingOperator, now_ms: i64) -> Self {
        let row = &standing.row;
        Self {
            id: row.id.to_string(),
            name: row.name.clone(),
            email: row.email.clone(),
            role: row.role.as_str(),
            state: state(row, now_ms),
            invitation_expires_at: row.invitation_ends_at.map(rfc3339),
            created_at: rfc3339(row.created_at),
            created_by: row.created_by.clone(),
            updated_at: rfc3339(row.updated_at),
            fault: (!standing.fits).then_some(EDITED),
        }
    }
}

fn state(row: &OperatorRow, now_ms: i64) -> &'static str {
    match (&row.password, row.invitation_ends_at) {
        (Some(_), _) => "active",
        (None, Some(ends_at)) if now_ms < ends_at => "invited",
        (None, _) => "expired",
    }
}

/// What can be changed, before and after.
pub(super) fn alterable(row: &OperatorRow) -> Value {
    json!({"operator": {
        "id": row.id.to_string(), "name": row.name, "email": row.email,
        "role": row.role.as_str(), "has_password": row.password.is_some(),
    }})
}
