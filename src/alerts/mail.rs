//! An alert as an e-mail, handed to the mail server that the settings name. The same message comes
//! under the same Message-ID, so that a server or a reader knows one that comes twice.
//! Must never send a password over a line that is not encrypted.

use std::time::{Duration, UNIX_EPOCH};

use lettre::address::Envelope;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde_json::Value;

use super::Alerts;
use super::deliver::{Fault, Told};
use crate::secret::SecretBytes;
use crate::store::{DeliveryRow, Event};

const ANSWERS_WITHIN: Duration = Duration::from_secs(15);
const NO_MAILBOX: &str = "this recipient is no address of e-mail, by its place in the list:";
const UNSET: &str = "no mail server is set: see alerts.smtp.host in the settings";

/// How the line to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// From the first byte.
    Tls,
    /// Asked for before anything else is said; without it nothing is.
    StartTls,
    /// Of this machine or a private network.
    Nothing,
}

/// The mail server, as the settings name it.
#[derive(Clone)]
pub(crate) struct MailSettings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) protection: Protection,
    pub(crate) user: Option<(String, std::sync::Arc<SecretBytes>)>,
    /// From whom it comes.
    pub(crate) from: String,
    /// Extra trust anchors, PEM.
    pub(crate) ca_pem: Option<Vec<u8>>,
}

/// Is it an address that mail can be sent to?
pub(crate) fn is_mailbox(text: &str) -> bool {
    text.parse::<Mailbox>().is_ok()
}

/// What a server said no to.
struct Refused {
    fault: Fault,
    /// It would say so of every recipient.
    is_of_all: bool,
}

impl Alerts {
    /// To each recipient by itself, so that one that does not exist keeps nobody else from it;
    /// those that have it get it no more.
    pub(super) async fn mail(
        &self,
        to: &[String],
        row: &DeliveryRow,
        told: &Told,
    ) -> Result<(), Fault> {
        let settings = self.parts.settings.mail.as_ref();
        let settings = settings.ok_or_else(|| Fault::passing(UNSET))?;
        let transport = transport(settings).map_err(Fault::passing)?;
        let lasting = |text| Fault { is_final: true, ..Fault::passing(text) };
        let message = message(settings, to, row).map_err(lasting)?;
        let (from, letter) = (message.envelope().from().cloned(), message.formatted());
        let mut worst: Option<Fault> = None;
        for (at, one) in to.iter().enumerate() {
            let mark = self.parts.store.recipient_mark(row.id, one);
            if mark.as_deref().is_some_and(|mark| told.has(mark)) {
                continue;
            }
            let mailbox: Mailbox =
                one.parse().map_err(|_| lasting(format!("{NO_MAILBOX} {at}")))?;
            let envelope = Envelope::new(from.clone(), vec![mailbox.email]);
            let envelope = envelope.map_err(|fault| lasting(fault.to_string()))?;
            let refused = match transport.send_raw(&envelope, &letter).await {
                Ok(_) => {
                    mark.into_iter().for_each(|mark| told.add(mark));
                    continue;
                }
                Err(fault) => refused(&fault),
            };
            // While one may get it yet, it is tried again.
            if worst.as_ref().is_none_or(|held| held.is_final) {
                worst = Some(refused.fault);
            }
            if refused.is_of_all {
                break;
            }
        }
        worst.map_or(Ok(()), Err)
    }
}

/// No for good is what a server says of a mailbox; of an account, a sender or its policy it may say
/// something else once somebody has mended that.
fn refused(fault: &smtp::Error) -> Refused {
    let (code, text) = (fault.status().map(u16::from), told_of(fault));
    let is_final = matches!(code, Some(550..=554)) && !text.contains(" 5.7.");
    let is_of_all = matches!(code, None | Some(421 | 454 | 530 | 534 | 535 | 538));
    Refused { fault: Fault { is_final, ..Fault::passing(text) }, is_of_all }
}

fn transport(settings: &MailSettings) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let host = settings.host.as_str();
    let parameters = || {
        let mut builder = TlsParameters::builder(host.to_owned());
        if let Some(pem) = &settings.ca_pem {
            let anchor = Certificate::from_pem(pem).map_err(|fault| told_of(&fault))?;
            builder = builder.add_root_certificate(anchor);
        }
        builder.build().map_err(|fault| told_of(&fault))
    };
    let tls = match settings.protection {
        Protection::Tls => Tls::Wrapper(parameters()?),
        Protection::StartTls => Tls::Required(parameters()?),
        Protection::Nothing => Tls::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(settings.port)
        .tls(tls)
        .timeout(Some(ANSWERS_WITHIN));
    if let Some((user, password)) = &settings.user {
        let password = password.expose_str().unwrap_or_default().to_owned();
        builder = builder.credentials(Credentials::new(user.clone(), password));
    }
    Ok(builder.build())
}

fn message(settings: &MailSettings, to: &[String], row: &DeliveryRow) -> Result<Message, String> {
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|fault| fault.to_string());
    let from = mailbox(&settings.from)?;
    let id = format!("<{}@{}>", row.id, from.email.domain());
    let created = Duration::from_millis(u64::try_from(row.created_at).unwrap_or(0));
    let mut builder = Message::builder()
        .from(from)
        .subject(subject(row))
        .message_id(Some(id))
        .date(UNIX_EPOCH + created);
    for one in to {
        builder = builder.to(mailbox(one)?);
    }
    let message = match row.event {
        Event::Report => builder.multipart(report(row)),
        Event::Raised | Event::Resolved | Event::Test => {
            builder.header(ContentType::TEXT_PLAIN).body(text(row))
        }
    };
    message.map_err(|fault| fault.to_string())
}

/// A few words, and the page as a file.
fn report(row: &DeliveryRow) -> MultiPart {
    let (data, _) = said(row);
    let told = |name: &str| member(&data, name);
    let words = format!(
        "{}\r\n{} to {}\r\n\r\nThe page is attached.\r\n",
        told("/title"),
        told("/from"),
        told("/to")
    );
    // Short, so that it stands in one line: programs disagree about a name in several.
    let name = told("/name");
    let name = name.strip_prefix("sealgate-").unwrap_or(&name);
    let file = Attachment::new(format!("{name}.html"));
    MultiPart::mixed()
        .singlepart(SinglePart::plain(words))
        .singlepart(file.body(told("/page"), ContentType::TEXT_HTML))
}

fn said(row: &DeliveryRow) -> (Value, String) {
    let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
    let data = body.get("data").cloned().unwrap_or_default();
    (data, row.event.as_str().to_owned())
}

fn member(data: &Value, pointer: &str) -> String {
    match data.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => {
            String::new()
        }
    }
}

fn subject(row: &DeliveryRow) -> String {
    let (data, event) = said(row);
    if row.event == Event::Report {
        let day = |name: &str| member(&data, name).chars().take(10).collect::<String>();
        return format!(
            "[sealgate] {}: {} to {}",
            member(&data, "/title"),
            day("/from"),
            day("/to")
        );
    }
    let words = [event, member(&data, "/severity"), member(&data, "/kind")];
    let about = member(&data, "/subject/name");
    let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    match about.is_empty() {
        true => format!("[sealgate] {}", words.join(" ")),
        false => format!("[sealgate] {}: {about}", words.join(" ")),
    }
}

fn text(row: &DeliveryRow) -> String {
    let (data, event) = said(row);
    let lines = [
        ("event", event),
        ("kind", member(&data, "/kind")),
        ("severity", member(&data, "/severity")),
        ("about", format!("{} {}", member(&data, "/subject/type"), member(&data, "/subject/name"))),
        ("about id", member(&data, "/subject/id")),
        ("first seen", member(&data, "/first_seen")),
        ("last seen", member(&data, "/last_seen")),
        ("count", member(&data, "/count")),
        ("alert", member(&data, "/id")),
    ];
    let lines = lines.iter().filter(|(_, value)| !value.trim().is_empty());
    let lines: String = lines.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{}\r\n\r\n{lines}", member(&data, "/detail"))
}

fn told_of(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut cause = fault.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::DeliveryState;

    #[test]
    fn a_message_says_what_it_is_about_and_keeps_its_id() {
        let row = DeliveryRow {
            id: Uuid::nil(),
            destination_id: Uuid::nil(),
            alert_id: None,
            event: Event::Raised,
            state: DeliveryState::Waiting,
            body: serde_json::json!({"data": {
                "kind": "secret_refused", "severity": "critical", "detail": "refused",
                "subject": {"type": "secret", "id": "1", "name": "acme/default"}, "count": 2,
            }})
            .to_string(),
            attempts: 1,
            next_at: 0,
            fault: None,
            created_at: 1_768_485_600_000,
            ended_at: None,
            told: Vec::new(),
        };
        let settings = MailSettings {
            host: String::from("localhost"),
            port: 25,
            protection: Protection::Nothing,
            user: None,
            from: String::from("Sealgate <gate@example.org>"),
            ca_pem: None,
        };
        let to = [String::from("ops@example.org")];
        let made = message(&settings, &to, &row).unwrap().formatted();
        let made = String::from_utf8(made).unwrap();
        for line in [
            "Subject: [sealgate] raised critical secret_refused: acme/default",
            "Message-ID: <00000000-0000-0000-0000-000000000000@example.org>",
            "From: Sealgate <gate@example.org>",
            "To: ops@example.org",
            "Date: Thu, 15 Jan 2026 14:00:00 +0000",
            "count: 2",
        ] {
            assert!(made.contains(line), "{line}\n{made}");
        }
    }
}
