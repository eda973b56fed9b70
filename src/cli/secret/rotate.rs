//! `secret rotate` and what can be asked of a rotation: a new value takes over step by step, or at
//! once where the old one has leaked. The value comes from a prompt or standard input.
//! Must never take one from an argument.

use clap::Args;
use serde_json::{Map, Value, json};

use super::super::Ground;
use super::super::failure::{Failure, one_line};
use super::super::link::{self, encoded};
use super::super::output::Output;
use super::super::progress::Progress;
use super::super::{input, provider::PROVIDERS};
use super::{MEMBERS, One, SECRETS, fields, find};

#[derive(Args)]
pub(in super::super) struct Rotate {
    #[command(flatten)]
    one: One,
    /// The old value has leaked: off within a second everywhere, its open streams are cut
    #[arg(long, conflicts_with_all = ["steps", "hold"])]
    now: bool,
    /// Percent of the calls at each step, e.g. 1,10,50,100
    #[arg(long, value_name = "PERCENT", value_delimiter = ',')]
    steps: Vec<u64>,
    /// How long each step is held, in seconds
    #[arg(long, value_name = "SECONDS")]
    hold: Option<u64>,
    /// Do not ask the provider whether the new key is good
    #[arg(long)]
    no_validate: bool,
    /// Let the rotator of the settings make the new key, as it does by its schedule
    #[arg(long, conflicts_with_all = ["now", "steps", "hold", "no_validate"])]
    auto: bool,
    /// Make no key: say what would be done, and whether it could be; exit 1 if not
    #[arg(long, requires = "auto")]
    dry_run: bool,
    /// Whatever else stands there is taken for a value and refused with the reason.
    #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
    extra: Vec<String>,
}

impl Rotate {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        input::refuse_values(&self.extra)?;
        if self.auto {
            return self.renew(ground);
        }
        let (output, reach, now) =
            (ground.output(self.one.reach.print), self.one.reach.clone(), self.now);
        let secret = link::with(ground, &reach, async move |link| {
            let id = find(link, &self.one.secret, self.one.name.as_deref()).await?;
            let path = format!("{SECRETS}/{}", encoded(&id));
            let secret = link.get(&path).await?;
            let of = secret.get("provider").and_then(Value::as_str).unwrap_or_default().to_owned();
            let provider = link.get(&format!("{PROVIDERS}/{}", encoded(&of))).await?;
            let values = input::values(&of, &fields(&provider))?;
            let _progress = Progress::of(match self.no_validate {
                true => "the key is sealed",
                false => "the provider is asked about the key",
            });
            link.post(&format!("{path}/versions"), Some(self.body(values))).await
        })?;
        output.record(&secret, MEMBERS)?;
        output.remark(match now {
            true => "the new value serves every call; the old one is destroyed",
            false => "the new value takes over step by step; `secret show` says how far it is",
        })
    }

    fn renew(self, ground: &Ground) -> Result<(), Failure> {
        let output = ground.output(self.one.reach.print);
        let body = json!({"auto": true, "dry_run": self.dry_run});
        let answer = self.one.call(ground, async |link, path| {
            let _progress = Progress::of(match self.dry_run {
                true => "it is looked whether a key could be made",
                false => "a new key is made",
            });
            link.post(&format!("{path}/versions"), Some(body)).await
        })?;
        if !self.dry_run {
            output.record(&answer, MEMBERS)?;
            return output
                .remark("the new key takes over step by step; `secret show` says how far it is");
        }
        let is_ok = answer.get("ok").and_then(Value::as_bool) == Some(true);
        if output.json {
            output.value(&answer)?;
        } else {
            told(output, &answer)?;
        }
        match is_ok {
            true => Ok(()),
            false => Err(Failure::new(format!("{} cannot be renewed now", self.one.secret))),
        }
    }

    fn body(self, values: Map<String, Value>) -> Value {
        let mut strategy = Map::new();
        if !self.steps.is_empty() {
            strategy.insert(String::from("steps"), json!(self.steps));
        }
        if let Some(hold) = self.hold {
            strategy.insert(String::from("hold_seconds"), hold.into());
        }
        let mut body = json!({"fields": values, "now": self.now, "validate": !self.no_validate});
        if let (Value::Object(members), false) = (&mut body, strategy.is_empty()) {
            members.insert(String::from("strategy"), Value::Object(strategy));
        }
        body
    }
}

/// What would be done, and what was looked at.
fn told(output: Output, answer: &Value) -> Result<(), Failure> {
    let all = |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    for step in all("would") {
        output.line(&format!("would: {}", one_line(step.as_str().unwrap_or_default())))?;
    }
    for check in all("checks") {
        let text = |name: &str| check.get(name).and_then(Value::as_str).unwrap_or_default();
        let ok = if check.get("ok").and_then(Value::as_bool) == Some(true) { "yes" } else { "no" };
        let line = format!("{}: {ok}, {}", text("name"), text("detail"));
        output.line(&one_line(&line))?;
    }
    Ok(())
}
