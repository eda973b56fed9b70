//! `audit tail -f`: the trail as it grows, a line for each record, until
//! somebody ends it.
//! Must never go on silently where the server has ended it.

use serde_json::Value;

use super::super::failure::Failure;
use super::super::link::Link;
use super::super::output::Output;
use super::{TRAIL, told};

/// A record is far smaller.
const MOST_BYTES: usize = 1 << 20;

/// Reads server-sent events.
#[derive(Default)]
struct Events {
    buffer: Vec<u8>,
}

pub(super) async fn follow(
    link: &Link,
    output: Output,
    (lines, filter): (u16, &str),
) -> Result<(), Failure> {
    let path = format!("{TRAIL}/stream?last={}{filter}", lines.min(1_000));
    let mut events = Events::default();
    let mut reason = String::from("the server went away");
    link.follow(&path, &mut |piece| {
        events.buffer.extend_from_slice(piece);
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
        match events.buffer.len() > MOST_BYTES {
            true => Err(Failure::new("the server sent what is no event; is it a Sealgate?")),
            false => Ok(()),
        }
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

impl Events {
    /// The next whole one: its name and what it says.
    fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let end = memchr::memmem::find(&self.buffer, b"\n\n")?;
            let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&event);
            let member = |name: &str| {
                let mut lines = text.lines();
                lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            };
            if let (Some(name), Some(data)) = (member("event"), member("data")) {
                return Some((name.to_owned(), serde_json::from_str(data).ok()?));
            }
        }
    }
}
