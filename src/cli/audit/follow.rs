//! `audit tail -f`: the trail as it grows, a line for each record, until
//! somebody ends it.
//! Must never go on silently where the server has ended it.

use serde_json::Value;

use super::super::events::Events;
use super::super::failure::Failure;
use super::super::link::Link;
use super::super::output::Output;
use super::{TRAIL, told};

pub(super) async fn follow(
    link: &Link,
    output: Output,
    (lines, filter): (u16, &str),
) -> Result<(), Failure> {
    let path = format!("{TRAIL}/stream?last={}{filter}", lines.min(1_000));
    let mut events = Events::default();
    let mut reason = String::from("the server went away");
    link.follow(&path, &mut |piece| {
        events.take(piece)?;
        while let Some((name, data)) = events.next() {
            match name.as_str() {
                "record" if output.json => output.compact(&data)?,
                "record" => output.line(&told(&data))?,
                "end" => {
                    let word = data.get("reason").and_then(Value::as_str).unwrap_or_default();
                    word.clone_into(&mut reason);
                }
                _ => {}
            }
        }
        Ok(())
    })
    .await?;
    let why = match reason.as_str() {
        "revoked" => "the key may no longer read the trail",
        "sealed" => "the house was sealed; the trail can still be read, start it again",
        "stopping" => "the server stops",
        "failed" => "the database did not answer; start it again",
        other => other,
    };
    Err(Failure::new(format!("the tail ended: {why}")))
}
