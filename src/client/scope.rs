//! Scopes: `provider:METHODS:/path/pattern`, with a leading `!` to deny. Compiled once, matched on
//! path segments that were decoded once; what denies also on the path's canonical form. Must never
//! match by prefix of text: a segment is a segment.

mod canonical;
mod cover;
mod futile;
mod narrow;

pub(super) use self::canonical::decoded;
pub(super) use self::cover::path_within;
pub(crate) use self::narrow::Narrowed;

/// A set of rules, deny before allow; empty allows nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scopes {
    rules: Vec<Rule>,
}

/// Why a scope text is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadScope {
    pub scope: String,
    pub fault: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Rule {
    text: String,
    denies: bool,
    /// None: any provider.
    provider: Option<String>,
    /// None: any method.
    methods: Option<Vec<String>>,
    path: Vec<Segment>,
    /// Of a rule that denies: what its path is compared with in a path's canonical form.
    canonical: Vec<Segment>,
}

/// The rule that decides about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decided<'a> {
    pub(crate) rule: &'a str,
    pub(crate) allows: bool,
    /// It denies another spelling of this path.
    pub(crate) respelt: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Segment {
    Exactly(String),
    One,
    Any,
}

impl Scopes {
    pub(crate) fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, BadScope> {
        let rules = texts.iter().map(|text| parse_rule(text.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// The rules as they were written.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.text.as_str())
    }

    /// The rule that decides: a denying one if any matches, else the first allowing one. Whatever a
    /// provider may take for a denied path is denied; an allowance is for the path as it is.
    pub(crate) fn decide(
        &self,
        provider: &str,
        method: &str,
        segments: &[&str],
    ) -> Option<Decided<'_>> {
        if let Some((rule, respelt)) = self.denial(provider, method, segments) {
            return Some(Decided { rule: &rule.text, allows: false, respelt });
        }
        let allowing = |rule: &&Rule| !rule.denies && rule.matches(provider, method, segments);
        let rule = self.rules.iter().find(allowing)?;
        Some(Decided { rule: &rule.text, allows: true, respelt: false })
    }

    pub(crate) fn allows(&self, provider: &str, method: &str, segments: &[&str]) -> bool {
        self.decide(provider, method, segments).is_some_and(|decided| decided.allows)
    }

    fn denial(&self, provider: &str, method: &str, segments: &[&str]) -> Option<(&Rule, bool)> {
        let concerns = |rule: &&Rule| {
            rule.denies && rule.provider_fits(provider) && rule.method_fits_in_any_case(method)
        };
        let rules = || self.rules.iter().filter(concerns);
        if let Some(rule) = rules().find(|rule| path_fits(&rule.path, segments)) {
            return Some((rule, false));
        }
        // Most keys deny nothing: then nothing is spelt anew.
        rules().next()?;
        let readings = canonical::readings(segments);
        let is_denied = |rule: &&Rule| readings.iter().any(|path| path_fits(&rule.canonical, path));
        rules().find(is_denied).map(|rule| (rule, true))
    }
}

impl Rule {
    fn matches(&self, provider: &str, method: &str, segments: &[&str]) -> bool {
        self.provider_fits(provider) && self.method_fits(method) && path_fits(&self.path, segments)
    }

    fn provider_fits(&self, provider: &str) -> bool {
        self.provider.as_ref().is_none_or(|wanted| wanted == provider)
    }

    /// Some servers take `get` for GET.
    fn method_fits_in_any_case(&self, method: &str) -> bool {
        self.method_fits(method) || self.method_fits(&method.to_ascii_uppercase())
    }

    fn method_fits(&self, method: &str) -> bool {
        let Some(methods) = &self.methods else { return true };
        methods.iter().any(|wanted| wanted == method || (wanted == "GET" && method == "HEAD"))
    }
}

/// Goes back to the last `**` alone, which may take one more segment: what an earlier one took
/// cannot help where that fails. So the work is at most the one length times the other.
fn path_fits<T: AsRef<str>>(pattern: &[Segment], segments: &[T]) -> bool {
    let (mut wanted, mut found) = (0, 0);
    // What stands behind the last `**`, and where it was tried.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let fits = match (pattern.get(wanted), segments.get(found)) {
            (Some(Segment::Any), _) => {
                wanted += 1;
                if wanted == pattern.len() {
                    return true;
                }
                retry = Some((wanted, found));
                continue;
            }
            (Some(Segment::One), Some(_)) => true,
            (Some(Segment::Exactly(text)), Some(segment)) => segment.as_ref() == text,
            (None, None) => return true,
            (None, Some(_)) | (Some(Segment::One | Segment::Exactly(_)), None) => false,
        };
        if fits {
            (wanted, found) = (wanted + 1, found + 1);
            continue;
        }
        match &mut retry {
            Some((behind, tried)) if *tried < segments.len() => {
                *tried += 1;
                (wanted, found) = (*behind, *tried);
            }
            Some(_) | None => return false,
        }
    }
}

fn parse_rule(text: &str) -> Result<Rule, BadScope> {
    let bad = |fault| BadScope { scope: text.to_owned(), fault };
    // A signed token names its scopes in one line, parted by blanks: other services would read two.
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(bad("a scope has no blanks; write one in a path as %20"));
    }
    let (denies, body) = match text.strip_prefix('!') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut parts = body.splitn(3, ':');
    let (Some(provider), Some(methods), Some(path)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(bad("a scope is provider:METHODS:/path, for example polygon:GET:/v2/aggs/**"));
    };
    let methods = parse_methods(methods).ok_or_else(|| {
        bad("methods are upper-case names joined by commas, or * for all of them")
    })?;
    let path = path.strip_prefix('/').ok_or_else(|| bad("the path begins with /"))?;
    let path = parse_path(path).ok_or_else(|| bad("at most eight ** in one path"))?;
    let provider = match provider {
        "*" => None,
        "" => return Err(bad("the provider is missing; * means any")),
        named => Some(named.to_owned()),
    };
    let canonical = if denies { canonical::pattern(&path) } else { Vec::new() };
    Ok(Rule { text: text.to_owned(), denies, provider, methods, path, canonical })
}

#[expect(clippy::option_option, reason = "the outer one is failure, the inner one is 'any method'")]
fn parse_methods(text: &str) -> Option<Option<Vec<String>>> {
    if text == "*" {
        return Some(None);
    }
    let methods: Vec<String> = text.split(',').map(str::to_owned).collect();
    let is_name =
        |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase());
    methods.iter().all(is_name).then_some(Some(methods))
}

/// Bounded in `**`: more of them than that mean nothing that anybody wants.
fn parse_path(path: &str) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        let next = match segment {
            "**" => Segment::Any,
            "*" => Segment::One,
            named => Segment::Exactly(canonical::decoded_once(named)),
        };
        if next != Segment::Any || segments.last() != Some(&Segment::Any) {
            segments.push(next);
        }
    }
    let wild = segments.iter().filter(|segment| **segment == Segment::Any).count();
    (wild <= 8).then_some(segments)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn check(scopes: &[&str], provider: &str, method: &str, path: &str, allowed: bool) {
        let scopes = Scopes::parse(scopes).unwrap();
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        assert_eq!(
            scopes.allows(provider, method, &segments),
            allowed,
            "{provider} {method} {path}"
        );
    }

    #[test]
    fn a_scope_allows_its_provider_method_and_path_and_nothing_else() {
        let scopes = ["polygon:GET:/v2/aggs/**"];
        check(&scopes, "polygon", "GET", "/v2/aggs/ticker/AAPL", true);
        check(&scopes, "polygon", "HEAD", "/v2/aggs/ticker/AAPL", true);
        check(&scopes, "polygon", "POST", "/v2/aggs/ticker/AAPL", false);
        check(&scopes, "massive", "GET", "/v2/aggs/ticker/AAPL", false);
        check(&scopes, "polygon", "GET", "/v2/aggsx", false);
        check(&scopes, "polygon", "GET", "/v3/aggs/x", false);
    }

    #[test]
    fn a_denial_wins_over_an_allowance_wherever_it_stands() {
        let scopes = ["*:*:/**", "!openai:*:/v1/organization/**"];
        check(&scopes, "openai", "POST", "/v1/chat/completions", true);
        check(&scopes, "openai", "GET", "/v1/organization/projects", false);
    }

    #[test]
    fn an_empty_list_allows_nothing_and_a_star_is_one_segment() {
        check(&[], "polygon", "GET", "/v2", false);
        check(&["*:GET:/v2/*/x"], "a", "GET", "/v2/y/x", true);
        check(&["*:GET:/v2/*/x"], "a", "GET", "/v2/y/z/x", false);
        check(&["*:GET:/v2/**/x"], "a", "GET", "/v2/y/z/x", true);
    }

    #[test]
    fn a_blank_in_a_pattern_is_written_as_in_a_path() {
        let scopes = Scopes::parse(&["p:GET:/a%20b/%2A"]).unwrap();
        assert!(scopes.allows("p", "GET", &["a b", "*"]));
        assert!(
            !scopes.allows("p", "GET", &["a%20b", "*"])
                && !scopes.allows("p", "GET", &["a b", "c"])
        );
    }

    /// As the words say it, whatever it costs.
    fn fits_by_trying(pattern: &[Segment], segments: &[&str]) -> bool {
        let Some((first, rest)) = pattern.split_first() else { return segments.is_empty() };
        match (first, segments.split_first()) {
            (Segment::Any, None) => fits_by_trying(rest, segments),
            (Segment::Any, Some((_, tail))) => {
                fits_by_trying(rest, segments) || fits_by_trying(pattern, tail)
            }
            (_, None) => false,
            (Segment::One, Some((_, tail))) => fits_by_trying(rest, tail),
            (Segment::Exactly(text), Some((head, tail))) => {
                head == text && fits_by_trying(rest, tail)
            }
        }
    }

    proptest! {
        #[test]
        fn a_pattern_fits_what_its_words_say(
            pattern in vec(select(vec!["a", "b", "*", "**"]), 1..7),
            path in vec(select(vec!["a", "b", "c"]), 0..9),
        ) {
            let pattern = parse_path(&pattern.join("/")).unwrap();
            prop_assert_eq!(path_fits(&pattern, &path), fits_by_trying(&pattern, &path));
        }
    }

    #[test]
    fn no_path_makes_matching_dear() {
        let clock = crate::clock::Clock::system();
        let path = vec!["a"; 30_000];
        for text in ["/**/a/**/a/**/a/**/a/**/a/**/a/**/a/b", "/**/a/*/a/*/a/b"] {
            for rule in [format!("echo:GET:{text}"), format!("!echo:*:{text}")] {
                let scopes = Scopes::parse(&[rule]).unwrap();
                let before = clock.monotonic_ns();
                assert!(!scopes.allows("echo", "GET", &path));
                let took_ms = (clock.monotonic_ns() - before) / 1_000_000;
                assert!(took_ms < 500, "{text}: {took_ms} ms");
            }
        }
    }

    #[test]
    fn what_is_no_scope_says_why() {
        for text in ["polygon", "polygon:GET", "polygon:get:/x", "polygon:GET:x", ":GET:/x"] {
            assert!(Scopes::parse(&[text]).is_err(), "{text}");
        }
    }
}
