//! Nobody grants above his own role, tier and scopes, nor past his own end and networks where the
//! key could grant in its turn. Judged whenever a key is made, changed in what it may do, or shown
//! anew; in doubt the answer is no. Must never decide by the caller's role name alone.

use super::super::caller::Caller;
use super::super::refused::Refused;
use crate::client::{Client, Networks, Right, Role, Scopes, Tier};
use crate::clock::rfc3339;
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
    pub(super) expires_at: Option<i64>,
    pub(super) allowed_ips: Option<&'a [String]>,
    pub(super) allowed_origins: Option<&'a [String]>,
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
            expires_at: row.expires_at,
            allowed_ips: row.allowed_ips.as_deref(),
            allowed_origins: row.allowed_origins.as_deref(),
        }
    }
}

/// What bounds the maker bounds what it makes: taken over where nothing is said of it. For keys
/// that can hand out keys themselves; an operator in an office makes keys for servers elsewhere.
pub(super) fn take_over_bounds(caller: &Caller, row: &mut ClientKeyRow, unsaid: Unsaid) {
    let Caller::Key(client) = caller else { return };
    if !may_hand_out(row.role) {
        return;
    }
    let own = &client.rights;
    if unsaid.expires_at && row.expires_at.is_none() {
        row.expires_at = client.expires_at_ms;
    }
    if unsaid.allowed_ips && row.allowed_ips.is_none() {
        row.allowed_ips = own.allowed_ips.as_ref().map(Networks::texts);
    }
    if unsaid.allowed_origins && row.allowed_origins.is_none() {
        row.allowed_origins.clone_from(&own.allowed_origins);
    }
}

/// Which bounds a request says nothing of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsaid {
    pub(super) expires_at: bool,
    pub(super) allowed_ips: bool,
    pub(super) allowed_origins: bool,
}

/// Can a key of this role make or change keys?
pub(super) fn may_hand_out(role: Role) -> bool {
    role.may(Right::Operate) || role.may(Right::Administer)
}

/// May this caller touch keys of that role at all?
pub(super) fn may_touch(caller: &Caller, role: Role) -> Result<(), Refused> {
    if caller.role().may_grant(role) {
        return Ok(());
    }
    let (own, other) = (caller.role().as_str(), role.as_str());
    let what = caller.what();
    Err(Refused::forbidden(format!(
        "{what} of the role {own} may not make or change {other} keys."
    )))
}

/// May this caller hand out all of that?
pub(super) fn may_grant(
    caller: &Caller,
    grant: &Grant<'_>,
    tiers: &limiter::Settings,
) -> Result<(), Refused> {
    may_touch(caller, grant.role)?;
    let client = match caller {
        // Neither has a tier, scopes, an end or networks that could bound what he hands out.
        Caller::Local | Caller::Operator(_) => return Ok(()),
        Caller::Key(client) | Caller::ByKey(client, _) => client,
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
    if may_hand_out(grant.role) { within_bounds(client, grant) } else { Ok(()) }
}

/// A key that can make keys would be a way around what bounds its maker.
fn within_bounds(client: &Client, grant: &Grant<'_>) -> Result<(), Refused> {
    let own = &client.rights;
    if let Some(end) = client.expires_at_ms
        && grant.expires_at.is_none_or(|granted| granted > end)
    {
        let end = rfc3339(end);
        return Err(Refused::forbidden(format!(
            "Your key ends at {end}, and an admin or operator key that it makes or changes ends no \
             later: send an expires_at up to that time, or use a key without an end."
        )));
    }
    if let Some(networks) = &own.allowed_ips
        && !grant.allowed_ips.is_some_and(|granted| lie_within(networks, granted))
    {
        return Err(Refused::forbidden(format!(
            "Your key is bound to {}, and an admin or operator key that it makes or changes stays \
             within these: send such allowed_ips, or use a key that is not bound.",
            list(&networks.texts())
        )));
    }
    if let Some(origins) = &own.allowed_origins
        && !grant.allowed_origins.is_some_and(|all| all.iter().all(|one| origins.contains(one)))
    {
        return Err(Refused::forbidden(format!(
            "Your key is bound to pages of {}, and so is an admin or operator key that it makes or \
             changes: send such allowed_origins, or use a key that is not bound.",
            list(origins)
        )));
    }
    Ok(())
}

fn lie_within(networks: &Networks, granted: &[String]) -> bool {
    Networks::parse(granted).is_ok_and(|granted| networks.cover(&granted))
}

fn list(texts: &[String]) -> String {
    if texts.is_empty() { String::from("nothing") } else { texts.join(", ") }
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
