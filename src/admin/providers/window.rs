//! A provider's own limit as it is shown: so many calls with
//! one secret, in so many seconds.
//! Must never show a limit that nobody has named.

use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = OwnLimit)]
pub(super) struct WindowView {
    #[schema(example = 200)]
    calls: u64,
    #[schema(example = 60)]
    window_seconds: u64,
}

impl WindowView {
    pub(super) fn of(window: Option<(u64, u64)>) -> Option<Self> {
        let (calls, window_ns) = window?;
        Some(Self { calls, window_seconds: window_ns / 1_000_000_000 })
    }
}
