//! `secret pool`: a secret's part of the load that it shares with
//! the others of its provider, set aside or put back.
//! Must never touch a value.

use clap::Args;
use serde_json::{Map, Value, json};

use super::super::Ground;
use super::super::failure::Failure;
use super::One;

#[derive(Args)]
pub(in super::super) struct Pool {
    #[command(flatten)]
    one: One,
    /// Its part of the calls beside the parts of the others, 1 to 1000
    #[arg(long, value_name = "NUMBER")]
    weight: Option<u32>,
    /// Set it aside: calls that name no secret go to the others
    #[arg(long, conflicts_with = "serve")]
    drain: bool,
    /// Put it back, out of quarantine too
    #[arg(long)]
    serve: bool,
}

impl Pool {
    pub(super) fn run(&self, ground: &Ground) -> Result<(), Failure> {
        let mut body = Map::new();
        body.extend(self.weight.map(|weight| (String::from("weight"), json!(weight))));
        if self.drain || self.serve {
            body.insert(String::from("drained"), Value::Bool(self.drain));
        }
        if body.is_empty() {
            return Err(Failure::usage("nothing to change; give --weight, --drain or --serve"));
        }
        self.one.show(ground, async |link, path| {
            link.put(&format!("{path}/pool"), Some(Value::Object(body))).await
        })
    }
}
