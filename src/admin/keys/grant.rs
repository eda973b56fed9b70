//! Nobody grants above his own role, tier and scopes. Judged whenever a key is made, changed in
//! what it may do, or shown anew; in doubt the answer is no. Must never decide by the caller's role
//! name alone.

use super::super::caller::Caller;
use super::super::refused::Refused;
use crate::client::{Client, Role, Scopes, Tier};
use crate::limiter;
use crate::store::ClientKeyRow;

/// What a key would be allowed.
pub(super) struct Grant<'a> {
    pub(super) role: Role,
    pub(super) tier: Tier,
    pub(super) scopes: Option<&'a [String]>,
    pub(super) limit: Option<u64>,
    pub(super) monthly_quota: Option<u64>,
    pub(super) max_concurrent: Option<u64>,
}

impl<'a> Grant<'a> {
    pub(super) fn of(row: &'a ClientKeyRow) -> Self {
        Self {
            role: row.role,
            tier: row.tier,
            scopes: row.scopes.as_deref(),
            limit: row.quota_limit,
            monthly_quota: row.monthly_quota,
            max_concurrent: row.max_concurrent,
        }
    }
}

/// May this caller touch keys of that role at all?
pub(super) fn may_touch(caller: &Caller, role: Role) -> Result<(), Refused> {
    if caller.role().may_grant(role) {
        return Ok(());
    }
    let (own, other) = (caller.role().as_str(), role.as_str());
    Err(Refused::forbidden(format!("A key of the role {own} may not make or change {other} keys.")))
}

/// May this caller hand out all of that?
pub(super) fn may_grant(
    caller: &Caller,
    grant: &Grant<'_>,
    tiers: &limiter::Settings,
) -> Result<(), Refused> {
    may_touch(caller, grant.role)?;
    let client = match caller {
        Caller::Local => return Ok(()),
        Caller::Key(client) => client,
    };
    let own = &client.rights;
    if grant.tier.rank() > own.tier.rank() {
        return Err(Refused::forbidden("Nobody grants a tier above his own."));
    }
    let granted = quota(grant.limit, grant.tier, tiers);
    if granted > quota(own.limit, own.tier, tiers) {
        return Err(Refused::forbidden("Nobody grants more calls in a window than his own."));
    }
    if is_above(grant.monthly_quota, own.monthly_quota) {
        return Err(Refused::forbidden("Nobody grants more calls in a month than his own."));
    }
    if is_above(grant.max_concurrent, own.max_concurrent) {
        return Err(Refused::forbidden("Nobody grants more calls at once than his own."));
    }
    if !within_scopes(client, grant.scopes) {
        return Err(Refused::forbidden("Nobody grants scopes beyond his own."));
    }
    Ok(())
}

/// None is no limit.
fn is_above(granted: Option<u64>, own: Option<u64>) -> bool {
    own.is_some_and(|own| granted.is_none_or(|granted| granted > own))
}

fn quota(limit: Option<u64>, tier: Tier, tiers: &limiter::Settings) -> u64 {
    limit.unwrap_or(match tier {
        Tier::Unlimited => u64::MAX,
        Tier::Premium => tiers.premium,
        Tier::Standard => tiers.standard,
        Tier::Limited => tiers.limited,
    })
}

fn within_scopes(client: &Client, granted: Option<&[String]>) -> bool {
    let Some(own) = &client.rights.scopes else { return true };
    let Some(granted) = granted else { return false };
    let own: Vec<&str> = own.texts().collect();
    is_within(&own, granted)
}

/// Every rule that allows stands inside one of the granter's, and whatever the granter is denied is
/// denied by the grant as well.
fn is_within(own: &[&str], granted: &[String]) -> bool {
    let rules =
        |texts: Vec<&str>| -> Option<Vec<Rule>> { texts.into_iter().map(Rule::read).collect() };
    let Some(own) = rules(own.to_vec()) else { return false };
    let Some(granted) = rules(granted.iter().map(String::as_str).collect()) else { return false };
    let allowing = |rules: &[Rule]| -> Vec<Rule> {
        rules.iter().filter(|rule| !rule.denies).cloned().collect()
    };
    let denying = |rules: &[Rule]| -> Vec<Rule> {
        rules.iter().filter(|rule| rule.denies).cloned().collect()
    };
    let covered = |inner: &Rule, outers: &[Rule]| outers.iter().any(|outer| outer.covers(inner));
    let (own_allowing, granted_denying) = (allowing(&own), denying(&granted));
    allowing(&granted).iter().all(|rule| covered(rule, &own_allowing))
        && (allowing(&granted).is_empty()
            || denying(&own).iter().all(|rule| covered(rule, &granted_denying)))
}

#[derive(Clone)]
struct Rule {
    denies: bool,
    provider: String,
    methods: Vec<String>,
    segments: Vec<String>,
}

impl Rule {
    /// None for what `Scopes` would not take either.
    fn read(text: &str) -> Option<Self> {
        Scopes::parse(&[text]).ok()?;
        let (denies, body) = match text.strip_prefix('!') {
            Some(body) => (true, body),
            None => (false, text),
        };
        let mut parts = body.splitn(3, ':');
        let (provider, methods, path) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            denies,
            provider: provider.to_owned(),
            methods: methods.split(',').map(str::to_owned).collect(),
            segments: path.strip_prefix('/')?.split('/').map(str::to_owned).collect(),
        })
    }

    /// True only if everything that the inner rule matches is matched by this one.
    fn covers(&self, inner: &Self) -> bool {
        let provider = self.provider == "*" || self.provider == inner.provider;
        let has = |name: &str| self.methods.iter().any(|method| method == name);
        let method = |name: &String| has("*") || has(name) || (name == "HEAD" && has("GET"));
        provider && inner.methods.iter().all(method) && path_covers(&self.segments, &inner.segments)
    }
}

/// Segment by segment; `**` may stand for any number of the inner's, patterns included. Goes
/// through the outer pattern once, with the set of places in the inner that it can have reached.
fn path_covers(outer: &[String], inner: &[String]) -> bool {
    let mut reached = vec![false; inner.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for segment in outer {
        reached = if segment == "**" {
            let first = reached.iter().position(|is_reached| *is_reached);
            (0..reached.len()).map(|place| first.is_some_and(|first| place >= first)).collect()
        } else {
            let step = |(is_reached, head): (&bool, &String)| {
                *is_reached && head != "**" && (segment == "*" || segment == head)
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
        let granted: Vec<String> = granted.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(is_within(own, &granted), expected, "{granted:?} within {own:?}");
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
    }
}
