//! `[[rotation.policies]]`: which keys are renewed by themselves, by what, and when. What stands
//! there is judged here, member by member.
//! Must never take a signing secret out of the settings file itself, nor let a key come over a
//! line that is not encrypted.

use std::path::{Component, PathBuf};
use std::time::Duration;

use serde::Deserialize as _;

use super::fault::Fault;
use super::ground::Ground;
use super::limits;
use super::nearest::nearest;
use super::raw::{RawEgress, RawPolicy, RawSecret};
use crate::crypto::webhook_key;
use crate::net;
use crate::provider::is_provider_id;
use crate::rotation::{Command, OpenAi, Policies, Policy, Strategy, Way, Webhook};
use crate::schedule::Schedule;
use crate::secret::SecretBytes;

const KEY: &str = "rotation.policies";
const KINDS: [&str; 4] = ["openai", "webhook", "command", "manual"];
const OF_ALL: &[&str] = &[
    "provider",
    "secret",
    "kind",
    "schedule",
    "time_zone",
    "max_age_days",
    "steps",
    "hold_seconds",
];
const OF_MANUAL: &[&str] = &["provider", "secret", "kind", "max_age_days"];
const OF_OPENAI: &[&str] = &["timeout_seconds", "project", "admin_secret"];
const OF_WEBHOOK: &[&str] = &["timeout_seconds", "url", "signing_secret", "retire"];
const OF_COMMAND: &[&str] = &["timeout_seconds", "path", "args", "retire"];
const USUAL_SECONDS: u64 = 30;
const MOST_SECONDS: u64 = 60;
const MOST_DAYS: u32 = 36_500;
const MOST_HOLD_SECONDS: u32 = 7 * 86_400;

/// One item, with what it takes to say what is wrong with it.
struct Item<'a> {
    ground: &'a Ground<'a>,
    raw: RawPolicy,
    /// For people: which of them it is.
    place: String,
}

pub(super) fn policies(
    ground: &Ground<'_>,
    raw: &[toml::Value],
    egress: &RawEgress,
) -> Result<Policies, Fault> {
    let mut found: Vec<Policy> = Vec::with_capacity(raw.len());
    for (index, value) in raw.iter().enumerate() {
        let item = Item::read(ground, value, index + 1)?;
        let policy = item.policy(egress)?;
        let is_same =
            |other: &Policy| other.provider == policy.provider && other.secret == policy.secret;
        if found.iter().any(is_same) {
            return Err(item.fault("is for the same secrets as one above it"));
        }
        found.push(policy);
    }
    Ok(Policies::new(found))
}

impl<'a> Item<'a> {
    fn read(ground: &'a Ground<'a>, value: &toml::Value, number: usize) -> Result<Self, Fault> {
        let place = format!("number {number}");
        let fault = |what: String| ground.fault(KEY, format!("{place}: {what}"));
        let members = value.as_table().ok_or_else(|| fault(String::from("expected a table")))?;
        let kind = members.get("kind").and_then(toml::Value::as_str);
        let kind = kind
            .ok_or_else(|| fault(format!("kind is missing; give one of {}", KINDS.join(", "))))?;
        if !KINDS.contains(&kind) {
            let near = nearest(kind, KINDS);
            let all = KINDS.join(", ");
            return Err(fault(format!("kind {kind:?} is none of {all}; {near:?} is nearest")));
        }
        let known = members_of(kind);
        if let Some(wrong) = members.keys().find(|name| !known.contains(&name.as_str())) {
            let near = nearest(wrong, known.iter().copied());
            let what = format!("{wrong} is no member of one of kind {kind:?}; {near} is nearest");
            return Err(fault(what));
        }
        // Its message may repeat what stands there, and a secret may stand there.
        let raw = RawPolicy::deserialize(value.clone());
        let raw = raw.map_err(|_| fault(wrong_kind(members)))?;
        let place = match &raw.secret {
            Some(secret) => format!("{}/{secret}", raw.provider),
            None if raw.provider.is_empty() => place,
            None => raw.provider.clone(),
        };
        Ok(Self { ground, raw, place })
    }

    fn fault(&self, what: impl std::fmt::Display) -> Fault {
        self.ground.fault(KEY, format!("{}: {what}", self.place))
    }

    fn policy(&self, egress: &RawEgress) -> Result<Policy, Fault> {
        let raw = &self.raw;
        if !is_provider_id(&raw.provider) {
            return Err(self.fault("provider must name the provider of the secret"));
        }
        if raw.secret.as_deref().is_some_and(str::is_empty) {
            return Err(self.fault("secret is empty; leave it out for every secret"));
        }
        let way = self.way(egress)?;
        let schedule = self.schedule()?;
        let max_age_days = raw.max_age_days;
        if max_age_days.is_some_and(|days| !(1..=MOST_DAYS).contains(&days)) {
            return Err(self.fault(format!("max_age_days must be from 1 to {MOST_DAYS}")));
        }
        if matches!(way, Way::Manual) && max_age_days.is_none() {
            return Err(self.fault("max_age_days is missing, without which it says nothing"));
        }
        let seconds = raw.timeout_seconds.unwrap_or(USUAL_SECONDS);
        if !(1..=MOST_SECONDS).contains(&seconds) {
            return Err(self.fault(format!("timeout_seconds must be from 1 to {MOST_SECONDS}")));
        }
        Ok(Policy {
            provider: raw.provider.clone(),
            secret: raw.secret.clone(),
            way,
            schedule,
            schedule_text: raw.schedule.clone(),
            max_age_days,
            strategy: self.strategy()?,
            within: Duration::from_secs(seconds),
        })
    }

    fn schedule(&self) -> Result<Option<Schedule>, Fault> {
        let zone = self.raw.time_zone.as_deref().unwrap_or("UTC");
        let zone = limits::time_zone(self.ground, KEY, zone)?;
        let parsed = self.raw.schedule.as_ref().map(|text| Schedule::parse(text, zone));
        parsed.transpose().map_err(|fault| self.fault(format!("schedule {fault}")))
    }

    fn strategy(&self) -> Result<Strategy, Fault> {
        let usual = Strategy::default();
        let steps = self.raw.steps.clone().unwrap_or(usual.steps);
        let rises = steps.is_sorted_by(|one, next| one < next);
        if !rises || steps.first().is_none_or(|first| *first == 0) || steps.last() != Some(&100) {
            return Err(self.fault("steps must be percents that rise, and end with 100"));
        }
        let hold = self.raw.hold_seconds;
        if hold.is_some_and(|hold| hold > MOST_HOLD_SECONDS) {
            return Err(self.fault(format!("hold_seconds must be from 0 to {MOST_HOLD_SECONDS}")));
        }
        let hold_ms = hold.map_or(usual.hold_ms, |hold| i64::from(hold) * 1000);
        Ok(Strategy { steps, hold_ms })
    }

    fn way(&self, egress: &RawEgress) -> Result<Way, Fault> {
        match self.raw.kind.as_str() {
            "openai" => self.openai().map(Way::OpenAi),
            "webhook" => self.webhook(egress).map(Way::Webhook),
            "command" => self.command().map(Way::Command),
            _ => Ok(Way::Manual),
        }
    }

    fn openai(&self) -> Result<OpenAi, Fault> {
        let project = self.needed("project", self.raw.project.as_ref())?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !project.bytes().all(fits) {
            return Err(self.fault("project must be an id like \"proj_abc\""));
        }
        let admin_secret = self.needed("admin_secret", self.raw.admin_secret.as_ref())?;
        if self.raw.secret.as_ref() == Some(&admin_secret) {
            return Err(self.fault("admin_secret makes keys of others, and cannot be its own"));
        }
        Ok(OpenAi { project, admin_secret })
    }

    fn webhook(&self, egress: &RawEgress) -> Result<Webhook, Fault> {
        let url = self.needed("url", self.raw.url.as_ref())?;
        let is_private = net::is_private_webhook(&url);
        let is_near = is_private && net::is_webhook(&url.replacen("http://", "https://", 1));
        if !net::is_webhook(&url) && !is_near {
            let what = "url must begin with https:// and name a host: what is answered is a key";
            return Err(self.fault(what));
        }
        if is_private && !egress.allow_private_networks {
            return Err(self.fault(
                "url names an address that is loopback, private or link-local; \
                 egress.allow_private_networks allows that",
            ));
        }
        let secret = match &self.raw.signing_secret {
            None => return Err(self.fault("signing_secret is missing")),
            Some(RawSecret::Inline(_)) => {
                return Err(self.fault(
                    "signing_secret stands in the settings themselves; give { file = \"…\" } or \
                     { env = \"…\" }",
                ));
            }
            Some(elsewhere) => self.ground.secret(KEY, elsewhere.clone())?,
        };
        let key = secret.expose_str().and_then(webhook_key);
        let key = key.ok_or_else(|| {
            self.fault("signing_secret must be whsec_ and 32 random bytes in base64")
        })?;
        let url = SecretBytes::from_string(url);
        Ok(Webhook { url, key, retires: self.raw.retire.unwrap_or(false) })
    }

    /// Whether it may be run is looked at when it is.
    fn command(&self) -> Result<Command, Fault> {
        let path = PathBuf::from(self.needed("path", self.raw.path.as_ref())?);
        let is_plain = path.components().all(|part| part != Component::ParentDir);
        if !path.is_absolute() || !is_plain {
            return Err(self.fault("path must be absolute, and without .."));
        }
        let args = self.raw.args.clone().unwrap_or_default();
        if args.iter().any(|one| one.contains('\0')) {
            return Err(self.fault("args hold a character that no argument can"));
        }
        Ok(Command { path, args, retires: self.raw.retire.unwrap_or(false) })
    }

    fn needed(&self, name: &str, value: Option<&String>) -> Result<String, Fault> {
        let value = value.filter(|value| !value.is_empty());
        value.cloned().ok_or_else(|| self.fault(format!("{name} is missing")))
    }
}

fn members_of(kind: &str) -> Vec<&'static str> {
    let own = match kind {
        "openai" => OF_OPENAI,
        "webhook" => OF_WEBHOOK,
        "command" => OF_COMMAND,
        _ => return OF_MANUAL.to_vec(),
    };
    [OF_ALL, own].concat()
}

/// Which member is of another kind of value.
fn wrong_kind(members: &toml::Table) -> String {
    let alone = |name: &String, value: &toml::Value| {
        let one = toml::Table::from_iter([(name.clone(), value.clone())]);
        RawPolicy::deserialize(toml::Value::Table(one)).is_err()
    };
    let wrong = members.iter().find(|(name, value)| alone(name, value));
    match wrong {
        Some((name, value)) => {
            format!("{name} cannot be {}", super::kind::kind_of(value))
        }
        None => String::from("it is no policy"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, load};
    use super::*;

    const SIGNING: &str = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";

    fn loaded(policy: &str) -> Result<Policies, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rotator.key"), SIGNING).unwrap();
        let text = format!("[[rotation.policies]]\n{policy}\n");
        std::fs::write(folder.path().join("sealgate.toml"), text).unwrap();
        let loaded = load(None, &Environment::of(folder.path(), &[]));
        loaded.map(|loaded| loaded.config.rotation.policies).map_err(|fault| fault.to_string())
    }

    #[test]
    fn policies_are_read() {
        let openai = "kind = 'openai'\nproject = 'proj_1'\nadmin_secret = 'admin'";
        let webhook = "kind = 'webhook'\nurl = 'https://keys.example/x'\n\
            signing_secret = { file = 'rotator.key' }\nsteps = [5, 100]\nhold_seconds = 0";
        let command = "kind = 'command'\npath = '/bin/new-key'\nargs = ['a']\nretire = true";
        let manual = "kind = 'manual'\nmax_age_days = 90";
        for (kind, policy) in
            [("openai", openai), ("webhook", webhook), ("command", command), ("manual", manual)]
        {
            let found = loaded(&format!("provider = 'openai'\n{policy}")).unwrap();
            assert_eq!(found.of("openai", "default").unwrap().kind(), kind);
        }
        let found = loaded(&format!("provider = 'openai'\nschedule = 'every 7d'\n{webhook}"));
        let found = found.unwrap();
        let policy = found.of("openai", "default").unwrap();
        assert_eq!(policy.strategy, Strategy { steps: vec![5, 100], hold_ms: 0 });
        assert!(policy.schedule.is_some());
    }

    #[test]
    fn a_policy_that_cannot_be_is_one_line_that_names_it() {
        let webhook = "provider = 'openai'\nkind = 'webhook'\nurl = 'https://keys.example/x'";
        let signed = "signing_secret = { file = 'rotator.key' }";
        let command = "provider = 'openai'\nkind = 'command'";
        for (policy, words) in [
            ("provider = 'openai'", "kind is missing"),
            ("provider = 'openai'\nkind = 'webhok'", "\"webhook\" is nearest"),
            ("provider = 'openai'\nkind = 'manual'", "max_age_days is missing"),
            ("kind = 'manual'\nmax_age_days = 5", "provider must name"),
            ("provider = 'openai'\nkind = 'manual'\nmax_age_day = 5", "max_age_days is nearest"),
            ("provider = 'openai'\nkind = 'manual'\nmax_age_days = 0", "from 1 to"),
            ("provider = 'openai'\nkind = 'manual'\nmax_age_days = '5'", "cannot be text"),
            ("provider = 'openai'\nkind = 'openai'", "project is missing"),
            (webhook, "signing_secret is missing"),
            (&format!("{webhook}\nsigning_secret = 'whsec_secret'"), "in the settings themselves"),
            (&format!("{webhook}\n{signed}\nschedule = 'daily'"), "neither five fields"),
            (&format!("{webhook}\n{signed}\ntime_zone = 'Mars'"), "no time zone"),
            (&format!("{webhook}\n{signed}\nsteps = [10, 50]"), "end with 100"),
            (&format!("{webhook}\n{signed}\ntimeout_seconds = 600"), "from 1 to 60"),
            (
                &format!("{webhook}\n{signed}\n[[rotation.policies]]\n{webhook}\n{signed}"),
                "above it",
            ),
            (&webhook.replace("https", "http"), "must begin with https"),
            (&webhook.replace("keys.example", "127.0.0.1"), "allow_private_networks"),
            (command, "path is missing"),
            (&format!("{command}\npath = 'bin/new-key'"), "must be absolute"),
            (&format!("{command}\npath = '/bin/../x'"), "without .."),
        ] {
            let fault = loaded(policy).err().unwrap_or_else(|| panic!("{policy} was taken"));
            assert!(
                fault.contains(words) && fault.contains("rotation.policies"),
                "{policy}: {fault}"
            );
            assert!(fault.lines().count() == 1 && !fault.contains("whsec_secret"), "{fault}");
        }
    }
}
