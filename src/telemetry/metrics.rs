//! The figures that Prometheus reads. What the hot path counts are plain atomics, a cache line to
//! each worker, gathered when somebody asks; calls by provider are counted by the ledger's writer
//! alone. Labels are closed sets, provider ids and status codes. Must never take a label from a
//! caller.

mod alerts;
mod calls;
mod connections;
mod limits;
mod upstream;
mod waits;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Registry, Unit};
use tokio::runtime::RuntimeMetrics;

pub(crate) use self::alerts::Alerts;
use self::calls::Calls;
pub(crate) use self::connections::Connections;
pub(crate) use self::limits::Limits;
pub(crate) use self::upstream::{Address, Upstream};
pub(crate) use self::waits::{ProviderWaits, Waits};
use crate::clock::Clock;

/// The `Content-Type` of what `encode` returns.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why a credential was not accepted. The answer never tells; the figures do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthFailure {
    Missing,
    Malformed,
    Unknown,
    Revoked,
    Expired,
}

/// Every figure of the house; cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics {
    figures: Arc<Figures>,
    registry: Arc<Registry>,
}

struct Figures {
    clock: Clock,
    started_ns: u64,
    calls: Mutex<Calls>,
    in_flight: AtomicU64,
    /// Of the threads that carry traffic.
    runtimes: Mutex<Vec<RuntimeMetrics>>,
    auth_failures: [AtomicU64; AuthFailure::ALL.len()],
    /// One counter to each code that the house may refuse with; the last is for any other.
    refusals: Vec<(&'static str, AtomicU64)>,
    refused_otherwise: AtomicU64,
    refusals_summed: AtomicU64,
    seats_in_use: AtomicU64,
    ledger_degraded: AtomicBool,
    sealed: AtomicBool,
    alerts: Mutex<Vec<(&'static str, u64)>>,
    limits: Limits,
    connections: Connections,
    upstream: Upstream,
    standing: Alerts,
    waits: ProviderWaits,
}

impl AuthFailure {
    pub(crate) const ALL: [Self; 5] =
        [Self::Missing, Self::Malformed, Self::Unknown, Self::Revoked, Self::Expired];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl Metrics {
    /// `refusal_codes`: every code that `refused` may be told.
    pub(crate) fn new(clock: Clock, refusal_codes: impl IntoIterator<Item = &'static str>) -> Self {
        let mut refusals: Vec<(&'static str, AtomicU64)> = Vec::new();
        for code in refusal_codes {
            refusals.push((code, AtomicU64::new(0)));
        }
        let figures = Arc::new(Figures {
            started_ns: clock.monotonic_ns(),
            clock,
            calls: Mutex::new(Calls::default()),
            in_flight: AtomicU64::new(0),
            runtimes: Mutex::default(),
            auth_failures: Default::default(),
            refusals,
            refused_otherwise: AtomicU64::new(0),
            refusals_summed: AtomicU64::new(0),
            seats_in_use: AtomicU64::new(0),
            ledger_degraded: AtomicBool::new(false),
            sealed: AtomicBool::new(false),
            alerts: Mutex::new(Vec::new()),
            limits: Limits::default(),
            connections: Connections::default(),
            upstream: Upstream::default(),
            standing: Alerts::default(),
            waits: ProviderWaits::default(),
        });
        let mut registry = Registry::with_prefix("sealgate");
        registry.register_collector(Box::new(Arc::clone(&figures)));
        Self { figures, registry: Arc::new(registry) }
    }

    /// One call that went to a provider. Told by the ledger's writer, off the request's path.
    /// A status of 0 means that the end is unknown.
    pub(crate) fn call(&self, provider: &str, status: u16, duration_ns: u64) {
        let mut calls = self.figures.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.count(provider, status, duration_ns);
    }

    pub(crate) fn authentication_failed(&self, kind: AuthFailure) {
        // One step, whichever it is.
        if let Some(counter) = self.figures.auth_failures.get(kind as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A further thread that carries traffic.
    pub(crate) fn counts_tasks_of(&self, runtime: RuntimeMetrics) {
        self.figures.runtimes.lock().unwrap_or_else(PoisonError::into_inner).push(runtime);
    }

    /// One answer of our own that said no, by its stable code.
    pub(crate) fn refused(&self, code: &'static str) {
        let known = self.figures.refusals.iter().find(|(known, _)| *known == code);
        let counter = known.map_or(&self.figures.refused_otherwise, |(_, counter)| counter);
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Refusals that stand in the trail as counts, as the ledger has summed them up.
    pub(crate) fn refusals_summed(&self, refusals: u64) {
        self.figures.refusals_summed.store(refusals, Ordering::Relaxed);
    }

    pub(crate) fn seats_in_use(&self, seats: u64) {
        self.figures.seats_in_use.store(seats, Ordering::Relaxed);
    }

    /// Records wait in the journal because the database does not take them.
    pub(crate) fn ledger_degraded(&self, degraded: bool) {
        self.figures.ledger_degraded.store(degraded, Ordering::Relaxed);
    }

    pub(crate) fn sealed(&self, sealed: bool) {
        self.figures.sealed.store(sealed, Ordering::Relaxed);
    }

    pub(crate) fn alert_raised(&self, kind: &'static str) {
        let mut alerts = self.figures.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        match alerts.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => alerts.push((kind, 1)),
        }
    }

    /// Of limits that nodes share.
    pub(crate) fn limits(&self) -> &Limits {
        &self.figures.limits
    }

    /// Of the proxy's clients, as they are now.
    pub(crate) fn connections(&self) -> &Connections {
        &self.figures.connections
    }

    /// Of the way out, as it is now.
    /// Of alerts that stand and are told.
    pub(crate) fn alerts(&self) -> &Alerts {
        &self.figures.standing
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        &self.figures.upstream
    }

    /// Of calls that wait for a provider's own limit.
    pub(crate) fn waits(&self) -> &ProviderWaits {
        &self.figures.waits
    }

    /// Calls under way now, as the limiter counts them.
    pub(crate) fn in_flight(&self, calls: u64) {
        self.figures.in_flight.store(calls, Ordering::Relaxed);
    }

    pub(crate) fn uptime_seconds(&self) -> u64 {
        let figures = &self.figures;
        figures.clock.monotonic_ns().saturating_sub(figures.started_ns) / 1_000_000_000
    }

    /// The figures in the text form of OpenMetrics.
    pub(crate) fn encode(&self) -> String {
        let mut page = String::with_capacity(8 * 1024);
        match text::encode(&mut page, &self.registry) {
            Ok(()) => page,
            // Writing to a String cannot fail; a page without its end is refused by every reader.
            Err(fmt::Error) => String::new(),
        }
    }
}

impl Figures {
    fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let other = ("other", self.refused_otherwise.load(Ordering::Relaxed));
        let known =
            self.refusals.iter().map(|(code, count)| (*code, count.load(Ordering::Relaxed)));
        known.chain([other])
    }

    fn auth_failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let slots = AuthFailure::ALL.iter().zip(&self.auth_failures);
        slots.map(|(kind, count)| (kind.as_str(), count.load(Ordering::Relaxed)))
    }

    fn uptime_seconds(&self) -> f64 {
        seconds(self.clock.monotonic_ns().saturating_sub(self.started_ns))
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let build = [("version", env!("CARGO_PKG_VERSION"))];
        encoder
            .encode_descriptor("build", "What runs here.", None, MetricType::Info)?
            .encode_info(&build)?;
        gauge_f64(&mut encoder, "uptime", "Time since the start.", self.uptime_seconds())?;
        {
            let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.encode(&mut encoder)?;
        }
        counters(
            &mut encoder,
            ("authentication_failures", "Credentials that were not accepted, by what was wrong."),
            "kind",
            self.auth_failures(),
        )?;
        counters(
            &mut encoder,
            ("refusals", "Answers of our own that said no, by their code."),
            "code",
            self.refusals(),
        )?;
        let help = "Refusals that stand in the trail as counts, not as records of their own.";
        let summed = self.refusals_summed.load(Ordering::Relaxed);
        counter(&mut encoder, "refusals_summed", help, summed)?;
        let alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        counters(&mut encoder, ("alerts", "Alerts raised, by kind."), "kind", alerts.into_iter())?;
        gauge(
            &mut encoder,
            "calls_in_flight",
            "Calls under way.",
            self.in_flight.load(Ordering::Relaxed),
        )?;
        let runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        let tasks: usize = runtimes.iter().map(RuntimeMetrics::num_alive_tasks).sum();
        let help = "Tasks of the threads that carry traffic: connections, and what they carry.";
        gauge(&mut encoder, "proxy_tasks", help, u64::try_from(tasks).unwrap_or(u64::MAX))?;
        drop(runtimes);
        let seats = self.seats_in_use.load(Ordering::Relaxed);
        gauge(&mut encoder, "ledger_seats_in_use", "Records not yet in the database.", seats)?;
        let degraded = u64::from(self.ledger_degraded.load(Ordering::Relaxed));
        let help = "1 while records wait in the journal because the database does not take them.";
        gauge(&mut encoder, "ledger_degraded", help, degraded)?;
        self.connections.encode(&mut encoder)?;
        self.limits.encode(&mut encoder)?;
        self.upstream.encode(&mut encoder)?;
        self.standing.encode(&mut encoder)?;
        self.waits.encode(&mut encoder)?;
        let sealed = u64::from(self.sealed.load(Ordering::Relaxed));
        gauge(&mut encoder, "vault_sealed", "1 while no key is open in memory.", sealed)
    }
}

/// One family of counters with one label. `text`: its name and its help.
fn counters<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    text: (&str, &str),
    label: &str,
    counts: impl Iterator<Item = (&'a str, u64)>,
) -> fmt::Result {
    let (name, help) = text;
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in counts {
        let labels = [(label, value)];
        ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(value).encode(encoder)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    let metric_type = ConstGauge::<i64>::TYPE;
    gauge.encode(encoder.encode_descriptor(name, help, None, metric_type)?)
}

fn gauge_f64(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: f64,
) -> fmt::Result {
    let metric_type = ConstGauge::<f64>::TYPE;
    let metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), metric_type)?;
    ConstGauge::new(value).encode(metric)
}

/// Nanoseconds as Prometheus wants time.
fn seconds(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn metrics() -> (Clock, Metrics) {
        let clock = Clock::settable(1_768_487_400_000);
        (clock.clone(), Metrics::new(clock, ["unauthorized", "rate_limited"]))
    }

    fn check(page: &str, line: &str) {
        assert!(page.lines().any(|found| found == line), "no line {line:?} in\n{page}");
    }

    #[test]
    fn calls_are_counted_by_provider_and_status_and_timed_by_class() {
        let (_, metrics) = metrics();
        metrics.call("polygon", 200, 3_000_000);
        metrics.call("polygon", 206, 3_000_000_000);
        metrics.call("openai", 0, 1);
        let page = metrics.encode();
        check(&page, "sealgate_calls_total{provider=\"polygon\",status=\"200\"} 1");
        check(&page, "sealgate_calls_total{provider=\"polygon\",status=\"206\"} 1");
        check(&page, "sealgate_calls_total{provider=\"openai\",status=\"unknown\"} 1");
        let histogram = "sealgate_call_duration_seconds";
        let labels = "provider=\"polygon\",class=\"2xx\"";
        check(&page, &format!("{histogram}_count{{{labels}}} 2"));
        check(&page, &format!("{histogram}_sum{{{labels}}} 3.003"));
        check(&page, &format!("{histogram}_bucket{{le=\"0.0025\",{labels}}} 0"));
        check(&page, &format!("{histogram}_bucket{{le=\"0.005\",{labels}}} 1"));
        check(&page, &format!("{histogram}_bucket{{le=\"+Inf\",{labels}}} 2"));
        assert!(page.ends_with("# EOF\n"), "{page}");
    }

    #[test]
    fn refusals_and_failed_authentications_are_there_before_the_first() {
        let (_, metrics) = metrics();
        metrics.refused("unauthorized");
        metrics.refused("never heard of");
        metrics.authentication_failed(AuthFailure::Revoked);
        let page = metrics.encode();
        check(&page, "sealgate_refusals_total{code=\"unauthorized\"} 1");
        check(&page, "sealgate_refusals_total{code=\"rate_limited\"} 0");
        check(&page, "sealgate_refusals_total{code=\"other\"} 1");
        check(&page, "sealgate_authentication_failures_total{kind=\"revoked\"} 1");
        check(&page, "sealgate_authentication_failures_total{kind=\"missing\"} 0");
    }

    #[test]
    fn the_ledgers_state_the_alerts_and_the_uptime_are_shown() {
        let (clock, metrics) = metrics();
        clock.advance(Duration::from_millis(1_500));
        metrics.seats_in_use(7);
        metrics.refusals_summed(9);
        metrics.ledger_degraded(true);
        metrics.sealed(true);
        metrics.alert_raised("integrity");
        metrics.alert_raised("integrity");
        let page = metrics.clone().encode();
        check(&page, "sealgate_ledger_seats_in_use 7");
        check(&page, "sealgate_refusals_summed_total 9");
        check(&page, "sealgate_ledger_degraded 1");
        check(&page, "sealgate_vault_sealed 1");
        check(&page, "sealgate_alerts_total{kind=\"integrity\"} 2");
        check(&page, "sealgate_uptime_seconds 1.5");
        check(
            &page,
            &format!("sealgate_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
        );
    }
}
