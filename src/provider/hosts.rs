//! Where a provider lives: one host, or several behind one route with a table of paths that says
//! which path lives where. Must never answer with a host that is not in the file: what a client
//! sends only selects among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::raw::{Raw, RawPath};
use super::{BadProvider, BaseUrl, file::bad};

/// One host of a provider.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// Tells connections apart: two hosts that are reached alike have the same, all others do not.
    pub key: Arc<str>,
    pub base: BaseUrl,
    /// The Host header of every call, made once.
    pub header: http::HeaderValue,
}

/// All hosts of one kind, REST or sockets; the first is where no path of the table fits.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    home: Host,
    named: Vec<(String, Host)>,
    paths: Vec<(String, usize)>,
}

/// Which kind of host is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Calls,
    Sockets,
}

impl Kind {
    pub(super) fn holds(self, base: &BaseUrl) -> bool {
        (self == Self::Sockets) == base.scheme.is_socket()
    }
}

impl Hosts {
    /// `home` is the base URL of this kind; of the named hosts and of the table, those of this
    /// kind.
    pub(super) fn new(
        id: &str,
        home: BaseUrl,
        raw: &Raw,
        (kind, named): (Kind, &BTreeMap<String, BaseUrl>),
    ) -> Result<Self, BadProvider> {
        let marks = Marks { id, raw };
        let mut hosts = Self { home: marks.host(home)?, named: Vec::new(), paths: Vec::new() };
        for (name, base) in named.iter().filter(|(_, base)| kind.holds(base)) {
            hosts.named.push((name.clone(), marks.host(base.clone())?));
        }
        for (index, entry) in raw.paths.iter().enumerate() {
            let Some(at) = hosts.named.iter().position(|(name, _)| *name == entry.host) else {
                check_known(id, index, entry, named)?;
                continue;
            };
            for under in &entry.under {
                check_path(id, index, under)?;
                hosts.paths.push((under.clone(), at));
            }
        }
        // The longest first: it is the one that fits best.
        hosts.paths.sort_by_key(|(under, _)| std::cmp::Reverse(under.len()));
        Ok(hosts)
    }

    /// Where this path lives; it begins with a slash. To be handed to `host`.
    pub(crate) fn of(&self, path: &str) -> usize {
        let found = self.paths.iter().find(|(under, _)| lies_under(path, under));
        found.map_or(0, |(_, at)| at + 1)
    }

    pub(crate) fn host(&self, at: usize) -> &Host {
        let named = at.checked_sub(1).and_then(|at| self.named.get(at));
        named.map_or(&self.home, |(_, host)| host)
    }

    pub(crate) fn home(&self) -> &Host {
        &self.home
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Host> {
        std::iter::once(&self.home).chain(self.named.iter().map(|(_, host)| host))
    }

    /// By their names; the home has none.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, &Host)> {
        self.named.iter().map(|(name, host)| (name.as_str(), host))
    }

    /// The table: what lies under which path is at which host.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (&str, &str)> {
        self.paths.iter().filter_map(|(under, at)| {
            let (name, _) = self.named.get(*at)?;
            Some((under.as_str(), name.as_str()))
        })
    }

    #[must_use]
    pub(super) fn at_port(mut self, port: u16) -> Self {
        self.home.base = self.home.base.with_port(port);
        self.home.key = format!("{} {port}", self.home.key).into();
        self.home.header = header(&self.home.base).unwrap_or(self.home.header);
        self
    }
}

/// Whole segments alone.
pub(super) fn lies_under(path: &str, under: &str) -> bool {
    let rest = path.strip_prefix(under);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What makes two ways to the same host different ones.
struct Marks<'a> {
    id: &'a str,
    raw: &'a Raw,
}

impl Marks<'_> {
    fn host(&self, base: BaseUrl) -> Result<Host, BadProvider> {
        let header = header(&base).ok_or_else(|| bad(self.id, "base_url", "has no usable host"))?;
        let ca_file = self.raw.ca_file.as_deref().unwrap_or_default();
        let private = if self.raw.allow_private_network { "private" } else { "" };
        let key = format!("{} {} {private} {ca_file}", self.id, base.origin());
        Ok(Host { key: key.trim_end().into(), base, header })
    }
}

fn header(base: &BaseUrl) -> Option<http::HeaderValue> {
    http::HeaderValue::from_str(&base.authority()).ok()
}

fn check_known(
    id: &str,
    index: usize,
    entry: &RawPath,
    named: &BTreeMap<String, BaseUrl>,
) -> Result<(), BadProvider> {
    if named.contains_key(&entry.host) {
        return Ok(());
    }
    let known: Vec<&str> = named.keys().map(String::as_str).collect();
    let fault = match known.as_slice() {
        [] => format!("`{}` is no host: `hosts` names none", entry.host),
        [..] => format!("`{}` is no host; `hosts` names {}", entry.host, known.join(", ")),
    };
    Err(bad(id, &format!("paths[{index}].host"), fault))
}

fn check_path(id: &str, index: usize, under: &str) -> Result<(), BadProvider> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/:".contains(&byte);
    let whole = under.len() > 1 && under.starts_with('/') && !under.ends_with('/');
    if whole && under.bytes().all(plain) && !under.contains("//") {
        return Ok(());
    }
    let fault = format!("`{under}` is no plain path such as /v2/stocks");
    Err(bad(id, &format!("paths[{index}].under"), fault))
}
