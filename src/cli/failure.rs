//! What a command says when it cannot do what was asked: one line, with what, why and what to do,
//! on standard error, and the exit status.
//! Must never carry a secret.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::words;

const NOBODY_RUNS: &str = "the vault is sealed, and no server runs here that could be unsealed: start \
                           it with `sealgate serve`, run `sealgate unseal`, then repeat this";

#[derive(Debug)]
pub(super) struct Failure {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// It failed: exit 1.
    Failed(String),
    /// A server refused it: exit 1. Its words for single members, and what stands around them.
    Refused { head: String, faults: Vec<(String, String)>, tail: String, body: Box<Value> },
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
        let body = Box::new(body.clone());
        Self { kind: Kind::Refused { head: words::sentence(&line), faults, tail, body } }
    }

    /// The code of a server's refusal.
    pub(super) fn code(&self) -> Option<&str> {
        match &self.kind {
            Kind::Refused { body, .. } => body.get("code").and_then(Value::as_str),
            Kind::Failed(_) | Kind::Usage(_) | Kind::Arguments(_) | Kind::Unheard => None,
        }
    }

    /// The same, where no server runs that could be unsealed.
    pub(super) fn with_nobody_to_unseal(mut self) -> Self {
        if self.code() == Some("sealed")
            && let Kind::Refused { head, body, .. } = &mut self.kind
        {
            NOBODY_RUNS.clone_into(head);
            if let Some(detail) = body.get_mut("detail") {
                *detail = Value::from(NOBODY_RUNS);
            }
        }
        self
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

    /// Says it, as one JSON object where that was asked for, and gives the exit status.
    pub(super) fn tell(&self, json: bool) -> ExitCode {
        let status = match &self.kind {
            Kind::Failed(_) | Kind::Refused { .. } => 1,
            Kind::Usage(_) => 2,
            Kind::Arguments(error) if json && error.exit_code() != 0 => 2,
            Kind::Arguments(error) => {
                // Help goes to standard output with status 0, everything else to standard error.
                let _ = error.print();
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            }
            Kind::Unheard => return ExitCode::SUCCESS,
        };
        // Where standard error is closed, the exit status is all that can be told.
        let _ = match json {
            true => writeln!(std::io::stderr(), "{}", self.object()),
            false => writeln!(std::io::stderr(), "sealgate: {}", self.line()),
        };
        ExitCode::from(status)
    }

    /// A server's refusal as it came; what goes wrong here in the same form.
    fn object(&self) -> Value {
        let (error, code) = match &self.kind {
            Kind::Refused { body, .. } if body.is_object() => return (**body).clone(),
            Kind::Refused { .. } | Kind::Failed(_) | Kind::Unheard => ("Failed", "failed"),
            Kind::Usage(_) | Kind::Arguments(_) => ("Wrong usage", "usage"),
        };
        json!({"error": error, "code": code, "detail": one_line(&self.line()), "request_id": null})
    }

    /// The line alone.
    pub(super) fn line(&self) -> String {
        match &self.kind {
            Kind::Failed(line) | Kind::Usage(line) => line.clone(),
            Kind::Refused { head, faults, tail, .. } => {
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
    fn for_programs_a_failure_is_one_object() {
        let body = json!({
            "error": "Conflict", "code": "conflict", "detail": "It stands.", "request_id": "r",
        });
        assert_eq!(Failure::answered(409, &body).object(), body);
        let local = Failure::new("a: b; c").object();
        assert_eq!((&local["code"], &local["detail"]), (&json!("failed"), &json!("a: b; c")));
        assert_eq!(Failure::usage("x").object()["code"], "usage");
        assert_eq!(Failure::answered(502, &Value::Null).object()["code"], "failed");
    }

    #[test]
    fn a_sealed_house_that_does_not_run_has_to_be_started_first() {
        let body = json!({"error": "Sealed", "code": "sealed", "detail": "x", "request_id": "r"});
        let failure = Failure::answered(503, &body).with_nobody_to_unseal();
        assert!(failure.line().contains("sealgate serve"), "{}", failure.line());
        assert_eq!(failure.object()["detail"], NOBODY_RUNS);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(one_line("a\x1b[31mb\nc"), "a [31mb c");
    }
}
