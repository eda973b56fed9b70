//! What a 429 says beside its sentence: which limit it was, how much of it is used, and when the
//! next call would pass. Its three times say the same.
//! Must never name a time that nobody knows.

use crate::clock;

/// Which limit a 429 speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LimitKind {
    Client,
    Address,
    Origin,
    Concurrency,
    Monthly,
    Provider,
}

impl LimitKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Address => "address",
            Self::Origin => "origin",
            Self::Concurrency => "concurrency",
            Self::Monthly => "monthly",
            Self::Provider => "provider",
        }
    }
}

/// What a 429 says beside its sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub limit: LimitKind,
    pub quota: u64,
    pub used: u64,
    /// When the next call would be admitted. Of calls at once nobody knows: when it is worth
    /// another try.
    pub free_at_ms: i64,
    pub retry_after_seconds: u64,
}

impl Exceeded {
    /// Its three times say the same: the body's, the header's of the reset, and the wait.
    pub(crate) fn at(
        limit: LimitKind,
        (quota, used): (u64, u64),
        (free_at_ms, now_ms): (i64, i64),
    ) -> Self {
        let mut exceeded = Self { limit, quota, used, free_at_ms, retry_after_seconds: 1 };
        if limit != LimitKind::Concurrency {
            exceeded.free_at_ms = exceeded.reset_unix_seconds().saturating_mul(1000);
            let wait_ms = u64::try_from(exceeded.free_at_ms.saturating_sub(now_ms)).unwrap_or(0);
            exceeded.retry_after_seconds = wait_ms.div_ceil(1000).max(1);
        }
        exceeded
    }

    /// Of a provider it may be known that it wants no more, and not how many it takes.
    pub(crate) fn is_known(&self) -> bool {
        self.quota > 0 || self.limit != LimitKind::Provider
    }

    /// None where no time can be named.
    pub(crate) fn reset_at_ms(&self) -> Option<i64> {
        match self.limit {
            LimitKind::Concurrency => None,
            LimitKind::Client
            | LimitKind::Address
            | LimitKind::Origin
            | LimitKind::Monthly
            | LimitKind::Provider => Some(self.free_at_ms),
        }
    }

    /// Rounded up: at the second that is named, the call is free.
    pub(crate) fn reset_unix_seconds(&self) -> i64 {
        self.free_at_ms.div_euclid(1000) + i64::from(self.free_at_ms.rem_euclid(1000) > 0)
    }

    /// Of what `per` says there are so many, like `requests per hour`.
    pub(crate) fn sentence(&self, per: &str) -> String {
        let Self { quota, used, .. } = self;
        let said = format!("Limit: {quota} {per}. Current usage: {used}.");
        match self.reset_at_ms() {
            Some(at_ms) => format!("{said} Reset at: {}", clock::rfc3339(at_ms)),
            None => said,
        }
    }
}
