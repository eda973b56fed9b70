//! Absolute URLs of a provider, turned into ours: in `Location` and `Link`, and in the JSON members
//! that the catalogue names. As bytes, while they stream; JSON is never parsed into values and
//! written again.

use bytes::{Bytes, BytesMut};

use crate::provider::Provider;

/// Longest stretch that is held back while it is undecided: a member's name and the origin behind
/// it.
const MOST_HELD: usize = 1024;

/// Rewrites one streamed JSON body.
pub(super) struct Rewriter {
    /// `"next_url"` with its quotes.
    members: Vec<Vec<u8>>,
    /// What an absolute URL of this provider begins with, plain and with escaped slashes.
    origins: Vec<Vec<u8>>,
    /// What takes its place, in the same two spellings.
    public: [Vec<u8>; 2],
    held: BytesMut,
}

impl Rewriter {
    /// None where the provider has nothing to rewrite.
    pub(super) fn new(provider: &Provider, public_base: &str) -> Option<Self> {
        if provider.rewrite.json_members.is_empty() {
            return None;
        }
        let members = provider.rewrite.json_members.iter();
        let origins = known_prefixes(provider);
        let escaped = |text: &str| text.replace('/', "\\/").into_bytes();
        Some(Self {
            members: members.map(|name| format!("\"{name}\"").into_bytes()).collect(),
            origins: origins
                .iter()
                .flat_map(|origin| [origin.clone().into_bytes(), escaped(origin)])
                .collect(),
            public: [public_base.as_bytes().to_vec(), escaped(public_base)],
            held: BytesMut::new(),
        })
    }

    /// What can go out now. Bodies without the member pass without a copy.
    pub(super) fn next(&mut self, chunk: Bytes) -> Bytes {
        if self.held.is_empty() && self.undecided_from(&chunk).is_none() {
            return chunk;
        }
        self.held.extend_from_slice(&chunk);
        let taken = self.held.split();
        let (ready, rest) = self.rewritten(&taken, false);
        self.held.extend_from_slice(&rest);
        ready
    }

    /// What was held back, at the body's end.
    pub(super) fn last(&mut self) -> Option<Bytes> {
        if self.held.is_empty() {
            return None;
        }
        let taken = self.held.split();
        Some(self.rewritten(&taken, true).0)
    }

    pub(super) fn holds_nothing(&self) -> bool {
        self.held.is_empty()
    }

    /// The first place that is a member or may become one when more bytes come.
    fn undecided_from(&self, bytes: &[u8]) -> Option<usize> {
        let whole =
            self.members.iter().filter_map(|member| memchr::memmem::find(bytes, member)).min();
        whole.or_else(|| self.members.iter().filter_map(|member| begun_at(bytes, member)).min())
    }

    fn rewritten(&self, bytes: &[u8], is_last: bool) -> (Bytes, Vec<u8>) {
        let mut out = BytesMut::with_capacity(bytes.len() + 128);
        let mut rest = bytes;
        while let Some(at) = self.undecided_from(rest) {
            let (before, from) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            out.extend_from_slice(before);
            match self.judge(from) {
                Judged::Replace { keep, skip, public } => {
                    out.extend_from_slice(from.get(..keep).unwrap_or_default());
                    out.extend_from_slice(public);
                    rest = from.get(skip..).unwrap_or_default();
                }
                Judged::Pass { keep } => {
                    let keep = keep.max(1);
                    out.extend_from_slice(from.get(..keep).unwrap_or(from));
                    rest = from.get(keep..).unwrap_or_default();
                }
                Judged::More if is_last || from.len() > MOST_HELD => {
                    out.extend_from_slice(from.get(..1).unwrap_or_default());
                    rest = from.get(1..).unwrap_or_default();
                }
                Judged::More => return (out.freeze(), from.to_vec()),
            }
        }
        out.extend_from_slice(rest);
        (out.freeze(), Vec::new())
    }

    /// `from` begins with a member, or with the beginning of one.
    fn judge(&self, from: &[u8]) -> Judged<'_> {
        let Some(member) = self.members.iter().find(|member| from.starts_with(member)) else {
            return Judged::More;
        };
        let space =
            |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let mut at = member.len();
        for expected in [b':', b'"'] {
            at += space(from.get(at..).unwrap_or_default());
            match from.get(at) {
                None => return Judged::More,
                Some(byte) if *byte == expected => at += 1,
                Some(_) => return Judged::Pass { keep: at },
            }
        }
        let value = from.get(at..).unwrap_or_default();
        for (index, origin) in self.origins.iter().enumerate() {
            if value.starts_with(origin) {
                let Some(next) = value.get(origin.len()) else { return Judged::More };
                if matches!(next, b'/' | b'\\' | b'?' | b'#' | b'"') {
                    let [plain, escaped] = &self.public;
                    let public = if index % 2 == 0 { plain } else { escaped };
                    return Judged::Replace { keep: at, skip: at + origin.len(), public };
                }
            }
        }
        if self.origins.iter().any(|origin| origin.starts_with(value)) {
            return Judged::More;
        }
        Judged::Pass { keep: at }
    }
}

enum Judged<'a> {
    Replace { keep: usize, skip: usize, public: &'a [u8] },
    Pass { keep: usize },
    More,
}

/// A search prepares for every byte of its needle; so many are hardly ever found by chance.
const QUICK_NEEDLE: usize = 12;

/// Does the needle stand in the bytes? Nearly never: so its beginning is looked for first, and the
/// whole only where that was found.
pub(super) fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    let beginning = needle.get(..QUICK_NEEDLE).unwrap_or(needle);
    bytes.len() >= needle.len()
        && memchr::memmem::find(bytes, beginning).is_some()
        && memchr::memmem::find(bytes, needle).is_some()
}

/// Where a proper beginning of `needle` ends the bytes.
pub(super) fn begun_at(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let first = needle.first()?;
    let from = bytes.len().saturating_sub(needle.len().saturating_sub(1));
    let tail = bytes.get(from..)?;
    let begins = |at: &usize| tail.get(*at..).is_some_and(|part| needle.starts_with(part));
    memchr::memchr_iter(*first, tail).find(begins).map(|at| from + at)
}

/// Origin and base path of every base whose URLs are this provider's, longest first.
fn known_prefixes(provider: &Provider) -> Vec<String> {
    let prefix = |base: &crate::provider::BaseUrl| format!("{}{}", base.origin(), base.path);
    let mut prefixes: Vec<String> = provider.known_bases.iter().map(prefix).collect();
    prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
    prefixes
}

/// A `Location`: ours where it is this provider's, absolute or by path alone; else as it is.
pub(super) fn location(value: &str, provider: &Provider, public_base: &str) -> Option<String> {
    if value.starts_with('/') && !value.starts_with("//") {
        let rest = value.strip_prefix(provider.base.path.as_str())?;
        return Some(format!("{public_base}{rest}"));
    }
    known_prefixes(provider).iter().find_map(|prefix| {
        let rest = value.strip_prefix(prefix.as_str())?;
        let ends = rest.is_empty() || rest.starts_with(['/', '?', '#']);
        ends.then(|| format!("{public_base}{rest}"))
    })
}

/// A `Link`: every target in angle brackets that is this provider's.
pub(super) fn link(value: &str, provider: &Provider, public_base: &str) -> Option<String> {
    let mut rewritten = String::with_capacity(value.len());
    let mut rest = value;
    let mut changed = false;
    while let Some((before, after)) = rest.split_once('<') {
        let Some((target, tail)) = after.split_once('>') else { break };
        let ours = location(target, provider, public_base);
        changed |= ours.is_some();
        rewritten.push_str(before);
        rewritten.push('<');
        rewritten.push_str(ours.as_deref().unwrap_or(target));
        rewritten.push('>');
        rest = tail;
    }
    rewritten.push_str(rest);
    changed.then_some(rewritten)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Catalogue;

    const BODY: &str = r#"{"a":"https://api.polygon.io/x","next_url": "https://api.polygon.io/v2/a?cursor=1","next_url":"https:\/\/api.polygon.io\/v3","next_url":null,"next_url":"https://api.polygon.io.evil/x"}"#;
    const WANTED: &str = r#"{"a":"https://api.polygon.io/x","next_url": "http://g/polygon/v2/a?cursor=1","next_url":"http:\/\/g\/polygon\/v3","next_url":null,"next_url":"https://api.polygon.io.evil/x"}"#;

    fn provider() -> std::sync::Arc<Provider> {
        Catalogue::build(&[]).unwrap().get("polygon").unwrap().clone()
    }

    #[test]
    fn named_members_are_rewritten_wherever_the_chunks_are_cut() {
        let provider = provider();
        for step in 1..BODY.len() {
            let mut rewriter = Rewriter::new(&provider, "http://g/polygon").unwrap();
            let mut out = Vec::new();
            for chunk in BODY.as_bytes().chunks(step) {
                out.extend_from_slice(&rewriter.next(Bytes::copy_from_slice(chunk)));
            }
            out.extend_from_slice(&rewriter.last().unwrap_or_default());
            assert_eq!(String::from_utf8(out).unwrap(), WANTED, "step {step}");
        }
    }

    #[test]
    fn a_long_needle_is_found_by_all_of_its_bytes() {
        let needle = b"0123456789012345678901234567890123456789";
        let with = |needle: &[u8]| [b"before ".as_slice(), needle, b" after"].concat();
        assert!(holds(&with(needle), needle));
        assert!(holds(needle, needle));
        assert!(!holds(&with(&needle[..39]), needle));
        assert!(!holds(&needle[..39], needle));
        assert!(holds(&with(&[&needle[..35], needle].concat()), needle));
    }

    #[test]
    fn locations_and_links_of_the_provider_become_ours_and_foreign_ones_stay() {
        let provider = provider();
        let here = |value| location(value, &provider, "http://g/polygon");
        assert_eq!(here("https://api.polygon.io/v2?x=1").unwrap(), "http://g/polygon/v2?x=1");
        assert_eq!(here("/v2").unwrap(), "http://g/polygon/v2");
        assert_eq!(here("https://evil.example/v2"), None);
        assert_eq!(here("https://api.polygon.io.evil/v2"), None);
        assert_eq!(here("//evil/v2"), None);
        let value = "<https://api.polygon.io/p2>; rel=\"next\", <https://x.y/>; rel=\"z\"";
        let wanted = "<http://g/polygon/p2>; rel=\"next\", <https://x.y/>; rel=\"z\"";
        assert_eq!(link(value, &provider, "http://g/polygon").unwrap(), wanted);
    }
}
