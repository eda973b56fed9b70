//! What a call must pass: windows and months, each with its name in Redis and the parts in which it
//! is counted. Pure.
//! Must never put what a caller sent into a name as it came.

use std::net::IpAddr;

use uuid::Uuid;

use super::super::asked::{Asked, Within};
use super::super::slots;
use crate::quota::{Period, Quota};

/// A window of more calls than this is taken in leases: then Redis is not asked for every call.
pub(super) const LEASE_ABOVE: u64 = 10_000;
/// A window is this many parts and the running one.
const PARTS: u64 = 60;

/// One window or month that bounds a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Bucket {
    /// Unique among the installation's.
    pub(super) name: Box<str>,
    pub(super) span: Span,
    pub(super) quota: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    Window { seconds: u64 },
    Month(Period),
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
        format!("m:{}", client.simple()).into()
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

impl Span {
    /// Rounded up: sixty of them are never shorter than the window.
    pub(super) fn part_us(self) -> u64 {
        match self {
            Self::Window { seconds } => (seconds.saturating_mul(1_000_000)).div_ceil(PARTS).max(1),
            Self::Month(_) => 0,
        }
    }

    /// The running part. That of a month is the month.
    pub(super) fn part(self, now_us: u64) -> u64 {
        match self {
            Self::Window { .. } => now_us / self.part_us(),
            Self::Month(period) => u64::try_from(period.start_ms).unwrap_or(0),
        }
    }

    /// The oldest part that counts.
    pub(super) fn oldest(self, now_us: u64) -> u64 {
        match self {
            Self::Window { .. } => self.part(now_us).saturating_sub(PARTS),
            Self::Month(_) => self.part(now_us),
        }
    }

    /// Until the oldest counted part has left.
    pub(super) fn free_in_ns(self, oldest: u64, now_us: u64) -> u64 {
        match self {
            Self::Window { .. } => {
                let free_us = (oldest + PARTS + 1).saturating_mul(self.part_us());
                free_us.saturating_sub(now_us).saturating_mul(1000)
            }
            Self::Month(_) => 0,
        }
    }

    /// For the key in Redis: a part longer than it is of use.
    pub(super) fn ttl_ms(self, unix_ms: i64) -> u64 {
        match self {
            Self::Window { .. } => (self.part_us() * (PARTS + 2)).div_ceil(1000),
            Self::Month(period) => {
                u64::try_from(period.end_ms.saturating_sub(unix_ms)).unwrap_or(0) + 86_400_000
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_parts_are_no_shorter_than_the_window() {
        for seconds in [1, 7, 60, 3600, 31 * 86_400] {
            let span = Span::Window { seconds };
            assert!(span.part_us() * 60 >= seconds * 1_000_000);
            assert!(span.part_us() * 59 < seconds * 1_000_000, "a freed call waits a sixtieth");
        }
    }
}
