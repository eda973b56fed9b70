//! Which keys are renewed by themselves, by what, and when: what the settings say, understood.
//! Whom a policy is for is asked here alone.
//! Must never be for the very key with which new ones are made.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Strategy;
use crate::schedule::Schedule;
use crate::secret::{Key, SecretBytes};

const A_DAY_MS: i64 = 86_400_000;

/// All of the settings; the first that fits counts, one that names the secret before one that does
/// not.
#[derive(Clone, Default)]
pub(crate) struct Policies(Arc<[Policy]>);

pub(crate) struct Policy {
    pub(crate) provider: String,
    /// None: every secret of the provider.
    pub(crate) secret: Option<String>,
    pub(crate) way: Way,
    pub(crate) schedule: Option<Schedule>,
    /// As it was written.
    pub(crate) schedule_text: Option<String>,
    pub(crate) max_age_days: Option<u32>,
    pub(crate) strategy: Strategy,
    /// How long the rotator may take.
    pub(crate) within: Duration,
}

/// Who makes a new key.
pub(crate) enum Way {
    /// Somebody, by hand: it is only watched how old the key is.
    Manual,
    OpenAi(OpenAi),
    Webhook(Webhook),
    Command(Command),
}

/// Service accounts of a project.
pub(crate) struct OpenAi {
    pub(crate) project: String,
    /// A secret of the same provider that serves no caller.
    pub(crate) admin_secret: String,
}

pub(crate) struct Webhook {
    /// It may hold a token.
    pub(crate) url: SecretBytes,
    /// Signs what is sent, by Standard Webhooks.
    pub(crate) key: Key,
    /// It wants to be told of keys that are not needed any more.
    pub(crate) retires: bool,
}

/// A program of this machine, run with no shell.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) retires: bool,
}

impl Policies {
    pub(crate) fn new(all: Vec<Policy>) -> Self {
        Self(all.into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn of(&self, provider: &str, name: &str) -> Option<&Policy> {
        let is_tool = |policy: &Policy| match &policy.way {
            Way::OpenAi(openai) => policy.provider == provider && openai.admin_secret == name,
            Way::Manual | Way::Webhook(_) | Way::Command(_) => false,
        };
        let is_of = |policy: &&Policy| policy.provider == provider && !is_tool(policy);
        let named = |policy: &&Policy| policy.secret.as_deref() == Some(name);
        let whole = |policy: &&Policy| policy.secret.is_none();
        let mut of_provider = self.0.iter().filter(is_of);
        let by_name = of_provider.clone().find(named);
        // With which keys are made is looked after by a policy that names it, or by nobody.
        let is_any_tool = self.0.iter().any(is_tool);
        by_name.or_else(|| of_provider.find(whole).filter(|_| !is_any_tool))
    }
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Policies").field(&self.0.len()).finish()
    }
}

impl Policy {
    pub(crate) fn kind(&self) -> &'static str {
        match &self.way {
            Way::Manual => "manual",
            Way::OpenAi(_) => "openai",
            Way::Webhook(_) => "webhook",
            Way::Command(_) => "command",
        }
    }

    /// Where its keys are made, of several such places.
    pub(crate) fn place(&self) -> Option<&str> {
        match &self.way {
            Way::OpenAi(openai) => Some(&openai.project),
            Way::Manual | Way::Webhook(_) | Way::Command(_) => None,
        }
    }

    /// Can it give back what was made so, and there?
    pub(crate) fn looks_after(&self, kind: &str, place: Option<&str>) -> bool {
        let is_there = place.is_none() || place == self.place();
        kind.is_empty() || kind == self.kind() && is_there
    }

    /// Is a key renewed that nobody asks for?
    pub(crate) fn is_by_itself(&self) -> bool {
        self.is_automatic() && (self.schedule.is_some() || self.max_age_days.is_some())
    }

    /// Does anybody make new keys?
    pub(crate) fn is_automatic(&self) -> bool {
        !matches!(self.way, Way::Manual)
    }

    /// When a key that was made then is as old as it may be.
    pub(crate) fn too_old_at(&self, made_at_ms: i64) -> Option<i64> {
        let days = i64::from(self.max_age_days?);
        Some(made_at_ms.saturating_add(days.saturating_mul(A_DAY_MS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(secret: Option<&str>, way: Way) -> Policy {
        Policy {
            provider: String::from("openai"),
            secret: secret.map(str::to_owned),
            way,
            schedule: None,
            schedule_text: None,
            max_age_days: Some(90),
            strategy: Strategy::default(),
            within: Duration::from_secs(30),
        }
    }

    #[test]
    fn a_policy_that_names_the_secret_comes_first_and_the_admin_key_is_left_alone() {
        let admin_secret = String::from("admin");
        let openai = OpenAi { project: String::from("proj_1"), admin_secret };
        let policies = Policies::new(vec![
            policy(None, Way::OpenAi(openai)),
            policy(Some("old"), Way::Manual),
        ]);
        let kind = |provider, name| policies.of(provider, name).map(Policy::kind);
        assert_eq!(kind("openai", "default"), Some("openai"));
        assert_eq!(kind("openai", "old"), Some("manual"));
        assert_eq!(kind("openai", "admin"), None);
        assert_eq!(kind("polygon", "default"), None);
    }

    #[test]
    fn a_key_is_too_old_after_so_many_days() {
        let policy = policy(None, Way::Manual);
        assert_eq!(policy.too_old_at(5), Some(90 * 86_400_000 + 5));
        assert!(!policy.is_automatic());
    }

    #[test]
    fn keys_that_were_made_elsewhere_are_nothing_that_it_could_give_back() {
        let (project, admin_secret) = (String::from("proj_1"), String::from("admin"));
        let policy = policy(None, Way::OpenAi(OpenAi { project, admin_secret }));
        assert!(policy.looks_after("openai", Some("proj_1")));
        assert!(policy.looks_after("", None), "an older row says nothing");
        assert!(!policy.looks_after("openai", Some("proj_2")));
        assert!(!policy.looks_after("webhook", None));
    }
}
