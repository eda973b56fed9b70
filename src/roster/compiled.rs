//! A row of the database made into the client key that calls are
//! judged by: scopes, networks and origins compiled once. Must never
//! let a member pass that it did not understand.

use std::sync::OnceLock;

use crate::client::{Client, Fate, Networks, Rights, Scopes, Shows, fault_of_origin};
use crate::store::ClientKeyRow;

use super::RosterError;

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
        rights: Rights {
            role: row.role,
            tier: row.tier,
            scopes: scopes.map_err(RosterError::BadScope)?,
            allowed_ips: networks.map_err(bad_network)?,
            allowed_origins: row.allowed_origins.clone(),
            limit: row.quota_limit,
            monthly_quota: row.monthly_quota,
            max_concurrent: row.max_concurrent,
            secrets: row.secrets.clone(),
        },
        expires_at_ms: row.expires_at,
        active: row.active,
        shows: Shows::Key,
        fate: Fate::default(),
        allowance: OnceLock::new(),
    })
}
