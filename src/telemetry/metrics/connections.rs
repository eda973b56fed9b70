//! The figures of the proxy's client connections: how many are open, and how many found no place.
//! Set whenever somebody asks, not whenever somebody comes.
//! Must never know of an address.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::DescriptorEncoder;

use super::{counters, gauge};

#[derive(Default)]
pub(crate) struct Connections(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    open: u64,
    turned_away: Vec<(&'static str, u64)>,
}

impl Connections {
    pub(crate) fn set(
        &self,
        open: usize,
        turned_away: impl IntoIterator<Item = (&'static str, u64)>,
    ) {
        let turned_away = turned_away.into_iter().collect();
        let open = u64::try_from(open).unwrap_or(u64::MAX);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Seen { open, turned_away };
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let help = "Open connections of the proxy's clients.";
        gauge(encoder, "client_connections", help, seen.open)?;
        let text = ("client_connections_refused", "Connections that found no place, by why.");
        counters(encoder, text, "full", seen.turned_away.iter().copied())
    }
}
