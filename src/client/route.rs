//! The ways that calls go: a path with what varies in it left out. A ticker, a date, a number or
//! an id becomes `*`; what is too long to tell ends in `**`. Pure text, in the grammar of scopes.
//! Must never leave a path out that was seen: what is made of it covers it, or more.

use std::collections::{BTreeMap, BTreeSet};

use super::scope::path_within;

/// Which way a call went.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Route {
    pub(crate) provider: String,
    pub(crate) method: String,
    /// As in a scope.
    pub(crate) path: String,
}

const ONE: &str = "*";
const ANY: &str = "**";
/// What a record's path ends with where it was cut.
const CUT: char = '…';
/// Deeper than any provider's own paths.
const MOST_SEGMENTS: usize = 16;
const LONGEST_NAME: usize = 64;
/// So many siblings are no names of routes any more.
const SIBLINGS: usize = 12;
/// Paths of so many lengths below one place are a tree.
const LENGTHS: usize = 4;

/// Appends the way of a call's path; nothing here allocates but the text that grows.
pub(crate) fn put_path(out: &mut String, path: &str) {
    let whole = match path.strip_suffix(CUT) {
        // What its last segment was, and what came behind it, nobody knows.
        Some(rest) => rest.rsplit_once('/').map_or("", |(whole, _)| whole),
        None => path,
    };
    let is_cut = whole.len() < path.len();
    let inside = whole.strip_prefix('/').unwrap_or(whole);
    let known = if is_cut && inside.is_empty() { 0 } else { MOST_SEGMENTS };
    for segment in inside.split('/').take(known) {
        out.push('/');
        out.push_str(if varies(segment) { ONE } else { segment });
    }
    if is_cut || inside.split('/').nth(MOST_SEGMENTS).is_some() {
        out.push('/');
        out.push_str(ANY);
    }
}

/// Is it a value rather than a name?
fn varies(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"*%?#\\".contains(byte);
    if segment.len() > LONGEST_NAME || !bytes.iter().all(is_plain) {
        return !segment.is_empty();
    }
    let count = |is: fn(&u8) -> bool| bytes.iter().filter(|byte| is(byte)).count();
    let digits = count(u8::is_ascii_digit);
    let (upper, lower) = (count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase));
    if is_version(bytes) {
        return false;
    }
    // A number or a date, a ticker or a pair, an id.
    (lower == 0 && digits + upper > 0)
        || digits > 3
        || (digits > 0 && upper > 0)
        || (digits > 0 && segment.len() >= 20)
        || is_hexadecimal(bytes)
}

/// `v2`, `v1.5`, `v1beta`.
fn is_version(bytes: &[u8]) -> bool {
    let [b'v', first, rest @ ..] = bytes else { return false };
    let fits = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'.';
    first.is_ascii_digit() && rest.len() <= 6 && rest.iter().all(fits)
}

fn is_hexadecimal(bytes: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
    bytes.len() >= 8 && bytes.iter().any(u8::is_ascii_digit) && bytes.iter().all(fits)
}

impl Route {
    /// Everything that the other one stands for is in this one, too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let method =
            self.method == other.method || (self.method == "GET" && other.method == "HEAD");
        self.provider == other.provider && method && path_within(&other.path, &self.path)
    }

    /// Where there is no room for all of them: the first name, and whatever is below it.
    pub(crate) fn blurred(&self) -> Self {
        let first = self.path.split('/').nth(1).filter(|first| !first.is_empty());
        let path = match first {
            Some(first) if first != ANY && self.path.matches('/').count() > 1 => {
                format!("/{first}/{ANY}")
            }
            Some(_) | None => format!("/{ANY}"),
        };
        Self { path, ..self.clone() }
    }

    /// The widest there is.
    pub(crate) fn anywhere(&self) -> Self {
        Self { path: format!("/{ANY}"), ..self.clone() }
    }
}

/// For each route what it is once those that look alike are one; in their order.
pub(crate) fn gathered(routes: &[Route]) -> Vec<Route> {
    let mut now: Vec<Route> = routes.to_vec();
    loop {
        let before = now.clone();
        for place in 1..=longest(&now) {
            merge(
                &mut now,
                |route| without(route, place),
                |values| values.len() > SIBLINGS || values.contains(ONE),
            );
        }
        for depth in (1..longest(&now)).rev() {
            merge(&mut now, |route| below(route, depth), |lengths| lengths.len() >= LENGTHS);
        }
        if now == before {
            return now;
        }
    }
}

/// Whatever is the same to `alike`, and differs enough in the rest of it, becomes one.
fn merge(
    routes: &mut [Route],
    alike: impl Fn(&Route) -> Option<(Route, String)>,
    are_many: impl Fn(&BTreeSet<String>) -> bool,
) {
    let mut found: BTreeMap<Route, BTreeSet<String>> = BTreeMap::new();
    for (wider, rest) in routes.iter().filter_map(&alike) {
        found.entry(wider).or_default().insert(rest);
    }
    found.retain(|_, rests| are_many(rests));
    for route in routes.iter_mut() {
        if let Some((wider, _)) = alike(route)
            && found.contains_key(&wider)
        {
            *route = wider;
        }
    }
}

/// The route with `*` in that place, and what stood there.
fn without(route: &Route, place: usize) -> Option<(Route, String)> {
    let mut parts = segments(&route.path);
    // What is empty ends a path with a slash, and is no value.
    let part = parts.get_mut(place).filter(|part| !part.is_empty() && **part != ANY)?;
    let value = std::mem::replace(part, ONE).to_owned();
    Some((Route { path: format!("/{}", parts.join("/")), ..route.clone() }, value))
}

/// The route with `**` behind so many segments, and how long it was.
fn below(route: &Route, depth: usize) -> Option<(Route, String)> {
    let parts = segments(&route.path);
    let kept = parts.get(..depth).filter(|_| parts.len() > depth)?;
    let tree = Route { path: format!("/{}/{ANY}", kept.join("/")), ..route.clone() };
    Some((tree, parts.len().to_string()))
}

fn longest(routes: &[Route]) -> usize {
    routes.iter().map(|route| segments(&route.path).len()).max().unwrap_or(0)
}

fn segments(path: &str) -> Vec<&str> {
    path.strip_prefix('/').unwrap_or(path).split('/').collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn way(path: &str) -> String {
        let mut out = String::new();
        put_path(&mut out, path);
        out
    }

    fn route(path: &str) -> Route {
        Route { provider: String::from("p"), method: String::from("GET"), path: path.to_owned() }
    }

    fn paths(routes: &[&str]) -> BTreeSet<String> {
        let routes: Vec<Route> = routes.iter().map(|path| route(path)).collect();
        gathered(&routes).into_iter().map(|route| route.path).collect()
    }

    #[test]
    fn what_varies_in_a_path_is_left_out_and_what_names_a_route_stays() {
        for (path, wanted) in [
            (
                "/v2/aggs/ticker/AAPL/range/1/day/2025-01-01/2025-02-01",
                "/v2/aggs/ticker/*/range/*/day/*/*",
            ),
            ("/v2/aggs/ticker/X:BTCUSD/prev", "/v2/aggs/ticker/*/prev"),
            ("/v1.5/chat/completions", "/v1.5/chat/completions"),
            ("/v1beta/models/gpt-4o", "/v1beta/models/gpt-4o"),
            ("/v1/files/file-abc123XYZ789", "/v1/files/*"),
            ("/o/0198c0de-7a11-7c0d-8e5a-5ea19a7e0001/x", "/o/*/x"),
            ("/oauth2/token", "/oauth2/token"),
            ("/a%20b/c", "/*/c"),
            ("/a/*/b**", "/a/*/*"),
            ("/é/x", "/*/x"),
            ("/v1/", "/v1/"),
            ("/", "/"),
            ("", "/"),
            ("/a//b", "/a//b"),
            ("/v2/aggs/tick…", "/v2/aggs/**"),
            ("/tick…", "/**"),
        ] {
            assert_eq!(way(path), wanted, "{path}");
        }
        assert_eq!(way(&"/a".repeat(17)), format!("{}/**", "/a".repeat(16)));
        assert_eq!(way(&format!("/{}", "a".repeat(65))), "/*");
    }

    #[test]
    fn many_siblings_are_values_and_many_lengths_are_a_tree() {
        let coins: Vec<String> =
            (b'a'..=b'm').map(|c| format!("/coins/{}coin/chart", char::from(c))).collect();
        let coins: Vec<&str> = coins.iter().map(String::as_str).collect();
        assert_eq!(paths(&coins), BTreeSet::from([String::from("/coins/*/chart")]));
        assert_eq!(paths(&coins[..12]).len(), 12);
        let deep = ["/f/a", "/f/a/b", "/f/a/b/c", "/f/a/b/c/d"];
        assert_eq!(paths(&deep), BTreeSet::from([String::from("/f/**")]));
        assert_eq!(paths(&deep[..3]).len(), 3);
        // What stands at the root are names, however many there are.
        let roots: Vec<String> = (b'a'..=b'z').map(|c| format!("/{}x", char::from(c))).collect();
        let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
        assert_eq!(paths(&roots).len(), 26);
    }

    #[test]
    fn a_blurred_route_covers_what_it_was_made_of() {
        for (path, wanted) in [("/a/b/c", "/a/**"), ("/a", "/**"), ("/", "/**"), ("/**", "/**")] {
            let route = route(path);
            assert_eq!(route.blurred().path, wanted, "{path}");
            assert!(route.blurred().covers(&route) && route.anywhere().covers(&route), "{path}");
        }
        let head = Route { method: String::from("HEAD"), ..route("/a") };
        assert!(route("/a").covers(&head) && !head.covers(&route("/a")));
    }

    proptest! {
        #[test]
        fn nothing_that_was_seen_is_left_out(
            found in vec(vec(select(vec!["a", "b", "c", "X", "7", "", "é", "v2"]), 1..7), 1..60),
        ) {
            let paths: Vec<String> = found.iter().map(|path| format!("/{}", path.join("/"))).collect();
            let routes: Vec<Route> = paths.iter().map(|path| route(&way(path))).collect();
            for (wider, path) in gathered(&routes).iter().zip(&paths) {
                let rule = format!("p:GET:{}", wider.path);
                let scopes = super::super::Scopes::parse(&[rule.as_str()]).unwrap();
                let segments: Vec<&str> = path[1..].split('/').collect();
                prop_assert!(scopes.allows("p", "GET", &segments), "{rule} {path}");
                prop_assert_eq!(super::super::Scopes::fault_of(&rule), None);
            }
        }
    }
}
