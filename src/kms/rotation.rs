//! From one master key to another: which ones are at hand, a new one of the same kind beside the
//! old one, and its move into the old one's place once nothing is wrapped by that any more. Must
//! never take a key away while it could still be needed, and never leave the place empty.

use std::path::PathBuf;

use super::{Ground, KmsError, Master, Masters, Settings, file, open, passphrase, said};
use crate::secret::SecretBytes;
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
    Staged {
        master: Master,
        /// The one whose place it takes.
        from: MasterId,
        /// It was made now, and nothing is wrapped by it.
        fresh: bool,
    },
    /// A KMS has a new version of the same key: rows are wrapped again, though their key's name
    /// stays.
    SameName,
}

/// What a rotation begins from.
pub(crate) struct Staging<'a> {
    /// The one that wraps now.
    pub(crate) present: &'a MasterId,
    /// Those that the database names: of rows, and of a rotation that did not end well.
    pub(crate) named: &'a [MasterId],
    pub(crate) typed: Option<SecretBytes>,
}

/// Every master key that a row may name: the settings' own, the former one's, and what a rotation
/// has left beside them. What was typed is for the one that nothing else opens.
pub(crate) async fn gather(
    place: &Place,
    ground: &Ground<'_>,
    typed: Option<SecretBytes>,
) -> Result<Masters, KmsError> {
    let (for_present, for_former) = match (&place.settings, &place.previous) {
        (Settings::Passphrase { .. }, _) | (_, None) => (typed, None),
        (_, Some(_)) => (None, typed),
    };
    let (active, beside) = all_of(&place.settings, ground, for_present).await?;
    let mut masters = beside.into_iter().fold(Masters::of(active), Masters::beside);
    if let Some(previous) = &place.previous {
        match all_of(previous, ground, for_former).await {
            Ok((former, beside)) => {
                masters = beside.into_iter().fold(masters.beside(former), Masters::beside);
            }
            // It is the one that is waited for.
            Err(fault @ (KmsError::NeedsPassphrase | KmsError::WrongPassphrase)) => {
                return Err(fault);
            }
            // Rows that need it say so by themselves; the others are served.
            Err(fault) => {
                tracing::warn!(%fault, "the master key of [master_key.previous] is not at hand");
            }
        }
    }
    Ok(masters)
}

/// A file where a new master key goes that no row and no unfinished rotation names.
pub(crate) fn stray(settings: &Settings, known: &[MasterId]) -> Option<PathBuf> {
    match settings {
        Settings::File { path } => file::stray(path, &|id| known.contains(id)),
        Settings::Passphrase { .. } | Settings::AwsKms(_) | Settings::VaultTransit(_) => None,
    }
}

/// What interrupted writes have left beside the master key goes, but for what one of these needs.
pub(crate) fn sweep(settings: &Settings, known: &[MasterId]) {
    match settings {
        Settings::File { path } => file::sweep(path, &|id| known.contains(id)),
        Settings::Passphrase { .. } | Settings::AwsKms(_) | Settings::VaultTransit(_) => {}
    }
}

/// The master key itself, and those of its kind that a rotation has left beside it.
async fn all_of(
    settings: &Settings,
    ground: &Ground<'_>,
    typed: Option<SecretBytes>,
) -> Result<(Master, Vec<Master>), KmsError> {
    match settings {
        Settings::File { path } => {
            let beside = file::beside(path).into_iter().map(Master::Local).collect();
            Ok((open(settings, ground, typed).await?, beside))
        }
        Settings::Passphrase { source } => {
            let keys = passphrase::open_all(ground, said(source.as_ref(), typed)?).await?;
            let mut keys = keys.into_iter().map(Master::Local);
            let first = keys.next().ok_or(KmsError::WrongPassphrase)?;
            Ok((first, keys.collect()))
        }
        Settings::AwsKms(_) | Settings::VaultTransit(_) => {
            Ok((open(settings, ground, typed).await?, Vec::new()))
        }
    }
}

/// Decides what a rotation moves to, and makes it where it is new. Called again after a kill, it
/// finds what it made before.
pub(crate) async fn stage(
    place: &Place,
    ground: &Ground<'_>,
    staging: Staging<'_>,
) -> Result<Target, KmsError> {
    let Staging { present, named, typed } = staging;
    let takes_passphrase = match &place.settings {
        Settings::Passphrase { .. } => place.previous.is_none(),
        Settings::File { .. } | Settings::AwsKms(_) | Settings::VaultTransit(_) => false,
    };
    if typed.is_some() && !takes_passphrase {
        return Err(KmsError::NoPassphraseHere);
    }
    if place.previous.is_some() {
        return Ok(Target::AtHand);
    }
    match &place.settings {
        Settings::File { path } => {
            let staged = file::stage(path, &|id| named.contains(id))?;
            let file::Staged { key, present, fresh } = staged;
            Ok(Target::Staged { master: Master::Local(key), from: present, fresh })
        }
        Settings::Passphrase { source } => {
            let key = passphrase::stage(ground, said(source.as_ref(), typed)?).await?;
            let master = Master::Local(key);
            Ok(Target::Staged { master, from: present.clone(), fresh: true })
        }
        Settings::AwsKms(_) | Settings::VaultTransit(_) => Ok(Target::SameName),
    }
}

/// Takes away what was made for a rotation that did not begin.
pub(crate) async fn unstage(place: &Place, ground: &Ground<'_>, id: &MasterId) {
    match &place.settings {
        Settings::File { path } => file::unstage(path, id),
        Settings::Passphrase { .. } => match ground.store.delete_master_passphrase(&id.id).await {
            Ok(_) => ground.store.forget_journal().await,
            Err(fault) => {
                tracing::warn!(%fault, "an unused master key stays in the database");
            }
        },
        Settings::AwsKms(_) | Settings::VaultTransit(_) => {}
    }
}

/// Puts the new one in the old one's place, and says what is to be done with the old one. What
/// earlier rotations have left `beside` goes with it. Safe to repeat.
pub(crate) async fn settle(
    place: &Place,
    ground: &Ground<'_>,
    (from, to): (&MasterId, &MasterId),
    beside: &[MasterId],
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
        Settings::Passphrase { .. } => {
            let is_former = |id: &&MasterId| **id != *to;
            let former: Vec<MasterId> =
                beside.iter().chain([from]).filter(is_former).cloned().collect();
            passphrase::sweep(ground, &former).await?;
            Ok(String::from(
                "the same passphrase opens the new master key; backups of the database hold what \
                 they need",
            ))
        }
        Settings::AwsKms(_) | Settings::VaultTransit(_) => Ok(String::from(
            "rows are wrapped by the KMS's present version of the key; versions of before are \
             needed by backups of the database from before today",
        )),
    }
}
