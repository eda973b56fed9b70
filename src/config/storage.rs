//! Where things are kept: data folder, database. A password in the
//! database's URL is wrapped as soon as it is read and never
//! shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::fault::Fault;
use super::ground::Ground;
use super::raw::{RawAudit, RawBackup, RawSecret};
use crate::secret::SecretBytes;
use crate::{backup, ledger, store};

pub(super) fn data_dir(ground: &Ground<'_>, text: &str) -> Result<PathBuf, Fault> {
    let path = ground.path(text);
    if text.is_empty() {
        return Err(ground.fault("data_dir", "is empty; name a folder"));
    }
    if path.exists() && !path.is_dir() {
        return Err(ground.fault("data_dir", format!("{} is not a folder", path.display())));
    }
    Ok(path)
}

pub(super) fn database(
    ground: &Ground<'_>,
    raw: RawSecret,
    data_dir: &Path,
) -> Result<store::Settings, Fault> {
    const KEY: &str = "database.url";
    let url = ground.secret(KEY, raw)?;
    let Some(text) = url.expose_str() else {
        return Err(ground.fault(KEY, "is not UTF-8"));
    };
    if text.is_empty() {
        return Ok(store::Settings { target: store::Target::Sqlite(data_dir.join("sealgate.db")) });
    }
    let target = if let Some(rest) = text.strip_prefix("sqlite:") {
        let path = rest.strip_prefix("//").unwrap_or(rest);
        store::Target::Sqlite(sqlite_file(ground, path).map_err(|what| ground.fault(KEY, what))?)
    } else if is_postgres(text) {
        store::Target::Postgres(Arc::new(SecretBytes::copy_of(url.expose())))
    } else {
        // The text is not repeated: it may hold a password.
        let what = "must begin with sqlite:// and name a file, or with postgres:// and name a host";
        return Err(ground.fault(KEY, what));
    };
    Ok(store::Settings { target })
}

fn sqlite_file(ground: &Ground<'_>, path: &str) -> Result<PathBuf, &'static str> {
    if path.is_empty() || path == ":memory:" {
        return Err("names no file; what is only in memory would be lost at the next start");
    }
    if path.contains(['?', '#', '%']) {
        return Err("takes a plain path after sqlite://, with no options and no escapes");
    }
    let file = ground.path(path);
    if file.is_dir() { Err("names a folder; name a file") } else { Ok(file) }
}

fn is_postgres(text: &str) -> bool {
    let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
}

/// `http://` goes to this machine or a private network alone, as everywhere.
pub(super) fn webhook(ground: &Ground<'_>, raw: RawSecret) -> Result<Option<SecretBytes>, Fault> {
    const KEY: &str = "audit.checkpoint_webhook";
    let url = ground.secret(KEY, raw)?;
    match url.expose_str().unwrap_or("?") {
        "" => Ok(None),
        text if crate::net::is_webhook(text) => Ok(Some(url)),
        // The text is not repeated: it may hold a token.
        _ => Err(ground.fault(KEY, "must begin with https:// and name a host")),
    }
}

/// What is written of calls and changes.
pub(super) fn ledger(ground: &Ground<'_>, raw: &RawAudit, data_dir: &Path) -> ledger::Settings {
    ledger::Settings {
        folder: data_dir.join("journal"),
        archives: archives(ground, &raw.archive_folder, data_dir),
        retention_days: raw.retention_days,
        is_strict: raw.durability == "strict",
        budget_bytes: raw.journal_bytes,
        checkpoints: ground.optional_path(&raw.checkpoint_file),
    }
}

/// Where old records go.
fn archives(ground: &Ground<'_>, named: &str, data_dir: &Path) -> PathBuf {
    match named {
        "" => data_dir.join("archive"),
        named => ground.path(named),
    }
}

pub(super) fn backup(
    ground: &Ground<'_>,
    raw: &RawBackup,
    data_dir: &Path,
) -> Result<backup::Settings, Fault> {
    const KEY: &str = "backup.recipients";
    if !raw.recipients.is_empty()
        && let Err(fault) = backup::Lock::recipients(&raw.recipients)
    {
        return Err(ground.fault(KEY, fault.to_string()));
    }
    if raw.every_hours > 0 && raw.recipients.is_empty() {
        let what = "is empty, so nobody could open the backups of backup.every_hours; make a pair of \
                    keys with `sealgate backup keygen` and name its public one";
        return Err(ground.fault(KEY, what));
    }
    let folder = match raw.folder.as_str() {
        "" => data_dir.join("backups"),
        named => ground.path(named),
    };
    let every = (raw.every_hours > 0).then(|| Duration::from_secs(raw.every_hours * 3600));
    Ok(backup::Settings { folder, every, keep: raw.keep, recipients: raw.recipients.clone() })
}
