//! Scopes made narrower by what was used of them: for each route that was gone, the part of a rule
//! that allowed it. For people to look at and to put in force.
//! Must never give more than was held, and never less than what was used of it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::route::{Route, gathered};
use super::{Rule, Scopes, Segment, parse_rule};

/// What a client key holds beside what it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Narrowed {
    /// The scopes that allow what was used, and deny what was denied.
    pub(crate) scopes: Vec<String>,
    /// Rules of those held that nothing that was used needs.
    pub(crate) unused: Vec<String>,
}

/// Of patterns with many `**` there are more readings than anybody needs: then the rule stays.
const MOST_STEPS: usize = 4_000;
const MOST_READINGS: usize = 32;

impl Scopes {
    /// None where nothing is narrower than what is held. `used` is every route that was gone.
    pub(crate) fn narrowed(&self, used: &[Route]) -> Option<Narrowed> {
        let gathered: BTreeSet<Route> = gathered(used).into_iter().collect();
        let mut methods: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        let mut needed = BTreeSet::new();
        for route in &gathered {
            for (at, rule) in self.rules.iter().enumerate().filter(|(_, rule)| !rule.denies) {
                let met = rule.met_by(route);
                if !met.is_empty() {
                    needed.insert(at);
                }
                for path in met {
                    let way = (route.provider.clone(), path);
                    methods.entry(way).or_default().insert(route.method.clone());
                }
            }
        }
        let allowing = without_covered(rules_of(&methods));
        let denied = self.rules.iter().filter(|rule| rule.denies).map(|rule| rule.text.clone());
        let scopes: Vec<String> = allowing.into_iter().chain(denied).collect();
        let narrow = Self::parse(&scopes).ok()?;
        let is_narrower = self.cover(&narrow) && !narrow.allow_all_that(self);
        let unused = self.rules.iter().enumerate();
        let unused = unused.filter(|(at, rule)| !rule.denies && !needed.contains(at));
        let unused = unused.map(|(_, rule)| rule.text.clone()).collect();
        is_narrower.then_some(Narrowed { scopes, unused })
    }
}

impl Rule {
    /// The paths that are both in this rule and in the route.
    fn met_by(&self, route: &Route) -> Vec<String> {
        if !self.provider_fits(&route.provider) || !self.method_fits(&route.method) {
            return Vec::new();
        }
        let Ok(other) = parse_rule(&format!("*:*:{}", route.path)) else { return Vec::new() };
        let mut meeting = Meeting { steps: 0, found: BTreeSet::new() };
        meeting.walk(&self.path, &other.path, &mut Vec::new());
        if meeting.steps > MOST_STEPS || meeting.found.len() > MOST_READINGS {
            // More than that: as it is held.
            return vec![written(&self.path)];
        }
        meeting.found.into_iter().collect()
    }
}

/// Two patterns, walked together.
struct Meeting {
    steps: usize,
    found: BTreeSet<String>,
}

impl Meeting {
    /// Everything that fits both, behind what was walked already.
    fn walk(&mut self, one: &[Segment], other: &[Segment], walked: &mut Vec<Segment>) {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return;
        }
        match (one.split_first(), other.split_first()) {
            (None, None) => {
                self.found.insert(written(walked));
            }
            (Some((Segment::Any, rest)), Some((Segment::Any, others))) => {
                self.step(Segment::Any, (rest, other), walked);
                self.step(Segment::Any, (one, others), walked);
            }
            (Some((Segment::Any, rest)), others) => {
                self.walk(rest, other, walked);
                if let Some((head, tail)) = others {
                    self.step(head.clone(), (one, tail), walked);
                }
            }
            (others, Some((Segment::Any, rest))) => {
                self.walk(one, rest, walked);
                if let Some((head, tail)) = others {
                    self.step(head.clone(), (tail, other), walked);
                }
            }
            (Some((head, tail)), Some((with, rest))) => {
                let both = match (head, with) {
                    (Segment::One, any) | (any, Segment::One) => Some(any.clone()),
                    (left, right) => (left == right).then(|| left.clone()),
                };
                if let Some(both) = both {
                    self.step(both, (tail, rest), walked);
                }
            }
            (None, Some(_)) | (Some(_), None) => {}
        }
    }

    fn step(
        &mut self,
        segment: Segment,
        (one, other): (&[Segment], &[Segment]),
        walked: &mut Vec<Segment>,
    ) {
        // Two in a row say what one says.
        let is_new = segment != Segment::Any || walked.last() != Some(&Segment::Any);
        if is_new {
            walked.push(segment);
        }
        self.walk(one, other, walked);
        if is_new {
            walked.pop();
        }
    }
}

/// One rule for all methods of a path; whoever may GET may HEAD.
fn rules_of(methods: &BTreeMap<(String, String), BTreeSet<String>>) -> Vec<String> {
    let rule = |((provider, path), methods): (&(String, String), &BTreeSet<String>)| {
        let reads = methods.contains("GET");
        let named = methods.iter().filter(|method| !(reads && *method == "HEAD"));
        let named: Vec<&str> = named.map(String::as_str).collect();
        format!("{provider}:{}:{path}", named.join(","))
    };
    methods.iter().map(rule).collect()
}

/// Without rules that another one says, too; of two that say the same the first stays.
fn without_covered(texts: Vec<String>) -> Vec<String> {
    let rules: Vec<Option<Rule>> = texts.iter().map(|text| parse_rule(text).ok()).collect();
    let is_said = |at: usize, rule: &Rule| {
        rules.iter().enumerate().any(|(by, other)| {
            let Some(other) = other else { return false };
            by != at && other.covers(rule) && (by < at || !rule.covers(other))
        })
    };
    let kept = texts
        .iter()
        .zip(&rules)
        .enumerate()
        .filter(|(at, (_, rule))| rule.as_ref().is_some_and(|rule| !is_said(*at, rule)));
    kept.map(|(_, (text, _))| text.clone()).collect()
}

/// As it is written in a scope.
fn written(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        text.push('/');
        match segment {
            Segment::Any => text.push_str("**"),
            Segment::One => text.push('*'),
            Segment::Exactly(name) => name.bytes().for_each(|byte| put_byte(&mut text, byte)),
        }
    }
    text
}

fn put_byte(text: &mut String, byte: u8) {
    if byte.is_ascii_graphic() && !b"*%?#/".contains(&byte) {
        text.push(char::from(byte));
    } else {
        text.push_str(&format!("%{byte:02X}"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn route(text: &str) -> Route {
        let mut parts = text.splitn(3, ' ').map(str::to_owned);
        let mut next = || parts.next().unwrap();
        Route { provider: next(), method: next(), path: next() }
    }

    fn narrowed(held: &[&str], used: &[&str]) -> Option<(Vec<String>, Vec<String>)> {
        let used: Vec<Route> = used.iter().map(|text| route(text)).collect();
        let found = Scopes::parse(held).unwrap().narrowed(&used)?;
        Some((found.scopes, found.unused))
    }

    fn check(held: &[&str], used: &[&str], scopes: &[&str], unused: &[&str]) {
        let found = narrowed(held, used).unwrap();
        assert_eq!((found.0, found.1), (scopes.map_to(), unused.map_to()));
    }

    trait MapTo {
        fn map_to(&self) -> Vec<String>;
    }

    impl MapTo for &[&str] {
        fn map_to(&self) -> Vec<String> {
            self.iter().map(|text| (*text).to_owned()).collect()
        }
    }

    #[test]
    fn what_was_used_of_a_rule_is_the_narrower_rule() {
        check(
            &["*:*:/**"],
            &["polygon GET /v2/aggs/*", "polygon HEAD /v2/aggs/*", "polygon GET /v3/x"],
            &["polygon:GET:/v2/aggs/*", "polygon:GET:/v3/x"],
            &[],
        );
        check(
            &["polygon:GET:/v2/aggs/ticker/AAPL/**", "fmp:GET:/**"],
            &["polygon GET /v2/aggs/ticker/*/range/*/day/*/*"],
            &["polygon:GET:/v2/aggs/ticker/AAPL/range/*/day/*/*"],
            &["fmp:GET:/**"],
        );
        check(
            &["openai:GET,POST:/v1/**"],
            &["openai GET /v1/models", "openai POST /v1/models", "openai POST /v1/chat/**"],
            &["openai:POST:/v1/chat/**", "openai:GET,POST:/v1/models"],
            &[],
        );
    }

    #[test]
    fn what_is_denied_stays_denied_and_what_is_as_narrow_as_can_be_stays_as_it_is() {
        check(
            &["a:*:/**", "!a:*:/v1/organization/**"],
            &["a GET /v1/models"],
            &["a:GET:/v1/models", "!a:*:/v1/organization/**"],
            &[],
        );
        assert_eq!(narrowed(&["a:GET:/v1/models"], &["a GET /v1/models"]), None);
        assert_eq!(narrowed(&["a:GET:/v1/*"], &["a GET /v1/*", "a HEAD /v1/*"]), None);
        assert_eq!(narrowed(&["a:GET:/**"], &["a GET /**"]), None);
        // What a caller asked for in vain is no use of it.
        check(&["a:GET:/x", "a:GET:/y"], &["a GET /x", "b GET /x"], &["a:GET:/x"], &["a:GET:/y"]);
    }

    #[test]
    fn a_name_that_is_written_in_another_way_stays_that_name() {
        check(&["a:GET:/b%20c/%2A/**"], &["a GET /*/*/x"], &["a:GET:/b%20c/%2A/x"], &[]);
    }

    #[test]
    fn no_pattern_makes_it_dear() {
        let held = "a:GET:/**/a/**/a/**/a/**/a/**/a/**/a/**/b";
        let used = format!("a GET {}/**", "/a".repeat(16));
        let found = narrowed(&[held, "c:GET:/x"], &[&used]).unwrap();
        assert_eq!(found, (vec![held.to_owned()], vec![String::from("c:GET:/x")]));
    }

    proptest! {
        /// Whatever was allowed and seen is allowed by the narrower list, and nothing else than was
        /// held.
        #[test]
        fn it_allows_all_that_was_used_and_nothing_that_was_not_held(
            held in vec(vec(select(vec!["a", "b", "*", "**", "X"]), 1..5), 1..4),
            denied in vec(vec(select(vec!["a", "b", "*"]), 1..4), 0..2),
            calls in vec(vec(select(vec!["a", "b", "c", "X", "Y", "7"]), 1..6), 1..12),
            others in vec(vec(select(vec!["a", "b", "c", "X", "Y", "7"]), 1..6), 1..12),
        ) {
            let held = held.iter().map(|path| format!("p:GET:/{}", path.join("/")));
            let denied = denied.iter().map(|path| format!("!p:*:/{}", path.join("/")));
            let held: Vec<String> = held.chain(denied).collect();
            let scopes = Scopes::parse(&held).unwrap();
            let seen: Vec<_> = calls.iter().filter(|path| scopes.allows("p", "GET", path)).collect();
            let used: Vec<Route> = seen.iter().map(|path| {
                let mut way = String::new();
                super::super::super::route::put_path(&mut way, &format!("/{}", path.join("/")));
                route(&format!("p GET {way}"))
            }).collect();
            if let Some(narrow) = scopes.narrowed(&used) {
                let new = Scopes::parse(&narrow.scopes).unwrap();
                for path in seen {
                    prop_assert!(new.allows("p", "GET", path), "{path:?} {held:?} {narrow:?}");
                }
                for path in &others {
                    let is_held = scopes.allows("p", "GET", path);
                    prop_assert!(!new.allows("p", "GET", path) || is_held, "{path:?} {narrow:?}");
                }
                prop_assert!(narrow.scopes.iter().all(|text| Scopes::fault_of(text).is_none()));
            }
        }
    }
}
