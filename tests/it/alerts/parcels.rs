//! Reports that are sent by themselves: to a webhook as JSON, by e-mail as a page that hangs on it;
//! each once, over restarts and on two nodes, and what fell due while nobody was there once, too.

use super::letters::Post;
use super::*;

/// Three that somebody is to be sent at seven, one of them nobody.
fn settings(port: u16) -> String {
    let plan = |more: &str| {
        format!("[[reports.schedules]]\nkind = \"hygiene\"\nschedule = \"0 7 * * *\"\n{more}\n")
    };
    format!(
        "{NEARBY}alerts.smtp.host = \"localhost\"\nalerts.smtp.port = {port}\n\
         alerts.smtp.tls = \"none\"\nalerts.smtp.from = \"gate@example.org\"\n{}{}{}",
        plan("days = 7\nto = \"desk\""),
        plan("to = \"letters\"\nprovider = \"acme\""),
        plan("to = \"somebody else\""),
    )
}

async fn two_destinations(house: &House, address: SocketAddr) {
    hook(house, "desk", address).await;
    let letters = json!({"name": "letters", "kind": "email", "to": ["chief@example.org"]});
    let made = house.admin.post(DESTINATIONS).json(&letters).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
}

fn reports(receiver: &Receiver) -> Vec<Value> {
    let got = receiver.got().into_iter().map(|got| got.json());
    got.filter(|got| got["type"] == "report.made").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_that_are_due_are_sent_once_to_whom_the_settings_name() {
    let (socket, address) = listener().await;
    let receiver = Receiver::new();
    let _listening = receiver.listen(socket);
    let post = Post::office(None).await;
    let plan = Plan { settings: settings(post.port), ..Plan::default() };
    let mut house = House::planned(plan).await;
    two_destinations(&house, address).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((reports(&receiver).len(), post.letters().len()), (0, 0), "it is not seven yet");

    house.clock.advance(Duration::from_secs(20 * 3600));
    wait_until("the first ones", async || {
        reports(&receiver).len() == 1 && post.letters().len() == 1
    })
    .await;
    let told = &reports(&receiver)[0]["data"];
    assert_eq!((&told["kind"], &told["report"]["kind"]), (&json!("hygiene"), &json!("hygiene")));
    assert_eq!(told["to"], "2026-01-16T07:00:00Z");
    assert_eq!(told["from"], "2026-01-09T07:00:00Z");
    let letter = post.letters()[0].clone();
    let text = letter["text"].as_str().unwrap();
    for part in [
        "Subject: [sealgate] Hygiene of keys: 2025-12-17 to 2026-01-16",
        "filename=\"hygiene-2026-01-16.html\"",
        "Content-Type: text/html",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }

    // Neither a restart nor a wait sends them again; three mornings that nobody was there for are
    // one report.
    house.restart().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((reports(&receiver).len(), post.letters().len()), (1, 1));
    house.clock.advance(Duration::from_secs(3 * 86_400));
    wait_until("the next ones", async || {
        reports(&receiver).len() == 2 && post.letters().len() == 2
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((reports(&receiver).len(), post.letters().len()), (2, 2));
    assert_eq!(reports(&receiver)[1]["data"]["to"], "2026-01-19T07:00:00Z");
    house.leave().await;
}

/// Both know that it is due, and both would send it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_nodes_sends_a_report_that_is_due() {
    let (socket, address) = listener().await;
    let receiver = Receiver::new();
    let _listening = receiver.listen(socket);
    let post = Post::office(None).await;
    let settings = settings(post.port);
    let plan = Plan { database: Kind::Postgres, settings: settings.clone(), ..Plan::default() };
    let house = House::planned(plan).await;
    two_destinations(&house, address).await;
    let folder = tempfile::tempdir().unwrap();
    let other = second_node_with(&house, folder.path(), &settings).await;
    for (hours, sent) in [(20, 1), (24, 2), (24, 3), (24, 4)] {
        house.clock.advance(Duration::from_secs(hours * 3600));
        wait_until("a report each", async || {
            reports(&receiver).len() >= sent && post.letters().len() >= sent
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!((reports(&receiver).len(), post.letters().len()), (sent, sent));
    }
    other.stop().await;
    house.leave().await;
}
