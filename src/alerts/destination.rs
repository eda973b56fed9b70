//! Who is told of alerts: by which way, of which kinds, from which severity on; and
//! that as it lies in its envelope.
//! Must never be shown whole: the path of a URL and a secret stay in here.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Alerts, letter};
use crate::crypto::{CryptoError, webhook_key, webhook_secret};
use crate::secret::{Key, SecretBytes};
use crate::store::{self, AlertKind, DestinationRow, Event, Severity};

/// By which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Webhook,
    Email,
    Syslog,
}

pub(crate) enum Way {
    /// The key that signs is the receiver's, too.
    Webhook {
        url: SecretBytes,
        key: Key,
    },
    Email {
        to: Vec<String>,
    },
    /// To where the settings say.
    Syslog,
}

pub(crate) struct Destination {
    pub(crate) way: Way,
    /// None: every kind.
    pub(crate) kinds: Option<Vec<AlertKind>>,
    pub(crate) least: Severity,
    /// Told when the cause is gone, too.
    pub(crate) resolved: bool,
    pub(crate) active: bool,
}

#[derive(Debug)]
pub(crate) enum DestinationError {
    /// The vault is sealed.
    Sealed,
    /// Another one has that name.
    Duplicate,
    Gone,
    Crypto(CryptoError),
    Store(store::Error),
}

impl Sort {
    pub(crate) const ALL: [Self; 3] = [Self::Webhook, Self::Email, Self::Syslog];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Email => "email",
            Self::Syslog => "syslog",
        }
    }
}

impl Way {
    /// With a key of its own.
    pub(crate) fn webhook(url: SecretBytes) -> Result<Self, CryptoError> {
        Ok(Self::Webhook { url, key: letter::fresh_key()? })
    }

    pub(crate) fn sort(&self) -> Sort {
        match self {
            Self::Webhook { .. } => Sort::Webhook,
            Self::Email { .. } => Sort::Email,
            Self::Syslog => Sort::Syslog,
        }
    }

    /// Of a URL what stands before its path: the rest may be a token.
    pub(crate) fn address(&self) -> Option<String> {
        let Self::Webhook { url, .. } = self else { return None };
        let (scheme, rest) = url.expose_str()?.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let host = authority.rsplit('@').next()?;
        Some(format!("{scheme}://{host}"))
    }
}

impl Destination {
    /// Is it to be told of this? What cannot be read is told, rather than not.
    pub(super) fn wants(&self, event: Event, body: &str) -> bool {
        match event {
            Event::Test => return true,
            // It was asked for by name.
            Event::Report => return self.active,
            Event::Raised | Event::Resolved => {}
        }
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let text = |name: &str| body.get("data")?.get(name)?.as_str();
        let kind = text("kind").and_then(AlertKind::parse);
        let severity = text("severity").and_then(Severity::parse);
        let is_of_kind = match (&self.kinds, kind) {
            (Some(kinds), Some(kind)) => kinds.contains(&kind),
            (None, _) | (_, None) => true,
        };
        let is_grave = severity.is_none_or(|severity| rank(severity) >= rank(self.least));
        self.active && is_of_kind && is_grave && (event != Event::Resolved || self.resolved)
    }

    fn to_plain(&self) -> SecretBytes {
        let way = match &self.way {
            Way::Webhook { url, key } => json!({
                "url": url.expose_str(), "secret": webhook_secret(key).expose_str(),
            }),
            Way::Email { to } => json!({"to": to}),
            Way::Syslog => json!({}),
        };
        let kinds = self.kinds.as_ref();
        let kinds = kinds.map(|all| all.iter().map(|kind| kind.as_str()).collect::<Vec<_>>());
        let whole = json!({
            "kind": self.way.sort().as_str(), "way": way, "kinds": kinds,
            "min_severity": self.least.as_str(), "resolved": self.resolved, "active": self.active,
        });
        SecretBytes::from_string(whole.to_string())
    }

    fn of_plain(plain: &SecretBytes) -> Option<Self> {
        let whole: Value = serde_json::from_slice(plain.expose()).ok()?;
        let (way, sort) = (whole.get("way")?, whole.get("kind")?.as_str()?);
        let sort = Sort::ALL.into_iter().find(|known| known.as_str() == sort)?;
        let way = match sort {
            Sort::Webhook => Way::Webhook {
                url: SecretBytes::copy_of(way.get("url")?.as_str()?.as_bytes()),
                key: webhook_key(way.get("secret")?.as_str()?)?,
            },
            Sort::Email => {
                let to = way.get("to")?.as_array()?.iter();
                Way::Email { to: to.filter_map(|one| Some(one.as_str()?.to_owned())).collect() }
            }
            Sort::Syslog => Way::Syslog,
        };
        let kinds = whole.get("kinds")?.as_array().map(|kinds| {
            let kinds = kinds.iter().filter_map(Value::as_str);
            kinds.filter_map(AlertKind::parse).collect()
        });
        Some(Self {
            way,
            kinds,
            least: Severity::parse(whole.get("min_severity")?.as_str()?)?,
            resolved: whole.get("resolved")?.as_bool()?,
            active: whole.get("active")?.as_bool()?,
        })
    }
}

impl Alerts {
    pub(crate) async fn add_destination(
        &self,
        (name, by): (&str, &str),
        destination: &Destination,
    ) -> Result<DestinationRow, DestinationError> {
        let now_ms = self.now_ms();
        let row = DestinationRow {
            id: Uuid::now_v7(),
            name: name.to_owned(),
            sealed: Vec::new(),
            created_at: now_ms,
            created_by: by.to_owned(),
            updated_at: now_ms,
        };
        let store = &self.parts.store;
        let row = store.sealed_destination(row, &destination.to_plain())?;
        match store.add_destination(&row).await? {
            true => Ok(row),
            false => Err(DestinationError::Duplicate),
        }
    }

    pub(crate) async fn change_destination(
        &self,
        row: DestinationRow,
        destination: &Destination,
    ) -> Result<DestinationRow, DestinationError> {
        let store = &self.parts.store;
        let row = DestinationRow { updated_at: self.now_ms(), ..row };
        let row = store.sealed_destination(row, &destination.to_plain())?;
        if store.change_destination(&row).await? {
            return Ok(row);
        }
        match store.destination(row.id).await? {
            Some(_) => Err(DestinationError::Duplicate),
            None => Err(DestinationError::Gone),
        }
    }

    /// None where the row is not as it was left.
    pub(crate) fn open_destination(
        &self,
        row: &DestinationRow,
    ) -> Result<Option<Destination>, DestinationError> {
        if !self.parts.store.judges_operators() {
            return Err(DestinationError::Sealed);
        }
        let plain = self.parts.store.opened_destination(row).ok();
        Ok(plain.as_ref().and_then(Destination::of_plain))
    }
}

fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 0,
        Severity::Warning => 1,
        Severity::Critical => 2,
    }
}

impl From<store::Error> for DestinationError {
    fn from(fault: store::Error) -> Self {
        Self::Store(fault)
    }
}

impl From<CryptoError> for DestinationError {
    fn from(fault: CryptoError) -> Self {
        // The key that seals is gone with the vault's.
        let is_sealed = matches!(fault, CryptoError::WrongParent);
        if is_sealed { Self::Sealed } else { Self::Crypto(fault) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(way: Way) -> Destination {
        let kinds = Some(vec![AlertKind::QuotaNear]);
        Destination { way, kinds, least: Severity::Warning, resolved: false, active: true }
    }

    #[test]
    fn what_lies_in_the_envelope_is_read_back_and_a_url_is_shown_without_its_path() {
        let url = SecretBytes::copy_of(b"https://u:p@hooks.example:8443/T0/token?x=y");
        let kept = destination(Way::webhook(url).unwrap());
        let read = Destination::of_plain(&kept.to_plain()).unwrap();
        assert_eq!(read.way.address().unwrap(), "https://hooks.example:8443");
        let (Way::Webhook { key, .. }, Way::Webhook { key: same, .. }) = (&kept.way, &read.way)
        else {
            panic!("another way");
        };
        assert_eq!(key.expose(), same.expose());
        let mail = destination(Way::Email { to: vec![String::from("a@example.org")] });
        let read = Destination::of_plain(&mail.to_plain()).unwrap();
        assert!(matches!(read.way, Way::Email { to } if to == ["a@example.org"]));
        assert!(Destination::of_plain(&SecretBytes::copy_of(b"{}")).is_none());
    }

    #[test]
    fn a_destination_is_told_what_it_asked_for() {
        let wants = |kind: &str, severity: &str, event| {
            let body = json!({"data": {"kind": kind, "severity": severity}}).to_string();
            destination(Way::Syslog).wants(event, &body)
        };
        assert!(wants("quota_near", "warning", Event::Raised));
        assert!(wants("quota_near", "critical", Event::Raised));
        assert!(!wants("quota_near", "info", Event::Raised));
        assert!(!wants("integrity", "critical", Event::Raised));
        assert!(!wants("quota_near", "warning", Event::Resolved));
        assert!(wants("integrity", "info", Event::Test));
    }
}
