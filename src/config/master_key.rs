//! Who holds the master key, as the settings say it: which of them belong to which kind, and what
//! each demands. A passphrase or a token does not stand in the settings file itself: they are
//! copied, sent around and kept in version control.

use std::sync::Arc;
use std::time::Duration;

use super::fault::Fault;
use super::ground::Ground;
use super::layers::Origin;
use super::raw::{RawMasterKey, RawSecret};
use crate::kms::{AwsSettings, Settings, Source, TransitSettings};

/// What each kind reads; the rest is a mistake that deserves its line.
const OF_KINDS: &[(&str, &[&str])] = &[
    ("path", &["file"]),
    ("passphrase", &["passphrase"]),
    ("key", &["aws-kms", "vault-transit"]),
    ("region", &["aws-kms"]),
    ("profile", &["aws-kms"]),
    ("endpoint", &["aws-kms"]),
    ("address", &["vault-transit"]),
    ("mount", &["vault-transit"]),
    ("namespace", &["vault-transit"]),
    ("token", &["vault-transit"]),
    ("ca_file", &["vault-transit"]),
    ("cache_seconds", &["aws-kms", "vault-transit"]),
];

pub(super) fn master_key(ground: &Ground<'_>, raw: RawMasterKey) -> Result<Settings, Fault> {
    let kind = raw.kind.as_str();
    for (member, kinds) in OF_KINDS {
        let key = format!("master_key.{member}");
        if !kinds.contains(&kind) && ground.layers.is_changed(&key) {
            let what = format!(
                "belongs to kind = {}, and the kind is {kind:?}; strike it or change the kind",
                kinds.join(" or ")
            );
            return Err(ground.fault(&key, what));
        }
    }
    of_kind(ground, raw)
}

/// What the kind demands of its members, wherever they stand.
pub(super) fn of_kind(ground: &Ground<'_>, raw: RawMasterKey) -> Result<Settings, Fault> {
    match raw.kind.as_str() {
        "file" => file(ground, &raw),
        "passphrase" => {
            let source = source(ground, "master_key.passphrase", raw.passphrase)?;
            Ok(Settings::Passphrase { source })
        }
        "aws-kms" => aws(ground, &raw),
        "vault-transit" => transit(ground, raw),
        other => {
            let what = format!(
                "this version does not have {other:?} yet; use file, passphrase, aws-kms or \
                 vault-transit"
            );
            Err(ground.fault("master_key.kind", what))
        }
    }
}

fn file(ground: &Ground<'_>, raw: &RawMasterKey) -> Result<Settings, Fault> {
    let path = ground.path(&raw.path);
    if raw.path.is_empty() || path.is_dir() {
        let what = format!("{:?} is not the path of a file", raw.path);
        return Err(ground.fault("master_key.path", what));
    }
    Ok(Settings::File { path })
}

fn aws(ground: &Ground<'_>, raw: &RawMasterKey) -> Result<Settings, Fault> {
    if cfg!(not(feature = "aws-kms")) {
        let what = "this program was built without aws-kms; build it with --features aws-kms";
        return Err(ground.fault("master_key.kind", what));
    }
    let endpoint = optional(&raw.endpoint).map(|text| address(ground, "master_key.endpoint", text));
    Ok(Settings::AwsKms(AwsSettings {
        key_id: named(ground, raw, "the key's id, its ARN or alias/NAME")?,
        region: optional(&raw.region).map(str::to_owned),
        profile: optional(&raw.profile).map(str::to_owned),
        endpoint: endpoint.transpose()?,
        cache: Duration::from_secs(raw.cache_seconds),
    }))
}

fn transit(ground: &Ground<'_>, raw: RawMasterKey) -> Result<Settings, Fault> {
    let key = named(ground, &raw, "the transit engine's key")?;
    let mount = raw.mount.trim_matches('/').to_owned();
    for (setting, text) in [("master_key.key", &key), ("master_key.mount", &mount)] {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
        if text.is_empty() || !text.chars().all(is_plain) || text.contains("..") {
            let what = "takes letters, digits, hyphens, underscores, dots and slashes";
            return Err(ground.fault(setting, what));
        }
    }
    let token = source(ground, "master_key.token", raw.token)?;
    let Some(token) = token else {
        let what = "is missing; give { file = \"…\" } or { env = \"…\" }";
        return Err(ground.fault("master_key.token", what));
    };
    Ok(Settings::VaultTransit(TransitSettings {
        address: address(ground, "master_key.address", &raw.address)?,
        mount,
        key,
        namespace: optional(&raw.namespace).map(|text| text.trim_matches('/').to_owned()),
        token,
        ca_file: ground.certificates("master_key.ca_file", &raw.ca_file)?,
        cache: Duration::from_secs(raw.cache_seconds),
    }))
}

fn named(ground: &Ground<'_>, raw: &RawMasterKey, what: &str) -> Result<String, Fault> {
    match optional(&raw.key) {
        Some(key) => Ok(key.to_owned()),
        None => Err(ground.fault("master_key.key", format!("is missing; name {what}"))),
    }
}

fn optional(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// `https://`, or `http://` to this machine.
fn address(ground: &Ground<'_>, key: &str, text: &str) -> Result<String, Fault> {
    let text = text.trim_end_matches('/');
    let host = |rest: &str| rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned();
    if let Some(rest) = text.strip_prefix("https://")
        && !host(rest).is_empty()
        && !rest.contains(['@', '?', '#'])
    {
        return Ok(text.to_owned());
    }
    if let Some(rest) = text.strip_prefix("http://") {
        let host = host(rest);
        let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
        if matches!(name, "127.0.0.1" | "localhost" | "[::1]") && !rest.contains(['@', '?', '#']) {
            return Ok(text.to_owned());
        }
    }
    let what = "must be https://HOST, with no user and no query (http:// to this machine alone)";
    Err(ground.fault(key, what))
}

/// None where it is empty. A file is looked at and read again when it is needed.
fn source(ground: &Ground<'_>, key: &str, raw: RawSecret) -> Result<Option<Source>, Fault> {
    match raw {
        RawSecret::Inline(text) if text.is_empty() => Ok(None),
        RawSecret::Inline(_) if matches!(ground.layers.origin(key), Some(Origin::File)) => {
            let what = "does not belong into the settings file; give { file = \"…\" } or \
                        { env = \"…\" }";
            Err(ground.fault(key, what))
        }
        RawSecret::File { file } => {
            let path = ground.path(&file);
            if path.is_dir() {
                return Err(ground.fault(key, format!("{} is a folder", path.display())));
            }
            Ok(Some(Source::File(path)))
        }
        given @ (RawSecret::Inline(_) | RawSecret::Env { .. }) => {
            Ok(Some(Source::Given(Arc::new(ground.secret(key, given)?))))
        }
    }
}
