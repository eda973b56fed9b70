//! A master key in AWS KMS, played by moto, behind a way that the test closes. The real binary,
//! because the SDK reads the environment of its process.

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::house::{Ground, Moto, Relay, Server};

fn run(ground: &Ground, arguments: &[&str]) -> Output {
    ground.command(arguments).output().unwrap()
}

fn serve(ground: &Ground) -> Server {
    ground.serve(&[])
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("did not happen within a minute: {what}");
}

fn is_ready(ground: &Ground) -> bool {
    run(ground, &["healthcheck"]).status.success()
}

/// Adds a secret and gives back its id.
fn add(ground: &Ground, provider: &str, value: &[u8]) -> String {
    let mut adding = ground.command(&["secret", "add", provider, "--no-validate", "--json"]);
    let mut child = adding.stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), value).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let added: Value = serde_json::from_slice(&output.stdout).unwrap();
    added["id"].as_str().unwrap().to_owned()
}

/// The stored value is opened for this.
async fn opens(server: &Server, key: &str, id: &str) -> bool {
    let url = format!("{}/api/v1/admin/secrets/{id}/validate", server.admin);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.post(url).header("x-api-key", key).send().await.unwrap();
    let status = answer.status();
    let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    status.is_success() && body["ok"] == true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_aws_kms_wraps_unwraps_goes_away_and_comes_back() {
    let moto = Moto::start().await;
    let key_id = moto.key().await;
    let alias = json!({"AliasName": "alias/sealgate", "TargetKeyId": key_id});
    moto.call("CreateAlias", &alias).await;
    let relay = Relay::to(moto.address).await;
    let ground = Ground::new(&format!(
        "master_key = {{ kind = \"aws-kms\", key = \"alias/sealgate\", region = \"eu-central-1\", \
         endpoint = \"http://{}\", cache_seconds = 2 }}\n",
        relay.address
    ));

    relay.set_open(false);
    let output = run(&ground, &["init"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("AWS KMS (alias/sealgate) does not answer"), "{output:?}");
    assert!(!run(&ground, &["doctor"]).status.success());
    relay.set_open(true);
    let output = run(&ground, &["init", "--json"]);
    assert!(output.status.success(), "{}", told(&output));
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let key = made["admin_key"].as_str().unwrap().to_owned();
    assert!(!ground.path().join("keys").exists(), "no key lies on the disk");

    let server = serve(&ground);
    assert!(run(&ground, &["doctor"]).status.success());
    let id = add(&ground, "polygon", b"polygon-key-0123456789\n");
    assert!(opens(&server, &key, &id).await);

    relay.set_open(false);
    until("the house seals itself", || !is_ready(&ground)).await;
    assert!(!opens(&server, &key, &id).await);
    relay.set_open(true);
    until("the house opens by itself", || is_ready(&ground)).await;
    assert!(opens(&server, &key, &id).await);
    let lines = server.stop().join("\n");
    assert!(lines.contains("was away for too long"), "{lines}");

    // A start without the KMS is a sealed one; an alias that moved on still opens what it wrapped.
    relay.set_open(false);
    let server = serve(&ground);
    assert!(!is_ready(&ground));
    let other = moto.call("CreateKey", &json!({})).await;
    let target = other["KeyMetadata"]["KeyId"].clone();
    let moved = json!({"AliasName": "alias/sealgate", "TargetKeyId": target});
    moto.call("UpdateAlias", &moved).await;
    relay.set_open(true);
    until("the house opens by itself", || is_ready(&ground)).await;
    assert!(opens(&server, &key, &id).await);

    // A no of the KMS is told apart from its absence, and said with its own word for it.
    moto.call("DeleteAlias", &json!({"AliasName": "alias/sealgate"})).await;
    assert!(run(&ground, &["seal"]).status.success());
    let output = run(&ground, &["unseal"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let line = told(&output);
    assert!(line.contains("refuses: NotFoundException"), "{line}");
    moto.call("CreateAlias", &alias).await;
    assert!(run(&ground, &["unseal"]).status.success());
    assert!(opens(&server, &key, &id).await);
    server.stop();
}
