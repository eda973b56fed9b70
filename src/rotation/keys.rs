//! A renewal's dealings with whoever makes keys: a new one is asked for, looked at and moved in;
//! one that nobody needs any more is given back; what fails is tried again.
//! Must never keep a value anywhere but in the vault.

use std::time::Duration;

use serde_json::json;

use super::due::{self, BY_HAND};
use super::policy::{Policy, Way};
use super::renew::{ENTERED, ITS_SECRET_IS_GONE, Went, by, is_destroyed};
use super::ways::{Action, Errand, Made, letter, read};
use super::{Parts, RotationError, Rotor};
use crate::failpoint::{self, place};
use crate::probe::{Asked, Live, Report};
use crate::secret::SecretBytes;
use crate::store::{Cause, OwnKey, RenewalResult, RenewalRow, RenewalState};
use crate::vault::{SecretView, VaultError, faults};

/// A key that was made this moment may not be known everywhere at its provider.
const ASKED_AGAIN: Duration = Duration::from_secs(2);
const TIMES_ASKED: u32 = 5;
const LONGEST_FAULT: usize = 300;

impl Rotor {
    pub(super) async fn make(
        &self,
        policy: &Policy,
        row: RenewalRow,
        view: Option<SecretView>,
    ) -> Result<Went, RotationError> {
        if view.is_none() {
            // Destroyed meanwhile: what an earlier try may have made is given back.
            self.put(RenewalRow { state: RenewalState::Undoing, ..row }).await?;
            return Ok(Went::On);
        }
        let made = match self.ask_for_a_key(policy, &row).await {
            Ok(made) => made,
            Err(fault) => return self.failed(row, &fault).await,
        };
        failpoint::pass(place::RENEWAL_MADE);
        if made.tells_its_key() {
            let fault = "the handle of the new key is, or holds, the key itself, and handles are \
                         told: let the rotator name its keys otherwise";
            return self.failed(row, fault).await;
        }
        if self.parts.vault.is_in_use(row.secret_id, &made.fields).await? {
            // Given back, it would be taken from all who call.
            return self.failed(row, "the rotator answered the key that is in use").await;
        }
        let Made { fields, handle, expires_at } = made;
        let row = RenewalRow { state: RenewalState::Storing, handle, expires_at, ..row };
        let row = self.put(row).await?;
        failpoint::pass(place::RENEWAL_NOTED);
        self.tell(&row, json!({"renewal": "made", "handle": row.handle}));
        match self.move_in(policy, &row, &fields).await {
            Ok(to_version) => {
                let (state, to_version) = (RenewalState::Moving, Some(to_version));
                self.put(RenewalRow { state, to_version, tries: 0, fault: None, ..row }).await?;
                failpoint::pass(place::RENEWAL_MOVES);
                Ok(Went::On)
            }
            Err(Unmoved::Sealed) => Err(VaultError::Sealed.into()),
            Err(Unmoved::Because(why)) => {
                let fault = format!("the new key was not moved in: {why}");
                self.give_up(row, &fault).await?;
                Ok(Went::On)
            }
        }
    }

    async fn ask_for_a_key(&self, policy: &Policy, row: &RenewalRow) -> Result<Made, String> {
        let now_ms = self.parts.clock.unix_ms();
        match &policy.way {
            Way::OpenAi(openai) => self.make_account((policy, openai), row.run).await,
            Way::Webhook(_) | Way::Command(_) => {
                let answer = self.ask_rotator(policy, (Action::Create, row)).await?;
                read(&answer, now_ms)
            }
            Way::Manual => Err(String::from("nobody makes keys of this secret")),
        }
    }

    async fn ask_rotator(
        &self,
        policy: &Policy,
        (action, row): (Action<'_>, &RenewalRow),
    ) -> Result<SecretBytes, String> {
        let Parts { ways, clock, .. } = &self.parts;
        let within = policy.within;
        let asked = match &policy.way {
            Way::Webhook(webhook) => {
                let letter = letter(webhook, (action, row), (clock.unix_ms(), within));
                (ways.post)(letter).await.map_err(|fault| format!("the webhook: {fault}"))
            }
            Way::Command(command) => {
                let (command, input) = (command.clone(), action.body(row));
                let errand = Errand { command, input, within };
                (ways.run)(errand).await.map_err(|fault| format!("the command: {fault}"))
            }
            Way::OpenAi(_) | Way::Manual => Err(String::from("it is no rotator")),
        };
        asked.map_err(|fault| plain(&fault))
    }

    /// Asked about first, as one that somebody enters; then by steps.
    async fn move_in(
        &self,
        policy: &Policy,
        row: &RenewalRow,
        fields: &[(String, SecretBytes)],
    ) -> Result<u32, Unmoved> {
        let Parts { catalogue, prober, .. } = &self.parts;
        let provider = catalogue.get(&row.provider).ok_or("its provider is not known any more")?;
        let wrong = faults(&provider, fields);
        if let Some(first) = wrong.first() {
            return Err(Unmoved::Because(format!("{} {}", first.field, first.fault)));
        }
        let mut times = 0;
        let report = loop {
            times += 1;
            let report = prober.entered(&provider, (fields, row.expires_at), &mut |_| {}).await?;
            if is_good(&report) {
                break report;
            }
            if times >= TIMES_ASKED {
                // Where the provider says nothing of it, the steps will show; not so at once.
                let is_by_steps = policy.strategy.steps.first().is_some_and(|share| *share < 100);
                if is_by_steps && !matches!(report.live, Live::Refused) {
                    break report;
                }
                return Err(Unmoved::Because(report.why()));
            }
            tokio::time::sleep(ASKED_AGAIN).await;
        };
        let by = by(row);
        let strategy = policy.strategy.clone();
        let begun = self.start((row.secret_id, fields), strategy, &by).await?;
        let (secret, version) = begun.ok_or("its secret was destroyed meanwhile")?;
        failpoint::pass(place::RENEWAL_STAGED);
        let asked = Asked { cause: Cause::Rotation, actor: "house" };
        prober.note((&secret, version), asked, &report).await;
        Ok(version)
    }

    /// The new key is given back, and what went wrong stands until one goes well.
    async fn give_up(&self, row: RenewalRow, fault: &str) -> Result<RenewalRow, RotationError> {
        let fault = plain(fault);
        tracing::warn!(secret = %row.secret_id, fault, "a key was not renewed");
        self.tell(&row, json!({"renewal": "given_up", "fault": fault}));
        let tries = row.tries.saturating_add(1);
        let state = RenewalState::Undoing;
        self.put(RenewalRow { state, tries, fault: Some(fault), ..row }).await
    }

    /// Nothing came of it; the same is tried again.
    pub(super) async fn failed(&self, row: RenewalRow, fault: &str) -> Result<Went, RotationError> {
        if self.parts.vault.is_sealed() {
            return Err(VaultError::Sealed.into());
        }
        let (fault, tries) = (plain(fault), row.tries.saturating_add(1));
        let next_at = due::again_at(self.parts.clock.unix_ms(), tries);
        tracing::warn!(secret = %row.secret_id, fault, tries, "a renewal failed; it is tried again");
        if tries == 1 || row.fault.as_deref() != Some(fault.as_str()) {
            let at = row.state.as_str();
            self.tell(&row, json!({"renewal": "failed", "at": at, "fault": fault}));
        }
        self.put(RenewalRow { tries, next_at: Some(next_at), fault: Some(fault), ..row }).await?;
        Ok(Went::Waits)
    }

    /// The former key, once its version is destroyed.
    pub(super) async fn retire_key(
        &self,
        policy: &Policy,
        row: RenewalRow,
        view: Option<SecretView>,
    ) -> Result<Went, RotationError> {
        let mut result = RenewalResult::FormerLeft;
        if let Some(own) = row.own.clone().filter(|own| is_destroyed(view.as_ref(), own.version)) {
            let given = self.give_back(policy, &row, &own).await;
            let is_deleted = match given {
                Ok(is_deleted) => is_deleted,
                Err(fault) => {
                    let fault = format!("the former key is not deleted: {fault}");
                    return self.failed(row, &fault).await;
                }
            };
            failpoint::pass(place::RENEWAL_RETIRED);
            let word = if is_deleted { "retired" } else { "left" };
            self.tell(&row, json!({"renewal": word, "handle": own.handle}));
            // One that somebody entered in between is nobody's of ours to delete.
            if is_deleted && own.version == row.from_version {
                result = RenewalResult::Done;
            }
        } else if let Some(own) = &row.own {
            // Its version could still be given to a call; nobody comes back to it.
            self.tell(&row, json!({"renewal": "left", "handle": own.handle}));
        }
        let own = Some(row.made());
        self.end(RenewalRow { own, tries: 0, fault: None, ..row }, result).await?;
        Ok(Went::Waits)
    }

    /// The new key, which serves nobody.
    pub(super) async fn undo(
        &self,
        policy: &Policy,
        row: RenewalRow,
    ) -> Result<Went, RotationError> {
        let given = self.give_back(policy, &row, &row.made()).await;
        let word = match given {
            Ok(true) => "undone",
            // Nobody gives it back: it is for somebody to delete at its provider.
            Ok(false) => "left",
            Err(fault) => {
                return self.failed(row, &format!("the new key is not deleted: {fault}")).await;
            }
        };
        failpoint::pass(place::RENEWAL_UNDONE);
        self.tell(&row, json!({"renewal": word, "handle": row.handle}));
        let result = match row.to_version {
            _ if row.cause == ITS_SECRET_IS_GONE => RenewalResult::Done,
            Some(_) => RenewalResult::RolledBack,
            None => RenewalResult::Failed,
        };
        self.end(row, result).await?;
        Ok(Went::Waits)
    }

    /// False where nobody gives keys back.
    async fn give_back(
        &self,
        policy: &Policy,
        row: &RenewalRow,
        key: &OwnKey,
    ) -> Result<bool, String> {
        if !policy.looks_after(&key.kind, key.place.as_deref()) {
            return Ok(false);
        }
        let (run, handle) = (key.run, key.handle.as_deref());
        let retires = match &policy.way {
            Way::OpenAi(openai) => {
                return self.delete_account((policy, openai), run).await.map(|()| true);
            }
            Way::Webhook(webhook) => webhook.retires,
            Way::Command(command) => command.retires,
            Way::Manual => false,
        };
        if retires {
            self.ask_rotator(policy, (Action::Retire(run, handle), row)).await?;
        }
        Ok(retires)
    }

    pub(super) async fn end(
        &self,
        row: RenewalRow,
        result: RenewalResult,
    ) -> Result<RenewalRow, RotationError> {
        let now_ms = self.parts.clock.unix_ms();
        let policy = self.parts.settings.policies.of(&row.provider, &row.name);
        let is_by_itself = policy.is_some_and(Policy::is_by_itself);
        let next_at = match result {
            _ if row.cause == ENTERED => None,
            // Nobody said that it should be tried again without being asked.
            _ if row.cause == BY_HAND && !is_by_itself => None,
            RenewalResult::RolledBack => Some(due::a_day_later(now_ms)),
            RenewalResult::Failed => Some(due::again_at(now_ms, row.tries)),
            RenewalResult::Done | RenewalResult::FormerLeft | RenewalResult::PolicyGone => None,
        };
        let fault = row.fault.clone().filter(|_| result == RenewalResult::Failed);
        self.tell(&row, json!({"renewal": "ended", "result": result.as_str()}));
        self.put(RenewalRow {
            state: RenewalState::Idle,
            result: Some(result),
            ended_at: Some(now_ms),
            next_at,
            fault,
            ..row
        })
        .await
    }
}

/// Why a new key is not on its way.
enum Unmoved {
    /// It is asked for again when the vault is open.
    Sealed,
    Because(String),
}

impl From<VaultError> for Unmoved {
    fn from(fault: VaultError) -> Self {
        if matches!(fault, VaultError::Sealed) {
            return Self::Sealed;
        }
        Self::Because(fault.to_string())
    }
}

impl From<RotationError> for Unmoved {
    fn from(fault: RotationError) -> Self {
        match fault {
            RotationError::Vault(fault) => fault.into(),
            RotationError::Store(fault) => Self::Because(fault.to_string()),
            RotationError::Not(why) => Self::Because(why.to_owned()),
        }
    }
}

impl From<&str> for Unmoved {
    fn from(why: &str) -> Self {
        Self::Because(why.to_owned())
    }
}

impl From<String> for Unmoved {
    fn from(why: String) -> Self {
        Self::Because(why)
    }
}

/// Does nothing speak against moving it in?
fn is_good(report: &Report) -> bool {
    match report.live {
        Live::Good | Live::AnyString | Live::NotAsked => true,
        Live::Refused | Live::Unreached | Live::Untold => false,
    }
}

/// One line, and not too long: what others said goes to people.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split(char::is_control).collect();
    words.join(" ").chars().take(LONGEST_FAULT).collect()
}
