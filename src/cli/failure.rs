//! What a command says when it cannot do what was asked: one line, with what, why and what to do,
//! on standard error, and the exit status.
//! Must never carry a secret.

use std::io::Write;
use std::process::ExitCode;

use serde_json::Value;

use super::words;

#[derive(Debug)]
pub(super) struct Failure {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// It failed: exit 1.
    Failed(String),
    /// A server refused it: exit 1. Its words for single members, and what stands around them.
    Refused { head: String, faults: Vec<(String, String)>, tail: String },
    /// It was asked for wrongly: exit 2.
    Usage(String),
    /// What the parser of arguments has to say, help included.
    Arguments(Box<clap::Error>),
    /// Whoever reads our output has gone.
    Unheard,
}

impl Failure {
    pub(super) fn new(line: impl Into<String>) -> Self {
        Self { kind: Kind::Failed(one_line(&line.into())) }
    }

    pub(super) fn usage(line: impl Into<String>) -> Self {
        Self { kind: Kind::Usage(one_line(&line.into())) }
    }

    pub(super) fn unheard() -> Self {
        Self { kind: Kind::Unheard }
    }

    /// Out of an error answer of the admin API: its own sentence, which says why and what to do,
    /// the faults of single members, and the code to look up.
    pub(super) fn answered(status: u16, body: &Value) -> Self {
        let text = |member: &str| body.get(member).and_then(Value::as_str).unwrap_or_default();
        let headline = text("error");
        let line = match (headline, text("detail")) {
            ("", _) => format!("the server answered with status {status} and no explanation"),
            (headline, "") => headline.to_owned(),
            (headline, detail) => format!("{headline}: {detail}"),
        };
        let mut faults = Vec::new();
        for fault in body.get("fields").and_then(Value::as_array).into_iter().flatten() {
            let member = |name: &str| fault.get(name).and_then(Value::as_str).unwrap_or_default();
            faults.push((member("field").to_owned(), words::sentence(member("fault"))));
        }
        let mut tail = String::new();
        for step in failed_steps(body) {
            tail.push_str(&format!("; {step}"));
        }
        let (code, request_id) = (text("code"), text("request_id"));
        if !code.is_empty() {
            tail.push_str(&format!(" ({code}, request {request_id})"));
        }
        Self { kind: Kind::Refused { head: words::sentence(&line), faults, tail } }
    }

    /// With the command's own names for what a server calls members of a body.
    pub(super) fn named_as_typed(mut self, typed: &words::Typed) -> Self {
        if let Kind::Refused { faults, .. } = &mut self.kind {
            for (member, _) in faults {
                *member = typed.name_of(member);
            }
        }
        self
    }

    /// Says it and gives the exit status.
    pub(super) fn tell(&self) -> ExitCode {
        let status = match &self.kind {
            Kind::Failed(_) | Kind::Refused { .. } => 1,
            Kind::Usage(_) => 2,
            Kind::Arguments(error) => {
                // Help goes to standard output with status 0, everything else to standard error.
                let _ = error.print();
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            }
            Kind::Unheard => return ExitCode::SUCCESS,
        };
        // Where standard error is closed, the exit status is all that can be told.
        let _ = writeln!(std::io::stderr(), "sealgate: {}", self.line());
        ExitCode::from(status)
    }

    /// The line alone.
    pub(super) fn line(&self) -> String {
        match &self.kind {
            Kind::Failed(line) | Kind::Usage(line) => line.clone(),
            Kind::Refused { head, faults, tail } => {
                let told: String =
                    faults.iter().map(|(member, fault)| format!("; {member}: {fault}")).collect();
                one_line(&format!("{head}{told}{tail}"))
            }
            Kind::Arguments(error) => error.to_string(),
            Kind::Unheard => String::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn is_usage(&self) -> bool {
        match &self.kind {
            Kind::Failed(_) | Kind::Refused { .. } | Kind::Unheard => false,
            Kind::Usage(_) => true,
            Kind::Arguments(error) => error.exit_code() == 2,
        }
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self { kind: Kind::Arguments(Box::new(error)) }
    }
}

/// The steps of a validation report that went wrong.
fn failed_steps(body: &Value) -> Vec<String> {
    let steps = body.pointer("/report/steps").and_then(Value::as_array);
    let failed = |step: &&Value| step.get("ok").and_then(Value::as_bool) == Some(false);
    let text = |step: &Value, name: &str| {
        step.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let steps = steps.into_iter().flatten().filter(failed);
    steps.map(|step| format!("{}: {}", text(step, "name"), text(step, "detail"))).collect()
}

/// Control characters could move the cursor or break the line.
pub(super) fn one_line(text: &str) -> String {
    let spaced = text.split(|letter: char| letter.is_control()).filter(|part| !part.is_empty());
    spaced.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_answer_becomes_one_line() {
        let body = json!({
            "error": "Invalid request", "code": "invalid", "detail": "Two members are wrong.",
            "request_id": "r-1", "fields": [{"field": "role", "fault": "is\nunknown"}],
            "report": {"steps": [
                {"name": "format", "ok": true, "detail": ""},
                {"name": "probe", "ok": false, "detail": "401"},
            ]},
        });
        assert_eq!(
            Failure::answered(422, &body).line(),
            "Invalid request: Two members are wrong.; role: is unknown; probe: 401 (invalid, \
             request r-1)"
        );
        assert_eq!(
            Failure::answered(502, &Value::Null).line(),
            "the server answered with status 502 and no explanation"
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(one_line("a\x1b[31mb\nc"), "a [31mb c");
    }
}
