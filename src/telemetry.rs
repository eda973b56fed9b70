//! Log format, span and metric names, and the list of what is never logged.
//! A failure is logged once, at the boundary where it ends, with fields; units stand in field names
//! (`duration_ms`, `body_bytes`). Must never read the environment: config hands the settings in.
//! The figures for Prometheus live in `metrics`.

mod metrics;
mod panics;

use std::fmt;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub(crate) use self::metrics::{Address, AuthFailure, CONTENT_TYPE, Metrics, Waits};
pub(crate) use self::panics::log_panics_without_payload;

/// What is logged where `RUST_LOG` says nothing.
const DEFAULT_FILTER: &str = "sealgate=info,warn";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON lines otherwise.
    Auto,
    Text,
    Json,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub format: Format,
    /// As `RUST_LOG` writes it; None: `sealgate=info,warn`.
    pub filter: Option<String>,
    /// False where `NO_COLOR` asks for none; colours are for terminals in any case.
    pub colour: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LogError {
    /// The filter cannot be read.
    BadFilter { filter: String, why: String },
    /// This process logs already.
    InUse,
}

impl fmt::Display for LogError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadFilter { filter, why } => write!(
                formatter,
                "RUST_LOG={filter:?} cannot be read ({why}); write it like {DEFAULT_FILTER:?}"
            ),
            Self::InUse => write!(formatter, "the log of this process was set up already"),
        }
    }
}

impl std::error::Error for LogError {}

/// From here on events go to standard error. Standard output belongs to what commands print.
///
/// What no log line, span, metric label or error message of the house ever contains (whoever adds a
/// field checks it against this list; the canary tests search all output for a breach):
///
/// - key material: master keys, key-encryption keys, data keys, and anything derived from them
/// - the values of secrets, whole or in part, and the bodies of envelopes
/// - client keys and tokens beyond the stored preview, and their digests
/// - values of headers, in either direction
/// - query strings
/// - bodies of requests and answers, and first messages of sockets
/// - URLs with a user or a password in them, the database's and Redis's among them
/// - payloads of panics
pub(crate) fn init(settings: &Settings) -> Result<(), LogError> {
    let filter = filter(settings.filter.as_deref())?;
    let terminal = std::io::stderr().is_terminal();
    let text = match settings.format {
        Format::Auto => terminal,
        Format::Text => true,
        Format::Json => false,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let outcome = if text {
        registry.with(layer.with_ansi(terminal && settings.colour)).try_init()
    } else {
        registry.with(layer.json().flatten_event(true).with_span_list(false)).try_init()
    };
    outcome.map_err(|_| LogError::InUse)
}

fn filter(given: Option<&str>) -> Result<EnvFilter, LogError> {
    let text = given.map(str::trim).filter(|text| !text.is_empty()).unwrap_or(DEFAULT_FILTER);
    EnvFilter::builder()
        .parse(text)
        .map_err(|error| LogError::BadFilter { filter: text.to_owned(), why: error.to_string() })
}

/// The span of one call on the admin face. `route` is the pattern, never the path with its ids.
pub(crate) fn admin_call(request_id: &str, method: &str, route: &str) -> tracing::Span {
    tracing::info_span!("admin_call", span_id = next_span_id(), request_id, method, route)
}

/// The span of one piece of background work.
pub(crate) fn job(kind: &'static str) -> tracing::Span {
    tracing::info_span!("job", span_id = next_span_id(), kind)
}

/// Unique within the process: enough to gather the lines of one piece of work.
fn next_span_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_named_with_an_example() {
        let error = filter(Some("sealgate=loud")).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("RUST_LOG=\"sealgate=loud\" cannot be read"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn without_a_filter_the_house_speaks_and_the_rest_warns() {
        assert_eq!(filter(None).unwrap().to_string(), "sealgate=info,warn");
        assert_eq!(filter(Some(" ")).unwrap().to_string(), "sealgate=info,warn");
        assert_eq!(filter(Some("debug")).unwrap().to_string(), "debug");
    }

    #[test]
    fn span_ids_are_not_repeated() {
        assert_ne!(next_span_id(), next_span_id());
    }
}
