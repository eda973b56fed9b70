//! A row of the database made into the client key that calls are
//! judged by: scopes, networks and origins compiled once. Must never
//! let a member pass that it did not understand.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::client::{Client, Fate, Networks, Rights, Scopes, Shows, fault_of_origin};
use crate::store::ClientKeyRow;

use super::RosterError;

/// One copy of rights that are alike, for as long as a client key in memory has them: a million
/// keys are a few sets of rights, which stay near the processor.
#[derive(Default)]
pub(super) struct Alike(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    rights: HashSet<Arc<Rights>>,
    /// So many were in use when they were last looked through.
    in_use: usize,
}

/// Fewer are not worth looking through.
const FEW: usize = 1000;

impl Alike {
    /// On misses alone.
    pub(super) fn share(&self, client: &mut Client) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shelf.rights.get(&client.rights) {
            client.rights = Arc::clone(known);
            return;
        }
        if shelf.rights.len() > FEW.max(2 * shelf.in_use) {
            shelf.rights.retain(|rights| Arc::strong_count(rights) > 1);
            shelf.in_use = shelf.rights.len();
        }
        shelf.rights.insert(Arc::clone(&client.rights));
    }
}

/// The row as the corridor needs it; fails where a member of it cannot be compiled.
pub(crate) fn client(row: &ClientKeyRow) -> Result<Client, RosterError> {
    let scopes = row.scopes.as_deref().map(Scopes::parse).transpose();
    let networks = row.allowed_ips.as_deref().map(Networks::parse).transpose();
    let bad_network = |bad: crate::client::BadNetwork| RosterError::BadMember {
        member: "allowed_ips",
        fault: bad.fault,
    };
    for origin in row.allowed_origins.iter().flatten() {
        if let Some(fault) = fault_of_origin(origin) {
            return Err(RosterError::BadMember { member: "allowed_origins", fault });
        }
    }
    Ok(Client {
        id: row.id,
        name: row.name.clone(),
        rights: Arc::new(Rights {
            role: row.role,
            tier: row.tier,
            scopes: scopes.map_err(RosterError::BadScope)?,
            allowed_ips: networks.map_err(bad_network)?,
            allowed_origins: row.allowed_origins.clone(),
            limit: row.quota_limit,
            monthly_quota: row.monthly_quota,
            max_concurrent: row.max_concurrent,
            secrets: row.secrets.clone(),
        }),
        expires_at_ms: row.expires_at,
        active: row.active,
        shows: Shows::Key,
        fate: Fate::default(),
        allowance: OnceLock::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Role, Tier};

    fn of(limit: u64) -> Client {
        let mut row = ClientKeyRow::new("test", Role::User, Tier::Standard, "test");
        row.quota_limit = Some(limit);
        client(&row).unwrap()
    }

    #[test]
    fn rights_that_are_alike_are_kept_once_and_let_go_of_with_their_last_key() {
        let alike = Alike::default();
        let [mut one, mut other, mut third] = [of(1), of(1), of(2)];
        for client in [&mut one, &mut other, &mut third] {
            alike.share(client);
        }
        assert!(Arc::ptr_eq(&one.rights, &other.rights));
        assert!(!Arc::ptr_eq(&one.rights, &third.rights));
        for limit in 10..10 + 3 * FEW as u64 {
            alike.share(&mut of(limit));
        }
        let shelf = alike.0.lock().unwrap();
        assert!(shelf.rights.len() <= FEW + 1, "{}", shelf.rights.len());
        assert!(shelf.rights.contains(&one.rights) && shelf.rights.contains(&third.rights));
    }
}
