//! How long a quota reckons: a window that slides in sixty parts, or a month, which is one part.
//! Pure; every node and the scripts must find the same parts.
//! Must never make sixty parts shorter than the window.

use crate::quota::Period;

/// A window is this many parts and the running one.
const PARTS: u64 = 60;
pub(super) const DAY_MS: i64 = 86_400_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    Window { seconds: u64 },
    Month(Period),
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

    /// A month that has been over for a day is nobody's, whatever the nodes' clocks say.
    pub(super) fn is_over(self, unix_ms: i64) -> bool {
        match self {
            Self::Window { .. } => false,
            Self::Month(period) => unix_ms > period.end_ms.saturating_add(DAY_MS),
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
                let left_ms = period.end_ms.saturating_sub(unix_ms).saturating_add(DAY_MS);
                u64::try_from(left_ms.max(DAY_MS)).unwrap_or(0)
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
