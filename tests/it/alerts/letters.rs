//! Alerts as e-mail, taken by aiosmtpd, and as messages of syslog, by datagram, socket and
//! connection. Must never send anything off this machine.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::*;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/alerts/run.sh");

/// What one of the scripts says of these lines.
pub(super) fn checked(what: &str, lines: &str) -> String {
    let mut script = Command::new(SCRIPT);
    let script = script.arg(what).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = script.stderr(Stdio::piped()).spawn().unwrap();
    script.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let said = script.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

/// aiosmtpd on a port of its own; ends with the test.
pub(super) struct Post {
    child: Child,
    pub(super) port: u16,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Post {
    /// With a certificate it demands STARTTLS and an account.
    pub(super) async fn office(certificate: Option<(&Path, &Path)>) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = Command::new(SCRIPT);
        command.args(["mail", &port.to_string()]);
        if let Some((cert, key)) = certificate {
            command.arg(cert).arg(key);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let kept = Arc::clone(&taken);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        let post = Self { child, port, taken };
        let is_open = async || !post.taken.lock().unwrap().is_empty();
        wait_until("aiosmtpd takes mail; see tests/alerts/run.sh", is_open).await;
        post
    }

    pub(super) fn letters(&self) -> Vec<Value> {
        self.taken.lock().unwrap().iter().skip(1).cloned().collect()
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority, and what it vouches for: a certificate of this machine, and its key.
fn certified() -> (String, String, String) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut above = CertificateParams::default();
    above.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = CertifiedIssuer::self_signed(above, KeyPair::generate().unwrap()).unwrap();
    let leaf = CertificateParams::new(vec![String::from("localhost")]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &authority).unwrap();
    (authority.pem(), certificate.pem(), key.serialize_pem())
}

fn by_mail(post: &Post, more: &str) -> Plan {
    let port = post.port;
    let from = "Sealgate <gate@example.org>";
    let settings = format!(
        "alerts.smtp.host = \"localhost\"\nalerts.smtp.port = {port}\nalerts.smtp.from = \
         \"{from}\"\n{more}"
    );
    Plan { settings, ..Plan::default() }
}

async fn mailbox(house: &House, name: &str, to: &[&str]) -> String {
    let body = json!({"name": name, "kind": "email", "to": to, "kinds": ["quota_near"]});
    let made = house.admin.post(DESTINATIONS).json(&body).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(made.json()["secret"].is_null());
    made.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_comes_by_mail_once_after_the_server_was_busy_and_a_dead_letter_box_is_told() {
    let post = Post::office(None).await;
    let house = House::planned(by_mail(&post, "alerts.smtp.tls = \"none\"\n")).await;
    mailbox(&house, "busy", &["busy@example.org"]).await;
    mailbox(&house, "nobody", &["nobody@example.org"]).await;
    let client = spent(&house).await;
    let raised = alert(&house, ("quota_near", &client.id), "open").await;
    // Put off by the server, then taken.
    delivered(&house, 1).await;
    let letters = post.letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = &letters[0];
    assert_eq!((&letter["to"], &letter["tls"]), (&json!(["busy@example.org"]), &json!(false)));
    let text = letter["text"].as_str().unwrap();
    let list = house.admin.get(&format!("{DELIVERIES}?state=delivered")).send().await.json();
    let id = list["items"][0]["id"].as_str().unwrap();
    for line in [
        "Subject: [sealgate] raised critical quota_near: a test's caller",
        &format!("Message-ID: <{id}@example.org>"),
        raised["detail"].as_str().unwrap(),
        &format!("alert: {}", raised["id"].as_str().unwrap()),
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let dead = house.admin.get(&format!("{DELIVERIES}?state=dead")).send().await.json();
    let fault = dead["items"][0]["fault"].as_str().unwrap();
    assert!(fault.contains("there is no such mailbox"), "{fault}");
    assert_eq!(dead["items"][0]["attempts"], 1);
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_goes_over_tls_with_the_account_of_the_settings_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let ca = folder.path().join("ca.pem");
    let (authority, chain, private) = certified();
    std::fs::write(&cert, &chain).unwrap();
    std::fs::write(&key, &private).unwrap();
    std::fs::write(&ca, &authority).unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "letter-box").unwrap();
    let post = Post::office(Some((&cert, &key))).await;
    let account = format!(
        "alerts.smtp.user = \"gate\"\nalerts.smtp.password = {{ file = \"{}\" }}\n\
         egress.ca_file = \"{}\"\n",
        password.display(),
        ca.display()
    );
    let house = House::planned(by_mail(&post, &account)).await;
    let id = mailbox(&house, "team", &["ops@example.org"]).await;
    let tested = house.admin.post(&format!("{DESTINATIONS}/{id}/test")).send().await.json();
    assert_eq!(tested["ok"], true, "{tested}");
    let letters = post.letters();
    assert_eq!((&letters[0]["tls"], &letters[0]["user"]), (&json!(true), &json!(true)));
    let shown = house.admin.get("/api/v1/admin/audit?limit=100").send().await.text();
    assert!(!shown.contains("letter-box"));
    house.leave().await;

    // A server whose certificate nobody vouches for is told nothing.
    let without = account.lines().filter(|line| !line.contains("ca_file"));
    let without: String = without.map(|line| format!("{line}\n")).collect();
    let house = House::planned(by_mail(&post, &without)).await;
    let id = mailbox(&house, "team", &["ops@example.org"]).await;
    let tested = house.admin.post(&format!("{DESTINATIONS}/{id}/test")).send().await.json();
    assert_eq!(tested["ok"], false, "{tested}");
    assert!(!tested.to_string().contains("letter-box"));
    assert_eq!(post.letters().len(), 1);
    house.leave().await;

    // A password that is wrong may be mended: nothing is given up for it.
    std::fs::write(&password, "another-box").unwrap();
    let house = House::planned(by_mail(&post, &account)).await;
    mailbox(&house, "team", &["ops@example.org", "team@example.org"]).await;
    spent(&house).await;
    let faults = put_off(&house, 1).await;
    assert!(faults[0]["fault"].as_str().unwrap().contains("535"), "{faults:?}");
    assert_eq!(post.letters().len(), 1);
    house.leave().await;
}

/// Those that wait for another try, once there are so many.
async fn put_off(house: &House, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    wait_until(&format!("{count} put off"), async || {
        let list = house.admin.get(&format!("{DELIVERIES}?state=waiting")).send().await.json();
        found = list["items"].as_array().unwrap().clone();
        found.retain(|one| one["fault"].is_string());
        found.len() >= count
    })
    .await;
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_recipients_each_gets_it_once_whatever_becomes_of_the_others() {
    let post = Post::office(None).await;
    let house = House::planned(by_mail(&post, "alerts.smtp.tls = \"none\"\n")).await;
    let all = ["nobody@example.org", "first@example.org", "busy@example.org", "last@example.org"];
    mailbox(&house, "team", &all).await;
    spent(&house).await;
    let faults = put_off(&house, 1).await;
    assert!(faults[0]["fault"].as_str().unwrap().contains("try again later"), "{faults:?}");
    let taken = || {
        let letters = post.letters().into_iter();
        letters.map(|one| one["to"][0].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(taken(), ["first@example.org", "last@example.org"]);
    // The one that was busy takes it now; the one that does not exist is told in the end.
    let dead = format!("{DELIVERIES}?state=dead");
    let mut given_up = Value::Null;
    wait_until("given up", async || {
        house.clock.advance(Duration::from_secs(2));
        given_up = house.admin.get(&dead).send().await.json()["items"][0].clone();
        given_up.is_object()
    })
    .await;
    assert!(given_up["fault"].as_str().unwrap().contains("no such mailbox"), "{given_up}");
    assert_eq!(given_up["attempts"], 2);
    let resend = format!("{DELIVERIES}/{}/resend", given_up["id"].as_str().unwrap());
    assert_eq!(house.admin.post(&resend).send().await.status, 200);
    wait_until("given up once more", async || {
        let list = house.admin.get(&dead).send().await.json();
        list["items"][0]["attempts"] == 1
    })
    .await;
    assert_eq!(taken(), ["first@example.org", "last@example.org", "busy@example.org"]);
    // It is one letter: each reads who else has it.
    assert!(post.letters()[0]["text"].as_str().unwrap().contains("busy@example.org"));
    house.leave().await;
}

fn is_message(text: &str, event: &str, priority: u8) -> Value {
    let (head, body) = text.split_once(" - {").map(|(h, b)| (h, format!("{{{b}"))).unwrap();
    let words: Vec<&str> = head.split(' ').collect();
    assert_eq!((words[0], words[3]), (format!("<{priority}>1").as_str(), "sealgate"), "{text}");
    assert!(words[1].ends_with('Z') && words.len() == 6, "{text}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["type"], event, "{text}");
    body
}

async fn logged(settings: &str) -> House {
    let settings = format!("alerts.syslog = \"{settings}\"\n");
    let house = House::planned(Plan { settings, ..Plan::default() }).await;
    let body = json!({"name": "siem", "kind": "syslog", "kinds": ["quota_near"]});
    let made = house.admin.post(DESTINATIONS).json(&body).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    house
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syslog_takes_alerts_as_datagrams() {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let house = logged(&format!("udp://{}", socket.local_addr().unwrap())).await;
    let client = spent(&house).await;
    let mut bytes = vec![0; 65_536];
    let length = tokio::time::timeout(LONG, socket.recv(&mut bytes)).await.unwrap().unwrap();
    let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
    let body = is_message(&text, "alert.raised", 16 * 8 + 2);
    assert_eq!(body["data"]["subject"]["id"], client.id.as_str());
    house.leave().await;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let house = logged(&format!("unix:{}", path.display())).await;
    spent(&house).await;
    let length = tokio::time::timeout(LONG, socket.recv(&mut bytes)).await.unwrap().unwrap();
    let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
    is_message(&text, "alert.raised", 16 * 8 + 2);
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syslog_over_a_connection_loses_nothing_while_nobody_listens() {
    let (socket, address) = listener().await;
    drop(socket);
    let house = logged(&format!("tcp://{address}")).await;
    let client = spent(&house).await;
    alert(&house, ("quota_near", &client.id), "open").await;
    wait_until("a try", async || {
        let list = house.admin.get(DELIVERIES).send().await.json();
        list["items"][0]["fault"].is_string()
    })
    .await;
    let socket = TcpListener::bind(address).await.unwrap();
    let taking = tokio::spawn(async move {
        let (mut stream, _) = socket.accept().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    });
    delivered(&house, 1).await;
    let text = taking.await.unwrap();
    let (length, message) = text.split_once(' ').unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), message.len());
    let body = is_message(message, "alert.raised", 16 * 8 + 2);
    assert_eq!(body["data"]["subject"]["id"], client.id.as_str());
    house.leave().await;
}
