//! Nodes of one database, and what only one of them may do.

use std::path::Path;
use std::time::Duration;

use crate::house::{Database, Ground, Kind};

/// How many backups lie there.
fn kept(ground: &Ground) -> usize {
    let entries = std::fs::read_dir(ground.path().join("kept")).into_iter().flatten();
    let is_whole = |path: &Path| path.extension().is_some_and(|extension| extension == "age");
    entries.filter(|entry| is_whole(&entry.as_ref().unwrap().path())).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_on_one_database_one_makes_the_scheduled_backup() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::fresh(Kind::Postgres, folder.path()).await;
    let identity = folder.path().join("identity");
    let first = Ground::new("");
    let keygen = ["backup", "keygen", "--to", identity.to_str().unwrap(), "--json"];
    let recipient = first.json(&keygen)["public_key"].as_str().unwrap().to_owned();
    let settings = format!(
        "{}[backup]\nevery_hours = 1\nfolder = \"kept\"\nrecipients = [\"{recipient}\"]\n",
        database.settings()
    );
    let (first, second) = (Ground::new(&settings), Ground::new(&settings));
    first.json(&["init", "--json"]);
    std::fs::create_dir(second.path().join("keys")).unwrap();
    let key = "keys/master.key";
    std::fs::copy(first.path().join(key), second.path().join(key)).unwrap();
    let servers = [first.serve(&[]), second.serve(&[])];
    for _ in 0..200 {
        if kept(&first) + kept(&second) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Each looks every five seconds.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(kept(&first) + kept(&second), 1);
    // A node that comes anew, or comes back, makes none either.
    let [one, other] = servers;
    one.stop();
    other.stop();
    std::fs::remove_dir_all(first.path().join("kept")).ok();
    std::fs::remove_dir_all(second.path().join("kept")).ok();
    let server = first.serve(&[]);
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(kept(&first), 0, "it was made less than an hour ago");
    server.stop();
    database.drop_it().await;
}
