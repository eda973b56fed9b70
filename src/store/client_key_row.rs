//! A row of the table `client_keys` as the rooms above read it: what an admin set, and what calls
//! left behind. Its columns are read and written in `client_keys`.
//! Must never hold a key or its digest.

use uuid::Uuid;

use crate::client::{Role, Tier};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientKeyRow {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) tier: Tier,
    /// None: all that the role allows. Empty: nothing.
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) allowed_ips: Option<Vec<String>>,
    pub(crate) allowed_origins: Option<Vec<String>>,
    pub(crate) description: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) quota_limit: Option<u64>,
    pub(crate) monthly_quota: Option<u64>,
    pub(crate) max_concurrent: Option<u64>,
    /// Provider id to the name of the secret bound to this key.
    pub(crate) secrets: Vec<(String, String)>,
    pub(crate) active: bool,
    pub(crate) created_at: i64,
    pub(crate) created_by: String,
    pub(crate) updated_at: i64,
    pub(crate) last_used_at: Option<i64>,
    pub(crate) last_used_endpoint: Option<String>,
    pub(crate) last_used_address: Option<String>,
    pub(crate) request_count: u64,
}

impl ClientKeyRow {
    /// A row with nothing set but what every key has; its id and times come with its issue.
    pub(crate) fn new(name: &str, role: Role, tier: Tier, created_by: &str) -> Self {
        Self {
            id: Uuid::nil(),
            name: name.to_owned(),
            role,
            tier,
            scopes: None,
            allowed_ips: None,
            allowed_origins: None,
            description: None,
            owner: None,
            expires_at: None,
            quota_limit: None,
            monthly_quota: None,
            max_concurrent: None,
            secrets: Vec::new(),
            active: true,
            created_at: 0,
            created_by: created_by.to_owned(),
            updated_at: 0,
            last_used_at: None,
            last_used_endpoint: None,
            last_used_address: None,
            request_count: 0,
        }
    }
}
