//! By which ways a rotator is asked, and what it may answer: a webhook that is sent a signed
//! letter, or a program that is given the same by its standard input. Both are handed in by
//! whoever builds the house. Must never repeat what was answered: it may hold a key.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::policy::{Command, Webhook};
use crate::clock::{self, rfc3339};
use crate::crypto::webhook_signature;
use crate::secret::SecretBytes;
use crate::store::RenewalRow;

/// Sends a letter, and yields the body of a 2xx; else why there is none.
pub(crate) type Post = Arc<dyn Fn(Letter) -> Answering + Send + Sync>;
/// Runs a program, and yields its standard output where it ended with 0; else why there is none.
pub(crate) type Run = Arc<dyn Fn(Errand) -> Answering + Send + Sync>;
/// May the program be run at all? Runs nothing.
pub(crate) type Look = Arc<dyn Fn(&Command) -> Result<(), String> + Send + Sync>;
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<SecretBytes, String>> + Send>>;

#[derive(Clone)]
pub(crate) struct Ways {
    pub(crate) post: Post,
    pub(crate) run: Run,
    pub(crate) look: Look,
}

pub(crate) struct Letter {
    pub(crate) url: SecretBytes,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// None: it is only asked whether somebody is there, whatever is answered.
    pub(crate) body: Option<String>,
    /// It is about a key: where there is none any more, what is wanted is done.
    pub(crate) may_be_gone: bool,
    pub(crate) within: Duration,
}

pub(crate) struct Errand {
    pub(crate) command: Command,
    pub(crate) input: String,
    pub(crate) within: Duration,
}

/// What a rotator is asked.
#[derive(Clone, Copy)]
pub(super) enum Action<'a> {
    Create,
    /// Of the renewal that made the key, with what the rotator called it.
    Retire(Uuid, Option<&'a str>),
}

/// A new key.
pub(super) struct Made {
    pub(super) fields: Vec<(String, SecretBytes)>,
    pub(super) handle: Option<String>,
    pub(super) expires_at: Option<i64>,
}

#[derive(Deserialize)]
struct RawMade {
    fields: BTreeMap<String, String>,
    handle: Option<String>,
    expires_at: Option<String>,
}

/// Shorter parts of a key tell nothing, and may stand in any name.
const SHORTEST_PART: usize = 8;
const LONGEST_HANDLE: usize = 200;

impl Action<'_> {
    fn run(self, row: &RenewalRow) -> Uuid {
        match self {
            Self::Create => row.run,
            Self::Retire(run, _) => run,
        }
    }

    /// The same for every try, so that a receiver knows one that comes again.
    fn message_id(self, row: &RenewalRow) -> String {
        let run = self.run(row).simple();
        match self {
            Self::Create => format!("msg_{run}"),
            Self::Retire(..) => format!("msg_{run}_retire"),
        }
    }

    pub(super) fn body(self, row: &RenewalRow) -> String {
        let secret = json!({
            "id": row.secret_id.to_string(), "provider": row.provider, "name": row.name,
        });
        let id = self.run(row).to_string();
        let (action, handle) = match self {
            Self::Create => ("create", Value::Null),
            Self::Retire(_, handle) => ("retire", json!(handle)),
        };
        json!({"action": action, "id": id, "handle": handle, "secret": secret}).to_string()
    }
}

pub(super) fn letter(
    webhook: &Webhook,
    (action, row): (Action<'_>, &RenewalRow),
    (now_ms, within): (i64, Duration),
) -> Letter {
    let (id, body) = (action.message_id(row), action.body(row));
    let time = now_ms.div_euclid(1000).to_string();
    let signature = webhook_signature(&webhook.key, (&id, &time), &body);
    let headers = vec![
        ("content-type", String::from("application/json")),
        ("webhook-id", id),
        ("webhook-timestamp", time),
        ("webhook-signature", signature),
    ];
    let may_be_gone = matches!(action, Action::Retire(..));
    let url = SecretBytes::copy_of(webhook.url.expose());
    Letter { url, headers, body: Some(body), may_be_gone, within }
}

/// `{fields: {…}, expires_at?, handle?}`.
pub(super) fn read(answer: &SecretBytes, now_ms: i64) -> Result<Made, String> {
    // What the parser has to say of it may repeat a part of it.
    let raw: RawMade = serde_json::from_slice(answer.expose())
        .map_err(|_| String::from("its answer is not JSON with the member fields"))?;
    let fields = raw.fields.into_iter();
    let fields: Vec<_> =
        fields.map(|(name, value)| (name, SecretBytes::from_string(value))).collect();
    let expires_at = match raw.expires_at.map(|text| clock::parse_rfc3339(&text)) {
        None => None,
        Some(Some(at)) if at > now_ms => Some(at),
        Some(Some(at)) => return Err(format!("its key ended at {}", rfc3339(at))),
        Some(None) => return Err(String::from("its expires_at is no time")),
    };
    if raw.handle.as_deref().is_some_and(|handle| !is_handle(handle)) {
        let what = format!("its handle is not {LONGEST_HANDLE} plain characters at most");
        return Err(what);
    }
    match fields.is_empty() {
        true => Err(String::from("its answer has no fields")),
        false => Ok(Made { fields, handle: raw.handle, expires_at }),
    }
}

impl Made {
    /// Handles stand in the trail: one that gives a value away is none.
    pub(super) fn tells_its_key(&self) -> bool {
        let Some(handle) = self.handle.as_deref().map(str::as_bytes) else { return false };
        self.fields.iter().any(|(_, value)| {
            let value = value.expose();
            let holds = |text: &[u8], part: &[u8]| {
                part.len() >= SHORTEST_PART && memchr::memmem::find(text, part).is_some()
            };
            holds(handle, value) || holds(value, handle)
        })
    }
}

fn is_handle(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_HANDLE && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Result<Made, String> {
        read(&SecretBytes::copy_of(text.as_bytes()), 1_000)
    }

    #[test]
    fn an_answer_is_read_and_what_is_none_is_told_without_being_repeated() {
        let made = said(
            r#"{"fields":{"api_key":"k"},"handle":"acc_1","expires_at":"2027-01-01T00:00:00Z"}"#,
        );
        let made = made.unwrap();
        assert_eq!(made.fields[0].1.expose(), b"k");
        assert_eq!(made.handle.unwrap(), "acc_1");
        assert_eq!(made.expires_at, Some(1_798_761_600_000));
        for text in [
            "",
            "{}",
            "sk-very-secret",
            r#"{"fields":{}}"#,
            r#"{"fields":{"api_key":7,"x":"sk-very-secret"}}"#,
            r#"{"fields":"sk-very-secret"}"#,
            r#"{"fields":{"api_key":"sk-very-secret"},"expires_at":"sk-very-secret"}"#,
            r#"{"fields":{"api_key":"sk-very-secret"},"expires_at":"1970-01-01T00:00:00Z"}"#,
            r#"{"fields":{"api_key":"sk-very-secret"},"handle":"a b"}"#,
        ] {
            let fault = said(text).err().unwrap();
            assert!(!fault.contains("sk-very-secret"), "{text}: {fault}");
        }
    }

    #[test]
    fn a_handle_that_gives_the_key_away_is_known() {
        for (handle, tells) in [
            ("acc_1", false),
            ("sk-1", false),
            ("sk-very-secret-0001", true),
            ("key:sk-very-secret-0001", true),
            ("very-secret", true),
        ] {
            let fields = vec![(String::from("k"), SecretBytes::copy_of(b"sk-very-secret-0001"))];
            let made = Made { fields, handle: Some(handle.to_owned()), expires_at: None };
            assert_eq!(made.tells_its_key(), tells, "{handle}");
        }
    }

    #[test]
    fn a_call_that_is_made_again_has_the_same_id_and_body() {
        let row = RenewalRow { run: Uuid::from_u128(7), ..RenewalRow::default() };
        let (one, two) = (Action::Create, Action::Retire(row.run, Some("acc_1")));
        assert_eq!(one.message_id(&row), "msg_00000000000000000000000000000007");
        assert_eq!(two.message_id(&row), "msg_00000000000000000000000000000007_retire");
        assert!(two.body(&row).contains("\"handle\":\"acc_1\""), "{}", two.body(&row));
        assert!(one.body(&row).starts_with("{\"action\":\"create\",\"id\":\"00000000-"));
    }
}
