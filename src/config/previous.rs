//! `[master_key.previous]`: the master key that `[master_key]` takes over from, while rows move
//! from one to the other. It has the same members. Must never be taken for the present one: nothing
//! new is wrapped by it.

use super::fault::Fault;
use super::ground::Ground;
use super::master_key;
use super::raw::{RawMasterKey, RawSecret};
use crate::kms::Settings;

pub(super) const KEY: &str = "master_key.previous";

/// None where it is not there, or empty.
pub(super) fn previous(
    ground: &Ground<'_>,
    table: &toml::Table,
    present: &Settings,
) -> Result<Option<Settings>, Fault> {
    if table.is_empty() {
        return Ok(None);
    }
    let mut whole = RawMasterKey::nothing();
    for (name, value) in table {
        whole.insert(name.clone(), value.clone());
    }
    let raw: RawMasterKey = toml::Value::Table(whole)
        .try_into()
        .map_err(|error: toml::de::Error| ground.fault(KEY, error.message()))?;
    // An inline secret is known by where its setting stands, and this one has no setting.
    let inline = |secret: &RawSecret| matches!(secret, RawSecret::Inline(text) if !text.is_empty());
    if inline(&raw.passphrase) || inline(&raw.token) {
        let what = "a passphrase or a token does not belong into the settings file; give \
                    { file = \"…\" } or { env = \"…\" }";
        return Err(ground.fault(KEY, what));
    }
    let former =
        master_key::of_kind(ground, raw).map_err(|fault| ground.fault(KEY, fault.to_string()))?;
    if former.describe() == present.describe() {
        let what = "is the same as master_key; name the one that it takes over from";
        return Err(ground.fault(KEY, what));
    }
    Ok(Some(former))
}
