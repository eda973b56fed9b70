//! How a renewal begins: by its schedule, by the age of the key, because somebody asks for it, or
//! because a secret is gone whose key is still there. Written down first: from then on somebody
//! sees it through.
//! Must never begin a second one beside one that is under way.

use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use super::due::{self, BY_HAND};
use super::policy::Policy;
use super::renew::{ACTIVE, ITS_SECRET_IS_GONE, LOOK_EVERY, PENDING};
use super::{Parts, RotationError, Rotor};
use crate::failpoint::{self, place};
use crate::store::{RenewalRow, RenewalState};
use crate::vault::{SecretView, VaultError};

/// Of whoever waits for what another one does.
const LOOKS_FOR_ANOTHER: u32 = 1_000;

impl Rotor {
    pub(super) async fn begin_due(&self, rows: &[RenewalRow]) -> Result<(), RotationError> {
        let Parts { store, clock, settings, .. } = &self.parts;
        self.let_go(rows).await?;
        for stored in store.secrets().await?.rows {
            let secret = &stored.secret;
            let policy = settings.policies.of(&secret.provider, &secret.name);
            let Some(policy) = policy.filter(|policy| policy.is_automatic() && secret.active)
            else {
                continue;
            };
            let active = stored.versions.iter().rfind(|row| row.state.as_str() == ACTIVE);
            let Some(active) = active else { continue };
            let Some(row) = rows.iter().find(|row| row.secret_id == secret.id) else {
                let row = self.fresh(secret.id);
                store.put_renewal(&row).await?;
                continue;
            };
            let due = due::next(policy, row, active.created_at);
            let Some(due) = due.filter(|due| due.at_ms <= clock.unix_ms()) else { continue };
            match self.begin(secret.id, (due.cause, "house")).await {
                // Another node was faster, or somebody moves a version in by hand.
                Ok(_) | Err(RotationError::Not(_) | RotationError::Vault(VaultError::Rotates)) => {}
                Err(fault) => {
                    tracing::warn!(%fault, secret = %secret.id, "a key is not renewed yet");
                }
            }
        }
        Ok(())
    }

    /// Keys that a renewal has made, and whose secrets somebody has destroyed since.
    async fn let_go(&self, rows: &[RenewalRow]) -> Result<(), RotationError> {
        let Parts { vault, clock, .. } = &self.parts;
        for row in rows.iter().filter(|row| !row.is_open()) {
            let Some(own) = row.own.clone() else { continue };
            let id = row.secret_id;
            // What is gone and nobody has destroyed may come back.
            if vault.is_missing(id) || vault.show(id).await?.is_some() {
                continue;
            }
            let row = RenewalRow {
                state: RenewalState::Undoing,
                run: own.run,
                handle: own.handle,
                kind: own.kind,
                place: own.place,
                cause: ITS_SECRET_IS_GONE.to_owned(),
                actor: String::from("house"),
                started_at: Some(clock.unix_ms()),
                to_version: None,
                next_at: None,
                tries: 0,
                own: None,
                ..row.clone()
            };
            let row = self.put(row).await?;
            self.tell(&row, json!({"renewal": "begun", "cause": ITS_SECRET_IS_GONE}));
        }
        Ok(())
    }

    fn fresh(&self, secret_id: Uuid) -> RenewalRow {
        RenewalRow { secret_id, noted_at: self.parts.clock.unix_ms(), ..RenewalRow::default() }
    }

    /// Written down first: from here on somebody sees it through.
    async fn begin(
        &self,
        id: Uuid,
        (cause, actor): (&str, &str),
    ) -> Result<RenewalRow, RotationError> {
        let Parts { vault, store, clock, .. } = &self.parts;
        let view = vault.show(id).await?.ok_or(RotationError::Not("there is no such secret"))?;
        let policy = self.automatic(&view)?;
        if view.versions.iter().any(|version| version.state == PENDING) {
            return Err(VaultError::Rotates.into());
        }
        let active = view.versions.iter().rfind(|version| version.state == ACTIVE);
        let active = active.ok_or(VaultError::NothingToReplace)?;
        let row = store.renewal(id).await?.unwrap_or_else(|| self.fresh(id));
        if row.is_open() {
            return Err(RotationError::Not(
                "the key is being renewed already; `secret show` says how far it is",
            ));
        }
        let row = RenewalRow {
            state: RenewalState::Making,
            run: Uuid::now_v7(),
            provider: view.provider.clone(),
            name: view.name.clone(),
            kind: policy.kind().to_owned(),
            place: policy.place().map(str::to_owned),
            cause: cause.to_owned(),
            actor: actor.to_owned(),
            started_at: Some(clock.unix_ms()),
            from_version: active.version,
            to_version: None,
            handle: None,
            expires_at: None,
            next_at: None,
            tries: if cause == BY_HAND { 0 } else { row.tries },
            ..row
        };
        let row = self.put(row).await?;
        let from = row.from_version;
        self.tell(&row, json!({"renewal": "begun", "cause": cause, "from_version": from}));
        failpoint::pass(place::RENEWAL_BEGUN);
        Ok(row)
    }

    pub(super) fn automatic(&self, view: &SecretView) -> Result<&Policy, RotationError> {
        let policy = self.parts.settings.policies.of(&view.provider, &view.name);
        policy.filter(|policy| policy.is_automatic()).ok_or(RotationError::Not(
            "the settings name nothing that makes new keys of this secret; see rotation.policies",
        ))
    }

    /// At once, because somebody wants it; how far that came. What fails is tried again.
    pub(crate) async fn renew_now(
        self: &Arc<Self>,
        id: Uuid,
        by: &str,
    ) -> Result<RenewalRow, RotationError> {
        let begun = self.begin(id, (BY_HAND, by)).await?;
        let rotor = Arc::clone(self);
        // Whoever wanted it may leave.
        let stepping = tokio::spawn(async move { rotor.step(id).await });
        if let Ok(stepped) = stepping.await {
            stepped?;
        }
        // Whoever looks after all of them may have been faster.
        for _ in 0..LOOKS_FOR_ANOTHER {
            let row = self.parts.store.renewal(id).await?.filter(|row| row.run == begun.run);
            let Some(row) = row else { break };
            let is_under_way = match row.state {
                RenewalState::Making | RenewalState::Storing | RenewalState::Undoing => true,
                RenewalState::Idle | RenewalState::Moving | RenewalState::Retiring => false,
            };
            if !is_under_way || row.next_at.is_some() {
                return Ok(row);
            }
            tokio::time::sleep(LOOK_EVERY / 4).await;
        }
        Err(RotationError::Not("it takes long, and goes on by itself"))
    }
}
