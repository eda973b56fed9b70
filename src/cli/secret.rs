//! `secret`: the credentials of providers. Values go in, from a
//! prompt or standard input, and never come out: what is shown is
//! metadata.

mod find;
mod pool;
mod rotate;
mod set;
mod validate;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use self::find::find;
use super::client::pairs;
use super::failure::{Failure, one_line};
use super::link::{self, Link, encoded};
use super::output::Column;
use super::progress::Progress;
use super::provider::PROVIDERS;
use super::{Ground, Reach, input};

const SECRETS: &str = "/api/v1/admin/secrets";
pub(super) const INTEGRITY: &str = "/api/v1/admin/integrity";

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("PROVIDER", "provider"),
    ("NAME", "name"),
    ("CATEGORY", "category"),
    ("VERSION", "version"),
    ("STATE", "state"),
    ("HEALTH", "health"),
    ("ACTIVE", "active"),
    ("USABLE", "usable"),
    ("POOL", "pool.state"),
    ("FINGERPRINT", "fingerprint"),
];

const MEMBERS: &[Column] = &[
    ("id", "id"),
    ("provider", "provider"),
    ("name", "name"),
    ("category", "category"),
    ("version", "version"),
    ("state", "state"),
    ("active", "active"),
    ("usable", "usable"),
    ("fault", "fault"),
    ("health", "health"),
    ("health detail", "health_detail"),
    ("health since", "health_since"),
    ("checked at", "checked_at"),
    ("account", "account"),
    ("permissions", "permissions"),
    ("limits", "limits"),
    ("fingerprint", "fingerprint"),
    ("owner", "owner"),
    ("labels", "labels"),
    ("created at", "created_at"),
    ("expires at", "expires_at"),
    ("rotation", "rotation.state"),
    ("share of the new version", "rotation.share"),
    ("calls with it", "rotation.calls.new.calls"),
    ("refused", "rotation.calls.new.refused"),
    ("served by the old one", "rotation.calls.repeated"),
    ("refused for good", "rotation.calls.not_repeated"),
    ("failed", "rotation.calls.new.failed"),
    ("calls with the old one", "rotation.calls.old.calls"),
    ("failed with the old one", "rotation.calls.old.failed"),
    ("renewed by", "rotation_policy.kind"),
    ("renewed next", "rotation_policy.next_at"),
    ("renewed last", "rotation_policy.last_at"),
    ("renewal", "rotation_policy.last_result"),
    ("renewal fault", "rotation_policy.fault"),
    ("age in days", "rotation_policy.age_days"),
    ("oldest in days", "rotation_policy.max_age_days"),
    ("pool", "pool.state"),
    ("pool weight", "pool.weight"),
    ("pool since", "pool.since"),
    ("pool until", "pool.until"),
    ("provider limit", "provider_limit"),
    ("versions", "versions"),
];

#[derive(Subcommand)]
pub(super) enum Command {
    /// Store a secret; its value is read from standard input or a prompt
    Add(Add),
    /// Every secret, without its value
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// One secret, without its value
    Show(One),
    /// Change what is known of a secret; for a new value, `secret rotate`
    Set {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        changes: set::Changes,
    },
    /// Allow the provider's present destinations, where the catalogue or the settings changed them
    Reseal(One),
    /// Ask the provider whether the key is good, what it may do and when it ends; exit 1 if not
    ///
    /// Its rows, its format, a live call with the real key, permissions, kind of account, limits
    /// and end, step by step, each with what to do. A provider that cannot be reached is no fault
    /// of the key.
    Validate {
        #[command(flatten)]
        one: One,
        /// Show the checks that were made before, newest first, and ask nobody
        #[arg(long)]
        history: bool,
    },
    /// Move a new value in, step by step; it is judged, and rolled back by itself where it is worse
    ///
    /// A share of the calls at each step, 1, 10, 50 and 100 percent, five minutes each, unless said
    /// otherwise. A call that the provider refuses for the new key is sent once more with the old
    /// one. With --auto the new value comes from the rotator that the settings name for the secret.
    Rotate(rotate::Rotate),
    /// Let the new value of a rotation take over now
    Promote(One),
    /// Give the new value of a rotation up, also after it took over, while the former one is there
    Rollback(One),
    /// Hold a rotation at its step
    Pause(One),
    /// Let a paused rotation go on
    Resume(One),
    /// Its part of the load that the secrets of a provider share, with `pool = true`
    ///
    /// Set aside, it takes no calls but those that name it; put back, it is out of quarantine too.
    Pool(pool::Pool),
    /// Say that the lists of secrets are meant as they stand; look at them first
    ///
    /// After the database was put back on purpose, or a data folder was lost: `sealgate doctor`
    /// says when it is needed. Edited rows and client keys are no part of it.
    Accept {
        #[command(flatten)]
        reach: Reach,
    },
    /// Stop using a secret, at once; `secret set --active true` brings it back
    Disable(One),
    /// Destroy a secret for good
    Destroy {
        #[command(flatten)]
        one: One,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Args)]
pub(super) struct Add {
    /// The provider, e.g. polygon
    provider: String,
    /// Tells several secrets of one provider apart
    #[arg(long, default_value = "default")]
    name: String,
    /// When the provider's key ends, e.g. 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Who answers for it
    #[arg(long)]
    owner: Option<String>,
    /// A label; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// Store it without asking the provider whether it is good
    #[arg(long)]
    no_validate: bool,
    #[command(flatten)]
    reach: Reach,
    /// Whatever else stands there is taken for a value and refused with the reason.
    #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
    extra: Vec<String>,
}

#[derive(Args)]
pub(super) struct One {
    /// Id, PROVIDER (its secret named default) or PROVIDER/NAME
    secret: String,
    /// The name, where the provider alone is given
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(ground),
            Self::List { reach } => {
                let (list, found) = link::with(ground, &reach, async |link| {
                    let list = link.list(SECRETS).await?;
                    // An older server does not know it; the list is there all the same.
                    Ok((list, link.get(INTEGRITY).await.unwrap_or_default()))
                })?;
                let output = ground.output(reach.print);
                output.list(&list, COLUMNS)?;
                let findings = found.get("findings").and_then(Value::as_array);
                let mut findings = findings.into_iter().flatten().filter_map(Value::as_str);
                findings.try_for_each(|finding| output.remark(&one_line(finding)))
            }
            Self::Show(one) => one.show(ground, async |link, path| link.get(&path).await),
            Self::Set { one, changes } => {
                let body = changes.body()?;
                one.show(ground, async |link, path| link.put(&path, Some(body)).await)
            }
            Self::Reseal(one) => one
                .show(ground, async |link, path| link.post(&format!("{path}/reseal"), None).await),
            Self::Validate { one, history: false } => validate::run(&one, ground),
            Self::Validate { one, history: true } => validate::history(&one, ground),
            Self::Rotate(rotate) => rotate.run(ground),
            Self::Promote(one) => one.rotation(ground, "promote"),
            Self::Rollback(one) => one.rotation(ground, "rollback"),
            Self::Pause(one) => one.rotation(ground, "pause"),
            Self::Resume(one) => one.rotation(ground, "resume"),
            Self::Pool(pool) => pool.run(ground),
            Self::Accept { reach } => accept(ground, &reach),
            Self::Disable(one) => {
                let body = json!({ "active": false });
                one.show(ground, async |link, path| link.put(&path, Some(body)).await)
            }
            Self::Destroy { one, yes } => {
                if !yes {
                    input::confirm(&one.secret)?;
                }
                one.call(ground, async |link, path| link.delete(&path).await)?;
                let output = ground.output(one.reach.print);
                if output.json {
                    let (secret, name) = (&one.secret, &one.name);
                    return output
                        .value(&json!({"secret": secret, "name": name, "destroyed": true}));
                }
                output.line(&format!("{} is destroyed; its trail stays", one.secret))
            }
        }
    }
}

impl Add {
    fn run(self, ground: &Ground) -> Result<(), Failure> {
        input::refuse_values(&self.extra)?;
        let (output, reach) = (ground.output(self.reach.print), self.reach.clone());
        let stored = link::with(ground, &reach, async move |link| {
            // Looked for here: what was typed in its place may be a value, and calls are recorded.
            let known = link.list(PROVIDERS).await?;
            let mut known = known.get("items").and_then(Value::as_array).into_iter().flatten();
            let wanted = Some(self.provider.as_str());
            let provider = known.find(|known| known.get("id").and_then(Value::as_str) == wanted);
            let fields = fields(provider.ok_or_else(unknown_provider)?);
            let values = input::values(&self.provider, &fields)?;
            let _progress = Progress::of(match self.no_validate {
                true => "the key is sealed",
                false => "the provider is asked about the key",
            });
            link.post(SECRETS, Some(self.body(values)?)).await
        })?;
        output.record(&stored, MEMBERS)?;
        output.remark(match stored.get("health_detail").and_then(Value::as_str) {
            Some(_) => "the key was checked before it was stored; `secret validate` does it again",
            None => "nobody was asked about the key; `secret validate` asks",
        })
    }

    fn body(self, values: Map<String, Value>) -> Result<Value, Failure> {
        let mut body = json!({
            "provider": self.provider,
            "name": self.name,
            "fields": values,
            "validate": !self.no_validate,
        });
        if let Value::Object(members) = &mut body {
            describe(members, self.expires_at, self.owner, self.labels)?;
        }
        Ok(body)
    }
}

fn accept(ground: &Ground, reach: &Reach) -> Result<(), Failure> {
    let path = format!("{INTEGRITY}/accept");
    let answer = link::with(ground, reach, async |link| link.post(&path, None).await)?;
    let output = ground.output(reach.print);
    if output.json {
        return output.value(&answer);
    }
    for (word, member) in [("settled", "settled"), ("left", "findings")] {
        let sentences = answer.get(member).and_then(Value::as_array).into_iter().flatten();
        for sentence in sentences.filter_map(Value::as_str) {
            output.line(&format!("{word}: {}", one_line(sentence)))?;
        }
    }
    output.line("what stands is taken as it is from now on")
}

fn unknown_provider() -> Failure {
    Failure::new(
        "no provider of that name is known; the first argument is the provider, as in `sealgate \
         secret add polygon`, and `sealgate provider list` names them",
    )
}

/// The members that adding and changing share.
fn describe(
    body: &mut Map<String, Value>,
    expires_at: Option<String>,
    owner: Option<String>,
    labels: Vec<String>,
) -> Result<(), Failure> {
    for (name, text) in [("expires_at", expires_at), ("owner", owner)] {
        body.extend(text.map(|text| (name.to_owned(), Value::String(text))));
    }
    if !labels.is_empty() {
        body.insert(String::from("labels"), Value::Object(pairs("--label", labels)?));
    }
    Ok(())
}

impl One {
    fn call(
        &self,
        ground: &Ground,
        work: impl AsyncFnOnce(&Link, String) -> Result<Value, Failure>,
    ) -> Result<Value, Failure> {
        link::with(ground, &self.reach, async |link| {
            let id = find(link, &self.secret, self.name.as_deref()).await?;
            work(link, format!("{SECRETS}/{}", encoded(&id))).await
        })
    }

    /// What is asked of the rotation that is under way.
    fn rotation(&self, ground: &Ground, what: &str) -> Result<(), Failure> {
        self.show(ground, async |link, path| {
            link.post(&format!("{path}/rotation/{what}"), None).await
        })
    }

    fn show(
        &self,
        ground: &Ground,
        work: impl AsyncFnOnce(&Link, String) -> Result<Value, Failure>,
    ) -> Result<(), Failure> {
        let secret = self.call(ground, work)?;
        ground.output(self.reach.print).record(&secret, MEMBERS)
    }
}

/// Names as text, or as members of objects.
fn fields(provider: &Value) -> Vec<String> {
    let fields = provider.get("fields").and_then(Value::as_array);
    let name = |field: &Value| {
        let name = field.get("name").unwrap_or(field);
        name.as_str().map(str::to_owned)
    };
    let names: Vec<String> = fields.into_iter().flatten().filter_map(name).collect();
    if names.is_empty() { vec![String::from("api_key")] } else { names }
}
