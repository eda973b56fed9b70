//! Nodes of one PostgreSQL, each with connections and a data folder of its own, of which one has not
//! heard yet of what the other has done.

use super::anchors::{changed, heard};
use super::*;
use crate::store::tests::{Home, empty_database, postgres_target};
use crate::store::{JobKind, JobState};

struct Node {
    vault: Arc<Vault>,
    store: Store,
    _folder: tempfile::TempDir,
}

struct Site {
    target: Target,
    installation: Uuid,
    catalogue: Arc<Catalogue>,
    _home: Home,
}

impl Site {
    async fn new() -> Self {
        let (url, home) = empty_database().await;
        Self {
            target: postgres_target(&url),
            installation: Uuid::now_v7(),
            catalogue: Arc::new(Catalogue::build(&[]).unwrap()),
            _home: home,
        }
    }

    async fn node(&self) -> Node {
        let (clock, folder) = (Clock::settable(1_800_000_000_000), tempfile::tempdir().unwrap());
        let settings = StoreSettings { target: self.target.clone() };
        let store = Store::open(&settings, clock.clone()).await.unwrap();
        let vault = Vault::sealed(store.clone(), clock, self.catalogue.clone(), self.installation);
        let vault = Arc::new(vault.anchored(folder.path()));
        vault.unseal(masters(3)).await.unwrap();
        store.seal_rows_by(RowKey::Here(Key::copy_of(&[9; 32])));
        Node { vault, store, _folder: folder }
    }

    fn opens(&self, node: &Node, name: &str) -> bool {
        opened_by(&node.vault, &permit_of(&self.catalogue, "polygon", Some(name))).is_ok()
    }
}

async fn reloaded(node: &Node) {
    let changing = node.vault.changing.lock().await;
    node.vault.reload_locked(&changing).await.unwrap();
}

/// Tends the keys until the job that runs has ended.
async fn rewrapped(node: &Node) {
    node.vault.start_job(JobKind::Rewrap, "test", None).await.unwrap();
    let keep_opened = Duration::ZERO;
    let settings = Settings { kek_max_age_days: 0, keep_opened, locked_memory_bytes: 0 };
    let tending = Arc::clone(&node.vault).tend_keys(String::from("a"), settings);
    let tending = tokio::spawn(tending);
    let job = loop {
        let job = node.vault.latest_job().await.unwrap().unwrap();
        if job.state != JobState::Running {
            break job;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    tending.abort();
    assert_eq!(job.state, JobState::Done, "{job:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_not_heard_of_a_generation_builds_on_the_list_that_is_sealed_under_it() {
    let site = Site::new().await;
    let one = site.node().await;
    let add =
        async |name: &str| one.vault.add(new("polygon", name, "polygon-key-0123456789")).await;
    let (a, b) = (add("a").await.unwrap().id, add("b").await.unwrap().id);
    let two = site.node().await;
    let heard = heard(&two.vault);
    for is_rewrapped in [false, true] {
        for number in 0..6 {
            one.vault.rotate_keks(None).await.unwrap();
            changed(&one.vault, a, ("one", number)).await;
            if is_rewrapped {
                rewrapped(&one).await;
            }
            // A new owner, a new value, or one more secret.
            changed(&two.vault, b, ("two", number)).await;
            let name = format!("more-{is_rewrapped}-{number}");
            two.vault.add(new("polygon", &name, "polygon-key-0123456789")).await.unwrap();
            let third = site.node().await;
            for node in [&one, &two, &third] {
                reloaded(node).await;
                assert_eq!(node.vault.findings(), [""; 0]);
                assert!(["a", "b", &name].iter().all(|name| site.opens(node, name)));
                let owner = async |id| node.vault.show(id).await.unwrap().unwrap().owner.unwrap();
                assert_eq!(owner(a).await, format!("one {number}"));
                assert_eq!(owner(b).await, format!("two {number}"));
            }
            third.store.close().await;
        }
    }
    assert_eq!(*heard.lock().unwrap(), [""; 0], "nothing was amiss");
    for node in [one, two] {
        node.store.close().await;
    }
}
