//! The figures of alerts: how many stand, by kind, and what came of telling people of
//! them.
//! Must never show who is told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::counters;

#[derive(Default)]
pub(crate) struct Alerts {
    standing: Mutex<BTreeMap<&'static str, u64>>,
    delivered: AtomicU64,
    put_off: AtomicU64,
    given_up: AtomicU64,
}

impl Alerts {
    /// All that stand now, by their kinds.
    pub(crate) fn stand(&self, kinds: impl Iterator<Item = &'static str>) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.values_mut().for_each(|count| *count = 0);
        kinds.for_each(|kind| *standing.entry(kind).or_default() += 1);
    }

    /// A destination has confirmed one.
    pub(crate) fn delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    /// A try failed; another one follows.
    pub(crate) fn put_off(&self) {
        self.put_off.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn given_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let outcomes = [
            ("delivered", &self.delivered),
            ("put_off", &self.put_off),
            ("given_up", &self.given_up),
        ];
        let outcomes = outcomes.map(|(name, count)| (name, count.load(Ordering::Relaxed)));
        let text = ("alert_deliveries", "Tries to tell a destination of an alert, by outcome.");
        counters(encoder, text, "outcome", outcomes.into_iter())?;
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let help = "Alerts whose cause is still there, by kind.";
        let kind = MetricType::Gauge;
        let mut family = encoder.encode_descriptor("alerts_standing", help, None, kind)?;
        for (kind, count) in standing {
            let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&[("kind", kind)])?)?;
        }
        Ok(())
    }
}
