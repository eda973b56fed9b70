//! Server-sent events, as they come piece by piece: of the trail, of a check under way.
//! Knows their form alone.
//! Must never hold more than one event that has not ended.

use serde_json::Value;

use super::failure::Failure;

/// An event is far smaller.
const MOST_BYTES: usize = 1 << 20;

/// Reads them.
#[derive(Default)]
pub(super) struct Events {
    buffer: Vec<u8>,
}

impl Events {
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), Failure> {
        self.buffer.extend_from_slice(piece);
        match self.buffer.len() > MOST_BYTES {
            true => Err(Failure::new("the server sent what is no event; is it a Sealgate?")),
            false => Ok(()),
        }
    }

    /// The next whole one: its name and what it says.
    pub(super) fn next(&mut self) -> Option<(String, Value)> {
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
