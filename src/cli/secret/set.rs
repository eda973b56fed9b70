//! What `secret set` changes of a secret: its name, its end, who
//! answers for it, and whether it is used.
//! Must never take a new value: that is a new version.

use clap::Args;
use serde_json::{Map, Value};

use super::super::failure::Failure;
use super::describe;

#[derive(Args)]
pub(in super::super) struct Changes {
    /// A new name
    #[arg(long, value_name = "NAME")]
    rename: Option<String>,
    /// true or false: whether it is used
    #[arg(long)]
    active: Option<bool>,
    /// Put it back into service without asking the provider whether it is good
    #[arg(long, requires = "active")]
    no_validate: bool,
    /// When the provider's key ends
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Who answers for it
    #[arg(long)]
    owner: Option<String>,
    /// A label; may be repeated; replaces the labels
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// Take a member back to nothing, e.g. --clear expires_at; may be repeated
    #[arg(long, value_name = "MEMBER")]
    clear: Vec<String>,
}

impl Changes {
    pub(super) fn body(self) -> Result<Value, Failure> {
        let mut body = Map::new();
        body.extend(self.rename.map(|name| (String::from("name"), Value::String(name))));
        body.extend(self.active.map(|active| (String::from("active"), Value::Bool(active))));
        if self.no_validate {
            body.insert(String::from("validate"), Value::Bool(false));
        }
        describe(&mut body, self.expires_at, self.owner, self.labels)?;
        for member in self.clear {
            if body.insert(member.clone(), Value::Null).is_some() {
                return Err(Failure::usage(format!("{member} is both given and cleared")));
            }
        }
        if body.is_empty() {
            return Err(Failure::usage("nothing to change; `sealgate secret set --help` lists it"));
        }
        Ok(Value::Object(body))
    }
}
