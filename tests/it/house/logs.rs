//! Everything that the process logs, kept for the search. One subscriber for all tests of a
//! process: each house looks for its own canary.

use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};

static BUFFER: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static LISTENING: Once = Once::new();

struct Buffer;

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        BUFFER.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// More than a house logs by default: what is hidden by a level alone is not hidden.
pub(crate) fn listen() {
    LISTENING.call_once(|| {
        let heard = "debug,sealgate=trace,hyper=trace";
        tracing_subscriber::fmt().json().with_env_filter(heard).with_writer(|| Buffer).init();
    });
}

/// What went wrong, as the log tells it.
pub(crate) fn errors() -> String {
    let heard = String::from_utf8_lossy(&heard()).into_owned();
    heard.lines().filter(|line| line.contains("\"level\":\"ERROR\"")).collect::<Vec<_>>().join("\n")
}

pub(crate) fn heard() -> Vec<u8> {
    BUFFER.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
