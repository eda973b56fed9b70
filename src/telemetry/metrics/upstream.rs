//! The figures of the way out: which addresses of providers are left alone because they fail, and
//! how many calls were sent a second time.
//! Must never hold an address that the house did not connect to.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::counter;

/// One address of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) provider: String,
    pub(crate) address: String,
    pub(crate) is_resting: bool,
    /// How often that began.
    pub(crate) rests: u64,
}

/// As they stood when somebody asked last.
#[derive(Default)]
pub(crate) struct Upstream(Mutex<State>);

#[derive(Default)]
struct State {
    addresses: Vec<Address>,
    second_tries: u64,
    denied: u64,
}

impl Upstream {
    pub(crate) fn set(&self, addresses: Vec<Address>, (second_tries, denied): (u64, u64)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { addresses, second_tries, denied };
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let help = "Calls sent a second time because their connection had died.";
        counter(encoder, "upstream_second_tries", help, state.second_tries)?;
        let help = "Calls not sent a second time because too many had been.";
        counter(encoder, "upstream_second_tries_denied", help, state.denied)?;
        let help = "1 while an address is left alone because calls to it failed in a row.";
        let gauges = MetricType::Gauge;
        let mut family = encoder.encode_descriptor("upstream_resting", help, None, gauges)?;
        for address in &state.addresses {
            let gauge = ConstGauge::new(i64::from(address.is_resting));
            gauge.encode(family.encode_family(&address.labels())?)?;
        }
        let help = "How often an address began to be left alone.";
        let counters = MetricType::Counter;
        let mut family = encoder.encode_descriptor("upstream_rests", help, None, counters)?;
        for address in &state.addresses {
            let counter = ConstCounter::new(address.rests);
            counter.encode(family.encode_family(&address.labels())?)?;
        }
        Ok(())
    }
}

impl Address {
    fn labels(&self) -> [(&str, &str); 2] {
        [("provider", &self.provider), ("address", &self.address)]
    }
}
