//! `seal` and `unseal`: closes and opens the vault of a running server. The passphrase is read from
//! a prompt without echo or from standard input. Must never start a server of its own: what it
//! seals would end with it.

use clap::Args;
use serde_json::{Value, json};

use super::failure::Failure;
use super::link::{self, Link};
use super::{Ground, Reach, passphrase};

#[derive(Args)]
pub(super) struct Seal {
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args)]
pub(super) struct Unseal {
    /// Read the passphrase even where the settings of this machine do not ask for one
    #[arg(long)]
    passphrase: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Seal {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        runs(ground, &self.reach)?;
        let sealing = async |link: &Link| link.post("/api/v1/admin/seal", None).await;
        let answer = link::with(ground, &self.reach, sealing)?;
        let done =
            "sealed: every call was cut, every key is dropped; `sealgate unseal` opens again";
        tell(ground, &self.reach, &answer, (done, "was sealed already"))
    }
}

impl Unseal {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        // Before anybody types.
        runs(ground, &self.reach)?;
        let body = match self.passphrase || is_asked_for(ground, &self.reach)? {
            true => {
                let typed = passphrase::present()?;
                Some(json!({"passphrase": typed.expose_str().unwrap_or_default()}))
            }
            false => None,
        };
        let unsealing = async |link: &Link| link.post("/api/v1/admin/unseal", body).await;
        let answer = link::with(ground, &self.reach, unsealing)?;
        tell(ground, &self.reach, &answer, ("unsealed", "was open already"))
    }
}

pub(super) fn is_remote(ground: &Ground, reach: &Reach) -> bool {
    reach.url.is_some() || ground.environment.url().is_some()
}

/// By the settings of this machine; a remote server's are not known here.
fn is_asked_for(ground: &Ground, reach: &Reach) -> Result<bool, Failure> {
    Ok(!is_remote(ground, reach) && ground.config()?.needs_typing())
}

fn runs(ground: &Ground, reach: &Reach) -> Result<(), Failure> {
    if is_remote(ground, reach) || link::answers(&ground.config()?.socket)? {
        return Ok(());
    }
    Err(Failure::new(
        "no server runs here, so there is nothing to seal or unseal; start it with `sealgate serve`, \
         or name a remote one with --url",
    ))
}

fn tell(
    ground: &Ground,
    reach: &Reach,
    answer: &Value,
    (done, stood): (&str, &str),
) -> Result<(), Failure> {
    let output = ground.output(reach.print);
    if output.json {
        return output.value(answer);
    }
    let changed = answer.get("changed").and_then(Value::as_bool).unwrap_or(true);
    output.line(if changed { done } else { stood })
}
