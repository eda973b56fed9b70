//! What the list of a category is worth that stands in the database, beside the newest one that
//! this node has seen. Only weighs: changes nothing and tells nobody.
//! Must never prefer an earlier list to a later one.

use super::inventory::Inventory;
use super::keyring::Keyring;
use crate::store::{InventoryRow, Listed};

/// What a category's list is worth.
pub(super) enum Basis {
    Sound(Inventory, InventoryRow),
    /// This node's own copy, because the database's is older, gone or does not open; and why.
    Copy(Inventory, String),
    /// There was a newer one, which opens no more.
    Closed(String),
    /// Nothing to judge by; and why.
    Lost(String),
    /// Nothing was ever stored.
    Never,
}

/// By what to judge: the list that stands, unless this node has seen a later one.
pub(super) fn basis(
    keyring: &Keyring,
    list: Option<&Listed>,
    anchor: Option<&InventoryRow>,
) -> Basis {
    let what = match list {
        None if anchor.is_none() => return Basis::Never,
        None => String::from("is not there"),
        Some(list) => match &list.row {
            Err(fault) => format!("cannot be read ({fault})"),
            Ok(row) => match (Inventory::open(keyring, row), anchor) {
                (Err(fault), _) => format!("does not open ({fault})"),
                (Ok(_), Some(anchor)) if row.epoch < anchor.epoch => {
                    let (found, seen) = (row.epoch, anchor.epoch);
                    format!("was put back to an earlier state (epoch {found}, after {seen})")
                }
                (Ok(_), Some(anchor)) if row.epoch == anchor.epoch && row != anchor => {
                    format!("is another one of the same epoch ({})", row.epoch)
                }
                (Ok(inventory), _) => return Basis::Sound(inventory, row.clone()),
            },
        },
    };
    match anchor.map(|anchor| Inventory::open(keyring, anchor)) {
        None => Basis::Lost(what),
        Some(Ok(copy)) => Basis::Copy(copy, what),
        Some(Err(fault)) => {
            Basis::Closed(format!("{what}, and this node's own copy does not open ({fault})"))
        }
    }
}
