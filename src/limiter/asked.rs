//! What a caller may: his limits, from his tier, his key and what he shows for himself. Pure.
//! Must never give a token or a visitor of a page a limit that stands outside that of its key or
//! page.

use std::net::IpAddr;

use uuid::Uuid;

use super::{Settings, UNLIMITED};
use crate::client::{Client, Shows, Tier};
use crate::quota::{Limits, Quota};
use crate::refusal::LimitKind;

/// Who asks, and what his limits are.
pub(super) struct Asked<'a> {
    pub(super) client: &'a Client,
    /// Of the client key, or of all visitors of a page together.
    pub(super) limits: Limits,
    /// A token's own, or those of one visitor: they hold within the others.
    pub(super) within: Option<(Within, Limits)>,
}

#[derive(Clone, Copy)]
pub(super) enum Within {
    Token(Uuid),
    Address(IpAddr),
}

impl Asked<'_> {
    /// What the limits within are called, where there are any, and those around them.
    pub(super) fn kinds(&self) -> (Option<(LimitKind, Limits)>, LimitKind) {
        match self.within {
            None => (None, LimitKind::Client),
            Some((Within::Token(_), narrow)) => {
                (Some((LimitKind::Client, narrow)), LimitKind::Client)
            }
            Some((Within::Address(_), narrow)) => {
                (Some((LimitKind::Address, narrow)), LimitKind::Origin)
            }
        }
    }
}

impl Settings {
    pub(super) fn asked<'a>(&self, client: &'a Client, address: IpAddr) -> Asked<'a> {
        let rights = &client.rights;
        let own = rights.limit.map(|calls| self.window(calls, false));
        let of_tier = self.of_tier(rights.tier);
        let (window, within) = match &client.shows {
            Shows::Key => (own.unwrap_or(of_tier), None),
            Shows::Token(token) => {
                let narrow = token.tier.map(|tier| self.of_tier(tier));
                let narrow = narrow.filter(|quota| !quota.unlimited);
                let within = narrow.map(|quota| (Within::Token(token.id), quota));
                (own.unwrap_or(of_tier), within)
            }
            Shows::Page => {
                let unbounded = self.window(UNLIMITED, true);
                (own.unwrap_or(unbounded), Some((Within::Address(address), of_tier)))
            }
        };
        Asked {
            client,
            limits: Limits {
                window,
                concurrent: rights.max_concurrent,
                monthly: rights.monthly_quota,
            },
            within: within.map(|(within, quota)| (within, Limits::of_window(quota))),
        }
    }

    fn of_tier(&self, tier: Tier) -> Quota {
        match tier {
            Tier::Unlimited => self.window(UNLIMITED, true),
            Tier::Premium => self.window(self.premium, false),
            Tier::Standard => self.window(self.standard, false),
            Tier::Limited => self.window(self.limited, false),
        }
    }

    pub(super) fn window(&self, calls: u64, unlimited: bool) -> Quota {
        let window_ns = self.window_seconds.saturating_mul(1_000_000_000);
        Quota { calls, window_ns, unlimited }
    }
}
