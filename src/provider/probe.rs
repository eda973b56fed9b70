//! The calls by which a provider says what a key is worth: the cheap one that proves it, those that
//! need a permission, and what their answers tell of limits, end and account. Data alone; who asks
//! is the room `probe`. Must never hold what an answer said.

use http::{HeaderName, HeaderValue, Method};

use super::file::bad;
use super::raw::{RawAccount, RawPermission, RawProbe};
use super::{BadProvider, Catalogue, Provider};
use crate::secret::SecretBytes;

/// The cheap call that proves a key, and what its answer tells.
#[derive(Debug)]
pub(crate) struct Probe {
    pub method: Method,
    pub path: String,
    pub ok: Vec<u16>,
    pub bad: Vec<u16>,
    /// A text in the answer of a provider that refuses with 200.
    pub bad_body: Option<String>,
    /// Whatever the key is, the provider answers: its yes proves nothing.
    pub accepts_any: bool,
    /// Sent with it, and with the calls below.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub permissions: Vec<Permission>,
    /// Figures in the answer, by name and JSON pointer; those of known headers are read anyway.
    pub limits: Vec<(String, String)>,
    /// Where the answer tells when the key ends: a JSON pointer, or a header's name.
    pub expires: Option<String>,
    pub account: Option<Account>,
}

/// A call that a key must be allowed to make.
#[derive(Debug)]
pub(crate) struct Permission {
    pub name: String,
    pub method: Method,
    pub path: String,
    /// False: it is told, and a key without it is as good.
    pub needed: bool,
}

/// What tells a paper account from a live one.
#[derive(Debug)]
pub(crate) struct Account {
    /// What a key of this entry is for.
    pub is: AccountKind,
    /// The member of the probe's answer that names the account; empty: nothing does.
    pub at: String,
    /// How the names of paper accounts begin.
    pub paper: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountKind {
    Paper,
    Live,
}

impl AccountKind {
    const ALL: [Self; 2] = [Self::Paper, Self::Live];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Live => "live",
        }
    }
}

/// What an answer says of the key that it was asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Nothing,
    /// This provider says so of bad keys, and of other faults: another key's answer would tell.
    Perhaps,
    /// It was refused, and nothing was done.
    No,
}

impl Provider {
    /// By its status alone.
    pub(crate) fn says(&self, status: u16) -> Says {
        let is_bad = |probe: &Probe| probe.bad.contains(&status);
        match status {
            401..=403 => Says::No,
            _ if self.probe.as_ref().is_some_and(is_bad) => Says::Perhaps,
            _ => Says::Nothing,
        }
    }

    /// The text by which it refuses a key in an answer of this status.
    pub(crate) fn no_in_body(&self, status: u16) -> Option<&str> {
        let probe = self.probe.as_ref().filter(|_| (200..300).contains(&status))?;
        probe.bad_body.as_deref()
    }

    /// Does it say of a bad key what it says of a good one, and more behind that?
    pub(crate) fn refuses_in_bodies(&self) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.bad_body.is_some())
    }
}

const USUAL_BAD: [u16; 2] = [401, 403];
const MOST_PERMISSIONS: usize = 16;

impl Probe {
    pub(super) fn read(id: &str, raw: RawProbe) -> Result<Self, BadProvider> {
        let expires = raw.expires.filter(|place| !place.is_empty());
        if let Some(place) = expires.as_deref().filter(|place| !place.starts_with('/')) {
            place.parse::<HeaderName>().map_err(|_| {
                bad(id, "probe.expires", "is neither a JSON pointer nor a header's name")
            })?;
        }
        if raw.permissions.len() > MOST_PERMISSIONS {
            let fault = format!("has more than {MOST_PERMISSIONS} calls");
            return Err(bad(id, "probe.permissions", fault));
        }
        for (name, pointer) in &raw.limits {
            pointed(id, &format!("probe.limits.{name}"), pointer)?;
        }
        let permissions = raw.permissions.into_iter();
        Ok(Self {
            method: method(id, "probe.method", raw.method.as_deref())?,
            path: path(id, "probe.path", raw.path)?,
            ok: if raw.ok.is_empty() { vec![200] } else { raw.ok },
            bad: if raw.bad.is_empty() { USUAL_BAD.to_vec() } else { raw.bad },
            bad_body: raw.bad_body.filter(|text| !text.is_empty()),
            accepts_any: raw.accepts_any,
            headers: raw.headers.iter().map(|pair| header(id, pair)).collect::<Result<_, _>>()?,
            permissions: permissions.map(|one| permission(id, one)).collect::<Result<_, _>>()?,
            limits: raw.limits.into_iter().collect(),
            expires,
            account: raw.account.map(|raw| account(id, raw)).transpose()?,
        })
    }
}

fn permission(id: &str, raw: RawPermission) -> Result<Permission, BadProvider> {
    Ok(Permission {
        method: method(id, "probe.permissions", raw.method.as_deref())?,
        path: path(id, "probe.permissions", raw.path)?,
        needed: raw.needed.unwrap_or(true),
        name: raw.name,
    })
}

fn account(id: &str, raw: RawAccount) -> Result<Account, BadProvider> {
    let known = AccountKind::ALL.into_iter().find(|kind| kind.as_str() == raw.is);
    let is = known.ok_or_else(|| bad(id, "probe.account.is", "is neither paper nor live"))?;
    let at = raw.at.unwrap_or_default();
    if !at.is_empty() {
        pointed(id, "probe.account.at", &at)?;
    }
    Ok(Account { is, at, paper: raw.paper })
}

fn method(id: &str, member: &str, text: Option<&str>) -> Result<Method, BadProvider> {
    match text.unwrap_or("GET") {
        "GET" => Ok(Method::GET),
        "HEAD" => Ok(Method::HEAD),
        "POST" => Ok(Method::POST),
        "OPTIONS" => Ok(Method::OPTIONS),
        _ => Err(bad(id, member, "is none of GET, HEAD, POST and OPTIONS")),
    }
}

/// It is the house's own call: what a client's path must not have, this has neither.
fn path(id: &str, member: &str, path: String) -> Result<String, BadProvider> {
    let is_plain = path.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'#');
    let whole = path.split('?').next().unwrap_or_default();
    let climbs = whole.split('/').any(|part| matches!(part, "." | ".."));
    if !path.starts_with('/') || !is_plain || climbs {
        let fault = "is no path: it begins with a slash and has no blanks and no dot segments";
        return Err(bad(id, member, fault));
    }
    Ok(path)
}

fn pointed(id: &str, member: &str, pointer: &str) -> Result<(), BadProvider> {
    match pointer.starts_with('/') {
        true => Ok(()),
        false => Err(bad(id, member, format!("`{pointer}` is no JSON pointer such as /limit"))),
    }
}

fn header(
    id: &str,
    (name, value): (&String, &String),
) -> Result<(HeaderName, HeaderValue), BadProvider> {
    let fault = || bad(id, &format!("probe.headers.{name}"), "is no header");
    let name: HeaderName = name.parse().map_err(|_| fault())?;
    Ok((name, value.parse().map_err(|_| fault())?))
}

impl Catalogue {
    /// Another provider whose keys look like this one, by the longest beginning that is known; None
    /// where this provider's own is as long. A hint, and never the value.
    pub(crate) fn lookalike(
        &self,
        provider: &Provider,
        fields: &[(String, SecretBytes)],
    ) -> Option<String> {
        let begins = |of: &Provider| {
            let formats = of.fields.iter().map(|field| &field.format);
            let known = formats.flat_map(|format| &format.prefixes);
            let fits = |known: &&String| {
                let mut values = fields.iter().map(|(_, value)| value.expose());
                values.any(|value| value.starts_with(known.as_bytes()))
            };
            known.filter(fits).map(String::len).max().unwrap_or(0)
        };
        let own = begins(provider);
        let others = self.iter().filter(|other| other.id != provider.id);
        let best = others.map(|other| (begins(other), other)).max_by_key(|(length, _)| *length)?;
        (best.0 > own).then(|| best.1.title.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_looks_like_anothers_is_named() {
        let catalogue = Catalogue::build(&[]).unwrap();
        let hint = |provider: &str, value: &str| {
            let fields = [(String::from("api_key"), SecretBytes::copy_of(value.as_bytes()))];
            catalogue.lookalike(catalogue.get(provider).unwrap(), &fields)
        };
        assert_eq!(hint("openai", "sk-ant-api03-abc").as_deref(), Some("Anthropic"));
        assert_eq!(hint("polygon", "sk-ant-api03-abc").as_deref(), Some("Anthropic"));
        assert_eq!(hint("fmp", "sk-proj-abc").as_deref(), Some("OpenAI"));
        assert_eq!(hint("anthropic", "sk-ant-api03-abc"), None);
        assert_eq!(hint("openai", "sk-proj-abc"), None);
        assert_eq!(hint("polygon", "plain"), None);
    }

    #[test]
    fn what_is_no_probe_is_refused_with_its_member() {
        let entry = |probe: &str| {
            let text = format!(
                "base_url = \"https://a.example\"\ncategory = \"c\"\n\
                 inject = [{{ at = \"query\", name = \"k\" }}]\nprobe = {probe}"
            );
            let settings = [(String::from("acme"), text.parse().unwrap())];
            Catalogue::build(&settings).map(drop).unwrap_err().key
        };
        for (probe, member) in [
            (r#"{ path = "me" }"#, "probe.path"),
            (r#"{ path = "/a/../b" }"#, "probe.path"),
            (r#"{ path = "/me", method = "DELETE" }"#, "probe.method"),
            (r#"{ path = "/me", expires = "a b" }"#, "probe.expires"),
            (r#"{ path = "/me", limits = { day = "x" } }"#, "probe.limits.day"),
            (r#"{ path = "/me", account = { is = "demo" } }"#, "probe.account.is"),
            (r#"{ path = "/me", headers = { "a b" = "c" } }"#, "probe.headers.a b"),
        ] {
            assert_eq!(entry(probe), format!("providers.acme.{member}"));
        }
    }
}
