//! A secret as it is shown: everything but its value, what the last check found of it, and how a
//! new version takes over.
//! Must never hold a value.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::super::words::{self, VersionState};
use super::automatic::Policy;
use super::pool::{LimitView, PoolView, Share};
use crate::clock::rfc3339;
use crate::rotation::PolicyView;
use crate::store::{Counts, Health, HealthRow, RotationRow};
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
    /// The last one.
    rotation: Option<Rotation>,
    /// By what its key is renewed, and when; null where the settings say nothing of it.
    rotation_policy: Option<Policy>,
    /// Beside the others of its provider; null where they do not share the load.
    pool: Option<PoolView>,
    /// What its provider gives for it; null where nobody knows of a limit.
    provider_limit: Option<LimitView>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Version {
    version: u32,
    #[schema(value_type = VersionState)]
    state: &'static str,
    /// Percent of the calls.
    share: u32,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
}

/// How a new version takes over.
#[derive(Serialize, ToSchema)]
pub(crate) struct Rotation {
    /// `running`, `paused`, `promoted`, `rolled_back`.
    #[schema(value_type = String, example = "running")]
    state: &'static str,
    from_version: u32,
    to_version: u32,
    /// Percent of the calls, step by step.
    #[schema(example = json!([1, 10, 50, 100]))]
    steps: Vec<u32>,
    /// Which of them it is at, from 0.
    step: u32,
    /// Percent of the calls that are the new version's now.
    share: u32,
    hold_seconds: i64,
    /// What came of calls, on all nodes.
    calls: RotationCalls,
    #[schema(format = DateTime)]
    step_since: String,
    #[schema(format = DateTime)]
    started_at: String,
    /// Why it was rolled back.
    why: Option<String>,
    /// When the former version was used last.
    #[schema(format = DateTime)]
    old_used_at: Option<String>,
    /// Since when the former version is destroyed.
    #[schema(format = DateTime)]
    retired_at: Option<String>,
}

/// By which a new version is judged.
#[derive(Serialize, ToSchema)]
pub(crate) struct RotationCalls {
    new: CallsOfVersion,
    old: CallsOfVersion,
    /// The provider refused them with the new version and took them with the old one.
    repeated: u64,
    /// They were refused with the new version and could not be sent again: a body of more than 64
    /// KiB, or one of unknown length.
    not_repeated: u64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct CallsOfVersion {
    calls: u64,
    /// For what the key is, as far as anybody knows.
    refused: u64,
    /// 5xx, or no answer at all.
    failed: u64,
}

const ACTIVE: &str = "active";

impl Secret {
    pub(super) fn of(
        secret: &SecretView,
        stands: Option<&HealthRow>,
        rotation: Option<&RotationRow>,
        share: Share,
    ) -> Self {
        // A row may be there for the schedule alone.
        let stands = stands.filter(|stands| stands.checked_at > 0);
        let in_use = secret.versions.iter().filter(|version| version.state == ACTIVE);
        let in_use = in_use.max_by_key(|version| version.version);
        let serving = in_use.map_or(0, |version| version.version);
        let rotation = rotation.filter(|rotation| rotation.concerns(serving));
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
            versions: secret
                .versions
                .iter()
                .map(|version| Version::of(version, rotation))
                .collect(),
            permissions: stands.and_then(|stands| read(stands.permissions.as_deref())),
            limits: stands.and_then(|stands| read(stands.limits.as_deref())),
            rotation: rotation.map(Rotation::of),
            rotation_policy: None,
            pool: share.pool,
            provider_limit: share.limit,
        }
    }
}

impl Secret {
    pub(super) fn with_policy(self, policy: Option<PolicyView>) -> Self {
        Self { rotation_policy: policy.map(Policy::of), ..self }
    }
}

impl Rotation {
    fn of(row: &RotationRow) -> Self {
        Self {
            state: row.state.as_str(),
            from_version: row.from_version,
            to_version: row.to_version,
            steps: row.steps.clone(),
            step: row.step,
            share: row.share(),
            hold_seconds: row.hold_ms / 1000,
            calls: RotationCalls::of(row.counts),
            step_since: rfc3339(row.step_since),
            started_at: rfc3339(row.started_at),
            why: row.why.clone(),
            old_used_at: row.old_used_at.map(rfc3339),
            retired_at: row.retired_at.map(rfc3339),
        }
    }
}

impl RotationCalls {
    fn of(counts: Counts) -> Self {
        let [new, new_refused, new_failed, old, old_refused, old_failed, repeated, lost] = counts;
        Self {
            new: CallsOfVersion { calls: new, refused: new_refused, failed: new_failed },
            old: CallsOfVersion { calls: old, refused: old_refused, failed: old_failed },
            repeated,
            not_repeated: lost,
        }
    }
}

/// What was kept as JSON; what somebody edited is shown to nobody.
fn read<T: DeserializeOwned>(text: Option<&str>) -> Option<T> {
    serde_json::from_str(text?).ok()
}

impl Version {
    fn of(version: &VersionView, rotation: Option<&RotationRow>) -> Self {
        let open = rotation.filter(|rotation| rotation.is_open());
        let share = match (open, version.state) {
            (Some(rotation), _) if rotation.to_version == version.version => rotation.share(),
            (Some(rotation), ACTIVE) => 100_u32.saturating_sub(rotation.share()),
            (None, ACTIVE) => 100,
            (Some(_) | None, _) => 0,
        };
        Self {
            version: version.version,
            state: version.state,
            share,
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
