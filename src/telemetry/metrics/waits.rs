//! The figures of calls that wait for a provider's own limit: how many wait now, how many got their
//! turn and how long that took, how many were refused. Set whenever somebody asks.
//! Must never know of a secret.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::EncodeMetric as _;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;

use super::{counter, gauge, seconds};

/// Of calls that had to wait for a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) waiting: u64,
    /// Those that got their turn, and how long they waited together.
    pub(crate) waited: u64,
    pub(crate) waited_ns: u64,
    /// Those that were refused after all, and those of them that found the queue full.
    pub(crate) refused: u64,
    pub(crate) full: u64,
}

#[derive(Default)]
pub(crate) struct ProviderWaits(Mutex<Waits>);

impl ProviderWaits {
    pub(crate) fn set(&self, waits: Waits) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = waits;
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let waits = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let help = "Calls that wait for a provider's own limit now.";
        gauge(encoder, "provider_waiting_calls", help, waits.waiting)?;
        let help = "Calls that waited for a provider's own limit and got their turn.";
        counter(encoder, "provider_waited_calls", help, waits.waited)?;
        let help = "How long those calls waited, together.";
        let unit = Some(&Unit::Seconds);
        let name = "provider_wait";
        let family = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
        ConstCounter::new(seconds(waits.waited_ns)).encode(family)?;
        let help = "Calls that were refused because their turn would have come too late.";
        counter(encoder, "provider_refused_calls", help, waits.refused)?;
        let help = "Those of them that found the queue full.";
        counter(encoder, "provider_full_queues", help, waits.full)
    }
}
