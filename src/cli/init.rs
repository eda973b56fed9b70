//! `init`: sets the installation up, and says what it did and what already
//! stood. Prints the first admin key once; a repeated run has none to
//! print.

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::progress::Progress;
use super::{Ground, Print, house};

#[derive(Args)]
pub(super) struct Init {
    #[command(flatten)]
    print: Print,
}

impl Init {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        let config = ground.config()?;
        let output = ground.output(self.print);
        // A prompt and a moving line do not share a terminal.
        let progress = (!config.kms.needs_typing()).then(|| Progress::of("setting up"));
        let setup = house::initialise(&config)?;
        drop(progress);
        let admin_key = setup.admin_key.as_ref().and_then(|key| key.expose_str());
        if output.json {
            return output.value(&json!({ "admin_key": admin_key }));
        }
        for step in &setup.steps {
            output.line(&format!(
                "{}  {}",
                if step.stood { "stood" } else { "made " },
                step.what
            ))?;
        }
        match admin_key {
            Some(key) => output
                .line(&format!("\nThe first admin key, shown this once; keep it safe:\n{key}")),
            None if setup.has_no_admin => output.line("\nNo admin key was made: see above."),
            None => output.line("\nNo admin key was made: one stands already."),
        }
    }
}
