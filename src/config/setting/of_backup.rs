//! The settings of backups, each with its kind, default and help; they stand in the one table
//! beside this file.
//! Must never name a default that the checks of this room refuse.

use super::{Setting, number, setting};
use crate::config::kind::Kind;

pub(super) const FOLDER: Setting = setting(
    "backup.folder",
    Kind::Path,
    "\"\"",
    "where the house keeps the backups that it makes; empty: backups in data_dir",
);
pub(super) const EVERY_HOURS: Setting = setting(
    "backup.every_hours",
    number(0, 8_760),
    "0",
    "a backup by itself so often; 0: none; needs backup.recipients",
);
pub(super) const KEEP: Setting =
    setting("backup.keep", number(1, 100_000), "14", "so many of the newest backups stay");
pub(super) const RECIPIENTS: Setting = setting(
    "backup.recipients",
    Kind::Texts,
    "[]",
    "who can open them: public keys of age (\"age1…\"); `sealgate backup keygen` makes a pair",
);
