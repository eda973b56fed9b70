//! Short-lived tokens: judged against their client key, stored by their digest, known to every node
//! through the database and gone with their key. A signed token is stored like any other, so that
//! it can be revoked like any other. Must never make one that outlives what it was made with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::table::Entry;
use super::{Roster, compiled};
use crate::client::{Client, Networks, Scopes, Shows, Tier, Token, Wider, fault_of_origin};
use crate::clock::Moment;
use crate::crypto::{CryptoError, token};
use crate::quota::{Quota, Window};
use crate::refusal::{Exceeded, FieldFault, LimitKind};
use crate::secret::SecretBytes;
use crate::store::{self, ClientKeyRow, ClientTokenRow};

/// What is asked of a token; nothing: as much as its client key has, for as long as may be.
#[derive(Clone, Debug, Default)]
pub(crate) struct WantedToken {
    pub(crate) tier: Option<Tier>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) origin: Option<String>,
    /// An address or a network.
    pub(crate) address: Option<String>,
    pub(crate) ttl_seconds: Option<u64>,
}

/// Turns what a token will be into a signed one.
pub(crate) type Sign<'a> = &'a (dyn Fn(&ClientTokenRow) -> SecretBytes + Sync);

/// A token that was just made: the only moment at which it is known.
pub(crate) struct IssuedToken {
    pub(crate) row: ClientTokenRow,
    pub(crate) token: SecretBytes,
}

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum TokenFault {
    /// What was asked for is wrong.
    Invalid(Vec<FieldFault>),
    /// It is more than the client key has.
    Wider(Wider),
    /// A token, or a page: only a client key makes tokens.
    NoKey,
    /// Each is a row in the database for as long as it lives.
    TooMany(Exceeded),
    /// The client key has ended meanwhile.
    Ended,
    Store(store::Error),
    Crypto(CryptoError),
}

/// How many tokens a client key may make in a minute.
const MOST_A_MINUTE: Quota = Quota { calls: 600, window_ns: 60_000_000_000, unlimited: false };
/// Client keys that made none for a minute are forgotten when there are more than these.
const FEW: usize = 1000;

/// How many tokens each client key has made of late.
#[derive(Default)]
pub(super) struct Made(Mutex<HashMap<Uuid, Window>>);

impl Made {
    fn count(&self, client: Uuid, now: Moment) -> Result<(), TokenFault> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() > FEW {
            windows.retain(|_, window| window.look(MOST_A_MINUTE, now.monotonic_ns).used > 0);
        }
        let count = windows.entry(client).or_default().count(MOST_A_MINUTE, now.monotonic_ns);
        if count.admitted {
            return Ok(());
        }
        let wait_ms = count.free_in_ns.div_ceil(1_000_000);
        let reset_at_ms = now.unix_ms.saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX));
        Err(TokenFault::TooMany(Exceeded {
            limit: LimitKind::Client,
            quota: MOST_A_MINUTE.calls,
            used: count.used,
            free_at_ms: reset_at_ms,
            retry_after_seconds: wait_ms.div_ceil(1000).max(1),
        }))
    }
}

/// Of what the sentence of that refusal speaks.
pub(crate) const TOO_MANY: &str = "tokens of one client key per minute";

/// They stand in a signed token, which stands in a header.
const MOST_SCOPE_BYTES: usize = 2000;

impl Roster {
    /// A token of this client key, which `proof` has just proved; none where an operator makes it.
    pub(crate) async fn issue_token(
        &self,
        parent: &Client,
        proof: Option<&[u8; 32]>,
        wanted: WantedToken,
        sign: Option<Sign<'_>>,
    ) -> Result<IssuedToken, TokenFault> {
        match parent.shows {
            Shows::Key => {}
            Shows::Token(_) | Shows::Page => return Err(TokenFault::NoKey),
        }
        let ttl_seconds = self.judge(&wanted).map_err(TokenFault::Invalid)?;
        let ttl_ms = i64::try_from(ttl_seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        let now_ms = self.clock.unix_ms();
        let mut expires_at = now_ms.saturating_add(ttl_ms);
        expires_at = parent.expires_at_ms.map_or(expires_at, |end| end.min(expires_at));
        if let Some(proof) = proof {
            let end = self.store.client_key_proof_end(parent.id, proof).await?;
            expires_at = end.ok_or(TokenFault::Ended)?.min(expires_at);
        }
        if expires_at <= now_ms {
            return Err(TokenFault::Ended);
        }
        let row = ClientTokenRow {
            id: Uuid::now_v7(),
            client_key_id: parent.id,
            tier: wanted.tier,
            scopes: wanted.scopes,
            origin: wanted.origin,
            address: wanted.address,
            created_at: now_ms,
            expires_at,
        };
        let narrower = narrower(&row).map_err(|fault| TokenFault::Invalid(vec![fault]))?;
        narrower.check_within(&parent.rights).map_err(TokenFault::Wider)?;
        self.made.count(parent.id, self.clock.now())?;
        let token = match sign {
            Some(sign) => sign(&row),
            None => token::mint_token()?.key,
        };
        let digest = token::digest(token.expose());
        if !self.store.insert_client_token(&row, &digest, proof).await? {
            return Err(TokenFault::Ended);
        }
        Ok(IssuedToken { row, token })
    }

    /// Tokens whose time is over leave the table and the database.
    pub(crate) async fn put_ended_tokens_away(&self) -> Result<(), store::Error> {
        self.table.forget_ended_tokens(self.clock.unix_ms());
        self.store.drop_ended_client_tokens().await.map(drop)
    }

    /// The longest life of a token.
    pub(crate) fn most_token_seconds(&self) -> u64 {
        self.most_token_seconds
    }

    pub(super) async fn look_up_token(
        &self,
        digest: &[u8; 32],
    ) -> Result<Option<Entry>, store::Error> {
        let (row, key) = match self.store.client_token_by_digest(digest).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            // Edited by somebody: no credential, and everybody else goes on.
            Err(fault @ store::Error::Contradiction { .. }) => {
                tracing::error!(%fault, "integrity: a token is refused");
                self.metrics.alert_raised("integrity");
                return Ok(Some(self.unknown()));
            }
            Err(fault) => return Err(fault),
        };
        self.ends.note_to_come(&key, self.clock.unix_ms());
        match client_of(&row, &key) {
            Ok(mut client) => {
                self.alike.share(&mut client);
                Ok(Some(Entry::known(Arc::new(client), None)))
            }
            Err(fault) => {
                tracing::error!(id = %row.id, %fault, "integrity: a token is closed");
                Ok(Some(self.unknown()))
            }
        }
    }

    fn judge(&self, wanted: &WantedToken) -> Result<u64, Vec<FieldFault>> {
        let most = self.most_token_seconds;
        let mut faults = Vec::new();
        let mut fault = |field: &str, fault: String| {
            faults.push(FieldFault { field: field.to_owned(), fault });
        };
        for (index, scope) in wanted.scopes.iter().flatten().enumerate() {
            if let Some(what) = Scopes::fault_of(scope) {
                fault(&format!("scopes[{index}]"), what);
            }
        }
        if wanted.scopes.iter().flatten().map(String::len).sum::<usize>() > MOST_SCOPE_BYTES {
            fault("scopes", format!("are longer than {MOST_SCOPE_BYTES} characters together"));
        }
        if let Some(what) = wanted.origin.as_deref().and_then(fault_of_origin) {
            fault("origin", what.to_owned());
        }
        if let Some(Err(bad)) = wanted.address.as_ref().map(|one| Networks::parse(&[one])) {
            fault("address", bad.fault.to_owned());
        }
        let ttl_seconds = wanted.ttl_seconds.unwrap_or(most);
        if !(1..=most).contains(&ttl_seconds) {
            fault("ttl_seconds", format!("must be between 1 and {most}"));
        }
        if faults.is_empty() { Ok(ttl_seconds) } else { Err(faults) }
    }
}

/// The client key as its token leaves it.
fn client_of(row: &ClientTokenRow, key: &ClientKeyRow) -> Result<Client, String> {
    let mut client = compiled(key).map_err(|fault| fault.to_string())?;
    let narrower = narrower(row).map_err(|bad| format!("{} {}", bad.field, bad.fault))?;
    let ends = client.expires_at_ms.map_or(row.expires_at, |end| end.min(row.expires_at));
    client.expires_at_ms = Some(ends);
    client.shows = Shows::Token(Box::new(narrower));
    Ok(client)
}

fn narrower(row: &ClientTokenRow) -> Result<Token, FieldFault> {
    let bad =
        |field: &str, fault: &str| FieldFault { field: field.to_owned(), fault: fault.to_owned() };
    let scopes = row.scopes.as_deref().map(Scopes::parse).transpose();
    let networks = row.address.as_ref().map(|one| Networks::parse(&[one])).transpose();
    Ok(Token {
        id: row.id,
        tier: row.tier,
        scopes: scopes.map_err(|fault| bad("scopes", fault.fault))?,
        origin: row.origin.clone(),
        address: networks.map_err(|fault| bad("address", fault.fault))?,
    })
}

impl From<store::Error> for TokenFault {
    fn from(fault: store::Error) -> Self {
        Self::Store(fault)
    }
}

impl From<CryptoError> for TokenFault {
    fn from(fault: CryptoError) -> Self {
        Self::Crypto(fault)
    }
}
