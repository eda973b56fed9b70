//! `healthcheck`: for containers. Asks this installation's own server whether it is ready, through
//! the socket in its data folder: whoever else may answer on the port of the admin face is not
//! asked. Must never say "ready" for another server.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::failure::Failure;
use super::{Ground, Print, link};
use crate::config::Config;

/// Less than a container waits for its health check.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    print: Print,
}

impl Healthcheck {
    pub(super) fn run(self, ground: &Ground) -> Result<(), Failure> {
        let config = ground.config()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
        runtime.block_on(ask(&config))?;
        let output = ground.output(self.print);
        if output.json {
            return output.record(&json!({"ready": true}), &[]);
        }
        output.line("ready")
    }
}

async fn ask(config: &Config) -> Result<(), Failure> {
    let place = config.data_dir.display();
    if !link::answers(&config.socket)? {
        let remedy = "start it with `sealgate serve`, or set data_dir to its folder";
        return Err(Failure::new(format!("not ready: no server runs on {place}; {remedy}")));
    }
    let fault = |error: reqwest::Error| {
        let why = link::causes(&error);
        Failure::new(format!(
            "not ready: the server on {place} does not answer: {why}; see its log"
        ))
    };
    let (status, body) = readiness(config).await.map_err(fault)?;
    judge(status, &body).map_err(|why| Failure::new(format!("not ready: {why}")))
}

/// What the server on this data folder says of itself.
pub(super) async fn readiness(config: &Config) -> reqwest::Result<(u16, Value)> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .unix_socket(config.socket.as_path())
        .timeout(PATIENCE)
        .build()?;
    let answer = client.get("http://local/readyz").send().await?;
    let status = answer.status().as_u16();
    Ok((status, serde_json::from_slice(&answer.bytes().await?).unwrap_or_default()))
}

/// Ready is only what says so.
fn judge(status: u16, body: &Value) -> Result<(), String> {
    if status == 200 && body.get("ready") == Some(&Value::Bool(true)) {
        return Ok(());
    }
    Err(reason(status, body))
}

/// Which parts are not ready, where the answer says so.
fn reason(status: u16, body: &Value) -> String {
    let parts = body.get("parts").and_then(Value::as_array).into_iter().flatten();
    let missing = parts.filter(|part| part.get("ready").and_then(Value::as_bool) == Some(false));
    let text = |part: &Value, member: &str| {
        part.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let told = missing.map(|part| match text(part, "detail") {
        detail if detail.is_empty() => text(part, "name"),
        detail => format!("{}: {detail}", text(part, "name")),
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() {
        return format!("the server answered with status {status}; see its log");
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_only_what_says_so() {
        assert_eq!(judge(200, &serde_json::json!({"ready": true, "parts": []})), Ok(()));
        for (status, body) in [
            (200, Value::Null),
            (200, serde_json::json!({"ready": false})),
            (200, serde_json::json!({"ready": "true"})),
            (503, serde_json::json!({"ready": true})),
            (404, Value::Null),
        ] {
            assert!(judge(status, &body).is_err(), "{status} {body}");
        }
    }

    #[test]
    fn the_parts_that_are_not_ready_are_named() {
        let body = serde_json::json!({"ready": false, "parts": [
            {"name": "database", "ready": false, "detail": "The database does not answer."},
            {"name": "journal", "ready": true, "detail": null},
            {"name": "vault", "ready": false, "detail": null},
        ]});
        assert_eq!(reason(503, &body), "database: The database does not answer.; vault");
        assert_eq!(reason(500, &Value::Null), "the server answered with status 500; see its log");
    }
}
