//! Where each caller's slot is found: a client key remembers its own, tokens and visitors of a
//! page are looked up. Slots that rest are put away.
//! Must never let two slots count for one caller.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use super::Within;
use crate::client::Client;
use crate::quota::{Quota, Said, Slot};

/// Beyond this many addresses newcomers share one slot: who has many addresses gains nothing by
/// it, and takes no memory.
const MOST_ADDRESSES: usize = 100_000;
const ALL_OTHERS: u128 = u128::MAX;

#[derive(Default)]
pub(super) struct Slots {
    clients: papaya::HashMap<Uuid, Arc<Slot>>,
    /// By page and network, or by token.
    within: papaya::HashMap<(Uuid, u128), Arc<Slot>>,
}

impl Slots {
    /// Asks the slot of this client key, which is made if there is none.
    pub(super) fn of_client(&self, client: &Client, ask: impl Fn(&Arc<Slot>) -> Said) -> Said {
        // A slot that a client key holds is not put away.
        if let Some(slot) = client.allowance.get() {
            return ask(slot);
        }
        loop {
            let slot = Arc::clone(self.clients.pin().get_or_insert_with(client.id, Arc::default));
            let said = ask(&slot);
            if matches!(said, Said::Gone | Said::OuterGone) {
                forget(&self.clients, &client.id, &slot);
                continue;
            }
            // Another call may have remembered it meanwhile: the same one.
            let _same = client.allowance.set(slot);
            return said;
        }
    }

    /// The slot of a token, or of a visitor of a page.
    pub(super) fn of_within(
        &self,
        client: Uuid,
        within: Within,
        ask: impl Fn(&Slot) -> Said,
    ) -> Said {
        loop {
            let slots = self.within.pin();
            let mut key = key(client, within);
            let is_crowded = || slots.len() >= MOST_ADDRESSES && !slots.contains_key(&key);
            if matches!(within, Within::Address(_)) && is_crowded() {
                key.1 = ALL_OTHERS;
            }
            let slot = Arc::clone(slots.get_or_insert_with(key, Arc::default));
            let said = ask(&slot);
            if said != Said::Gone {
                return said;
            }
            forget(&self.within, &key, &slot);
        }
    }

    pub(super) fn known_within(&self, client: Uuid, within: Within) -> Option<Arc<Slot>> {
        self.within.pin().get(&key(client, within)).cloned()
    }

    /// For what is remembered of a client key that nobody has seen yet.
    pub(super) fn of_id(&self, client: Uuid) -> Arc<Slot> {
        Arc::clone(self.clients.pin().get_or_insert_with(client, Arc::default))
    }

    /// The slot of this client key, if there is one.
    pub(super) fn held_by(&self, client: &Client) -> Option<Arc<Slot>> {
        let held = client.allowance.get().cloned();
        held.or_else(|| self.clients.pin().get(&client.id).cloned())
    }

    pub(super) fn sweep(&self, quota: Quota, now_ns: u64) {
        self.clients.pin().retain(|_, slot| !Slot::retire(slot, quota, now_ns));
        self.within.pin().retain(|_, slot| !Slot::retire(slot, quota, now_ns));
    }
}

fn forget<K: std::hash::Hash + Eq>(
    slots: &papaya::HashMap<K, Arc<Slot>>,
    key: &K,
    gone: &Arc<Slot>,
) {
    // Somebody else may have put a new one there meanwhile; that one stays.
    let _removed = slots.pin().remove_if(key, |_, slot| Arc::ptr_eq(slot, gone));
}

fn key(client: Uuid, within: Within) -> (Uuid, u128) {
    match within {
        Within::Token(id) => (id, 0),
        Within::Address(address) => (client, network(address)),
    }
}

/// An IPv4 address, or the network of 64 bits that one household has in IPv6.
pub(super) fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}
