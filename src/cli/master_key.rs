//! `master-key`: from one master key to another. No value and no data key is touched.
//! Must never take a key from an argument, and never say that a former one may go before the server
//! has verified every row without it.

use clap::Subcommand;

use super::Ground;
use super::failure::Failure;
use super::kek::Long;

const ROTATE: &str = "/api/v1/admin/master-key/rotate";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Move to a new master key of the same kind, or to the one that the settings name now
    ///
    /// To move to another kind, write the new one in `[master_key]` and the present one in
    /// `[master_key.previous]`, restart the server, and run this. Afterwards strike the latter.
    Rotate(Long),
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::Rotate(long) => long.run(ground, ROTATE, None),
        }
    }
}
