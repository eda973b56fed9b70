//! Is everything that one list of scopes allows allowed by another? Asked wherever somebody hands
//! out what he has: client keys and tokens. In doubt the answer is no. Must never compare texts:
//! two rules that mean the same are the same.

use super::{Rule, Scopes, Segment, parse_path};

impl Scopes {
    /// Every rule of the other list that allows stands inside one of these. What these deny is not
    /// looked at: for lists of which both are asked at every call.
    pub(crate) fn allow_all_that(&self, granted: &Self) -> bool {
        granted.allowing().all(|inner| self.allowing().any(|outer| outer.covers(inner)))
    }

    /// The same, and whatever is denied here is denied by the other list as well: for a list that
    /// will be asked alone.
    pub(crate) fn cover(&self, granted: &Self) -> bool {
        let denied_too = |own: &Rule| granted.denying().any(|theirs| theirs.denies_all_of(own));
        self.allow_all_that(granted)
            && (granted.allowing().next().is_none() || self.denying().all(denied_too))
    }

    /// The scopes of a list that allows what both allow, for whoever wants to see one list: the
    /// narrower of each two rules, and all that either denies. Rules that merely overlap are left
    /// out, so that it never says more than is true.
    pub(crate) fn met(&self, other: &Self) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        let within = |inner: &Self, outer: &Self| {
            let covered =
                inner.allowing().filter(|rule| outer.allowing().any(|by| by.covers(rule)));
            covered.map(|rule| rule.text.clone()).collect::<Vec<String>>()
        };
        let denied = self.denying().chain(other.denying()).map(|rule| rule.text.clone());
        for text in within(other, self).into_iter().chain(within(self, other)).chain(denied) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts
    }

    fn allowing(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| !rule.denies)
    }

    fn denying(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.denies)
    }
}

impl Rule {
    /// True only if everything that the inner rule matches is matched by this one.
    pub(super) fn covers(&self, inner: &Self) -> bool {
        let provider = self.provider.is_none() || self.provider == inner.provider;
        let methods = match (&self.methods, &inner.methods) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(names)) => names.iter().all(|name| self.method_fits(name)),
        };
        provider && methods && path_covers(&self.path, &inner.path)
    }

    /// The same for two rules that deny, whatever the spelling.
    fn denies_all_of(&self, own: &Self) -> bool {
        self.covers(own) && path_covers(&self.canonical, &own.canonical)
    }
}

/// Is every path of the inner pattern one of the outer's, too?
pub(in super::super) fn path_within(inner: &str, outer: &str) -> bool {
    let parsed = |text: &str| parse_path(text.strip_prefix('/').unwrap_or(text));
    match (parsed(outer), parsed(inner)) {
        (Some(outer), Some(inner)) => path_covers(&outer, &inner),
        (_, _) => false,
    }
}

/// Segment by segment; `**` may stand for any number of the inner's, patterns included. Goes
/// through the outer pattern once, with the set of places in the inner that it can have reached.
fn path_covers(outer: &[Segment], inner: &[Segment]) -> bool {
    let mut reached = vec![false; inner.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for segment in outer {
        reached = if *segment == Segment::Any {
            let first = reached.iter().position(|is_reached| *is_reached);
            (0..reached.len()).map(|place| first.is_some_and(|first| place >= first)).collect()
        } else {
            let step = |(is_reached, head): (&bool, &Segment)| {
                *is_reached
                    && *head != Segment::Any
                    && (*segment == Segment::One || segment == head)
            };
            std::iter::once(false).chain(reached.iter().zip(inner).map(step)).collect()
        };
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(own: &[&str], granted: &[&str], expected: bool) {
        let scopes = |texts| Scopes::parse(texts).unwrap();
        assert_eq!(scopes(own).cover(&scopes(granted)), expected, "{granted:?} within {own:?}");
    }

    #[test]
    fn a_grant_stands_inside_what_its_granter_has() {
        let own = ["polygon:GET,POST:/v2/**", "openai:*:/**"];
        check(&own, &["polygon:GET:/v2/aggs/**"], true);
        check(&own, &["polygon:HEAD:/v2/*"], true);
        check(&own, &["openai:DELETE:/v1/files/*"], true);
        check(&own, &[], true);
        check(&own, &["polygon:DELETE:/v2/x"], false);
        check(&own, &["polygon:*:/v2/x"], false);
        check(&own, &["polygon:GET:/v3/x"], false);
        check(&own, &["polygon:GET:/**"], false);
        check(&own, &["*:GET:/v2/**"], false);
        check(&["*:GET:/v2/*"], &["polygon:GET:/v2/**"], false);
        check(&["*:GET:/v2/*"], &["polygon:GET:/v2/x"], true);
        check(&["*:GET:/**/x"], &["polygon:GET:/a/b/x"], true);
        check(&["*:GET:/**/x"], &["polygon:GET:/a/b/y"], false);
    }

    #[test]
    fn what_the_granter_is_denied_is_denied_to_the_grant_too() {
        let own = ["openai:*:/**", "!openai:*:/v1/organization/**"];
        check(&own, &["openai:GET:/v1/models"], false);
        check(&own, &["openai:GET:/v1/models", "!openai:*:/v1/organization/**"], true);
        check(&own, &["openai:GET:/v1/models", "!openai:*:/**"], true);
        check(&own, &["openai:GET:/v1/models", "!openai:GET:/v1/organization/**"], false);
        let (own, granted) = (Scopes::parse(&own).unwrap(), ["openai:GET:/v1/models"]);
        assert!(own.allow_all_that(&Scopes::parse(&granted).unwrap()));
    }

    #[test]
    fn two_lists_meet_in_what_both_allow() {
        let check = |one: &[&str], other: &[&str], expected: &[&str]| {
            let (one, other) = (Scopes::parse(one).unwrap(), Scopes::parse(other).unwrap());
            assert_eq!(one.met(&other), expected);
        };
        let own = ["a:GET:/v1/**", "!a:GET:/v1/x"];
        check(&own, &["a:GET:/v1/y"], &["a:GET:/v1/y", "!a:GET:/v1/x"]);
        check(&own, &["*:*:/**"], &["a:GET:/v1/**", "!a:GET:/v1/x"]);
        check(&own, &["b:GET:/v1/**"], &["!a:GET:/v1/x"]);
        check(&own, &own, &own);
    }

    #[test]
    fn a_denial_of_the_granter_is_passed_on_for_every_spelling() {
        let own = Scopes::parse(&["a:*:/**", "!a:*:/v1/"]).unwrap();
        let granted = |denial| Scopes::parse(&["a:GET:/**", denial]).unwrap();
        assert!(own.cover(&granted("!a:*:/v1/")));
        // In canonical form the last, empty segment of `/v1/` is gone, and `*` is one segment.
        assert!(!own.cover(&granted("!a:*:/v1/*")));
    }
}
