//! From one master key to another: which ones are at hand, a new one of the same kind beside the
//! old one, and its move into the old one's place once nothing is wrapped by that any more. Must
//! never take a key away while it could still be needed, and never leave the place empty.

use super::{KmsError, Master, Masters, Settings, file, open};
use crate::store::MasterId;

/// Where the master key is, and where the one was that it takes over from.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) settings: Settings,
    pub(crate) previous: Option<Settings>,
}

/// What a rotation moves the rows to.
pub(crate) enum Target {
    /// One that was at hand already, because the settings name it.
    AtHand,
    /// A new one, beside the old one.
    Staged(Master),
    /// A KMS has a new version of the same key: rows are wrapped again, though their key's name
    /// stays.
    SameName,
}

/// Every master key that a row may name: the settings' own, the former one's, and what a rotation
/// has left beside them.
pub(crate) async fn gather(place: &Place) -> Result<Masters, KmsError> {
    let mut masters = Masters::of(open(&place.settings).await?);
    for beside in kept(&place.settings) {
        masters = masters.beside(beside);
    }
    if let Some(previous) = &place.previous {
        match open(previous).await {
            Ok(former) => masters = masters.beside(former),
            // Rows that need it say so by themselves; the others are served.
            Err(fault) => {
                tracing::warn!(%fault, "the master key of [master_key.previous] is not at hand");
            }
        }
        for beside in kept(previous) {
            masters = masters.beside(beside);
        }
    }
    Ok(masters)
}

/// Decides what a rotation moves to, and makes it where it is new. Called again after a kill, it
/// finds what it made before.
pub(crate) fn stage(place: &Place) -> Result<Target, KmsError> {
    if place.previous.is_some() {
        return Ok(Target::AtHand);
    }
    match &place.settings {
        Settings::File { path } => Ok(Target::Staged(Master::Local(file::stage(path)?))),
    }
}

/// Puts the new one in the old one's place, and says what is to be done with the old one. Safe to
/// repeat.
pub(crate) fn settle(
    place: &Place,
    (from, to): (&MasterId, &MasterId),
) -> Result<String, KmsError> {
    if let Some(previous) = &place.previous {
        return Ok(format!(
            "nothing is wrapped by the former master key ({}) any more: strike \
             [master_key.previous] from the settings; keep that key as long as there are backups \
             of the database from before today, which open with it alone, then destroy it",
            previous.describe()
        ));
    }
    match &place.settings {
        Settings::File { path } => {
            let old = file::place(path, from, to)?;
            Ok(format!(
                "the former master key lies in {}: keep it, apart, as long as there are backups of \
                 the database from before today, which open with it alone, then destroy it; copy \
                 the new {} to where the safe copy of the former one is",
                old.display(),
                path.display()
            ))
        }
    }
}

/// What lies beside a master key's file: the new one of a rotation under way, and former ones.
fn kept(settings: &Settings) -> Vec<Master> {
    match settings {
        Settings::File { path } => file::beside(path).into_iter().map(Master::Local).collect(),
    }
}
