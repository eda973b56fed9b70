//! `master-key`: from one master key to another. No value and no data key is touched.
//! Must never take a key from an argument, and never say that a former one may go before the server
//! has verified every row without it.

use clap::Subcommand;
use serde_json::json;

use super::failure::Failure;
use super::kek::Long;
use super::seal::is_remote;
use super::{Ground, Reach, link, passphrase};

const ROTATE: &str = "/api/v1/admin/master-key/rotate";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Move to a new master key of the same kind, or to the one that the settings name now
    ///
    /// To move to another kind, write the new one in `[master_key]` and the present one in
    /// `[master_key.previous]`, restart the server, and run this. Afterwards strike the latter.
    ///
    /// Where the passphrase of the master key is typed, it is asked for, because it opens the new
    /// one too.
    Rotate {
        /// Read the passphrase even where the settings of this machine do not ask for one
        #[arg(long)]
        passphrase: bool,
        #[command(flatten)]
        long: Long,
    },
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::Rotate { passphrase: asked, long } => {
                let body = match asked || is_asked_for(ground, &long.reach)? {
                    true => {
                        let typed = passphrase::present()?;
                        Some(json!({"passphrase": typed.expose_str().unwrap_or_default()}))
                    }
                    false => None,
                };
                long.run(ground, ROTATE, body)
            }
        }
    }
}

/// By the settings of this machine. A move to a master key that they name needs none, and without
/// a server that was unsealed nothing moves: nobody types for that.
fn is_asked_for(ground: &Ground, reach: &Reach) -> Result<bool, Failure> {
    if is_remote(ground, reach) {
        return Ok(false);
    }
    let config = ground.config()?;
    let is_new = config.kms_previous.is_none();
    Ok(is_new && config.kms.needs_typing() && link::answers(&config.socket)?)
}
