//! How a call comes to a socket: a place for it before anything leaves, and whoever asks for one on
//! which the key comes later. Must never tell anybody that a key was right before the corridor has
//! walked with it.

use std::net::IpAddr;

use super::{Greeting, Handshake, Opening};
use crate::client::Client;
use crate::corridor::clean::{self, Inbound};
use crate::corridor::trace::Trace;
use crate::corridor::{Answer, Corridor, Raw};
use crate::net;
use crate::refusal::{Reason, Refusal};

impl Corridor {
    /// The answer to whoever asks for a socket on which the key comes later. None for all others.
    pub(in crate::corridor) fn greeted(&self, raw: &Raw) -> Option<Answer> {
        let mut parts = raw.parts.clone();
        let cleaned = clean::clean(&mut parts, raw.body.as_ref(), &self.house);
        let (dialect, handshake) = cleaned.ok().and_then(Inbound::greets)?;
        let house = &self.house;
        // From this machine and from proxies of ours everybody comes.
        let ours = raw.address.is_loopback()
            || net::is_in(raw.address.to_canonical(), &house.settings.trusted_proxies);
        let address = Some(raw.address.to_canonical()).filter(|_| !ours);
        Some(match house.strangers.take_for(address) {
            Ok(berth) => {
                let raw = Raw { parts: raw.parts.clone(), body: None, address: raw.address };
                Greeting::answer(raw, dialect, handshake, berth)
            }
            Err(refusal) => {
                house.metrics.refused(refusal.reason.code());
                Trace::new(raw).refuse(&refusal.closing(), &raw.parts, &self.lane)
            }
        })
    }

    /// Somebody who was greeted showed no key of ours: that is counted and, within the bounds of
    /// all refusals, written down.
    pub(super) fn turned_away(&self, raw: &Raw, reason: Reason) {
        let house = &self.house;
        house.metrics.refused(reason.code());
        house.roster.missing();
        let refusal = Refusal::new(reason, "");
        // It is said in the provider's words.
        let _unsaid = Trace::new(raw).refuse(&refusal, &raw.parts, &self.lane);
    }

    /// Somebody showed what is no key of ours: again and again that takes longer.
    pub(super) async fn stranger(&self, address: IpAddr) {
        self.house.roster.slow_down(address).await;
    }

    /// A place for a socket, before anything leaves.
    pub(in crate::corridor) fn opening(
        &self,
        handshake: Handshake,
        client: &Client,
    ) -> Result<Opening, Refusal> {
        let clock = &self.house.clock;
        let ends_ns = client.expires_at_ms.map(|end_ms| {
            let left_ms = u64::try_from(end_ms.saturating_sub(clock.unix_ms())).unwrap_or(0);
            clock.monotonic_ns().saturating_add(left_ms.saturating_mul(1_000_000))
        });
        Ok(Opening { handshake, berth: self.house.sockets.take()?, ends_ns })
    }
}
