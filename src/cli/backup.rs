//! `backup`: makes one over the admin API, encrypted before it arrives here; proves one; brings one
//! back. What opens a backup comes from a file, standard input or a prompt without echo, never from
//! an argument. Must never overwrite a file.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::failure::Failure;
use super::link::{self, Downloaded, Link};
use super::output::{Column, Output};
use super::progress::{Progress, Transfer};
use super::{Ground, Print, Reach, house};
use crate::app::{Opener, Rescue, RestoreStep, Verdict};
use crate::backup;
use crate::clock::rfc3339;
use crate::secret::SecretBytes;

const BACKUPS: &str = "/api/v1/admin/backups";
const COLUMNS: &[Column] = &[("NAME", "name"), ("BYTES", "bytes"), ("CREATED", "created_at")];
/// No passphrase and no identity file comes near this.
const MOST_BYTES: u64 = 64 * 1024;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Write one encrypted file with everything, while the server runs or not
    Create {
        /// The new file; an existing one is never overwritten
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// Who can open it: a public key of age; may be given several times
        #[arg(long, value_name = "KEY", conflicts_with = "passphrase_file")]
        recipient: Vec<String>,
        /// The passphrase that opens it, in a file; `-`: standard input
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        #[command(flatten)]
        reach: Reach,
    },
    /// The backups that the house keeps by itself
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// Decrypt every envelope of a backup and check its trail; changes nothing
    Verify {
        #[command(flatten)]
        given: Given,
        #[command(flatten)]
        print: Print,
    },
    /// Bring everything back into an empty installation
    Restore {
        #[command(flatten)]
        given: Given,
        /// Replace whatever this installation holds
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        print: Print,
    },
    /// Make a pair of keys: the identity into a private file, its public key on standard output
    Keygen {
        /// The new file; keep it away from this machine
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        #[command(flatten)]
        print: Print,
    },
}

/// A backup and what opens it.
#[derive(Args)]
pub(super) struct Given {
    /// The backup
    file: PathBuf,
    /// The passphrase that it was made for, in a file; `-`: standard input
    #[arg(long, value_name = "FILE", conflicts_with = "identity")]
    passphrase_file: Option<PathBuf>,
    /// The identity file of one of its recipients
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::Create { to, recipient, passphrase_file, reach } => {
                let ask = lock(ground, &reach, recipient, passphrase_file.as_deref())?;
                let output = ground.output(reach.print);
                link::with(ground, &reach, async |link| create(link, output, (&to, ask)).await)
            }
            Self::List { reach } => {
                let output = ground.output(reach.print);
                link::with(ground, &reach, async |link| {
                    output.list(&link.get(BACKUPS).await?, COLUMNS)
                })
            }
            Self::Verify { given, print } => {
                let config = ground.config()?;
                let progress = Progress::of("decrypting every envelope, checking the trail");
                let verdict = house::prove_backup(&config, given.rescue(false)?)?;
                drop(progress);
                let outcome = if verdict.faults.is_empty() { "holds" } else { "damaged" };
                tell(ground.output(print), &verdict, outcome)?;
                match verdict.faults.first() {
                    None => Ok(()),
                    Some(first) => Err(Failure::new(format!(
                        "{} of it does not open, beginning with: {first}; the house was damaged when \
                         this was made: compare with an older backup",
                        verdict.faults.len()
                    ))),
                }
            }
            Self::Restore { given, replace, print } => {
                let config = ground.config()?;
                let progress = Progress::of("unpacking and proving the backup");
                let told = |step| progress.say(words(step));
                let restored = house::restore_backup(&config, given.rescue(replace)?, &told)?;
                drop(progress);
                let (verdict, output) = (restored.verdict, ground.output(print));
                tell(output, &verdict, "restored")?;
                if let Some(aside) = restored.aside {
                    // On the other stream, so that programs hear of it too.
                    eprint_aside(&aside)?;
                }
                for fault in &verdict.faults {
                    output.remark(&format!("damaged already when it was backed up: {fault}"))?;
                }
                output
                    .remark("Start the server; client keys and operators are those of the backup.")
            }
            Self::Keygen { to, print } => keygen(ground.output(print), &to),
        }
    }
}

impl Given {
    fn rescue(&self, replace: bool) -> Result<Rescue, Failure> {
        let opener = match (&self.passphrase_file, &self.identity) {
            (Some(file), _) => Opener::Passphrase(passphrase(Some(file), false)?),
            (None, Some(file)) => Opener::Identity(read(file)?),
            (None, None) => Opener::Passphrase(passphrase(None, false)?),
        };
        Ok(Rescue { file: self.file.clone(), opener, replace })
    }
}

/// What the call names who can open it by; nothing where the settings of the server do.
fn lock(
    ground: &Ground,
    reach: &Reach,
    recipients: Vec<String>,
    passphrase_file: Option<&Path>,
) -> Result<Value, Failure> {
    if !recipients.is_empty() {
        return Ok(json!({"stream": true, "recipients": recipients}));
    }
    let is_local = reach.url.is_none() && ground.environment.url().is_none();
    if passphrase_file.is_none() && is_local && !ground.config()?.backup.recipients.is_empty() {
        return Ok(json!({"stream": true}));
    }
    let passphrase = passphrase(passphrase_file, true)?;
    crate::kms::demand_strength(&passphrase).map_err(|fault| Failure::new(fault.to_string()))?;
    Ok(json!({"stream": true, "passphrase": passphrase.expose_str()}))
}

async fn create(link: &Link, output: Output, (to, ask): (&Path, Value)) -> Result<(), Failure> {
    let fault =
        |error: std::io::Error| Failure::new(format!("cannot write {}: {error}", to.display()));
    if to.exists() {
        return Err(Failure::new(format!("{} is there already; name another file", to.display())));
    }
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut file = new_file(&part).map_err(fault)?;
    let transfer = Transfer::of("backing up");
    let written = link.download(BACKUPS, ask, &mut file, &transfer).await;
    drop(transfer);
    let kept = written.and_then(|written| {
        file.sync_all().and_then(|()| std::fs::hard_link(&part, to)).map_err(fault)?;
        Ok(written)
    });
    // Whole or not, the unfinished name has no use any more.
    let _ = std::fs::remove_file(&part);
    let Downloaded { bytes, faults } = kept?;
    let file = to.display().to_string();
    let made = json!({"file": file, "bytes": bytes, "faults": faults});
    output.record(&made, &[("file", "file"), ("bytes", "bytes")])?;
    for fault in &faults {
        output.remark(&format!("damaged in this house, and so in the backup: {fault}"))?;
    }
    if faults.is_empty() {
        return Ok(());
    }
    output.remark("a restore brings back everything else; keep an older backup until it is mended")
}

fn keygen(output: Output, to: &Path) -> Result<(), Failure> {
    let fault =
        |error: std::io::Error| Failure::new(format!("cannot write {}: {error}", to.display()));
    let (identity, public) = backup::generate_identity();
    let mut file = new_file(to).map_err(fault)?;
    file.write_all(identity.expose()).and_then(|()| file.sync_all()).map_err(fault)?;
    if output.json {
        let file = to.display().to_string();
        return output.record(&json!({"file": file, "public_key": public}), &[]);
    }
    output.line(&public)
}

fn new_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn tell(output: Output, verdict: &Verdict, what: &str) -> Result<(), Failure> {
    let told = json!({
        "outcome": what,
        "installation": verdict.installation.to_string(),
        "created_at": rfc3339(verdict.created_at_ms),
        "program": verdict.version,
        "secrets": verdict.secrets,
        "versions": verdict.values,
        "records": verdict.records,
        "faults": verdict.faults,
    });
    output.record(
        &told,
        &[
            ("backup", "outcome"),
            ("of installation", "installation"),
            ("made", "created_at"),
            ("secrets opened", "secrets"),
            ("versions opened", "versions"),
            ("records in the trail", "records"),
        ],
    )
}

fn eprint_aside(aside: &Path) -> Result<(), Failure> {
    let line = format!(
        "sealgate: the database could not be used any more and was put aside as {}\n",
        aside.display()
    );
    let written = std::io::stderr().lock().write_all(line.as_bytes());
    written.map_err(|error| Failure::new(format!("cannot write to standard error: {error}")))
}

fn words(step: RestoreStep) -> &'static str {
    match step {
        RestoreStep::Unpacked => "proving the backup",
        RestoreStep::Proven => "emptying the installation",
        RestoreStep::Emptied => "bringing everything back",
        RestoreStep::Loaded => "making it last",
        RestoreStep::Committed => "putting the former journal aside",
        RestoreStep::PutAside => "done",
    }
}

/// From the file, standard input, or a prompt; asked twice where a slip would close a backup.
fn passphrase(file: Option<&Path>, twice: bool) -> Result<SecretBytes, Failure> {
    let text = match file {
        Some(file) => read(file)?,
        None if std::io::stdin().is_terminal() => prompted(twice)?,
        None => {
            return Err(Failure::usage(
                "nobody is named who can open it: give --passphrase-file (- for standard input), or \
                 --recipient to make a backup and --identity to open one",
            ));
        }
    };
    let trimmed = text.expose_str().map(|text| text.trim_end_matches(['\r', '\n']));
    match trimmed {
        None | Some("") => Err(Failure::new("the passphrase is empty or no text")),
        Some(passphrase) => Ok(SecretBytes::copy_of(passphrase.as_bytes())),
    }
}

fn prompted(twice: bool) -> Result<SecretBytes, Failure> {
    let ask = |text: &str| {
        let asked = rpassword::prompt_password(text).map(SecretBytes::from_string);
        asked.map_err(|error| Failure::new(format!("cannot read from the terminal: {error}")))
    };
    let first = ask("passphrase of the backup (not shown): ")?;
    if twice && !crate::secret::same(ask("once more: ")?.expose(), first.expose()) {
        return Err(Failure::new("the two are not the same; nothing was made"));
    }
    Ok(first)
}

fn read(file: &Path) -> Result<SecretBytes, Failure> {
    let mut bytes = Vec::new();
    let outcome = match file.to_str() {
        Some("-") => std::io::stdin().lock().take(MOST_BYTES).read_to_end(&mut bytes),
        _ => File::open(file).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)),
    };
    let bytes = SecretBytes::new(bytes);
    outcome.map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Failure::new(
                "the file that should hold the passphrase or identity is not there; its name is not \
                 repeated here, because it may be the passphrase itself",
            );
        }
        Failure::new(format!("cannot read {}: {error}", file.display()))
    })?;
    Ok(bytes)
}
