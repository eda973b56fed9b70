//! What interrupted or foreign hands have left beside the master key: told apart by the key's id,
//! which the database names or does not.
//! Must never take up a key by its place alone, and never throw a whole key away that a row may
//! need.

use std::path::{Path, PathBuf};

use super::super::local::LocalKey;
use super::{KmsError, named};
use crate::secret::Key;
use crate::store::{MasterId, MasterKind};

/// Part of the name of a key that is being written.
pub(super) const PART: &str = "part-";
/// Part of the name of what was put aside.
pub(super) const ASIDE: &str = "aside-";
/// More than anybody puts aside; a bound for the search of a free name.
const MOST_ASIDE: u32 = 10_000;

/// Everything in the folder of the master key, by name.
pub(super) fn around(path: &Path) -> Vec<(String, PathBuf)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = std::fs::read_dir(folder.unwrap_or_else(|| Path::new("."))) else {
        return Vec::new();
    };
    let named =
        |entry: std::fs::DirEntry| (entry.file_name().to_string_lossy().into_owned(), entry.path());
    entries.flatten().map(named).collect()
}

/// The id of the key in a file, whoever may read it; None where it holds no key.
pub(super) fn id_of(path: &Path) -> Option<MasterId> {
    use std::io::Read;
    let metadata = std::fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() != 32 {
        return None;
    }
    let mut file = std::fs::File::open(path).ok()?;
    let key = Key::fill_with(|buffer| file.read_exact(buffer)).ok()?;
    Some(LocalKey::new(MasterKind::File, key).id())
}

/// Where the staged key of this id lies: in its place, or put aside by somebody who did not know
/// it.
pub(super) fn find(path: &Path, id: &MasterId) -> Option<PathBuf> {
    let staged = named(path, "new");
    if id_of(&staged).as_ref() == Some(id) {
        return Some(staged);
    }
    let name = path.file_name()?.to_string_lossy().into_owned();
    let prefix = format!("{name}.{ASIDE}");
    let mut aside = around(path).into_iter().filter(|(file, _)| file.starts_with(&prefix));
    aside.find(|(_, place)| id_of(place).as_ref() == Some(id)).map(|(_, place)| place)
}

/// Removes what interrupted writes have left: keys that never got their name, and second names of
/// those that did. One that a row names, and that lies nowhere else, stays.
pub(super) fn sweep(path: &Path, is_named: &dyn Fn(&MasterId) -> bool) {
    let everything = around(path);
    let (parts, others): (Vec<_>, Vec<_>) =
        everything.into_iter().partition(|(file, _)| is_part(path, file));
    for (_, part) in parts {
        let needed = id_of(&part).is_some_and(|id| {
            is_named(&id) && !others.iter().any(|(_, other)| id_of(other).as_ref() == Some(&id))
        });
        if needed {
            continue;
        }
        match std::fs::remove_file(&part) {
            Ok(()) => tracing::info!(file = %part.display(), "an interrupted write was swept"),
            Err(fault) => {
                tracing::warn!(file = %part.display(), %fault, "an interrupted write stays");
            }
        }
    }
}

/// Gives a file that this house does not know another name, and says so.
pub(super) fn put_aside(path: &Path, found: &Path) -> Result<(), KmsError> {
    let unwritable = |cause: String| KmsError::Unwritable { path: found.to_owned(), cause };
    let free = (1..MOST_ASIDE)
        .map(|number| named(path, &format!("{ASIDE}{number}")))
        .find(|name| std::fs::symlink_metadata(name).is_err());
    let aside = free.ok_or_else(|| unwritable(String::from("too much was put aside there")))?;
    std::fs::rename(found, &aside).map_err(|cause| unwritable(cause.to_string()))?;
    tracing::warn!(found = %found.display(), aside = %aside.display(),
        "no row names the key that lay where a new master key goes, so it was put aside and is not \
         used; find out who left it there, then remove it");
    Ok(())
}

/// The names that unfinished keys have, and had: `master.key.part-…`, `master.key.new.part-…`,
/// `master.key.new-123`, `master.new-123`.
fn is_part(path: &Path, file: &str) -> bool {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return false;
    };
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let rest = |prefix: String| file.strip_prefix(&prefix);
    rest(format!("{name}.{PART}")).is_some()
        || rest(format!("{name}.new.{PART}")).is_some()
        || rest(format!("{name}.new-")).is_some_and(is_number)
        || stem.is_some_and(|stem| rest(format!("{stem}.new-")).is_some_and(is_number))
}
