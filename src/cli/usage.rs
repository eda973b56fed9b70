//! `usage`: what proxied calls added up to, by minute, hour or day, as
//! the admin face tells it.
//! Must never add anything up itself.

use clap::Args;

use super::failure::Failure;
use super::link::{self, encoded};
use super::output::Column;
use super::{Ground, Reach};

const COLUMNS: &[Column] = &[
    ("BUCKET", "bucket"),
    ("GROUP", "group"),
    ("REQUESTS", "requests"),
    ("CLIENT", "errors.client"),
    ("PROVIDER", "errors.provider"),
    ("US", "errors.us"),
    ("P50", "p50_ms"),
    ("P95", "p95_ms"),
    ("P99", "p99_ms"),
    ("IN", "bytes_in"),
    ("OUT", "bytes_out"),
    ("TOKENS IN", "tokens_in"),
    ("TOKENS OUT", "tokens_out"),
    ("COST", "cost"),
    ("UNPRICED", "unpriced"),
];

#[derive(Args)]
pub(super) struct Usage {
    /// From this time on, e.g. 2026-01-15T00:00:00Z; the last day, or 30 days, if not said
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// provider, secret, client or status
    #[arg(long, value_name = "WHAT")]
    group_by: Option<String>,
    /// minute, hour or day
    #[arg(long, default_value = "hour")]
    bucket: String,
    #[command(flatten)]
    reach: Reach,
}

impl Usage {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        let given = [("from", &self.from), ("to", &self.to), ("group_by", &self.group_by)];
        let given = given.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let more: String =
            given.map(|(name, value)| format!("&{name}={}", encoded(value))).collect();
        let path = format!("/api/v1/admin/usage?bucket={}{more}", encoded(&self.bucket));
        let found = link::with(ground, &self.reach, async |link| link.get(&path).await)?;
        ground.output(self.reach.print).list(&found, COLUMNS)
    }
}
