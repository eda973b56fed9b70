//! How long a caller has waited for Redis, by a hand that stands still in no test: what is waited
//! for is another process.
//! Must never be asked when something was counted; that is the clock's.

use std::sync::OnceLock;
use std::time::Duration;

static ORIGIN: OnceLock<tokio::time::Sleep> = OnceLock::new();

/// Nanoseconds since this was first asked.
pub(in super::super) fn now_ns() -> u64 {
    let origin = ORIGIN.get_or_init(|| tokio::time::sleep(Duration::ZERO));
    u64::try_from(origin.deadline().elapsed().as_nanos()).unwrap_or(u64::MAX)
}
