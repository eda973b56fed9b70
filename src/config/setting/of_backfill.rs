//! The settings of runs that fetch the history of symbols, each with its kind, default and help;
//! they stand in the one table beside this file.
//! Must never name a default that the checks of this room refuse.

use super::{CENTURY_DAYS, Setting, number, setting};
use crate::config::kind::Kind;

pub(super) const PROVIDER: Setting = setting(
    "backfill.provider",
    Kind::Text,
    "\"polygon\"",
    "where the history of symbols comes from, unless a symbol says otherwise",
);
pub(super) const INTERVAL: Setting = setting(
    "backfill.interval",
    Kind::Choice(&["1m", "5m", "15m", "1h", "1d"]),
    "\"1d\"",
    "how long a candle lasts, unless a symbol or a run says otherwise",
);
pub(super) const DAYS: Setting = setting(
    "backfill.days",
    number(1, CENTURY_DAYS),
    "730",
    "how far back a symbol goes of which nothing is there",
);
pub(super) const AT_ONCE: Setting = setting(
    "backfill.at_once",
    number(1, 64),
    "8",
    "symbols at the same time; the provider's own limit holds for all together",
);
pub(super) const SCHEDULE: Setting = setting(
    "backfill.schedule",
    Kind::Text,
    "\"\"",
    "five fields of cron (\"30 17 * * 1-5\") or \"every 6h\"; empty: when somebody asks",
);
pub(super) const TIME_ZONE: Setting =
    setting("backfill.time_zone", Kind::Text, "\"UTC\"", "of the schedule");
