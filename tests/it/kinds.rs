//! From one kind of master key to another and back, new keys within each, and backups that come
//! back into houses of each kind.

use serde_json::{Value, json};

#[cfg(feature = "aws-kms")]
use crate::house::Moto;
use crate::house::{Ground, Transit, private};
use crate::keys::Site;
use crate::masters::{FIRST, moved};

/// Moves every key and says so; afterwards everything opens.
async fn rotated(site: &Site, strike: bool) {
    let server = site.ground.serve(&[]);
    site.assert_readable(&server.admin, &server.proxy).await;
    let done = site.ground.json(&["master-key", "rotate", "--json"]);
    assert_eq!((&done["state"], &done["done"]), (&json!("done"), &json!(3)), "{done}");
    let told = done["outcome"].as_str().unwrap();
    assert_eq!(told.contains("strike [master_key.previous]"), strike, "{told}");
    site.assert_readable(&server.admin, &server.proxy).await;
    server.stop();
    let server = site.ground.serve(&[]);
    site.assert_readable(&server.admin, &server.proxy).await;
    server.stop();
}

/// The kind and the name of what wraps each living generation.
fn wrapped_by(site: &Site) -> Vec<String> {
    let status = site.ground.json(&["kek", "status", "--json"]);
    let items = status["items"].as_array().unwrap().iter();
    let living = items.filter(|item| item["state"] != "destroyed");
    living.map(|item| item["master_kind"].as_str().unwrap().to_owned()).collect()
}

/// `other`, as members of `[master_key]`; `anew` does what its holder does for a new key of its own.
async fn there_and_back(other: &str, anew: impl AsyncFn()) {
    let site = Site::new(3, "").await;
    let file = site.ground.path().join("keys/master.key");
    let away = site.ground.path().join("keys/away");
    moved(&site, other, Some(FIRST));
    rotated(&site, true).await;
    moved(&site, other, None);
    // Nothing hangs on the file any more.
    std::fs::rename(&file, &away).unwrap();
    let kind = wrapped_by(&site);
    assert!(kind.iter().all(|kind| other.contains(kind)), "{kind:?}");
    for _ in 0..2 {
        rotated(&site, false).await;
        anew().await;
    }
    std::fs::rename(&away, &file).unwrap();
    moved(&site, FIRST, Some(other));
    rotated(&site, true).await;
    moved(&site, FIRST, None);
    assert_eq!(wrapped_by(&site), ["file", "file", "file"]);
    rotated(&site, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_file_to_vault_transit_and_back_every_secret_opens() {
    let transit = Transit::open().await;
    let folder = tempfile::tempdir().unwrap();
    let members = transit.members(&folder.path().join("token"));
    there_and_back(&members, async || {}).await;
}

#[cfg(feature = "aws-kms")]
fn aws(moto: &Moto, key: &str) -> String {
    format!(
        "kind = \"aws-kms\", key = \"{key}\", region = \"eu-central-1\", endpoint = \"http://{}\"",
        moto.address
    )
}

#[cfg(feature = "aws-kms")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_file_to_aws_kms_and_back_every_secret_opens() {
    let moto = Moto::start().await;
    let alias = |target: String| json!({"AliasName": "alias/house", "TargetKeyId": target});
    moto.call("CreateAlias", &alias(moto.key().await)).await;
    // The alias moves on: the next rotation wraps by what it stands for then.
    let anew = async || {
        moto.call("UpdateAlias", &alias(moto.key().await)).await;
    };
    there_and_back(&aws(&moto, "alias/house"), anew).await;
}

#[cfg(feature = "aws-kms")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_that_moved_on_leaves_nothing_on_the_former_key() {
    let moto = Moto::start().await;
    let (old, new) = (moto.key().await, moto.key().await);
    let alias = |target: &str| json!({"AliasName": "alias/house", "TargetKeyId": target});
    moto.call("CreateAlias", &alias(&old)).await;
    let site = Site::new(2, "").await;
    let members = aws(&moto, "alias/house");
    moved(&site, &members, Some(FIRST));
    rotated(&site, true).await;
    moved(&site, &members, None);
    let server = site.ground.serve(&[]);
    moto.call("UpdateAlias", &alias(&new)).await;
    // The server that runs wraps under a name that rows would get wrong; it says what to do.
    let told = site.ground.run(&["master-key", "rotate"]);
    assert_eq!(told.status.code(), Some(1));
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("seal and unseal to take that over"), "{told}");
    assert!(site.ground.run(&["seal"]).status.success());
    assert!(site.ground.run(&["unseal"]).status.success());
    let done = site.ground.json(&["master-key", "rotate", "--json"]);
    assert_eq!(done["state"], "done", "{done}");
    moto.call("DisableKey", &json!({"KeyId": old})).await;
    server.stop();
    let server = site.ground.serve(&[]);
    site.assert_readable(&server.admin, &server.proxy).await;
    server.stop();
}

/// A backup of a house with a file comes back into one whose master key is of this kind, which was
/// never set up, with `input` for whoever is asked; and is rotated there.
async fn comes_back_into(members: &str, input: &str) {
    let site = Site::new(2, "").await;
    let carried = tempfile::tempdir().unwrap();
    let path = |name: &str| carried.path().join(name).to_str().unwrap().to_owned();
    let made = site.ground.json(&["backup", "keygen", "--to", &path("identity"), "--json"]);
    let recipient = made["public_key"].as_str().unwrap().to_owned();
    let file = path("house.age");
    site.ground.json(&["backup", "create", "--to", &file, "--recipient", &recipient, "--json"]);

    let settings = std::fs::read_to_string(site.ground.path().join("sealgate.toml")).unwrap();
    let ca = std::fs::read(site.ground.path().join("outpost.pem")).unwrap();
    let site = site.moved_to(Ground::new(""));
    std::fs::write(site.ground.path().join("sealgate.toml"), settings).unwrap();
    std::fs::write(site.ground.path().join("outpost.pem"), ca).unwrap();
    moved(&site, members, None);
    let restore = ["backup", "restore", &file, "--identity", &path("identity"), "--json"];
    let restored = site.ground.run_with_input(&restore, input);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let verdict: Value = serde_json::from_slice(&restored.stdout).unwrap();
    assert_eq!((&verdict["versions"], &verdict["faults"]), (&json!(3), &json!([])), "{verdict}");
    assert!(!site.ground.path().join("keys").exists(), "no key lies on the disk");
    let server = site.ground.serve(&[]);
    let answer = |arguments: &[&str]| {
        let ended = site.ground.run_with_input(arguments, input);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    };
    if !input.is_empty() {
        answer(&["unseal"]);
    }
    site.assert_readable(&server.admin, &server.proxy).await;
    answer(&["master-key", "rotate"]);
    site.assert_readable(&server.admin, &server.proxy).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_comes_back_into_a_house_of_a_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let word = folder.path().join("word");
    private(&word, "a long enough passphrase\n");
    let members =
        format!("kind = \"passphrase\", passphrase = {{ file = \"{}\" }}", word.display());
    comes_back_into(&members, "").await;
    comes_back_into("kind = \"passphrase\"", "a long enough passphrase\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_comes_back_into_a_house_of_vault_transit() {
    let transit = Transit::open().await;
    let folder = tempfile::tempdir().unwrap();
    comes_back_into(&transit.members(&folder.path().join("token")), "").await;
}

#[cfg(feature = "aws-kms")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_comes_back_into_a_house_of_aws_kms() {
    let moto = Moto::start().await;
    let key = moto.key().await;
    comes_back_into(&aws(&moto, &key), "").await;
}
