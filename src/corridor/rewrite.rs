//! Absolute URLs of a provider, turned into ours: in `Location` and `Link`, and in the JSON members
//! that the catalogue names. As bytes, while they stream; JSON is never parsed into values and
//! written again.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::provider::{Provider, escaped};
use crate::secret::begun_at;

/// Longest stretch that is held back while it is undecided: a member's name and the origin behind
/// it.
const MOST_HELD: usize = 1024;

/// How clients reach a provider through us; put together where an answer asks for it, which few do.
pub(super) struct Place<'a> {
    pub(super) provider: &'a Arc<Provider>,
    /// Without a trailing slash.
    pub(super) public_url: &'a str,
    /// The host by which the client addressed this provider, in host form.
    pub(super) host_form: Option<&'a str>,
}

impl Place<'_> {
    fn public_base(&self) -> String {
        match self.host_form {
            Some(host) => {
                let scheme = self.public_url.split("://").next().unwrap_or("https");
                [scheme, "://", host].concat()
            }
            None => [self.public_url, "/", &self.provider.id].concat(),
        }
    }
}

/// Rewrites one streamed JSON body.
pub(super) struct Rewriter {
    provider: Arc<Provider>,
    /// What takes the place of the provider's own, with escaped slashes and plain.
    public: [String; 2],
    held: BytesMut,
}

impl Rewriter {
    /// None where the provider has nothing to rewrite, or the answer is no plain JSON.
    pub(super) fn new(place: &Place<'_>, is_plain_json: impl FnOnce() -> bool) -> Option<Self> {
        if place.provider.rewrite.members.is_empty() || !is_plain_json() {
            return None;
        }
        let plain = place.public_base();
        let public = [escaped(&plain), plain];
        Some(Self { provider: Arc::clone(place.provider), public, held: BytesMut::new() })
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
        let members = self.provider.rewrite.members.iter();
        let whole = members.clone().filter_map(|member| memchr::memmem::find(bytes, member)).min();
        whole.or_else(|| members.filter_map(|member| begun_at(bytes, member)).min())
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
        let mut members = self.provider.rewrite.members.iter();
        let Some(member) = members.find(|member| from.starts_with(member)) else {
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
        let [escaped, plain] = &self.public;
        let prefixes = self.provider.rewrite.prefixes.iter();
        let plains = prefixes.clone().map(|prefix| (prefix.plain.as_bytes(), plain));
        let escapeds = prefixes.map(|prefix| (prefix.escaped.as_bytes(), escaped));
        for (origin, public) in plains.chain(escapeds) {
            if value.starts_with(origin) {
                let Some(next) = value.get(origin.len()) else { return Judged::More };
                if matches!(next, b'/' | b'\\' | b'?' | b'#' | b'"') {
                    let public = public.as_bytes();
                    return Judged::Replace { keep: at, skip: at + origin.len(), public };
                }
            }
            if origin.starts_with(value) {
                return Judged::More;
            }
        }
        Judged::Pass { keep: at }
    }
}

enum Judged<'a> {
    Replace { keep: usize, skip: usize, public: &'a [u8] },
    Pass { keep: usize },
    More,
}

/// A `Location`: ours where it is this provider's, absolute or by path alone; else as it is.
pub(super) fn location(value: &str, place: &Place<'_>) -> Option<String> {
    let provider = place.provider;
    let public = |rest: &str| [&place.public_base(), rest].concat();
    if value.starts_with('/') && !value.starts_with("//") {
        // Where several hosts differ in their base paths, the longest that fits is meant.
        let bases = provider.hosts.iter().map(|host| host.base.path.as_str());
        let rest = bases.filter_map(|base| value.strip_prefix(base)).min_by_key(|rest| rest.len());
        return rest.map(public);
    }
    provider.rewrite.prefixes.iter().find_map(|prefix| {
        let origin = prefix.plain.as_str();
        // By the scheme of the address that was asked.
        let origin = match value.starts_with("//") {
            true => origin.split_once(':').map_or(origin, |(_scheme, origin)| origin),
            false => origin,
        };
        let rest = value.strip_prefix(origin)?;
        let ends = rest.is_empty() || rest.starts_with(['/', '?', '#']);
        ends.then(|| public(rest))
    })
}

/// A `Link`: every target in angle brackets that is this provider's.
pub(super) fn link(value: &str, place: &Place<'_>) -> Option<String> {
    let mut rewritten = String::with_capacity(value.len());
    let mut rest = value;
    let mut changed = false;
    while let Some((before, after)) = rest.split_once('<') {
        let Some((target, tail)) = after.split_once('>') else { break };
        let ours = location(target, place);
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

    fn provider() -> Arc<Provider> {
        Catalogue::build(&[]).unwrap().get("polygon").unwrap().clone()
    }

    fn place(provider: &Arc<Provider>) -> Place<'_> {
        Place { provider, public_url: "http://g", host_form: None }
    }

    #[test]
    fn named_members_are_rewritten_wherever_the_chunks_are_cut() {
        let provider = provider();
        for step in 1..BODY.len() {
            let mut rewriter = Rewriter::new(&place(&provider), || true).unwrap();
            let mut out = Vec::new();
            for chunk in BODY.as_bytes().chunks(step) {
                out.extend_from_slice(&rewriter.next(Bytes::copy_from_slice(chunk)));
            }
            out.extend_from_slice(&rewriter.last().unwrap_or_default());
            assert_eq!(String::from_utf8(out).unwrap(), WANTED, "step {step}");
        }
    }

    #[test]
    fn locations_and_links_of_the_provider_become_ours_and_foreign_ones_stay() {
        let provider = provider();
        let here = |value| location(value, &place(&provider));
        assert_eq!(here("https://api.polygon.io/v2?x=1").unwrap(), "http://g/polygon/v2?x=1");
        assert_eq!(here("/v2").unwrap(), "http://g/polygon/v2");
        assert_eq!(here("https://evil.example/v2"), None);
        assert_eq!(here("https://api.polygon.io.evil/v2"), None);
        assert_eq!(here("//evil/v2"), None);
        assert_eq!(here("//api.polygon.io/v2?x").unwrap(), "http://g/polygon/v2?x");
        assert_eq!(here("//api.polygon.io.evil/v2"), None);
        let value = "<https://api.polygon.io/p2>; rel=\"next\", <https://x.y/>; rel=\"z\"";
        let wanted = "<http://g/polygon/p2>; rel=\"next\", <https://x.y/>; rel=\"z\"";
        assert_eq!(link(value, &place(&provider)).unwrap(), wanted);
    }
}
