//! Accounts: made by invitation, changed, reset, removed. Whoever makes one never knows its
//! password nor its codes: they are chosen by whoever holds the invitation.
//! Must never keep an invitation, and never let one pass twice.

use uuid::Uuid;

use super::codes::{self, Typed};
use super::sessions::Cookie;
use super::{OperatorFault, Operators, TRIES, Whence, passwords};
use crate::client::Role;
use crate::crypto::{sha256, token};
use crate::secret::SecretBytes;
use crate::store::{OperatorRow, StandingOperator};

/// An operator with an invitation that was just made: the only moment at which it is known.
pub(crate) struct Invited {
    pub(crate) row: OperatorRow,
    pub(crate) invitation: SecretBytes,
    pub(crate) expires_at: i64,
}

/// What the holder of an invitation is shown: what his codes are to be made of.
pub(crate) struct Offered {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) secret: SecretBytes,
    pub(crate) uri: SecretBytes,
}

pub(crate) const MOST_NAME: usize = 64;
const PREFIX: &str = "sgi_";

/// What may be typed to sign in, once it is in lower case.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let inner = |byte: u8| plain(byte) || b"._@+-".contains(&byte);
    (1..=MOST_NAME).contains(&name.len())
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(inner)
}

impl Operators {
    pub(crate) async fn has_any(&self) -> Result<bool, OperatorFault> {
        Ok(self.store.has_operators().await?)
    }

    pub(crate) async fn page(
        &self,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<StandingOperator>, OperatorFault> {
        Ok(self.store.operators_page(after, limit).await?)
    }

    pub(crate) async fn standing(
        &self,
        id: Uuid,
    ) -> Result<Option<StandingOperator>, OperatorFault> {
        Ok(self.store.standing_operator(id).await?)
    }

    /// A new account that nobody can sign in to before the invitation is accepted.
    pub(crate) async fn invite(
        &self,
        (name, email): (String, Option<String>),
        role: Role,
        by: &str,
    ) -> Result<Invited, OperatorFault> {
        self.demand_open()?;
        let now_ms = self.clock.unix_ms();
        let mut row = OperatorRow {
            id: Uuid::now_v7(),
            name,
            email,
            role,
            password: None,
            totp: None,
            totp_step: 0,
            recovery: Vec::new(),
            invitation: None,
            invitation_ends_at: None,
            created_at: now_ms,
            created_by: by.to_owned(),
            updated_at: now_ms,
            seal: Vec::new(),
        };
        let invitation = token::mint_word(PREFIX)?;
        let expires_at = self.offer(&mut row, &invitation);
        self.store.insert_operator(&row).await?;
        Ok(Invited { row, invitation, expires_at })
    }

    /// Password, codes and sessions are void; a new invitation begins anew.
    pub(crate) async fn reset(&self, id: Uuid) -> Result<Invited, OperatorFault> {
        self.demand_open()?;
        let invitation = token::mint_word(PREFIX)?;
        let row = self.changed(id, true, |row| {
            row.password = None;
            row.totp = None;
            row.totp_step = 0;
            row.recovery = Vec::new();
            self.offer(row, &invitation);
        });
        let row = row.await?;
        let expires_at = row.invitation_ends_at.unwrap_or_default();
        Ok(Invited { row, invitation, expires_at })
    }

    /// Another role ends every session.
    pub(crate) async fn alter(
        &self,
        id: Uuid,
        email: Option<Option<String>>,
        role: Option<Role>,
    ) -> Result<OperatorRow, OperatorFault> {
        self.demand_open()?;
        let is_other = match role {
            Some(role) => self.reread(id).await?.role != role,
            None => false,
        };
        self.changed(id, is_other, |row| {
            row.role = role.unwrap_or(row.role);
            if let Some(email) = &email {
                row.email.clone_from(email);
            }
        })
        .await
    }

    pub(crate) async fn remove(&self, id: Uuid) -> Result<bool, OperatorFault> {
        Ok(self.store.delete_operator(id).await?)
    }

    /// What the codes of whoever holds the invitation are to be made of; the same when asked again.
    pub(crate) async fn open_invitation(
        &self,
        invitation: &SecretBytes,
    ) -> Result<Offered, OperatorFault> {
        self.demand_open()?;
        for _ in 0..TRIES {
            let mut row = self.invited(invitation).await?;
            let secret = match &row.totp {
                Some(envelope) => self.store.opened_codes(row.id, envelope)?,
                None => {
                    let secret = codes::fresh_secret()?;
                    row.totp = Some(self.store.enveloped_codes(row.id, &secret)?);
                    if !self.store.update_operator(&row, false).await? {
                        continue;
                    }
                    secret
                }
            };
            let uri = codes::uri(&row.name, &secret);
            let secret = codes::base32(&secret);
            return Ok(Offered { name: row.name, role: row.role, secret, uri });
        }
        Err(OperatorFault::Busy)
    }

    /// The account is its holder's from now on. With the recovery codes, shown this once.
    pub(crate) async fn accept(
        &self,
        invitation: &SecretBytes,
        [password, code]: [SecretBytes; 2],
        from: &Whence,
    ) -> Result<(Cookie, Vec<SecretBytes>), OperatorFault> {
        self.demand_open()?;
        let row = self.invited(invitation).await?;
        passwords::demand(&password, [&row.name, row.email.as_deref().unwrap_or_default()])?;
        let row = self.spend_code(row, &Typed::of(&code), false).await?;
        let hash = self.hashing.hash(password).await?;
        let recovery = codes::fresh_recovery(row.id)?;
        // Accepted twice at once, one of them finds another row.
        let mut accepted = self.invited(invitation).await?;
        accepted.password = Some(hash);
        accepted.recovery = recovery.kept;
        accepted.invitation = None;
        accepted.invitation_ends_at = None;
        accepted.updated_at = self.clock.unix_ms();
        if !self.store.update_operator(&accepted, true).await? {
            return Err(OperatorFault::Busy);
        }
        let row = self.reread(row.id).await?;
        Ok((self.new_session(&row, from, None).await?, recovery.shown))
    }

    async fn invited(&self, invitation: &SecretBytes) -> Result<OperatorRow, OperatorFault> {
        let none = || OperatorFault::Wrong { who: None, what: "invitation" };
        let digest = sha256(invitation.expose());
        let found = match self.store.operator_by_invitation(&digest).await {
            Err(fault @ crate::store::Error::Contradiction { .. }) => {
                tracing::error!(%fault, "integrity: an invitation is refused");
                None
            }
            read => read?,
        };
        let row = found.ok_or_else(none)?;
        let ends_at = row.invitation_ends_at.unwrap_or(0);
        if ends_at <= self.clock.unix_ms() { Err(none()) } else { Ok(row) }
    }

    fn offer(&self, row: &mut OperatorRow, invitation: &SecretBytes) -> i64 {
        let lasts_ms = self.settings.invitation_seconds.saturating_mul(1000);
        let ends_at = self.clock.unix_ms().saturating_add_unsigned(lasts_ms);
        row.invitation = Some(sha256(invitation.expose()).to_vec());
        row.invitation_ends_at = Some(ends_at);
        ends_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        for good in
            ["a", "ada", "ada.lovelace@example.org", "7of9", "a-b_c".replace('_', "+").as_str()]
        {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "Ada", "-a", "@x", "a b", "é", "a\n", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
