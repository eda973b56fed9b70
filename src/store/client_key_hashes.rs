//! The table `client_key_hashes`: the digests that prove a client key, at most two of them
//! live. Must never hold a key, only its SHA-256 and the few characters that people recognise
//! it by.

use std::collections::HashMap;

use uuid::Uuid;

use super::changes::{self, Changed};
use super::dialect::{Tx, changing, reading, rows};
use super::lenient::Unread;
use super::{Error, Store};

/// What may be shown of one digest of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPreview {
    /// None for imported keys.
    pub(crate) preview: Option<String>,
    pub(crate) created_at: i64,
    /// None: the present one. Else the end of the overlap after a rotation.
    pub(crate) valid_until: Option<i64>,
}

/// The digest that takes the present one's place.
#[derive(Clone, Copy)]
pub(crate) struct NextDigest<'a> {
    pub(crate) digest: &'a [u8; 32],
    pub(crate) preview: &'a str,
    /// Until when the present digest still proves the key.
    pub(crate) former_valid_until: i64,
}

#[derive(sqlx::FromRow)]
struct RawPreview {
    client_key_id: String,
    key_preview: Option<String>,
    created_at: i64,
    valid_until: Option<i64>,
}

// The present digest first: it alone has no end.
const PREVIEWS: &str =
    "SELECT client_key_id, key_preview, created_at, valid_until FROM client_key_hashes
    WHERE client_key_id = $1 ORDER BY valid_until IS NOT NULL, created_at DESC";
const PAGE_PREVIEWS: &str =
    "SELECT client_key_id, key_preview, created_at, valid_until FROM client_key_hashes
    WHERE client_key_id IN (SELECT id FROM client_keys WHERE id < $1 ORDER BY id DESC LIMIT $2)
    ORDER BY valid_until IS NOT NULL, created_at DESC";
const LIVE: &str = "SELECT key_hash FROM client_key_hashes
    WHERE client_key_id = $1 AND (valid_until IS NULL OR valid_until > $2)";
const INSERT: &str = "INSERT INTO client_key_hashes
    (key_hash, client_key_id, key_preview, created_at, valid_until) VALUES ($1, $2, $3, $4, $5)";
const DROP_FORMER: &str =
    "DELETE FROM client_key_hashes WHERE client_key_id = $1 AND valid_until IS NOT NULL";
const END_PRESENT: &str = "UPDATE client_key_hashes SET valid_until = $1 WHERE client_key_id = $2";
const LOCK_KEY: &str = "UPDATE client_keys SET updated_at = $1 WHERE id = $2";

impl Store {
    pub(crate) async fn client_key_previews(&self, id: Uuid) -> Result<Vec<KeyPreview>, Error> {
        let id = id.to_string();
        let raw = rows!(self, "client_key_hashes", sqlx::query(PREVIEWS).bind(id));
        let raw: Vec<Result<RawPreview, Unread>> = raw;
        Ok(raw.into_iter().flatten().map(from_raw).collect())
    }

    /// What proves this key at present.
    pub(crate) async fn client_key_digests(&self, id: Uuid) -> Result<Vec<[u8; 32]>, Error> {
        let (id, now_ms) = (id.to_string(), self.clock.unix_ms());
        let raw: Vec<Result<(Vec<u8>,), Unread>> =
            rows!(self, "client_key_hashes", sqlx::query(LIVE).bind(id).bind(now_ms));
        Ok(raw.into_iter().flatten().filter_map(|(digest,)| digest.try_into().ok()).collect())
    }

    /// A new digest for the same key; the present one lives on until its end, an older one is gone,
    /// so that two are live at most. False if there is no such key.
    pub(crate) async fn rotate_client_key(
        &self,
        id: Uuid,
        next: NextDigest<'_>,
    ) -> Result<bool, Error> {
        let now_ms = self.clock.unix_ms();
        let text = id.to_string();
        let mut tx = self.begin().await?;
        // Changing the key's row first makes two rotations at once run one after the other.
        if changing!(&mut tx, sqlx::query(LOCK_KEY).bind(now_ms).bind(text.as_str()))? == 0 {
            return Ok(false);
        }
        self.demand_fit(&mut tx, &text).await?;
        changing!(&mut tx, sqlx::query(DROP_FORMER).bind(text.as_str()))?;
        changing!(
            &mut tx,
            sqlx::query(END_PRESENT).bind(next.former_valid_until).bind(text.as_str())
        )?;
        self.shorten_client_tokens(&mut tx, &text, next.former_valid_until).await?;
        let shown = KeyPreview {
            preview: Some(next.preview.to_owned()),
            created_at: now_ms,
            valid_until: None,
        };
        insert(&mut tx, id, next.digest, &shown).await?;
        self.seal_row(&mut tx, &text).await?;
        changes::tell(&mut tx, Changed::ClientKey(id)).await?;
        tx.commit().await?;
        self.demand_rotated(id, next).await?;
        Ok(true)
    }

    /// A trigger may have kept a former digest going.
    async fn demand_rotated(&self, id: Uuid, next: NextDigest<'_>) -> Result<(), Error> {
        const OTHERS: &str = "SELECT COUNT(*) FROM client_key_hashes WHERE client_key_id = $1
            AND key_hash <> $2 AND (valid_until IS NULL OR valid_until > $3)";
        let id = id.to_string();
        let others: i64 = reading!(self, db => {
            sqlx::query_scalar(OTHERS)
                .bind(id.as_str())
                .bind(next.digest.as_slice())
                .bind(next.former_valid_until)
                .fetch_one(db)
        })?;
        if others > 0 { Err(self.ignored(&id)) } else { Ok(()) }
    }

    /// By the id of their key, for the page of keys that begins below an id.
    pub(super) async fn page_previews(
        &self,
        below: &str,
        limit: u32,
    ) -> Result<HashMap<String, Vec<KeyPreview>>, Error> {
        let raw: Vec<Result<RawPreview, Unread>> = rows!(
            self,
            "client_key_hashes",
            sqlx::query(PAGE_PREVIEWS).bind(below).bind(i64::from(limit))
        );
        let mut previews: HashMap<String, Vec<KeyPreview>> = HashMap::new();
        for mut row in raw.into_iter().flatten() {
            let id = std::mem::take(&mut row.client_key_id);
            previews.entry(id).or_default().push(from_raw(row));
        }
        Ok(previews)
    }
}

pub(super) async fn insert(
    tx: &mut Tx,
    client_key_id: Uuid,
    digest: &[u8; 32],
    shown: &KeyPreview,
) -> Result<(), Error> {
    changing!(
        tx,
        sqlx::query(INSERT)
            .bind(digest.as_slice())
            .bind(client_key_id.to_string())
            .bind(shown.preview.as_deref())
            .bind(shown.created_at)
            .bind(shown.valid_until)
    )?;
    Ok(())
}

fn from_raw(raw: RawPreview) -> KeyPreview {
    KeyPreview {
        preview: raw.key_preview,
        created_at: raw.created_at,
        valid_until: raw.valid_until,
    }
}
