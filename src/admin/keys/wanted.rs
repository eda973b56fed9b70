//! What a caller wants of a client key, read and judged member by member: the same for a new key
//! and for a change. Whatever restricts a key is compiled here once for trial, so that no row is
//! stored that could not be enforced.

use std::collections::BTreeMap;

use utoipa::ToSchema;

use super::super::call::Call;
use super::super::house::House;
use super::super::members::{Members, Patch};
use super::super::refused::Refused;
use super::super::words;
use super::grant::Unsaid;
use crate::client::{Networks, Role, Tier, fault_of_origin};
use crate::policy;
use crate::store::ClientKeyRow;
use crate::vault::SecretView;

/// The body of `POST …/api-keys`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Wanted` reads it")]
pub(crate) struct NewClientKey {
    /// 1 to 100 characters; need not be unique.
    #[schema(min_length = 1, max_length = 100, example = "research notebook")]
    name: String,
    #[schema(default = "user")]
    role: Option<words::Role>,
    #[schema(default = "standard")]
    tier: Option<words::Tier>,
    /// `provider:METHODS:/path`; a leading `!` denies and wins. Null: all that the role allows.
    #[schema(example = json!(["polygon:GET:/v2/aggs/**"]))]
    scopes: Option<Vec<String>>,
    #[schema(format = DateTime, example = "2027-01-01T00:00:00Z")]
    expires_at: Option<String>,
    #[schema(max_length = 1000)]
    description: Option<String>,
    #[schema(max_length = 200)]
    owner: Option<String>,
    /// Calls in a window, instead of the tier's.
    #[schema(minimum = 1)]
    limit: Option<u64>,
    /// Provider to the name of the secret that this key shall use there.
    #[schema(example = json!({"polygon": "default"}))]
    secrets: Option<BTreeMap<String, String>>,
    /// Networks that it may come from. Null: from anywhere. Empty: from nowhere.
    #[schema(example = json!(["10.0.0.0/8", "2001:db8::1"]))]
    allowed_ips: Option<Vec<String>>,
    /// Origins of pages that may use it. Null: any page, and programs.
    #[schema(example = json!(["https://app.example"]))]
    allowed_origins: Option<Vec<String>>,
    /// Calls in a month, which begins on the day on which the key was made.
    #[schema(minimum = 1)]
    monthly_quota: Option<u64>,
    /// Calls at once.
    #[schema(minimum = 1)]
    max_concurrent: Option<u64>,
}

/// The body of `PUT …/api-keys/{id}`: only what is sent changes, null clears.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Wanted` reads it")]
pub(crate) struct ClientKeyChange {
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    role: Option<words::Role>,
    tier: Option<words::Tier>,
    scopes: Option<Vec<String>>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    description: Option<String>,
    owner: Option<String>,
    #[schema(minimum = 1)]
    limit: Option<u64>,
    secrets: Option<BTreeMap<String, String>>,
    /// `false` revokes, `true` restores.
    active: Option<bool>,
    /// Networks that it may come from. Null: from anywhere. Empty: from nowhere.
    #[schema(example = json!(["10.0.0.0/8", "2001:db8::1"]))]
    allowed_ips: Option<Vec<String>>,
    /// Origins of pages that may use it. Null: any page, and programs.
    #[schema(example = json!(["https://app.example"]))]
    allowed_origins: Option<Vec<String>>,
    /// Calls in a month, which begins on the day on which the key was made.
    #[schema(minimum = 1)]
    monthly_quota: Option<u64>,
    /// Calls at once.
    #[schema(minimum = 1)]
    max_concurrent: Option<u64>,
}

pub(super) struct Wanted {
    pub(super) name: Patch<String>,
    pub(super) role: Patch<Role>,
    pub(super) tier: Patch<Tier>,
    pub(super) scopes: Patch<Vec<String>>,
    pub(super) expires_at: Patch<i64>,
    pub(super) description: Patch<String>,
    pub(super) owner: Patch<String>,
    pub(super) limit: Patch<u64>,
    pub(super) monthly_quota: Patch<u64>,
    pub(super) max_concurrent: Patch<u64>,
    pub(super) allowed_ips: Patch<Vec<String>>,
    pub(super) allowed_origins: Patch<Vec<String>>,
    pub(super) secrets: Patch<Vec<(String, String)>>,
}

const LONGEST_NAME: usize = 100;
const LONGEST_OWNER: usize = 200;
/// Far above any window's quota, far below where sums could overflow.
const LARGEST_LIMIT: u64 = 1_000_000_000;

impl Wanted {
    pub(super) async fn read(members: &mut Members, call: &Call) -> Result<Self, Refused> {
        let wanted = Self::members(members);
        wanted.judge(members, &call.house);
        wanted.find_secrets(members, &call.house).await?;
        Ok(wanted)
    }

    fn members(members: &mut Members) -> Self {
        Self {
            name: members.text_up_to("name", LONGEST_NAME),
            role: members.word("role", &Role::ALL, Role::as_str),
            tier: members.word("tier", &Tier::ALL, Tier::as_str),
            scopes: members.texts("scopes"),
            expires_at: members.time("expires_at"),
            description: members.text("description"),
            owner: members.text_up_to("owner", LONGEST_OWNER),
            limit: members.whole("limit", 1, LARGEST_LIMIT),
            monthly_quota: members.whole("monthly_quota", 1, LARGEST_LIMIT),
            max_concurrent: members.whole("max_concurrent", 1, LARGEST_LIMIT),
            allowed_ips: members.texts("allowed_ips"),
            allowed_origins: members.texts("allowed_origins"),
            secrets: members.pairs("secrets"),
        }
    }

    /// Null means the default where something is made.
    pub(super) fn for_new(mut self) -> Self {
        if self.name == Patch::Clear {
            self.name = Patch::Keep;
        }
        if self.role == Patch::Clear {
            self.role = Patch::Keep;
        }
        if self.tier == Patch::Clear {
            self.tier = Patch::Keep;
        }
        self
    }

    fn judge(&self, members: &mut Members, house: &House) {
        let now_ms = house.clock.unix_ms();
        if let Patch::Set(scopes) = &self.scopes {
            name_bad_scopes(members, scopes, house);
        }
        if let Patch::Set(networks) = &self.allowed_ips
            && let Err(bad) = Networks::parse(networks)
        {
            members.fault(&format!("allowed_ips[{}]", bad.index), bad.fault);
        }
        if let Patch::Set(origins) = &self.allowed_origins {
            for (index, origin) in origins.iter().enumerate() {
                if let Some(fault) = fault_of_origin(origin) {
                    members.fault(&format!("allowed_origins[{index}]"), fault);
                }
            }
        }
        if let Patch::Set(expires_at) = self.expires_at
            && expires_at <= now_ms
        {
            members.fault("expires_at", "must lie in the future; to revoke, send active: false");
        }
    }

    /// A key that is bound to a secret which is not there could call nothing.
    async fn find_secrets(&self, members: &mut Members, house: &House) -> Result<(), Refused> {
        let Patch::Set(bound) = &self.secrets else { return Ok(()) };
        let known = house.vault.list().await.map_err(Refused::internal)?;
        for (provider, name) in bound {
            let is_it = |secret: &SecretView| secret.provider == *provider && secret.name == *name;
            if !known.iter().any(is_it) {
                let fault = "names a secret that this provider does not have";
                members.fault(&format!("secrets.{provider}"), fault);
            }
        }
        Ok(())
    }

    /// Which bounds nothing is said of.
    pub(super) fn unsaid(&self) -> Unsaid {
        Unsaid {
            expires_at: self.expires_at == Patch::Keep,
            allowed_ips: self.allowed_ips == Patch::Keep,
            allowed_origins: self.allowed_origins == Patch::Keep,
        }
    }

    /// True where the change may hand out more than there was: it then counts as a grant.
    pub(super) fn grants(&self, activates: bool) -> bool {
        activates
            || !matches!(self.role, Patch::Keep)
            || !matches!(self.tier, Patch::Keep)
            || !matches!(self.scopes, Patch::Keep)
            || !matches!(self.expires_at, Patch::Keep)
            || !matches!(self.limit, Patch::Keep)
            || !matches!(self.monthly_quota, Patch::Keep)
            || !matches!(self.max_concurrent, Patch::Keep)
            || !matches!(self.allowed_ips, Patch::Keep)
            || !matches!(self.allowed_origins, Patch::Keep)
            || !matches!(self.secrets, Patch::Keep)
    }

    /// Writes the change over the row. Nulls where nothing can be null are faults.
    pub(super) fn over(self, row: &mut ClientKeyRow, members: &mut Members) {
        if let Some(name) = members.unclearable("name", self.name) {
            row.name = name;
        }
        if let Some(role) = members.unclearable("role", self.role) {
            row.role = role;
        }
        if let Some(tier) = members.unclearable("tier", self.tier) {
            row.tier = tier;
        }
        self.scopes.over(&mut row.scopes);
        self.expires_at.over(&mut row.expires_at);
        self.description.over(&mut row.description);
        self.owner.over(&mut row.owner);
        self.limit.over(&mut row.quota_limit);
        self.monthly_quota.over(&mut row.monthly_quota);
        self.max_concurrent.over(&mut row.max_concurrent);
        self.allowed_ips.over(&mut row.allowed_ips);
        self.allowed_origins.over(&mut row.allowed_origins);
        match self.secrets {
            Patch::Keep => {}
            Patch::Clear => row.secrets = Vec::new(),
            Patch::Set(secrets) => row.secrets = secrets,
        }
    }
}

/// For tokens, too.
pub(in super::super) fn name_bad_scopes(members: &mut Members, scopes: &[String], house: &House) {
    for (index, fault) in policy::faults_of_scopes(scopes, &house.catalogue.now()) {
        members.fault(&format!("scopes[{index}]"), fault);
    }
}
