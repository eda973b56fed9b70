//! `provider list` and `provider show`: the catalogue as the installation has it.
//! Asked of the admin API, like everything that reads the installation.
//! Must never read the catalogue files by itself: settings may have changed them.

use clap::Subcommand;

use super::failure::Failure;
use super::link::{self, encoded};
use super::output::Column;
use super::{Ground, Reach};

pub(super) const PROVIDERS: &str = "/api/v1/admin/providers";

const COLUMNS: &[Column] =
    &[("ID", "id"), ("CATEGORY", "category"), ("FIELDS", "fields"), ("BASE URL", "base_url")];

const MEMBERS: &[Column] = &[
    ("id", "id"),
    ("title", "title"),
    ("category", "category"),
    ("base url", "base_url"),
    ("websocket url", "websocket_url"),
    ("fields", "fields"),
    ("allow private network", "allow_private_network"),
    ("max wait seconds", "max_wait_seconds"),
    ("requests per minute", "requests_per_minute"),
    ("pool", "pool"),
    ("timeouts", "timeouts"),
    ("probe", "probe"),
    ("managed by", "managed_by"),
    ("documentation", "docs_url"),
];

#[derive(Subcommand)]
pub(super) enum Command {
    /// Every provider that can be reached
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// One provider
    Show {
        /// Its id, e.g. polygon
        id: String,
        #[command(flatten)]
        reach: Reach,
    },
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::List { reach } => {
                let list = link::with(ground, &reach, async |link| link.list(PROVIDERS).await)?;
                ground.output(reach.print).list(&list, COLUMNS)
            }
            Self::Show { id, reach } => {
                let path = format!("{PROVIDERS}/{}", encoded(&id));
                let provider = link::with(ground, &reach, async |link| link.get(&path).await)?;
                ground.output(reach.print).record(&provider, MEMBERS)
            }
        }
    }
}
