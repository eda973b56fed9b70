//! What a call must pass: windows and months, each with its name in Redis and the parts in which it
//! is counted. Pure.
//! Must never put what a caller sent into a name as it came.

use std::net::IpAddr;

use uuid::Uuid;

use super::super::asked::{Asked, Within};
use super::super::slots;
pub(super) use super::span::{DAY_MS, Span};
use crate::quota::{Period, Quota};

/// A window of more calls than this is taken in leases: then Redis is not asked for every call.
pub(super) const LEASE_ABOVE: u64 = 10_000;
/// How the names of months begin.
pub(super) const OF_MONTHS: &str = "m:";

/// One window or month that bounds a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Bucket {
    /// Unique among the installation's.
    pub(super) name: Box<str>,
    pub(super) span: Span,
    pub(super) quota: u64,
}

impl Bucket {
    pub(in super::super) fn window(client: Uuid, part: Option<u128>, quota: Quota) -> Self {
        let seconds = quota.window_ns / 1_000_000_000;
        let client = client.simple();
        let name = match part {
            None => format!("w{seconds}:{client}"),
            Some(part) => format!("w{seconds}:{client}:{part:x}"),
        };
        Self { name: name.into(), span: Span::Window { seconds }, quota: quota.calls }
    }

    pub(in super::super) fn month(client: Uuid, period: Period, quota: u64) -> Self {
        Self { name: Self::name_of_month(client), span: Span::Month(period), quota }
    }

    pub(super) fn name_of_month(client: Uuid) -> Box<str> {
        format!("{OF_MONTHS}{}", client.simple()).into()
    }

    /// The inner window first, then that of the key or page, then its month. What is unlimited is
    /// nobody's business.
    pub(in super::super) fn all(asked: &Asked<'_>, period: Option<Period>) -> Vec<Self> {
        let mut all = Vec::with_capacity(3);
        let client = asked.client.id;
        if let Some((within, limits)) = &asked.within
            && !limits.window.unlimited
        {
            all.push(match within {
                Within::Token(id) => Self::window(*id, Some(0), limits.window),
                Within::Address(address) => Self::of_address(client, *address, limits.window),
            });
        }
        if !asked.limits.window.unlimited {
            all.push(Self::window(client, None, asked.limits.window));
        }
        if let (Some(quota), Some(period)) = (asked.limits.monthly, period) {
            all.push(Self::month(client, period, quota));
        }
        all
    }

    fn of_address(page: Uuid, address: IpAddr, quota: Quota) -> Self {
        Self::window(page, Some(slots::network(address)), quota)
    }

    pub(super) fn is_leased(&self) -> bool {
        self.quota > LEASE_ABOVE && matches!(self.span, Span::Window { .. })
    }
}
