//! `[master_key.previous]`: the master key that `[master_key]` takes over from, while rows move
//! from one to the other. It has the same members. Must never be taken for the present one: nothing
//! new is wrapped by it.

use super::fault::Fault;
use super::ground::Ground;
use super::raw::RawMasterKey;
use super::storage;
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
    let former = storage::master_key(ground, KEY, &raw)?;
    if former.describe() == present.describe() {
        let what = "is the same as master_key; name the one that it takes over from";
        return Err(ground.fault(KEY, what));
    }
    Ok(Some(former))
}
