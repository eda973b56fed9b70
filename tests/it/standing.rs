//! A house that stands: set up once and twice, examined, asked for its health and its description.

use std::os::unix::fs::PermissionsExt;

use sqlx::Connection as _;

use crate::house::{Database, Ground, House, Outpost, Speaks, one_line};

#[test]
fn init_twice_changes_nothing_and_tells_no_key_again() {
    let ground = Ground::new("");
    let first = ground.json(&["init", "--json"]);
    let key = first["admin_key"].as_str().unwrap();
    assert!(key.starts_with("mdw_") && key.len() == 50, "{first}");
    let master = std::fs::read(ground.path().join("keys/master.key")).unwrap();
    let second = ground.json(&["init", "--json"]);
    assert!(second["admin_key"].is_null(), "{second}");
    assert_eq!(std::fs::read(ground.path().join("keys/master.key")).unwrap(), master);
    assert_eq!(ground.serve(&[]).stop().join("\n").matches("mdw_").count(), 0);
}

#[test]
fn the_first_start_tells_exactly_one_admin_key() {
    let ground = Ground::new("");
    let server = ground.serve(&[]);
    let told = server.stop().join("\n");
    assert_eq!(told.matches("mdw_").count(), 1, "{told}");
    let again = ground.serve(&[]);
    assert_eq!(again.stop().join("\n").matches("mdw_").count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_readiness_metrics_and_description_are_open() {
    let ground = Ground::new("");
    let server = ground.serve(&[]);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (path, part) in [
        ("/healthz", ""),
        ("/readyz", ""),
        ("/metrics", "# TYPE"),
        ("/openapi.json", "\"/api/v1/admin/api-keys\""),
        ("/docs", "swagger"),
    ] {
        let response = http.get(format!("{}{path}", server.admin)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let text = response.text().await.unwrap();
        assert!(text.contains(part), "{path}: {text}");
    }
    let response = http.get(format!("{}/healthz", server.proxy)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(ground.run(&["healthcheck"]).status.success());
    server.stop();
    assert_eq!(ground.run(&["healthcheck"]).status.code(), Some(1));
}

/// Answers everybody, on any path, that all is well.
fn impostor() -> std::net::SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let body = "{\"ready\":true,\"parts\":[]}";
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            let _ = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

#[test]
fn healthcheck_asks_this_installations_server_and_no_other() {
    let ground = Ground::new("");
    let check = |listen: &str| {
        let mut command = ground.command(&["healthcheck"]);
        command.env("SEALGATE_ADMIN__LISTEN", listen);
        command
    };
    let elsewhere = impostor().to_string();
    let line = one_line(check(&elsewhere));
    assert!(line.contains("no server runs on") && line.contains("sealgate serve"), "{line}");
    ground.json(&["init", "--json"]);
    one_line(check(&elsewhere));
    let neighbour = Ground::new("");
    let other = neighbour.serve(&[]);
    one_line(check(other.admin.strip_prefix("http://").unwrap()));
    // Its own server is asked wherever its ports are.
    let own = ground.serve(&[]);
    let ready = check(&elsewhere).output().unwrap();
    assert_eq!((ready.status.code(), ready.stdout.as_slice()), (Some(0), &b"ready\n"[..]));
    own.kill();
    // What a killed server leaves behind is no server.
    one_line(check(&elsewhere));
    other.stop();
    let wrong = ground.command(&["healthcheck", "--nonsense"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

/// The names of what `doctor` finds red, each with a remedy.
fn red(ground: &Ground, more: &[(&str, &str)]) -> Vec<String> {
    let output = ground.command(&["doctor", "--json"]).envs(more.iter().copied()).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = told["checks"].as_array().unwrap();
    let red: Vec<_> = checks.iter().filter(|check| check["ok"] == false).collect();
    assert_eq!(told["ok"], red.is_empty());
    assert_eq!(output.status.code(), Some(i32::from(!red.is_empty())));
    for check in &red {
        assert!(check["remedy"].as_str().is_some_and(|text| !text.is_empty()), "{check}");
    }
    red.iter().map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

fn mode(path: &std::path::Path, bits: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
}

#[test]
fn doctor_is_green_and_turns_red_for_each_planted_fault() {
    let ground = Ground::new("");
    let before = red(&ground, &[]);
    assert!(before.contains(&String::from("data folder")), "{before:?}");
    ground.json(&["init", "--json"]);
    assert_eq!(red(&ground, &[]), [""; 0]);

    let (data, master) = (ground.data(), ground.path().join("keys/master.key"));
    let database = data.join("sealgate.db");
    mode(&data, 0o755);
    assert_eq!(red(&ground, &[]), ["data folder"]);
    mode(&data, 0o700);

    mode(&master, 0o644);
    assert_eq!(red(&ground, &[]), ["master key"]);
    mode(&master, 0o600);
    let key = std::fs::read(&master).unwrap();
    std::fs::write(&master, &key[..key.len() / 2]).unwrap();
    assert!(red(&ground, &[]).contains(&String::from("master key")));
    std::fs::remove_file(&master).unwrap();
    assert!(red(&ground, &[]).contains(&String::from("master key")));
    std::fs::write(&master, &key).unwrap();
    mode(&master, 0o600);

    let whole = std::fs::read(&database).unwrap();
    std::fs::write(&database, &whole[..whole.len() / 3]).unwrap();
    assert!(red(&ground, &[]).contains(&String::from("database")));
    std::fs::write(&database, &whole).unwrap();

    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let held = held.local_addr().map(|address| (held, address.to_string())).unwrap();
    assert_eq!(red(&ground, &[("SEALGATE_PROXY__LISTEN", &held.1)]), ["proxy port"]);
    assert_eq!(red(&ground, &[("SEALGATE_ADMIN__LISTEN", &held.1)]), ["admin port"]);
    assert_eq!(red(&ground, &[("SEALGATE_LIMITS__WINDOW_SECONDS", "soon")]), ["settings"]);
    assert_eq!(red(&ground, &[]), [""; 0]);
}

/// What one check says.
fn told_of(ground: &Ground, name: &str) -> Option<String> {
    let output = ground.command(&["doctor", "--json"]).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let check = told["checks"].as_array().unwrap().iter().find(|check| check["name"] == name)?;
    Some(check["detail"].as_str().unwrap().to_owned())
}

#[test]
fn doctor_opens_something_with_the_master_key_and_sees_another_one() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    assert!(told_of(&ground, "master key").unwrap().ends_with("opens all 1 key-encryption keys"));
    assert_eq!(told_of(&ground, "sandbox"), None);
    let server = ground.serve(&["--sandbox"]);
    assert_eq!(red(&ground, &[]), [""; 0]);
    server.stop();
    assert!(told_of(&ground, "master key").unwrap().ends_with("opens all 2 key-encryption keys"));
    assert!(told_of(&ground, "sandbox").unwrap().contains("serve --sandbox"));
    assert_eq!(red(&ground, &[]), [""; 0]);
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    assert_eq!(red(&ground, &[("SEALGATE_SANDBOX__LISTEN", &address)]), ["sandbox"]);

    // Whole, private, and another installation's.
    let master = ground.path().join("keys/master.key");
    let other = Ground::new("");
    other.json(&["init", "--json"]);
    std::fs::copy(other.path().join("keys/master.key"), &master).unwrap();
    mode(&master, 0o600);
    assert_eq!(red(&ground, &[]), ["master key"]);
}

#[test]
fn doctor_sees_a_data_folder_that_cannot_be_written_and_a_database_that_is_gone() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    if !nix::unistd::geteuid().is_root() {
        mode(&ground.data(), 0o500);
        assert!(red(&ground, &[]).contains(&String::from("data folder")));
        mode(&ground.data(), 0o700);
    }
    let database = ground.data().join("sealgate.db");
    std::fs::rename(&database, ground.path().join("away.db")).unwrap();
    assert_eq!(red(&ground, &[]), ["database"]);
    std::fs::rename(ground.path().join("away.db"), &database).unwrap();
    std::fs::remove_dir_all(ground.data()).unwrap();
    std::fs::write(ground.data(), "").unwrap();
    let found = red(&ground, &[]);
    assert!(found.iter().any(|name| name == "settings" || name == "data folder"), "{found:?}");
}

#[test]
fn a_running_server_is_green_too() {
    let ground = Ground::new("");
    let server = ground.serve(&[]);
    assert_eq!(red(&ground, &[]), [""; 0]);
    server.stop();
}

/// The README's own trip: its sandbox key is made anew at each start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_answers_after_a_restart_too() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    let made = ground.json(&["client", "create", "newcomer", "--json"]);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..2 {
        let server = ground.serve(&["--sandbox"]);
        let url = format!(
            "{}/sandbox/v2/aggs/ticker/AAPL/range/1/day/2026-01-05/2026-01-09",
            server.proxy
        );
        let call = http.get(&url).header("x-api-key", made["key"].as_str().unwrap());
        assert_eq!(call.send().await.unwrap().status(), 200);
        assert_eq!(http.get(&url).send().await.unwrap().status(), 401);
        server.stop();
    }
}

#[test]
fn the_command_line_and_the_running_server_share_one_installation() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    let offline = ground.json(&["client", "create", "before", "--json"]);
    let server = ground.serve(&[]);
    let online = ground.json(&["client", "create", "while", "--json"]);
    let listed = ground.json(&["client", "list", "--json"]);
    let names: Vec<_> =
        listed["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
    for name in ["first admin", "before", "while"] {
        assert!(names.contains(&name.into()), "{names:?}");
    }
    for key in [&offline["key"], &online["key"]] {
        assert!(!listed.to_string().contains(key.as_str().unwrap()));
    }
    server.stop();
}

#[test]
fn a_secret_is_renamed_and_validated_from_the_command_line() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    for name in ["default", "backup"] {
        let add = ["secret", "add", "polygon", "--name", name, "--no-validate"];
        let key = "0123456789abcdefghijABCDEFGHIJ01\n";
        assert!(ground.run_with_input(&add, key).status.success());
    }
    let renamed = ground.json(&["secret", "set", "polygon", "--rename", "desk", "--json"]);
    assert_eq!(renamed["name"], "desk");
    let line = ground.fails(&["secret", "set", "polygon/desk", "--rename", "backup"]);
    assert!(line.contains("conflict"), "{line}");
    let report = ground.json(&["secret", "validate", "polygon/desk", "--json"]);
    assert_eq!(report["ok"], true);
    let by_id = ground.run(&["secret", "validate", renamed["id"].as_str().unwrap()]);
    let told = String::from_utf8(by_id.stdout).unwrap();
    assert!(by_id.status.success() && told.contains("format"), "{told}");
    ground.fails(&["secret", "validate", "polygon/default"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_turns_red_for_a_provider_that_holds_a_secret_and_is_not_reached() {
    let provider = Outpost::open(Speaks::Both).await;
    let ca = std::path::Path::new("outpost.pem");
    let bearer = "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]";
    let ground = Ground::new(&provider.settings("acme", ca, bearer));
    std::fs::write(ground.path().join(ca), &provider.ca_pem).unwrap();
    ground.json(&["init", "--json"]);
    let add = ["secret", "add", "acme", "--no-validate", "--json"];
    assert!(ground.run_with_input(&add, "a-real-key\n").status.success());
    assert_eq!(red(&ground, &[]), [""; 0]);
    drop(provider);
    tokio::task::yield_now().await;
    assert_eq!(red(&ground, &[]), ["provider"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_house_whose_installation_was_deleted_is_not_begun_anew() {
    let ground = Ground::new("");
    ground.json(&["init", "--json"]);
    let database = Database::Sqlite(ground.data().join("sealgate.db"));
    database.tamper("DELETE FROM installation").await;
    // The rows tell of it; and where they are gone too, the data folder does.
    for sql in ["SELECT 1", "DELETE FROM client_key_hashes", "DELETE FROM client_keys"] {
        database.tamper(sql).await;
        if sql == "DELETE FROM client_keys" {
            database.tamper("DELETE FROM secrets").await;
            database.tamper("DELETE FROM inventories").await;
            database.tamper("DELETE FROM signing_keys").await;
            database.tamper("DELETE FROM keks").await;
            database.tamper("DELETE FROM record_blocks").await;
        }
        for command in ["init", "serve"] {
            let refused = ground.command(&[command]).output().unwrap();
            let line = String::from_utf8(refused.stderr).unwrap();
            assert_eq!(refused.status.code(), Some(1), "{line}");
            assert!(line.contains("`sealgate backup restore`"), "{line}");
        }
        let told = told_of(&ground, "master key").unwrap();
        assert!(told.contains("`sealgate backup restore`"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_of_the_journal_that_somebody_edited_is_put_aside_and_told() {
    let mut house = House::open().await;
    let client = house.client().await;
    let path = house.path().join("data/journal/head");
    for at in (0..76).step_by(12) {
        for is_pipe in [false, true] {
            house.shut().await;
            let mut bytes = std::fs::read(&path).unwrap();
            let end = bytes.len().min(at + 8);
            bytes[at..end].iter_mut().for_each(|byte| *byte = !*byte);
            std::fs::remove_file(&path).unwrap();
            match is_pipe {
                true => std::fs::create_dir(&path).unwrap(),
                false => std::fs::write(&path, &bytes).unwrap(),
            }
            house.try_start().await.unwrap_or_else(|fault| panic!("{at}: {fault}"));
            let beside = path.with_extension("damaged");
            assert!(beside.exists(), "{at}");
            assert_eq!(house.holder(&client).get("/acme/x").send().await.status, 200, "{at}");
            let told = house.admin.get("/api/v1/admin/integrity").send().await.text();
            assert!(told.contains("head.damaged"), "{at}: {told}");
            let accept = house.admin.post("/api/v1/admin/integrity/accept");
            assert_eq!(accept.send().await.status, 200);
            match beside.is_dir() {
                true => std::fs::remove_dir(&beside).unwrap(),
                false => std::fs::remove_file(&beside).unwrap(),
            }
        }
    }
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_installation_or_step_of_the_schema_is_told_with_what_to_do_and_comes_back() {
    let mut house = House::open().await;
    let client = house.client().await;
    let id = id_of(&house).await;
    for edited in ["0198c0de-7a11-7c0d-8e5a-5ea19a7e0001", "nothing", ""] {
        house.shut().await;
        house.database.tamper(&format!("UPDATE installation SET id = '{edited}'")).await;
        let told = house.try_start().await.unwrap_err();
        let remedy = format!("UPDATE installation SET id = '{id}'");
        assert!(told.contains(&remedy), "{edited}: {told}");
        house.database.tamper(&remedy).await;
        house.try_start().await.unwrap();
        assert_eq!(house.holder(&client).get("/acme/x").send().await.status, 200);
    }
    for (set, back) in [("success = 0", "success = 1"), ("checksum = x'00'", "")] {
        house.shut().await;
        let step = "_sqlx_migrations";
        house.database.tamper(&format!("UPDATE {step} SET {set} WHERE version = 3")).await;
        let told = house.try_start().await.unwrap_err();
        assert!(told.contains("schema step 3") && told.contains(step), "{told}");
        assert!(told.contains("Somebody edited") || told.contains("somebody edited"), "{told}");
        let back = match back {
            "" => {
                let (_, sum) = told.split_once("this program has ").unwrap();
                format!("checksum = x'{}'", &sum[..96])
            }
            back => back.to_owned(),
        };
        house.database.tamper(&format!("UPDATE {step} SET {back} WHERE version = 3")).await;
        house.try_start().await.unwrap();
    }
    house.leave().await;
}

async fn id_of(house: &House) -> String {
    let Database::Sqlite(path) = &house.database else { panic!("an embedded database is wanted") };
    let url = format!("sqlite://{}", path.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query_scalar("SELECT id FROM installation").fetch_one(&mut connection).await.unwrap()
}
