//! `client`: the keys that callers of the proxy hold. A key is
//! printed once, when it is made; what is stored cannot give it
//! back.

mod change;
pub(super) mod import;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

pub(super) use self::change::pairs;
use self::change::{Changes, Fresh};
use self::import::Import;
use super::failure::Failure;
use super::link::{self, Link, encoded};
use super::output::{Column, Output};
use super::{Ground, Reach};

pub(super) const KEYS: &str = "/api/v1/admin/api-keys";

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("PREVIEW", "key_preview"),
    ("NAME", "name"),
    ("ROLE", "role"),
    ("TIER", "tier"),
    ("STATE", "state"),
    ("USABLE", "usable"),
    ("LAST USED", "last_used_at"),
    ("REQUESTS", "request_count"),
];

const MEMBERS: &[Column] = &[
    ("id", "id"),
    ("key", "key"),
    ("key preview", "key_preview"),
    ("name", "name"),
    ("role", "role"),
    ("tier", "tier"),
    ("state", "state"),
    ("usable", "usable"),
    ("fault", "fault"),
    ("scopes", "scopes"),
    ("allowed ips", "allowed_ips"),
    ("allowed origins", "allowed_origins"),
    ("secrets", "secrets"),
    ("limit", "limit"),
    ("monthly quota", "monthly_quota"),
    ("max concurrent", "max_concurrent"),
    ("owner", "owner"),
    ("description", "description"),
    ("created at", "created_at"),
    ("expires at", "expires_at"),
    ("last used at", "last_used_at"),
    ("last used endpoint", "last_used_endpoint"),
    ("last used address", "last_used_address"),
    ("requests", "request_count"),
    ("left in the window", "limits.proxy.remaining"),
    ("  more at", "limits.proxy.reset_at"),
    ("left in the month", "limits.proxy.month.remaining"),
    ("  more at", "limits.proxy.month.reset_at"),
    ("admin calls left", "limits.admin.remaining"),
    ("previous key", "previous"),
];

const VERDICT: &[Column] = &[("decision", "decision"), ("rule", "rule"), ("reason", "reason")];

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a client key; it is printed once
    Create {
        #[command(flatten)]
        fresh: Fresh,
        #[command(flatten)]
        reach: Reach,
    },
    /// Every client key
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// One client key
    Show(One),
    /// Change what a client key may do
    Set {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        changes: Changes,
    },
    /// Stop a client key, at once
    Revoke(One),
    /// Let a revoked client key pass again
    Restore(One),
    /// Give the same client a new key; the old one ends after the overlap
    Rotate {
        #[command(flatten)]
        one: One,
        /// How long the old key still passes; 0: not at all [default: a day]
        #[arg(long, value_name = "SECONDS")]
        overlap_seconds: Option<u64>,
    },
    /// Take a client key as it stands whose row was edited in the database; look at it first
    Accept {
        /// Id, or a name or preview that only one client key has
        #[arg(required_unless_present = "all")]
        client: Option<String>,
        /// Every client key, as `client list` shows them
        #[arg(long, conflicts_with = "client")]
        all: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Delete a client key; its trail stays
    Delete(One),
    /// Take over the keys of an older system, by their SHA-256; a result for each line
    Import(Import),
    /// Would this call be allowed, and which rule says so?
    Explain {
        #[command(flatten)]
        one: One,
        /// GET, POST, ...
        method: String,
        /// As a caller writes it, e.g. /polygon/v2/aggs/ticker/AAPL
        path: String,
        /// Where it would come from
        #[arg(long, value_name = "IP")]
        address: Option<String>,
        /// The page that it would come from
        #[arg(long)]
        origin: Option<String>,
    },
}

#[derive(Args)]
pub(super) struct One {
    /// Id, or a name or preview that only one client key has
    client: String,
    #[command(flatten)]
    reach: Reach,
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::Create { fresh, reach } => {
                let body = fresh.body()?;
                let made =
                    link::with(ground, &reach, async |link| link.post(KEYS, Some(body)).await)?;
                show_new(ground.output(reach.print), &made)
            }
            Self::List { reach } => {
                let list = link::with(ground, &reach, async |link| link.list(KEYS).await)?;
                let output = ground.output(reach.print);
                output.list(&list, COLUMNS)?;
                let items = list.get("items").and_then(Value::as_array);
                items.into_iter().flatten().try_for_each(|item| tell_fault(output, item))
            }
            Self::Show(one) => one.show(ground, async |link, path| link.get(&path).await),
            Self::Accept { client: Some(client), reach, .. } => One { client, reach }
                .show(ground, async |link, path| link.post(&format!("{path}/accept"), None).await),
            Self::Accept { client: None, reach, .. } => accept_all(ground, &reach),
            Self::Set { one, changes } => {
                let body = changes.body()?;
                one.show(ground, async |link, path| link.put(&path, Some(body)).await)
            }
            Self::Revoke(one) => one.set_active(ground, false),
            Self::Restore(one) => one.set_active(ground, true),
            Self::Rotate { one, overlap_seconds } => {
                let body = overlap_seconds
                    .map_or_else(|| json!({}), |seconds| json!({ "overlap_seconds": seconds }));
                let rotate = async |link: &Link, path: String| {
                    link.post(&format!("{path}/rotate"), Some(body)).await
                };
                let made = one.call(ground, rotate)?;
                show_new(ground.output(one.reach.print), &made)
            }
            Self::Import(import) => import.run(ground),
            Self::Explain { one, method, path, address, origin } => {
                let asked = json!({
                    "method": method, "url": path, "address": address, "origin": origin,
                });
                one.explain(ground, asked)
            }
            Self::Delete(one) => {
                let gone = one.call(ground, async |link, path| {
                    link.delete(&path).await?;
                    let id = path.rsplit('/').next().unwrap_or_default();
                    Ok(json!({"id": id, "deleted": true}))
                })?;
                let output = ground.output(one.reach.print);
                if output.json {
                    return output.value(&gone);
                }
                output.remark(&format!("{} is deleted; its trail stays", one.client))
            }
        }
    }
}

impl One {
    /// Finds the key's path, then does the work with it.
    fn call(
        &self,
        ground: &Ground,
        work: impl AsyncFnOnce(&Link, String) -> Result<Value, Failure>,
    ) -> Result<Value, Failure> {
        link::with(ground, &self.reach, async |link| {
            let id = find(link, &self.client).await?;
            work(link, format!("{KEYS}/{}", encoded(&id))).await
        })
    }

    fn show(
        &self,
        ground: &Ground,
        work: impl AsyncFnOnce(&Link, String) -> Result<Value, Failure>,
    ) -> Result<(), Failure> {
        let client = self.call(ground, work)?;
        ground.output(self.reach.print).record(&client, MEMBERS)
    }

    fn explain(&self, ground: &Ground, mut asked: Value) -> Result<(), Failure> {
        let verdict = link::with(ground, &self.reach, async |link| {
            if let Some(members) = asked.as_object_mut() {
                let id = find(link, &self.client).await?;
                members.insert(String::from("key_id"), Value::String(id));
            }
            link.post("/api/v1/admin/policy/explain", Some(asked)).await
        })?;
        ground.output(self.reach.print).record(&verdict, VERDICT)
    }

    fn set_active(&self, ground: &Ground, active: bool) -> Result<(), Failure> {
        let body = json!({ "active": active });
        let mut was = Value::Null;
        let now = self.call(ground, async |link, path| {
            was = link.get(&path).await?;
            link.put(&path, Some(body)).await
        })?;
        let output = ground.output(self.reach.print);
        output.record(&now, MEMBERS)?;
        if was.get("active") == Some(&Value::Bool(active)) {
            let state = if active { "active" } else { "revoked" };
            return output.remark(&format!("\n{} was {state} already", self.client));
        }
        Ok(())
    }
}

/// One that cannot be taken keeps no other from it.
fn accept_all(ground: &Ground, reach: &Reach) -> Result<(), Failure> {
    let mut refused = Vec::new();
    let list = link::with(ground, reach, async |link| {
        let list = link.list(KEYS).await?;
        for client in list.get("items").and_then(Value::as_array).into_iter().flatten() {
            let id = client.get("id").and_then(Value::as_str).unwrap_or_default();
            let accepted = link.post(&format!("{KEYS}/{}/accept", encoded(id)), None).await;
            refused.extend(accepted.err().map(|failure| format!("{id}: {}", failure.line())));
        }
        // As they are now.
        link.list(KEYS).await
    })?;
    ground.output(reach.print).list(&list, COLUMNS)?;
    match refused.as_slice() {
        [] => Ok(()),
        refused => Err(Failure::new(format!(
            "{} of the client keys were not taken as they stand, all others were: {}",
            refused.len(),
            refused.join("; ")
        ))),
    }
}

/// A line below the table for each that somebody has edited.
fn tell_fault(output: Output, item: &Value) -> Result<(), Failure> {
    let text = |member: &str| item.get(member).and_then(Value::as_str);
    let Some(fault) = text("fault") else { return Ok(()) };
    output.remark(&format!("{}: {fault}", text("id").unwrap_or_default()))
}

/// The only place where a key is printed.
fn show_new(output: Output, made: &Value) -> Result<(), Failure> {
    output.record(made, MEMBERS)?;
    output.remark("\nThe key is shown this once; keep it where its caller reads it.")
}

/// An id as it is; else the one key of that name or preview.
pub(super) async fn find(link: &Link, wanted: &str) -> Result<String, Failure> {
    if uuid::Uuid::parse_str(wanted).is_ok() {
        return Ok(wanted.to_owned());
    }
    let list = link.list(KEYS).await?;
    let items = list.get("items").and_then(Value::as_array);
    let is = |item: &Value, member: &str| item.get(member).and_then(Value::as_str) == Some(wanted);
    let found = items
        .into_iter()
        .flatten()
        .filter(|item| is(item, "id") || is(item, "name") || is(item, "key_preview"));
    let id = |item: &Value| item.get("id").and_then(Value::as_str).map(str::to_owned);
    let ids: Vec<String> = found.filter_map(id).collect();
    match ids.as_slice() {
        [id] => Ok(id.clone()),
        [] => Err(Failure::new(format!(
            "no client key has the id, name or preview {wanted:?}; `sealgate client list` shows all"
        ))),
        several => Err(Failure::new(format!(
            "several client keys are called {wanted:?}; give one of their ids: {}",
            several.join(", ")
        ))),
    }
}
