//! The check of the master key, by its kind: is it at its place and private, does whoever holds it
//! wrap and unwrap for us? A KMS is asked with a random key of no use. Must never open a
//! secret, and never ask for a passphrase.

use uuid::Uuid;

use super::check::{Check, database_stands};
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::kms::{self, KmsError, Settings, Source};

const NAME: &str = "master key";
const COPY: &str = "bring it back from its safe copy";

/// At its place, and the one that this database was made with.
pub(super) async fn check(config: &Config, clock: &Clock, has_database: bool) -> Check {
    let place = place(&config.kms).await;
    if !place.ok || !database_stands(config) {
        return place;
    }
    if !has_database {
        let remedy = "mend the database first, which has its own line";
        return Check::note(NAME, format!("{}; not tried", place.detail), remedy);
    }
    if let Ok(Some(lost)) = app::lost_master_key(config, clock.clone()).await {
        return Check::red(NAME, lost, "bring the installation back: `sealgate backup restore`");
    }
    if config.kms.needs_typing() {
        return place;
    }
    // Rows may hang on the former one until they are moved, and nobody is asked for it here.
    if config.needs_typing() {
        let typed = "the former one is opened by a passphrase that is typed: each start is sealed \
                     until `sealgate unseal`";
        return Check::green(NAME, format!("{}; {typed}", place.detail));
    }
    let remedy = "do what the line says; if the master key is another one, bring the right one back \
                  from its safe copy, or set master_key to where it is";
    match app::prove_master_key(config, clock.clone()).await {
        Ok((0, _)) => Check::green(NAME, format!("{}; nothing is sealed yet", place.detail)),
        Ok((stored, opened)) if stored == opened => {
            Check::green(NAME, format!("{}; opens all {stored} key-encryption keys", place.detail))
        }
        Ok((stored, opened)) => {
            let detail =
                format!("opens {opened} of {stored} key-encryption keys; rows were altered");
            Check::red(NAME, detail, "bring the database back from its backup; see the log")
        }
        Err(fault) => Check::red(NAME, fault.to_string(), remedy),
    }
}

/// What a rotation would find in its way. A database that does not open has its own line.
pub(super) async fn stray(config: &Config, clock: &Clock) -> Option<Check> {
    if !database_stands(config) {
        return None;
    }
    let found = app::stray_master_key(config, clock.clone()).await.ok()??;
    let detail = format!(
        "{} lies where a rotation puts a new master key, and no row and no unfinished rotation names it",
        found.display()
    );
    let remedy = "find out who left it there, then remove it; the next rotation puts it aside";
    Some(Check::red(NAME, detail, remedy))
}

async fn place(settings: &Settings) -> Check {
    let fault = match settings {
        Settings::File { path } => match kms::check(settings) {
            Ok(()) => {
                return Check::green(NAME, format!("{}, whole and private", path.display()));
            }
            Err(fault) => fault,
        },
        Settings::Passphrase { source } => {
            let Err(fault) = kms::check(settings) else { return passphrase(source.as_ref()) };
            fault
        }
        Settings::AwsKms(_) | Settings::VaultTransit(_) => {
            // Any id does for a proof: nothing that is wrapped here is kept.
            match kms::open_remote(settings, Uuid::nil()).await {
                Ok(_) => {
                    let detail = format!("{} wraps and unwraps", settings.describe());
                    return Check::green(NAME, detail);
                }
                Err(fault) => fault,
            }
        }
    };
    let remedy = remedy(&fault);
    Check::red(NAME, fault.to_string(), remedy)
}

fn passphrase(source: Option<&Source>) -> Check {
    match source {
        None => {
            let detail = "a passphrase that is typed: each start is sealed until `sealgate unseal`";
            Check::green(NAME, detail)
        }
        Some(Source::Given(_)) => Check::green(NAME, "a passphrase from the environment"),
        Some(Source::File(path)) => {
            Check::green(NAME, format!("a passphrase in {}, private", path.display()))
        }
    }
}

fn remedy(fault: &KmsError) -> String {
    let words = match fault {
        KmsError::Missing(_) => {
            "bring it back from its safe copy; on a new installation, run `sealgate init`"
        }
        KmsError::TooOpen { path, .. } | KmsError::OpenSource { path, .. } => {
            return format!("run: chmod 600 {}", path.display());
        }
        KmsError::Source { what, .. } => {
            return format!("write the {what} there, or set master_key.{what} to where it is");
        }
        KmsError::Unreadable { .. } | KmsError::Unwritable { .. } => {
            "run this as the user that the server runs as"
        }
        KmsError::Away { .. } => {
            "check network, address and time-outs on the way to it; a running server lives on for \
             master_key.cache_seconds, then it is sealed until the KMS is back"
        }
        KmsError::Denied { .. } => {
            "grant the right to encrypt and to decrypt with this key, see that the key is enabled, and \
             that credentials or token are valid; docs/master-key.md has the policies"
        }
        KmsError::WrongSize { .. }
        | KmsError::NeedsPassphrase
        | KmsError::WrongPassphrase
        | KmsError::ShortPassphrase { .. }
        | KmsError::WeakPassphrase
        | KmsError::NoPassphraseHere
        | KmsError::NotSetUp
        | KmsError::LostRow { .. }
        | KmsError::OtherMaster(_)
        | KmsError::Crypto(_)
        | KmsError::Store(_) => COPY,
        #[cfg(not(feature = "aws-kms"))]
        KmsError::NotBuilt => "build it with `--features aws-kms`",
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_master_key_is_there_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let settings = Settings::File { path: path.clone() };
        assert!(place(&settings).await.remedy.unwrap().contains("run `sealgate init`"));
        std::fs::write(&path, [7; 32]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let open = place(&settings).await;
        assert_eq!(open.remedy, Some(format!("run: chmod 600 {}", path.display())));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(place(&settings).await.ok);
        std::fs::write(&path, [7; 31]).unwrap();
        assert!(!place(&settings).await.ok);
    }

    #[tokio::test]
    async fn a_passphrase_file_is_there_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        let settings = Settings::Passphrase { source: Some(Source::File(path.clone())) };
        assert!(!place(&settings).await.ok);
        std::fs::write(&path, "correct horse").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let open = place(&settings).await;
        assert_eq!(open.remedy, Some(format!("run: chmod 600 {}", path.display())));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert!(place(&settings).await.ok);
        assert!(place(&Settings::Passphrase { source: None }).await.ok);
    }
}
