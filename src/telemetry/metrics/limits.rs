//! The figures of limits that several nodes share: whether Redis answers, how long it takes, why it
//! did not, and how many calls were judged without it.
//! Must never show anything where limits are not shared.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use super::{counter, counters, gauge};

/// From a tenth of a millisecond to a tenth of a second: beyond it nobody waits.
const BOUNDS: [f64; 10] = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1];

pub(crate) struct Limits {
    is_shared: AtomicBool,
    is_up: AtomicBool,
    faults: Mutex<Vec<(&'static str, u64)>>,
    alone: AtomicU64,
    healed: AtomicU64,
    lost: AtomicU64,
    answers: Histogram,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            is_shared: AtomicBool::new(false),
            is_up: AtomicBool::new(false),
            faults: Mutex::default(),
            alone: AtomicU64::new(0),
            healed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            answers: Histogram::new(BOUNDS),
        }
    }
}

impl Limits {
    /// From here on the figures are shown.
    pub(crate) fn are_shared(&self, reasons: impl Iterator<Item = &'static str>) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) =
            reasons.map(|reason| (reason, 0)).collect();
        self.is_shared.store(true, Ordering::Relaxed);
    }

    pub(crate) fn back(&self) {
        self.is_up.store(true, Ordering::Relaxed);
    }

    /// Redis answers no more, for this reason.
    pub(crate) fn away(&self, reason: &'static str) {
        self.is_up.store(false, Ordering::Relaxed);
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = faults.iter_mut().find(|(known, _)| *known == reason) {
            *count += 1;
        }
    }

    /// One call was judged without Redis.
    pub(crate) fn alone(&self) {
        self.alone.fetch_add(1, Ordering::Relaxed);
    }

    /// A key in Redis that somebody else had written was thrown away.
    pub(crate) fn healed(&self) {
        self.healed.fetch_add(1, Ordering::Relaxed);
    }

    /// What was noted of calls without Redis was lost, or damaged.
    pub(crate) fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, duration_ns: u64) {
        self.answers.observe(super::seconds(duration_ns));
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if !self.is_shared.load(Ordering::Relaxed) {
            return Ok(());
        }
        let up = u64::from(self.is_up.load(Ordering::Relaxed));
        let help = "1 while Redis counts; 0 while this node spends its share of the quotas.";
        gauge(encoder, "limiter_redis_up", help, up)?;
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = ("limiter_redis_faults", "How often Redis was given up, by reason.");
        counters(encoder, text, "reason", faults.into_iter())?;
        let help = "Calls that were judged without Redis.";
        counter(encoder, "limiter_local_calls", help, self.alone.load(Ordering::Relaxed))?;
        let help = "Keys in Redis that somebody else had written, and that were thrown away.";
        counter(encoder, "limiter_healed_keys", help, self.healed.load(Ordering::Relaxed))?;
        let help = "Times that this node's note of its calls without Redis was lost or damaged.";
        counter(encoder, "limiter_lost_notes", help, self.lost.load(Ordering::Relaxed))?;
        let help = "How long Redis took to count a call.";
        let unit = Some(&Unit::Seconds);
        let name = "limiter_redis_duration";
        let histogram = encoder.encode_descriptor(name, help, unit, Histogram::TYPE)?;
        self.answers.encode(histogram)
    }
}
