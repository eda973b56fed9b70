//! Which URLs in a provider's answers are its own, and where they stand: prepared once, so that an
//! answer that holds none costs a search and nothing else. Must never name a base that is not this
//! provider's.

use super::BaseUrl;

/// What to rewrite in answers.
#[derive(Debug)]
pub(crate) struct Rewrite {
    /// Members of JSON answers that hold absolute URLs, each in its quotes.
    pub members: Vec<Vec<u8>>,
    /// What the provider's absolute URLs begin with, the longest first.
    pub prefixes: Vec<Prefix>,
}

/// Origin and base path of one base.
#[derive(Debug)]
pub(crate) struct Prefix {
    pub plain: String,
    /// As some JSON writers put it: with a backslash before every slash.
    pub escaped: String,
}

impl Rewrite {
    /// `bases` are the one in force and the catalogue's own.
    pub(super) fn new(members: &[String], bases: &[BaseUrl]) -> Self {
        let members = members.iter().map(|name| format!("\"{name}\"").into_bytes()).collect();
        Self { members, prefixes: prefixes(bases) }
    }

    /// The same members at other bases.
    pub(super) fn at(self, bases: &[BaseUrl]) -> Self {
        Self { members: self.members, prefixes: prefixes(bases) }
    }
}

pub(crate) fn escaped(url: &str) -> String {
    url.replace('/', "\\/")
}

fn prefixes(bases: &[BaseUrl]) -> Vec<Prefix> {
    let prefix = |base: &BaseUrl| {
        let plain = format!("{}{}", base.origin(), base.path);
        Prefix { escaped: escaped(&plain), plain }
    };
    let mut prefixes: Vec<Prefix> = bases.iter().map(prefix).collect();
    prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.plain.len()));
    prefixes
}
