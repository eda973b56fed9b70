//! `alert`: what somebody has to know of, that somebody knows, and who is told. Asked of the admin
//! API. A webhook's URL may hold a token, so it is read as a secret is: from standard input or a
//! prompt. Must never print a secret but the one that was just made.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::input;
use super::link::{self, Link, encoded};
use super::output::{Column, Output};
use super::{Ground, Reach};

const ALERTS: &str = "/api/v1/admin/alerts";
const DESTINATIONS: &str = "/api/v1/admin/alert-destinations";
const DELIVERIES: &str = "/api/v1/admin/alert-deliveries";

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("SEVERITY", "severity"),
    ("KIND", "kind"),
    ("STATE", "state"),
    ("ABOUT", "subject.name"),
    ("COUNT", "count"),
    ("FIRST SEEN", "first_seen"),
    ("LAST SEEN", "last_seen"),
    ("DETAIL", "detail"),
];

const MEMBERS: &[Column] = &[
    ("id", "id"),
    ("kind", "kind"),
    ("severity", "severity"),
    ("state", "state"),
    ("about", "subject.type"),
    ("name", "subject.name"),
    ("about id", "subject.id"),
    ("detail", "detail"),
    ("count", "count"),
    ("first seen", "first_seen"),
    ("last seen", "last_seen"),
    ("acknowledged at", "acknowledged_at"),
    ("acknowledged by", "acknowledged_by"),
    ("resolved at", "resolved_at"),
];

const PLACES: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("KIND", "kind"),
    ("ADDRESS", "address"),
    ("TO", "to"),
    ("KINDS", "kinds"),
    ("FROM", "min_severity"),
    ("ACTIVE", "active"),
    ("FAULT", "fault"),
];

const MADE: &[Column] = &[
    ("secret", "secret"),
    ("id", "id"),
    ("name", "name"),
    ("kind", "kind"),
    ("address", "address"),
    ("to", "to"),
    ("kinds", "kinds"),
    ("from severity", "min_severity"),
];

const TOLD: &[Column] = &[
    ("ID", "id"),
    ("DESTINATION", "destination"),
    ("EVENT", "event"),
    ("STATE", "state"),
    ("ATTEMPTS", "attempts"),
    ("NEXT", "next_at"),
    ("CREATED", "created_at"),
    ("FAULT", "fault"),
];

#[derive(Subcommand)]
pub(super) enum Command {
    /// Alerts whose cause is still there, the newest first
    List {
        /// Those that are resolved, too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Say that you know of an alert; it stands until its cause is gone
    Ack {
        id: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Who is told of alerts: by webhook, e-mail or syslog
    #[command(subcommand)]
    Destinations(Destinations),
    /// What was told, what waits, what was given up
    #[command(subcommand)]
    Deliveries(Deliveries),
}

#[derive(Subcommand)]
pub(super) enum Destinations {
    /// Tell somebody; a webhook's URL is read from standard input or a prompt, and its secret is
    /// printed once
    Add(Add),
    /// Everybody who is told
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// Send a test now; exit 1 where it was not confirmed
    Test(One),
    /// Tell it nothing any more
    Remove(One),
}

#[derive(Subcommand)]
pub(super) enum Deliveries {
    /// The newest first
    List {
        /// waiting, delivered or dead
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Send what was given up once more
    Resend {
        id: String,
        #[command(flatten)]
        reach: Reach,
    },
}

#[derive(Args)]
pub(super) struct Add {
    /// What it is called
    name: String,
    /// webhook, email or syslog
    #[arg(long, default_value = "webhook")]
    kind: String,
    /// Of e-mail: who gets it; several times for several
    #[arg(long, value_name = "ADDRESS")]
    to: Vec<String>,
    /// These kinds of alert alone; several times for several
    #[arg(long = "only", value_name = "KIND")]
    kinds: Vec<String>,
    /// info, warning or critical: less grave ones are not told
    #[arg(long, value_name = "SEVERITY")]
    min_severity: Option<String>,
    /// Do not tell when a cause is gone
    #[arg(long)]
    raised_only: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args)]
pub(super) struct One {
    /// Name or id
    destination: String,
    #[command(flatten)]
    reach: Reach,
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::List { all, reach } => {
                let mut list = link::with(ground, &reach, async |link| link.list(ALERTS).await)?;
                let items = list.get_mut("items").and_then(Value::as_array_mut);
                let is_over = |item: &Value| item.get("state") == Some(&json!("resolved"));
                if let Some(items) = items.filter(|_| !all) {
                    items.retain(|item| !is_over(item));
                }
                ground.output(reach.print).list(&list, COLUMNS)
            }
            Self::Ack { id, reach } => {
                let path = format!("{ALERTS}/{}/ack", encoded(&id));
                let alert = link::with(ground, &reach, async |link| link.post(&path, None).await)?;
                ground.output(reach.print).record(&alert, MEMBERS)
            }
            Self::Destinations(command) => command.run(ground),
            Self::Deliveries(command) => command.run(ground),
        }
    }
}

impl Destinations {
    fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(ground),
            Self::List { reach } => {
                let list = link::with(ground, &reach, async |link| link.list(DESTINATIONS).await)?;
                ground.output(reach.print).list(&list, PLACES)
            }
            Self::Test(one) => {
                let came = one.call(ground, async |link, path| {
                    link.post(&format!("{path}/test"), None).await
                })?;
                tell_test(ground.output(one.reach.print), &came)
            }
            Self::Remove(one) => {
                let gone = one.call(ground, async |link, path| {
                    link.delete(&path).await?;
                    let id = path.rsplit('/').next().unwrap_or_default();
                    Ok(json!({"id": id, "removed": true}))
                })?;
                let output = ground.output(one.reach.print);
                if output.json {
                    return output.value(&gone);
                }
                output.remark(&format!("{} is told nothing any more", one.destination))
            }
        }
    }
}

impl Deliveries {
    fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::List { state, reach } => {
                let path = match state {
                    Some(state) => format!("{DELIVERIES}?state={}", encoded(&state)),
                    None => DELIVERIES.to_owned(),
                };
                let list = link::with(ground, &reach, async |link| link.list(&path).await)?;
                ground.output(reach.print).list(&list, TOLD)
            }
            Self::Resend { id, reach } => {
                let path = format!("{DELIVERIES}/{}/resend", encoded(&id));
                let again = link::with(ground, &reach, async |link| link.post(&path, None).await)?;
                let output = ground.output(reach.print);
                if output.json {
                    return output.value(&again);
                }
                output.remark("it is sent again, under the same id")
            }
        }
    }
}

impl Add {
    fn run(self, ground: &Ground) -> Result<(), Failure> {
        let mut body = Map::new();
        body.insert(String::from("name"), json!(self.name));
        body.insert(String::from("kind"), json!(self.kind));
        if self.kind == "webhook" {
            body.extend(input::values("webhook", &[String::from("url")])?);
        }
        for (name, texts) in [("to", self.to), ("kinds", self.kinds)] {
            if !texts.is_empty() {
                body.insert(name.to_owned(), json!(texts));
            }
        }
        if let Some(least) = self.min_severity {
            body.insert(String::from("min_severity"), json!(least));
        }
        if self.raised_only {
            body.insert(String::from("resolved"), json!(false));
        }
        let made = link::with(ground, &self.reach, async |link| {
            link.post(DESTINATIONS, Some(Value::Object(body))).await
        })?;
        let output = ground.output(self.reach.print);
        output.record(&made, MADE)?;
        match made.get("secret") {
            Some(_) => output.remark(
                "\nThe secret is shown this once. Enter it at the receiver, which checks signatures \
                 with it (Standard Webhooks).",
            ),
            None => Ok(()),
        }
    }
}

impl One {
    /// Finds the destination's path, then does the work with it.
    fn call(
        &self,
        ground: &Ground,
        work: impl AsyncFnOnce(&Link, String) -> Result<Value, Failure>,
    ) -> Result<Value, Failure> {
        link::with(ground, &self.reach, async |link| {
            let id = find(link, &self.destination).await?;
            work(link, format!("{DESTINATIONS}/{}", encoded(&id))).await
        })
    }
}

fn tell_test(output: Output, came: &Value) -> Result<(), Failure> {
    let text = came.get("detail").and_then(Value::as_str).unwrap_or_default();
    if came.get("ok") != Some(&json!(true)) {
        return Err(Failure::new(format!("the test was not confirmed: {text}")));
    }
    if output.json {
        return output.value(came);
    }
    output.remark(text)
}

/// An id as it is; else whose name it is.
async fn find(link: &Link, wanted: &str) -> Result<String, Failure> {
    if uuid::Uuid::parse_str(wanted).is_ok() {
        return Ok(wanted.to_owned());
    }
    let list = link.list(DESTINATIONS).await?;
    let items = list.get("items").and_then(Value::as_array);
    let is = |item: &&Value| item.get("name").and_then(Value::as_str) == Some(wanted);
    let found = items.into_iter().flatten().find(is);
    let id = found.and_then(|item| item.get("id")).and_then(Value::as_str).map(str::to_owned);
    id.ok_or_else(|| {
        Failure::new(format!(
            "no destination has the id or name {wanted:?}; `sealgate alert destinations list` \
             shows all"
        ))
    })
}
