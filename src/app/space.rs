//! How much room is left where the house writes: its data folder and the folder of its backups.
//! For `doctor`, whether a server runs or not, and for `/readyz`.
//! Must never make a folder, nor fill one to find out.

use std::path::{Path, PathBuf};

use crate::config::Config;

const MIB: u64 = 1 << 20;
/// Less than this, and the journal and the database take no more.
const LEAST: u64 = 32 * MIB;
const LITTLE: u64 = 256 * MIB;
/// Less than one part in so many is little, too.
const LITTLE_PART: u64 = 20;

/// What is left at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// Somebody should look before it is gone.
    Little,
    /// Calls and changes will fail, or do.
    Gone,
}

/// One folder, and a sentence for people.
pub(crate) struct Space {
    pub(crate) room: Room,
    pub(crate) sentence: String,
}

/// The folders that the house fills.
pub(crate) fn folders(config: &Config) -> Vec<PathBuf> {
    let mut folders = vec![config.data_dir.clone(), config.backup.folder.clone()];
    folders.dedup();
    folders
}

/// A line for each place; of one that nobody can look at, none.
pub(crate) fn look(folders: &[PathBuf]) -> Vec<Space> {
    folders.iter().filter_map(|folder| of(folder)).collect()
}

fn of(folder: &Path) -> Option<Space> {
    // It may be made later, on the disk of the first one that is there.
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let found = nix::sys::statvfs::statvfs(there).ok()?;
    // Their types differ by system.
    let unit = u128::from(found.fragment_size());
    let bytes = |units: u128| u64::try_from(units.saturating_mul(unit)).unwrap_or(u64::MAX);
    let free = bytes(u128::from(found.blocks_available()));
    let room = judged(free, bytes(u128::from(found.blocks())));
    let (place, left) = (folder.display(), free / MIB);
    let sentence = match room {
        Room::Enough => format!("{place}: {left} MiB are free"),
        Room::Little => format!("little room is left at {place}: {left} MiB are free"),
        Room::Gone => format!("disk full at {place}: {left} MiB are free; free space there"),
    };
    Some(Space { room, sentence })
}

fn judged(free: u64, total: u64) -> Room {
    match free {
        free if free < LEAST => Room::Gone,
        free if free < LITTLE || free < total / LITTLE_PART => Room::Little,
        _ => Room::Enough,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_little_below_a_twentieth_or_256_mib_and_gone_below_32() {
        for (free, total, room) in [
            (31 * MIB, 100 * MIB, Room::Gone),
            (31 * MIB, 31 * MIB, Room::Gone),
            (32 * MIB, 64 * MIB, Room::Little),
            (255 * MIB, 300 * MIB, Room::Little),
            (256 * MIB, 300 * MIB, Room::Enough),
            (1024 * MIB, 20 * 1024 * MIB, Room::Enough),
            (1023 * MIB, 20 * 1024 * MIB, Room::Little),
        ] {
            assert_eq!(judged(free, total), room, "{free} of {total}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_judged_by_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        let found = look(&[folder.path().join("later/backups")]);
        assert!(found.len() == 1 && found[0].sentence.contains("later/backups"));
    }
}
