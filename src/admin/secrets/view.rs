//! A secret as it is shown: everything but its value, and what the last check found of it. What
//! this version does not do yet (rotation) is there and says so.
//! Must never hold a value.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::super::words::{self, VersionState};
use crate::clock::rfc3339;
use crate::store::{Health, HealthRow};
use crate::vault::{SecretView, VersionView};

#[derive(Serialize, ToSchema)]
pub(crate) struct Secret {
    #[schema(example = "0198c0de-7a11-7c0d-8e5a-5ea19a7e0002")]
    id: String,
    #[schema(example = "polygon")]
    provider: String,
    /// Unique within the provider.
    #[schema(example = "default")]
    name: String,
    #[schema(example = "market-data")]
    category: String,
    owner: Option<String>,
    labels: BTreeMap<String, String>,
    active: bool,
    /// True if a call is served with it, as its rows stand now.
    usable: bool,
    /// Why not, and what to do, where it is switched on or its rows are not as they were left.
    fault: Option<&'static str>,
    /// The version that calls use; null if none does.
    version: Option<u32>,
    /// Where that version stands.
    #[schema(value_type = Option<VersionState>)]
    state: Option<&'static str>,
    #[schema(value_type = words::Health)]
    health: &'static str,
    /// Why it is that, in one sentence of the last check.
    health_detail: Option<String>,
    /// Since when it is that.
    #[schema(format = DateTime)]
    health_since: Option<String>,
    #[schema(format = DateTime)]
    checked_at: Option<String>,
    /// `paper` or `live`, where the provider tells.
    account: Option<String>,
    /// Recognises the same value again; keyed, so that no value can be guessed from it.
    fingerprint: String,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    versions: Vec<Version>,
    /// What the key may do, of what the provider's entry asks about; null where it asks nothing.
    permissions: Option<Vec<String>>,
    /// Figures that the last answer to a check told.
    limits: Option<BTreeMap<String, u64>>,
    /// Not part of this version; always null.
    rotation: Option<BTreeMap<String, String>>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Version {
    version: u32,
    #[schema(value_type = VersionState)]
    state: &'static str,
    /// Percent of the calls.
    share: u8,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
}

const ACTIVE: &str = "active";

impl Secret {
    pub(super) fn of(secret: &SecretView, stands: Option<&HealthRow>) -> Self {
        // A row may be there for the schedule alone.
        let stands = stands.filter(|stands| stands.checked_at > 0);
        let in_use = secret.versions.iter().filter(|version| version.state == ACTIVE);
        let in_use = in_use.max_by_key(|version| version.version);
        Self {
            id: secret.id.to_string(),
            provider: secret.provider.clone(),
            name: secret.name.clone(),
            category: secret.category.clone(),
            owner: secret.owner.clone(),
            labels: secret.labels.iter().cloned().collect(),
            active: secret.active,
            usable: secret.active && secret.fault.is_none(),
            fault: secret.fault,
            version: in_use.map(|version| version.version),
            state: in_use.map(|version| version.state),
            health: stands.map_or(Health::Unknown, |stands| stands.health).as_str(),
            health_detail: stands.map(|stands| stands.why.clone()),
            health_since: stands.map(|stands| rfc3339(stands.since)),
            checked_at: stands.map(|stands| rfc3339(stands.checked_at)),
            account: stands.and_then(|stands| stands.account.clone()),
            fingerprint: secret.fingerprint.clone(),
            expires_at: secret.expires_at_ms.map(rfc3339),
            created_at: rfc3339(secret.created_at_ms),
            updated_at: rfc3339(secret.updated_at_ms),
            versions: secret.versions.iter().map(Version::of).collect(),
            permissions: stands.and_then(|stands| read(stands.permissions.as_deref())),
            limits: stands.and_then(|stands| read(stands.limits.as_deref())),
            rotation: None,
        }
    }
}

/// What was kept as JSON; what somebody edited is shown to nobody.
fn read<T: DeserializeOwned>(text: Option<&str>) -> Option<T> {
    serde_json::from_str(text?).ok()
}

impl Version {
    fn of(version: &VersionView) -> Self {
        Self {
            version: version.version,
            state: version.state,
            share: if version.state == ACTIVE { 100 } else { 0 },
            created_at: rfc3339(version.created_at_ms),
            last_used_at: version.last_used_at_ms.map(rfc3339),
        }
    }
}

/// What an operator can alter, for the before and after of the trail.
pub(super) fn alterable(secret: &SecretView) -> serde_json::Value {
    serde_json::json!({
        "id": secret.id.to_string(),
        "provider": secret.provider,
        "name": secret.name,
        "owner": secret.owner,
        "labels": secret.labels.iter().cloned().collect::<BTreeMap<String, String>>(),
        "expires_at": secret.expires_at_ms.map(rfc3339),
        "active": secret.active,
        "versions": secret.versions.len(),
    })
}
