//! A client key as it is shown, to the world and to the trail:
//! everything that is known of it. Must never hold the key or its
//! digest.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::super::words::{KeyState, Role, Tier};
use crate::client::State;
use crate::clock::rfc3339;
use crate::store::{ClientKeyRow, KeyPreview, RowFault};

#[derive(Serialize, ToSchema)]
#[schema(title = "ClientKey")]
pub(crate) struct ClientKey {
    #[schema(example = "0198c0de-7a11-7c0d-8e5a-5ea19a7e0001")]
    id: String,
    /// The first eight characters; null for an imported key.
    #[schema(example = "mdw_7Kq2")]
    key_preview: Option<String>,
    #[schema(example = "research notebook")]
    name: String,
    #[schema(value_type = Role)]
    role: &'static str,
    #[schema(value_type = Tier)]
    tier: &'static str,
    /// Null: all that the role allows. Empty: nothing.
    #[schema(example = json!(["polygon:GET:/v2/aggs/**"]))]
    scopes: Option<Vec<String>>,
    /// Networks that it may come from. Null: from anywhere.
    #[schema(example = json!(["10.0.0.0/8"]))]
    allowed_ips: Option<Vec<String>>,
    /// Origins of pages that may use it. Null: any page, and programs.
    allowed_origins: Option<Vec<String>>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    description: Option<String>,
    owner: Option<String>,
    /// Calls in a window, where it differs from the tier's.
    limit: Option<u64>,
    /// Calls in a month, which begins on the day on which the key was made.
    monthly_quota: Option<u64>,
    /// Calls at once.
    max_concurrent: Option<u64>,
    /// Provider to the name of the secret that this key uses there.
    secrets: BTreeMap<String, String>,
    active: bool,
    #[schema(value_type = KeyState)]
    state: &'static str,
    /// Can it be used now? False where it is revoked or expired, or has a `fault`.
    usable: bool,
    /// What is wrong with its row: somebody has edited it in the database. Null: nothing.
    fault: Option<String>,
    /// The key that was rotated away, while it still works.
    previous: Option<Previous>,
    #[schema(format = DateTime)]
    created_at: String,
    /// The id of a client key, or `local`.
    created_by: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    last_used_endpoint: Option<String>,
    last_used_address: Option<String>,
    request_count: u64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Previous {
    pub(super) key_preview: Option<String>,
    #[schema(format = DateTime)]
    pub(super) valid_until: String,
}

impl ClientKey {
    pub(super) fn of(row: &ClientKeyRow, previews: &[KeyPreview], now_ms: i64) -> Self {
        let present = previews.iter().find(|preview| preview.valid_until.is_none());
        let previous = previews.iter().find_map(|preview| {
            let valid_until = preview.valid_until.filter(|until| *until > now_ms)?;
            Some(Previous {
                key_preview: preview.preview.clone(),
                valid_until: rfc3339(valid_until),
            })
        });
        Self {
            id: row.id.to_string(),
            key_preview: present.and_then(|preview| preview.preview.clone()),
            name: row.name.clone(),
            role: row.role.as_str(),
            tier: row.tier.as_str(),
            scopes: row.scopes.clone(),
            allowed_ips: row.allowed_ips.clone(),
            allowed_origins: row.allowed_origins.clone(),
            expires_at: row.expires_at.map(rfc3339),
            description: row.description.clone(),
            owner: row.owner.clone(),
            limit: row.quota_limit,
            monthly_quota: row.monthly_quota,
            max_concurrent: row.max_concurrent,
            secrets: row.secrets.iter().cloned().collect(),
            active: row.active,
            state: state(row, now_ms).as_str(),
            usable: state(row, now_ms) == State::Active,
            fault: None,
            previous,
            created_at: rfc3339(row.created_at),
            created_by: row.created_by.clone(),
            updated_at: rfc3339(row.updated_at),
            last_used_at: row.last_used_at.map(rfc3339),
            last_used_endpoint: row.last_used_endpoint.clone(),
            last_used_address: row.last_used_address.clone(),
            request_count: row.request_count,
        }
    }

    pub(super) fn with_fault(mut self, fault: Option<RowFault>) -> Self {
        self.usable &= fault.is_none();
        self.fault = fault.map(|fault| fault.to_string());
        self
    }

    /// Shown once more under its new name, right after a rotation.
    pub(super) fn with_previous(mut self, previous: Previous) -> Self {
        self.previous = Some(previous);
        self
    }
}

pub(super) fn state(row: &ClientKeyRow, now_ms: i64) -> State {
    match (row.active, row.expires_at) {
        (false, _) => State::Revoked,
        (true, Some(expires_at)) if expires_at <= now_ms => State::Expired,
        (true, Some(_) | None) => State::Active,
    }
}

/// What an administrator can alter, for the before and after of the trail.
pub(super) fn alterable(row: &ClientKeyRow) -> serde_json::Value {
    serde_json::json!({
        "id": row.id.to_string(),
        "name": row.name,
        "role": row.role.as_str(),
        "tier": row.tier.as_str(),
        "scopes": row.scopes,
        "expires_at": row.expires_at.map(rfc3339),
        "description": row.description,
        "owner": row.owner,
        "limit": row.quota_limit,
        "monthly_quota": row.monthly_quota,
        "max_concurrent": row.max_concurrent,
        "allowed_ips": row.allowed_ips,
        "allowed_origins": row.allowed_origins,
        "secrets": row.secrets.iter().cloned().collect::<BTreeMap<String, String>>(),
        "active": row.active,
    })
}
