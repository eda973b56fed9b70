//! The settings of rotations, each with its kind, default and help; they stand in the one table
//! beside this file.
//! Must never name a default that the checks of this room refuse.

use super::{Setting, number, setting};
use crate::config::kind::Kind;

pub(super) const RETIRE_AFTER: Setting = setting(
    "rotation.retire_after_minutes",
    number(0, 525_600),
    "60",
    "how long a replaced version of a key must be unused before it is destroyed",
);
pub(super) const POLICIES: Setting = setting(
    "rotation.policies",
    Kind::Array,
    "[]",
    "keys that are renewed by themselves, by what, and when",
);
