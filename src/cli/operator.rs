//! `operator`: the accounts of the console. One is made or reset by an invitation, which is printed
//! once; whoever holds it chooses password and codes in the console.
//! Must never take or print a password.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::failure::Failure;
use super::link::{self, Link, encoded};
use super::output::{Column, Output};
use super::{Ground, Reach};

const OPERATORS: &str = "/api/v1/admin/operators";

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("ROLE", "role"),
    ("STATE", "state"),
    ("EMAIL", "email"),
    ("CREATED", "created_at"),
];

const INVITED: &[Column] = &[
    ("invitation", "invitation"),
    ("expires at", "expires_at"),
    ("id", "operator.id"),
    ("name", "operator.name"),
    ("role", "operator.role"),
];

#[derive(Subcommand)]
pub(super) enum Command {
    /// Invite an operator; the invitation is printed once
    Add {
        /// What is typed to sign in
        name: String,
        /// admin, operator or auditor
        #[arg(long, default_value = "operator")]
        role: String,
        /// Where the operator is written to
        #[arg(long)]
        email: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Void password, codes and sessions; a new invitation is printed once
    Reset(One),
    /// Every operator
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// Remove an operator; every session ends, the trail stays
    Remove(One),
}

#[derive(Args)]
pub(super) struct One {
    /// Name or id
    operator: String,
    #[command(flatten)]
    reach: Reach,
}

impl Command {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        match self {
            Self::Add { name, role, email, reach } => {
                let body = json!({"name": name, "role": role, "email": email});
                let made = link::with(ground, &reach, async |link| {
                    link.post(OPERATORS, Some(body)).await
                })?;
                show_invitation(ground.output(reach.print), &made)
            }
            Self::List { reach } => {
                let list = link::with(ground, &reach, async |link| link.list(OPERATORS).await)?;
                let output = ground.output(reach.print);
                output.list(&list, COLUMNS)?;
                let items = list.get("items").and_then(Value::as_array);
                items.into_iter().flatten().try_for_each(|item| tell_fault(output, item))
            }
            Self::Reset(one) => {
                let made = one.call(ground, async |link, path| {
                    link.post(&format!("{path}/reset"), None).await
                })?;
                show_invitation(ground.output(one.reach.print), &made)
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
                output.remark(&format!("{} is removed; the trail stays", one.operator))
            }
        }
    }
}

impl One {
    /// Finds the operator's path, then does the work with it.
    fn call(
        &self,
        ground: &Ground,
        work: impl AsyncFnOnce(&Link, String) -> Result<Value, Failure>,
    ) -> Result<Value, Failure> {
        link::with(ground, &self.reach, async |link| {
            let id = find(link, &self.operator).await?;
            work(link, format!("{OPERATORS}/{}", encoded(&id))).await
        })
    }
}

/// The only place where an invitation is printed.
fn show_invitation(output: Output, made: &Value) -> Result<(), Failure> {
    output.record(made, INVITED)?;
    output.remark(
        "\nThe invitation is shown this once. Hand it to the operator, who opens the console with it \
         and chooses a password.",
    )
}

fn tell_fault(output: Output, item: &Value) -> Result<(), Failure> {
    let text = |member: &str| item.get(member).and_then(Value::as_str);
    let Some(fault) = text("fault") else { return Ok(()) };
    output.remark(&format!("{}: {fault}", text("name").unwrap_or_default()))
}

/// An id as it is; else whose name it is.
async fn find(link: &Link, wanted: &str) -> Result<String, Failure> {
    if uuid::Uuid::parse_str(wanted).is_ok() {
        return Ok(wanted.to_owned());
    }
    let list = link.list(OPERATORS).await?;
    let items = list.get("items").and_then(Value::as_array);
    let name = Some(wanted.to_lowercase());
    let is = |item: &&Value| item.get("name").and_then(Value::as_str) == name.as_deref();
    let found = items.into_iter().flatten().find(is);
    let id = found.and_then(|item| item.get("id")).and_then(Value::as_str).map(str::to_owned);
    id.ok_or_else(|| {
        Failure::new(format!(
            "no operator has the id or name {wanted:?}; `sealgate operator list` shows all"
        ))
    })
}
