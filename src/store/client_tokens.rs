//! The table `client_tokens`: short-lived tokens, by their digest, each with what it lacks of its
//! client key's rights. They die with that key: deleted with it, ended with its digests. Must never
//! hold a token, and never take in one whose client key has ended meanwhile.

use uuid::Uuid;

use super::client_key_row::ClientKeyRow;
use super::columns::{Place, texts_json};
use super::dialect::{Tx, changing, row, row_within, rows, rows_within};
use super::lenient::Unread;
use super::{Error, RowKey, Store};
use crate::client::Tier;
use crate::crypto::{Aad, hmac_sha256, label};
use crate::secret::{self, Key};

/// None anywhere: as the client key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientTokenRow {
    pub(crate) id: Uuid,
    pub(crate) client_key_id: Uuid,
    pub(crate) tier: Option<Tier>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) origin: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
}

#[derive(sqlx::FromRow)]
struct RawToken {
    id: String,
    client_key_id: String,
    tier: Option<String>,
    scopes: Option<String>,
    origin: Option<String>,
    address: Option<String>,
    created_at: i64,
    expires_at: i64,
    token_hash: Vec<u8>,
    seal: Option<Vec<u8>>,
}

const INSERT: &str = "INSERT INTO client_tokens (token_hash, id, client_key_id, tier, scopes,
    origin, address, created_at, expires_at, seal)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const BY_DIGEST: &str = "SELECT id, client_key_id, tier, scopes, origin, address, created_at,
    expires_at, token_hash, seal FROM client_tokens WHERE token_hash = $1";
// Changing the key's row, if only to itself, makes this and its rotation run one after the other.
const LOCK_LIVE_KEY: &str = "UPDATE client_keys SET updated_at = updated_at
    WHERE id = $1 AND active = 1 AND (expires_at IS NULL OR expires_at >= $2)";
const PROOF_END: &str = "SELECT COALESCE(valid_until, $1) FROM client_key_hashes
    WHERE key_hash = $2 AND client_key_id = $3";
const LATER: &str = "SELECT id, client_key_id, tier, scopes, origin, address, created_at,
    expires_at, token_hash, seal FROM client_tokens WHERE client_key_id = $1 AND expires_at > $2
    ORDER BY token_hash";
const LIVE: &str =
    "SELECT token_hash FROM client_tokens WHERE client_key_id = $1 AND expires_at > $2";
const SHORTEN: &str = "UPDATE client_tokens SET expires_at = $1, seal = $2 WHERE token_hash = $3";
const DROP_ENDED: &str = "DELETE FROM client_tokens WHERE expires_at <= $1";

impl Store {
    /// False if its client key, or the digest that proved it, does not last as long as the token.
    pub(crate) async fn insert_client_token(
        &self,
        token: &ClientTokenRow,
        digest: &[u8; 32],
        proof: Option<&[u8; 32]>,
    ) -> Result<bool, Error> {
        let key = token.client_key_id.to_string();
        let mut tx = self.begin().await?;
        let live = changing!(
            &mut tx,
            sqlx::query(LOCK_LIVE_KEY).bind(key.as_str()).bind(token.expires_at)
        )?;
        if live == 0 {
            return Ok(false);
        }
        if let Some(proof) = proof {
            let end = proof_end(&mut tx, &key, proof).await?;
            if end.is_none_or(|end| end < token.expires_at) {
                return Ok(false);
            }
        }
        changing!(
            &mut tx,
            sqlx::query(INSERT)
                .bind(digest.as_slice())
                .bind(token.id.to_string())
                .bind(key.as_str())
                .bind(token.tier.map(Tier::as_str))
                .bind(texts_json(token.scopes.as_deref()))
                .bind(token.origin.as_deref())
                .bind(token.address.as_deref())
                .bind(token.created_at)
                .bind(token.expires_at)
                .bind(self.seal_of_token(digest, token))
        )?;
        tx.commit().await?;
        Ok(true)
    }

    /// Until when this digest proves that client key; none where it does not.
    pub(crate) async fn client_key_proof_end(
        &self,
        id: Uuid,
        proof: &[u8; 32],
    ) -> Result<Option<i64>, Error> {
        let id = id.to_string();
        let end: Option<(i64,)> = row!(
            self,
            "client_key_hashes",
            sqlx::query(PROOF_END).bind(i64::MAX).bind(proof.as_slice()).bind(id.as_str())
        )?;
        Ok(end.map(|(end,)| end))
    }

    /// Of the tokens of a client key that have not ended.
    pub(crate) async fn client_token_digests(&self, id: Uuid) -> Result<Vec<[u8; 32]>, Error> {
        let (id, now_ms) = (id.to_string(), self.clock.unix_ms());
        let raw: Vec<Result<(Vec<u8>,), Unread>> =
            rows!(self, "client_tokens", sqlx::query(LIVE).bind(id).bind(now_ms));
        Ok(raw.into_iter().flatten().filter_map(|(digest,)| digest.try_into().ok()).collect())
    }

    /// The token of a digest, and its client key as it is now. `Error::Contradiction` if one of
    /// them does not fit its seal.
    pub(crate) async fn client_token_by_digest(
        &self,
        digest: &[u8; 32],
    ) -> Result<Option<(ClientTokenRow, ClientKeyRow)>, Error> {
        let query = digest.as_slice();
        let raw: Option<RawToken> =
            row!(self, "client_tokens", sqlx::query(BY_DIGEST).bind(query))?;
        let Some(raw) = raw else { return Ok(None) };
        let seal = raw.seal.clone();
        let token = from_raw(raw)?;
        self.judge_token(digest, &token, seal.as_deref())?;
        let key = self.fitting_client_key(token.client_key_id).await?;
        Ok(key.map(|key| (token, key)))
    }

    /// None of this client key's tokens lasts longer than the key that it was made with. One that
    /// does not fit its seal is not made to fit.
    pub(super) async fn shorten_client_tokens(
        &self,
        tx: &mut Tx,
        key: &str,
        until_ms: i64,
    ) -> Result<(), Error> {
        let later: Vec<Result<RawToken, Unread>> =
            rows_within!(&mut *tx, "client_tokens", sqlx::query(LATER).bind(key).bind(until_ms));
        // What cannot be read is no token.
        for raw in later.into_iter().flatten() {
            let (hash, seal) = (raw.token_hash.clone(), raw.seal.clone());
            let Ok(mut token) = from_raw(raw) else { continue };
            let fits = self.judge_token(&hash, &token, seal.as_deref()).is_ok();
            token.expires_at = until_ms;
            let seal = if fits { self.seal_of_token(&hash, &token) } else { None };
            let hash = hash.as_slice();
            changing!(tx, sqlx::query(SHORTEN).bind(until_ms).bind(seal).bind(hash))?;
        }
        Ok(())
    }

    /// None while the vault is sealed: such a token is refused later.
    fn seal_of_token(&self, digest: &[u8], token: &ClientTokenRow) -> Option<Vec<u8>> {
        match &*self.row_key() {
            RowKey::Here(key) => Some(made(key, digest, token).to_vec()),
            RowKey::Absent | RowKey::Lost => None,
        }
    }

    fn judge_token(
        &self,
        digest: &[u8],
        token: &ClientTokenRow,
        seal: Option<&[u8]>,
    ) -> Result<(), Error> {
        let fits = match &*self.row_key() {
            RowKey::Absent => true,
            RowKey::Lost => false,
            RowKey::Here(key) => {
                seal.is_some_and(|seal| secret::same(seal, &made(key, digest, token)))
            }
        };
        if fits {
            return Ok(());
        }
        let id = token.id.to_string();
        let place = Place { table: "client_tokens", row: &id };
        Err(place.contradiction("seal", "somebody has edited it; make a new token"))
    }

    pub(crate) async fn drop_ended_client_tokens(&self) -> Result<u64, Error> {
        let now_ms = self.clock.unix_ms();
        let mut tx = self.begin().await?;
        let dropped = changing!(&mut tx, sqlx::query(DROP_ENDED).bind(now_ms))?;
        tx.commit().await?;
        Ok(dropped)
    }
}

/// Over all of a token: whoever writes a row into the database makes none by that.
fn made(key: &Key, digest: &[u8], token: &ClientTokenRow) -> [u8; 32] {
    let text = |text: Option<&str>| match text {
        None => vec![0],
        Some(text) => [&[1], text.as_bytes()].concat(),
    };
    let scopes = texts_json(token.scopes.as_deref());
    let said = Aad::new("client-token")
        .with(digest)
        .with(token.id.as_bytes())
        .with(token.client_key_id.as_bytes())
        .with(&text(token.tier.map(Tier::as_str)))
        .with(&text(scopes.as_deref()))
        .with(&text(token.origin.as_deref()))
        .with(&text(token.address.as_deref()))
        .with(&token.created_at.to_be_bytes())
        .with(&token.expires_at.to_be_bytes());
    hmac_sha256(key, &[label::CLIENT_TOKEN_ROW, said.as_bytes()])
}

async fn proof_end(tx: &mut Tx, key: &str, proof: &[u8; 32]) -> Result<Option<i64>, Error> {
    let end: Option<(i64,)> = row_within!(
        tx,
        "client_key_hashes",
        sqlx::query(PROOF_END).bind(i64::MAX).bind(proof.as_slice()).bind(key)
    )?;
    Ok(end.map(|(end,)| end))
}

fn from_raw(raw: RawToken) -> Result<ClientTokenRow, Error> {
    let place = Place { table: "client_tokens", row: &raw.id };
    Ok(ClientTokenRow {
        id: place.id("id", &raw.id)?,
        client_key_id: place.id("client_key_id", &raw.client_key_id)?,
        tier: raw.tier.as_deref().map(|tier| place.word("tier", tier, Tier::parse)).transpose()?,
        scopes: place.texts("scopes", raw.scopes.as_deref())?,
        origin: raw.origin,
        address: raw.address,
        created_at: raw.created_at,
        expires_at: raw.expires_at,
    })
}
