//! What a renewal would do, and whether it could, without making a key; and what is said of a
//! secret's policy.
//! Must never ask a rotator for anything that it would have to take back.

use uuid::Uuid;

use super::due;
use super::policy::{Policy, Way};
use super::renew::PENDING;
use super::ways::Letter;
use super::{Parts, RotationError, Rotor};
use crate::secret::SecretBytes;
use crate::store::RenewalRow;
use crate::vault::{SecretView, VaultError};

const A_DAY_MS: i64 = 86_400_000;

/// What would be done, in order, and what was looked at.
pub(crate) struct DryRun {
    pub(crate) kind: &'static str,
    pub(crate) would: Vec<String>,
    pub(crate) checks: Vec<Check>,
}

pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) ok: bool,
    pub(crate) detail: String,
}

/// How a secret's key is renewed, and how it went.
pub(crate) struct PolicyView {
    pub(crate) kind: &'static str,
    pub(crate) schedule: Option<String>,
    pub(crate) max_age_days: Option<u32>,
    pub(crate) age_days: i64,
    pub(crate) next_at: Option<i64>,
    pub(crate) state: Option<&'static str>,
    pub(crate) last_at: Option<i64>,
    pub(crate) last_result: Option<&'static str>,
    pub(crate) fault: Option<String>,
}

impl DryRun {
    pub(crate) fn is_ok(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

impl Check {
    fn of(name: &'static str, found: Result<String, String>) -> Self {
        match found {
            Ok(detail) => Self { name, ok: true, detail },
            Err(detail) => Self { name, ok: false, detail },
        }
    }
}

impl Rotor {
    pub(crate) async fn dry_run(&self, id: Uuid) -> Result<DryRun, RotationError> {
        let Parts { vault, store, .. } = &self.parts;
        let view = vault.show(id).await?.ok_or(VaultError::Vanished)?;
        let policy = self.automatic(&view)?;
        let row = store.renewal(id).await?.unwrap_or_default();
        let mut checks = vec![Check::of("secret", is_ready(&view, &row))];
        checks.push(match &policy.way {
            Way::OpenAi(openai) => {
                let found = self.look_at_accounts((policy, openai)).await;
                let found = found.map(|count| {
                    format!(
                        "the admin key lists the service accounts of {}, of which there are {count}",
                        openai.project
                    )
                });
                Check::of("admin key", found)
            }
            Way::Webhook(webhook) => {
                let letter = Letter {
                    url: SecretBytes::copy_of(webhook.url.expose()),
                    headers: Vec::new(),
                    body: None,
                    may_be_gone: false,
                    within: policy.within,
                };
                let found = (self.parts.ways.post)(letter).await;
                Check::of("webhook", found.map(|_| String::from("it can be reached")))
            }
            Way::Command(command) => {
                let found = (self.parts.ways.look)(command);
                let fine = format!("{} may be run", command.path.display());
                Check::of("command", found.map(|()| fine))
            }
            Way::Manual => Check::of("rotator", Err(String::from("there is none"))),
        });
        Ok(DryRun { kind: policy.kind(), would: would(policy, &row), checks })
    }

    /// None where the settings say nothing of this secret.
    pub(crate) fn policy_view(
        &self,
        secret: &SecretView,
        row: Option<&RenewalRow>,
    ) -> Option<PolicyView> {
        let policy = self.parts.settings.policies.of(&secret.provider, &secret.name)?;
        let active = secret.versions.iter().rfind(|version| version.state == "active");
        let made_at = active.map_or(secret.created_at_ms, |version| version.created_at_ms);
        let now_ms = self.parts.clock.unix_ms();
        let open = row.filter(|row| row.is_open());
        let due = row.and_then(|row| due::next(policy, row, made_at)).map(|due| due.at_ms);
        let too_old = policy.too_old_at(made_at).filter(|_| !policy.is_automatic());
        Some(PolicyView {
            kind: policy.kind(),
            schedule: policy.schedule_text.clone(),
            max_age_days: policy.max_age_days,
            age_days: now_ms.saturating_sub(made_at).max(0) / A_DAY_MS,
            next_at: open.and_then(|row| row.next_at).or(due).or(too_old),
            state: open.map(|row| row.state.as_str()),
            last_at: row.and_then(|row| row.ended_at),
            last_result: row.and_then(|row| row.result).map(|result| result.as_str()),
            fault: row.and_then(|row| row.fault.clone()),
        })
    }
}

fn is_ready(view: &SecretView, row: &RenewalRow) -> Result<String, String> {
    let names = |state: &str| view.versions.iter().rfind(|version| version.state == state);
    match (row.is_open(), names(PENDING), names("active")) {
        (true, ..) => Err(String::from("its key is being renewed already")),
        (false, Some(_), _) => Err(String::from("a new version of it is on its way already")),
        (false, None, None) => Err(String::from("no version of it is in service")),
        (false, None, Some(active)) => Ok(format!("version {} is in service", active.version)),
    }
}

fn would(policy: &Policy, row: &RenewalRow) -> Vec<String> {
    let first = match &policy.way {
        Way::OpenAi(openai) => format!("make a service account in {}", openai.project),
        Way::Webhook(_) => String::from("send the webhook a signed letter that asks for a key"),
        Way::Command(command) => format!("run {}", command.path.display()),
        Way::Manual => String::from("nothing"),
    };
    let steps = policy.strategy.steps.iter().map(|step| format!("{step} %"));
    let steps = steps.collect::<Vec<_>>().join(", ");
    let hold = policy.strategy.hold_ms / 1000;
    let own = row.own.as_ref();
    let own = own.filter(|own| policy.looks_after(&own.kind, own.place.as_deref()));
    let last = match (&policy.way, own) {
        (Way::Webhook(webhook), _) if !webhook.retires => LEFT,
        (Way::Command(command), _) if !command.retires => LEFT,
        (_, Some(_)) => "give the former key back, once nobody has used it for long enough",
        (_, None) => {
            "leave the former key at its provider, because no renewal has made it: delete it there"
        }
    };
    vec![
        first,
        String::from("ask the provider whether the new key is good"),
        format!("move it in: {steps} of the calls, {hold} seconds each, judged at every step"),
        last.to_owned(),
    ]
}

const LEFT: &str = "leave the former key at its provider, because the settings say so";
