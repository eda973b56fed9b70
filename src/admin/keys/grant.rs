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
    // What cannot be read is not within anything.
    granted.and_then(|texts| Scopes::parse(texts).ok()).is_some_and(|granted| own.cover(&granted))
}
