//! Calls to providers: how many by status, how long by class of status. One writer counts, so the
//! look-up is a map of a few providers without an allocation a call. Must never hold a label that
//! is not a provider's id or a status.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;

use super::seconds;

/// Upper bounds in seconds. The first lie below what any provider needs, so that what Sealgate
/// itself costs can be seen against an emulator; the last belong to streams.
const BOUNDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// More than the catalogue will hold; a bound all the same, so that no fault can grow the page.
const MOST_PROVIDERS: usize = 1_000;

#[derive(Default)]
pub(super) struct Calls(BTreeMap<Box<str>, OfProvider>);

#[derive(Default)]
struct OfProvider {
    by_status: BTreeMap<u16, u64>,
    by_class: BTreeMap<Class, Spread>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Informational,
    Success,
    Redirection,
    ClientError,
    ServerError,
    Unknown,
}

#[derive(Default)]
struct Spread {
    /// One more than the bounds: the last is for what exceeds them all.
    counts: [u64; BOUNDS.len() + 1],
    sum_ns: u128,
}

impl Class {
    fn of(status: u16) -> Self {
        match status / 100 {
            1 => Self::Informational,
            2 => Self::Success,
            3 => Self::Redirection,
            4 => Self::ClientError,
            5 => Self::ServerError,
            _ => Self::Unknown,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Unknown => "unknown",
        }
    }
}

impl Calls {
    pub(super) fn count(&mut self, provider: &str, status: u16, duration_ns: u64) {
        if !self.0.contains_key(provider) {
            if self.0.len() >= MOST_PROVIDERS {
                return;
            }
            self.0.insert(provider.into(), OfProvider::default());
        }
        if let Some(of) = self.0.get_mut(provider) {
            let class = Class::of(status);
            let status = if class == Class::Unknown { 0 } else { status };
            *of.by_status.entry(status).or_default() += 1;
            of.by_class.entry(class).or_default().observe(duration_ns);
        }
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Calls to providers, by provider and status of the answer.";
        let mut family = encoder.encode_descriptor("calls", help, None, MetricType::Counter)?;
        for (provider, of) in &self.0 {
            for (status, count) in &of.by_status {
                let status =
                    if *status == 0 { String::from("unknown") } else { status.to_string() };
                let labels = [("provider", provider.as_ref()), ("status", status.as_str())];
                ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Time from the request's first byte to the answer's last.";
        let unit = Some(&Unit::Seconds);
        let mut family =
            encoder.encode_descriptor("call_duration", help, unit, MetricType::Histogram)?;
        for (provider, of) in &self.0 {
            for (class, spread) in &of.by_class {
                let labels = [("provider", provider.as_ref()), ("class", class.as_str())];
                let (sum, count) = (spread.sum_seconds(), spread.counts.iter().sum());
                let buckets = spread.buckets();
                family
                    .encode_family(&labels)?
                    .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        Ok(())
    }
}

impl Spread {
    fn observe(&mut self, duration_ns: u64) {
        let duration = seconds(duration_ns);
        let place = BOUNDS.iter().take_while(|bound| duration > **bound).count();
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum_ns += u128::from(duration_ns);
    }

    fn sum_seconds(&self) -> f64 {
        seconds(u64::try_from(self.sum_ns).unwrap_or(u64::MAX))
    }

    /// Not summed up: the encoder does that.
    fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().copied().chain([f64::INFINITY]);
        bounds.zip(self.counts.iter().copied()).collect()
    }
}
