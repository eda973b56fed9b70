//! Every column of every table of a house that was used, edited to what it cannot hold: another
//! class of value, nothing, an empty one, a huge one, bytes that are no text. The list comes from
//! the schema. The house starts, its lists answer, what was not touched is served, and the edit is
//! named. Must never accept an edit that nobody notices, but for those with a reason below.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::house::{Client, Database, Desk, House};

/// One edit of one cell.
struct Edit {
    table: String,
    column: String,
    what: &'static str,
    value: &'static str,
}

struct Column {
    table: String,
    name: String,
    kind: String,
    may_be_null: bool,
}

impl std::fmt::Display for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}: {}", self.table, self.column, self.what)
    }
}

/// How many edits are tried every day; with PROOF=1000 it is all.
const EVERY_DAY: usize = 24;
const START_WITHIN: Duration = Duration::from_secs(30);

/// What nobody notices when it is changed to another value that its column can hold, and why that
/// does no harm. (What its column cannot hold is always named.)
const HARMLESS: &[(&str, &[&str], &str)] = &[
    ("change_revision", &[], "on SQLite there is no other node, and nobody reads it"),
    ("client_key_hashes", &["created_at", "key_preview"], "for people; decides nothing"),
    (
        "client_keys",
        &["created_at", "created_by", "description", "updated_at"],
        "for people; decides nothing",
    ),
    ("client_keys", &["expiry_warned"], "a warning may stay out; the end is sealed"),
    (
        "client_keys",
        &["last_used_address", "last_used_at", "last_used_endpoint", "request_count"],
        "what calls leave behind; the trail says it, too",
    ),
    ("alerts", &[], "what people are told; what it came from stands in the trail and the tables"),
    ("alert_deliveries", &[], "what is on its way to people; what cannot be read is named"),
    ("alert_nodes", &[], "what each node says of itself for alerts; it says so anew each minute"),
    ("alert_places", &[], "how far the trail was read for alerts; a day of it is read again"),
    ("client_addresses", &[], "what calls leave behind; a new address is told to people alone"),
    ("client_routes", &[], "what calls leave behind; a report tells it to people alone"),
    ("repeated_calls", &[], "what calls leave behind; a report tells it to people alone"),
    ("leases", &["done_at", "held_until"], "a time that cannot be is taken over at the next turn"),
    ("client_tokens", &[], "sealed: an edited one is refused when it is used"),
    ("counted_records", &[], "counts of calls; nobody promises them against the database's owner"),
    ("idempotency", &[], "sealed: an edited answer is repeated to nobody"),
    ("installation", &["created_at", "singleton"], "decides nothing"),
    ("keks", &["created_at"], "an older one is rotated at once, which is told"),
    ("key_jobs", &[], "it has ended; one that is called running again is refused and told"),
    ("operator_sessions", &[], "sealed: an edited one signs nobody in; the rest is for people"),
    ("monthly_calls", &[], "counts of calls, as above; what cannot be is told"),
    ("provider_list", &["singleton"], "there is one row, whatever its number is"),
    ("record_marks", &["first_sequence", "node"], "its block has none then, and is always read"),
    ("recent_calls", &[], "counts of calls, as above; what cannot be is told"),
    ("rotations", &[], "of two genuine versions another share serves, and the next look judges it"),
    ("secret_checks", &[], "what was found once; the trail says it, too, and the next check anew"),
    ("secret_health", &[], "what is shown; the next check sets it right, and it serves nobody"),
    (
        "secret_places",
        &[],
        "of keys that all serve another share is used; where they stand is shown",
    ),
    ("secret_versions", &["last_used_at"], "what calls leave behind"),
    ("symbols", &[], "what is fetched; what cannot be is told"),
    ("market_data", &[], "what others publish; what is no number is answered to nobody"),
    ("market_series", &[], "sums for people; what they are sums of stands beside them"),
    ("backfill_history", &[], "what was fetched when, for people; what cannot be is told"),
    ("backfill_parts", &[], "the same, symbol by symbol"),
    ("usage_rollups", &[], "sums for charts; what they are sums of is in the trail"),
];

/// What the house answers when it is well, whatever its rows are.
const LISTS: &[&str] = &[
    "/api/v1/admin/secrets",
    "/api/v1/admin/api-keys",
    "/api/v1/admin/keks",
    "/api/v1/admin/providers",
    "/api/v1/admin/symbols",
    "/api/v1/admin/alerts",
    "/api/v1/admin/alert-deliveries",
    "/api/v1/admin/alert-destinations",
    "/api/v1/admin/audit",
    "/api/v1/admin/backups",
    "/api/v1/admin/operators",
    "/api/v1/admin/sessions",
    "/api/v1/admin/audit/verify",
    "/api/v1/admin/integrity",
    "/healthz",
    "/metrics",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_cell_is_edited_to_the_house_starts_says_so_and_serves_the_rest() {
    let mut house = House::open().await;
    let (caller, victim) = lived_in(&house).await;
    house.shut().await;
    let kept = tempfile::tempdir().unwrap();
    copy(house.path(), kept.path());
    let Database::Sqlite(file) = &house.database else { panic!("an embedded database is wanted") };
    let (file, victim) = (file.clone(), victim.id.clone());
    let mut failures = Vec::new();
    let mut done = 0;
    for edit in chosen(edits(&columns(&file).await)) {
        empty(house.path());
        copy(kept.path(), house.path());
        if !plant(&file, &edit, &victim).await {
            continue;
        }
        done += 1;
        match tokio::time::timeout(START_WITHIN, house.try_start()).await {
            Err(_) => failures.push(format!("{edit}: no start within its time")),
            // Nothing sealed opens under another id: it says so, with the right one.
            Ok(Err(line)) if edit.column == "id" && line.contains("UPDATE installation SET id") => {
            }
            Ok(Err(line)) => failures.push(format!("{edit}: no start: {line}")),
            Ok(Ok(())) => {
                failures.extend(judge(&house, &caller, &edit).await);
                house.shut().await;
            }
        }
    }
    assert!(done > 0);
    empty(house.path());
    copy(kept.path(), house.path());
    house.try_start().await.unwrap();
    house.leave().await;
    assert!(failures.is_empty(), "{} of {done}:\n{}", failures.len(), failures.join("\n"));
}

/// Rows in every table that a house of one node fills.
async fn lived_in(house: &House) -> (Client, Client) {
    let caller = house.client().await;
    let told = json!({"name": "told", "kind": "syslog"});
    let told = house.admin.post("/api/v1/admin/alert-destinations").json(&told).send().await;
    assert_eq!(told.status, 201, "{}", told.text());
    grown_old(house, &caller).await;
    let members = json!({
        "monthly_quota": 1000, "description": "d", "owner": "o", "scopes": ["*:GET:/**"],
        "allowed_ips": ["127.0.0.1"], "expires_at": "2027-01-01T00:00:00Z", "limit": 500,
        "max_concurrent": 5,
    });
    let victim = house.client_with(members).await;
    assert_eq!(caller.get("/acme/x").send().await.status, 200);
    assert_eq!(victim.get("/acme/x").send().await.status, 200);
    // The second one asks again for what is fresh.
    for _ in 0..2 {
        let call = victim.get("/acme/holds/x").header("x-says-cache-control", "max-age=60");
        assert_eq!(call.send().await.status, 200);
    }
    let tokens = format!("/api/v1/admin/api-keys/{}/tokens", victim.id);
    let post = async |path: &str, body: serde_json::Value| {
        let call = house.admin.post(path).json(&body).header("idempotency-key", path);
        let answer = call.send().await;
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.text());
    };
    post(&tokens, json!({})).await;
    post(
        "/api/v1/admin/providers",
        json!({
            "id": "stored", "base_url": "https://api.stored.example", "category": "stored",
            "inject": [{"at": "header", "name": "Authorization", "value": "Bearer {api_key}"}],
        }),
    )
    .await;
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        caller.id, caller.key
    );
    let call = caller.bare_call(http::Method::POST, "/oauth/token");
    let call = call.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(call.body(form).send().await.status, 200);
    let secrets = house.admin.get("/api/v1/admin/secrets").send().await.json();
    let checked = secrets["items"][0]["id"].as_str().unwrap();
    post(&format!("/api/v1/admin/secrets/{checked}/validate"), json!({})).await;
    let place = format!("/api/v1/admin/secrets/{checked}/pool");
    let placed = house.admin.put(&place).json(&json!({"weight": 2})).send().await;
    assert_eq!(placed.status, 200, "{}", placed.text());
    fetched(house).await;
    let desk = Desk::open(house, "ada", "admin").await;
    assert_eq!(desk.get(house, "/api/v1/session").await.json()["state"], "signed_in");
    let invited = json!({"name": "nobody-yet", "role": "auditor", "email": "n@example.org"});
    post("/api/v1/admin/operators", invited).await;
    let of_acme = secrets["items"].as_array().unwrap().iter().find(|one| one["provider"] == "acme");
    let versions =
        format!("/api/v1/admin/secrets/{}/versions", of_acme.unwrap()["id"].as_str().unwrap());
    let strategy = json!({"steps": [1, 100], "hold_seconds": 604_800});
    let fields = json!({"api_key": "the-key-that-comes-next"});
    post(&versions, json!({"fields": fields, "validate": false, "strategy": strategy})).await;
    post("/api/v1/admin/keks/rotate", json!({})).await;
    post("/api/v1/admin/keks/rewrap", json!({})).await;
    for _ in 0..100 {
        if house.admin.get("/api/v1/admin/keks").send().await.json()["job"]["state"] == "done" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The history that was not fetched is an alert, and somebody is to be told of it.
    for _ in 0..200 {
        let told = house.admin.get("/api/v1/admin/alert-deliveries").send().await.json();
        if told["items"] != json!([]) {
            // Where the trail was read to is written down later, while nothing happens in it.
            let sql = "INSERT OR IGNORE INTO alert_places SELECT node, 1 FROM counted_records";
            house.database.tamper(sql).await;
            return (caller, victim);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nobody is told of anything");
}

/// A run that has ended, and a candle of before.
async fn fetched(house: &House) {
    let asked = json!({"symbols": ["AAPL"]});
    let asked = house.admin.post("/api/v1/admin/backfill").json(&asked).send().await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let path = format!("/api/v1/admin/backfill/{}", asked.json()["id"].as_str().unwrap());
    for _ in 0..100 {
        if house.admin.get(&path).send().await.json()["state"] == "failed" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for sql in [
        "INSERT INTO market_data VALUES (1, 86400, 1768453200000000000, '1.5', '2', '1', '1.25', \
         '10', '1.3', 3)",
        "INSERT INTO market_series VALUES (1, 86400, 1, 1768453200000000000, 1768453200000000000, \
         1, 0, 1768478400000000000, 1, 1, '[]')",
    ] {
        house.database.tamper(sql).await;
    }
}

/// Until its first records are in an archive.
async fn grown_old(house: &House, caller: &Client) {
    assert_eq!(caller.get("/acme/x").send().await.status, 200);
    for seconds in [11, 92 * 86_400] {
        house.clock.advance(Duration::from_secs(seconds));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(caller.get("/acme/x").send().await.status, 200);
    for _ in 0..200 {
        let held = house.admin.get("/api/v1/admin/audit/archives").send().await.json();
        if held["items"] != json!([]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing was archived");
}

async fn judge(house: &House, caller: &Client, edit: &Edit) -> Vec<String> {
    let mut failures = Vec::new();
    let local = house.local();
    let mut told = String::new();
    for path in LISTS {
        let answer = local.get(path).send().await;
        if answer.status != 200 {
            failures.push(format!("{edit}: {path}: {} {}", answer.status, answer.text()));
        }
        if path.ends_with("integrity") || path.ends_with("verify") {
            told.push_str(&answer.text());
        }
    }
    let is_told = !told.contains("\"findings\":[]") || told.contains("\"ok\":false");
    if !is_told && !is_harmless(edit) {
        failures.push(format!("{edit}: nobody noticed"));
    }
    let served = house.holder(caller).get("/quill/x").send().await;
    let is_fine = match edit.table.as_str() {
        // What hangs on the key, or is told by the list, is concerned.
        "keks" | "inventories" => served.status < 500 || served.status == 503,
        _ => served.status == 200,
    };
    if !is_fine {
        failures.push(format!("{edit}: untouched: {} {}", served.status, served.text()));
    }
    failures
}

fn is_harmless(edit: &Edit) -> bool {
    let mut of_table = HARMLESS.iter().filter(|(table, ..)| *table == edit.table);
    of_table.any(|(_, columns, _)| columns.is_empty() || columns.contains(&&*edit.column))
}

/// A few of them, spread over all, and the same each day; all where much is asked.
fn chosen(edits: Vec<Edit>) -> Vec<Edit> {
    if let Some(wanted) = wanted() {
        return edits.into_iter().filter(|edit| wanted.contains(&edit.table)).collect();
    }
    if is_long() {
        return edits;
    }
    let step = edits.len() / EVERY_DAY + 1;
    edits.into_iter().enumerate().filter(|(at, _)| at % step == 7 % step).map(|(_, e)| e).collect()
}

#[expect(clippy::disallowed_methods, reason = "the test command tells how much is asked")]
fn is_long() -> bool {
    std::env::var("PROOF").is_ok_and(|rounds| rounds == "1000")
}

#[expect(clippy::disallowed_methods, reason = "the test command tells how much is asked")]
fn wanted() -> Option<Vec<String>> {
    let tables = std::env::var("TABLES").ok()?;
    Some(tables.split(',').map(str::to_owned).collect())
}

fn edits(columns: &[Column]) -> Vec<Edit> {
    let mut edits = Vec::new();
    for column in columns {
        let values: &[(&str, &str)] = match column.kind.as_str() {
            "INTEGER" => &[
                ("class", "'text'"),
                ("zero", "0"),
                ("below", "-9223372036854775807"),
                ("huge", "9223372036854775807"),
            ],
            "TEXT" => &[
                ("class", "x'ff00fe'"),
                ("empty", "''"),
                ("no text", "CAST(x'c328ff' AS TEXT)"),
                ("huge", "printf('%.*c', 200000, 'a')"),
            ],
            _ => &[("class", "7"), ("empty", "x''"), ("huge", "zeroblob(200000)")],
        };
        let null = column.may_be_null.then_some(("null", "NULL"));
        for (what, value) in values.iter().copied().chain(null) {
            let (table, column) = (column.table.clone(), column.name.clone());
            edits.push(Edit { table, column, what, value });
        }
    }
    edits
}

async fn connect(file: &Path) -> SqliteConnection {
    let url = format!("sqlite://{}", file.display());
    SqliteConnection::connect(&url).await.unwrap()
}

/// All of them; tables without a row are none of a house that was used.
async fn columns(file: &Path) -> Vec<Column> {
    const COLUMNS: &str = "SELECT m.name, c.name, c.type, c.\"notnull\", c.pk
        FROM sqlite_master m, pragma_table_info(m.name) c
        WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> '_sqlx_migrations'
        ORDER BY m.name, c.cid";
    let mut connection = connect(file).await;
    let rows: Vec<(String, String, String, i64, i64)> =
        sqlx::query_as(COLUMNS).fetch_all(&mut connection).await.unwrap();
    let mut columns = Vec::new();
    let mut bare = BTreeSet::new();
    for (table, name, kind, notnull, pk) in rows {
        let sql = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        if count == 0 {
            bare.insert(table);
            continue;
        }
        columns.push(Column { table, name, kind, may_be_null: notnull == 0 && pk == 0 });
    }
    connection.close().await.unwrap();
    // Renewals are those of a house whose settings want them; an edited one is forgotten, and told.
    let known = ["changes", "leases", "master_passphrases", "nodes", "renewals"];
    let unknown: Vec<_> = bare.iter().filter(|table| !known.contains(&table.as_str())).collect();
    assert!(unknown.is_empty(), "a house that was used has rows in {unknown:?}");
    columns
}

/// As somebody does it who may write the file: the schema is lifted for a moment. False where
/// SQLite itself does not take the value.
async fn plant(file: &Path, edit: &Edit, victim: &str) -> bool {
    let Edit { table, column, value, .. } = edit;
    let whose = match table.as_str() {
        "client_keys" => format!("WHERE id = '{victim}'"),
        "client_key_hashes" | "client_tokens" => format!("WHERE client_key_id = '{victim}'"),
        // Its invitation has an end, and nobody accepted it.
        "operators" => String::from("WHERE name = 'nobody-yet'"),
        "monthly_calls" | "recent_calls" => format!("WHERE client_id = '{victim}'"),
        "secrets" => String::from("WHERE provider = 'acme'"),
        "secret_versions" => {
            String::from("WHERE secret_id = (SELECT id FROM secrets WHERE provider = 'acme')")
        }
        "keks" => String::from("WHERE category = 'tests' AND state = 'active'"),
        "inventories" => String::from("WHERE category = 'tests'"),
        "market_data" => String::from("WHERE time = (SELECT MIN(time) FROM market_data)"),
        _ => format!("WHERE rowid = (SELECT MIN(rowid) FROM {table})"),
    };
    let mut connection = connect(file).await;
    for sql in [
        String::from("PRAGMA foreign_keys = OFF"),
        String::from("PRAGMA ignore_check_constraints = ON"),
        String::from("PRAGMA writable_schema = ON"),
        format!(
            "UPDATE sqlite_master SET sql = replace(sql, ') STRICT', ')') WHERE name = '{table}'"
        ),
        String::from("PRAGMA writable_schema = RESET"),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    // What stands there already is no edit.
    let sql = format!("UPDATE {table} SET {column} = {value} {whose} AND {column} IS NOT {value}");
    let planted = sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await;
    for sql in [
        String::from("PRAGMA writable_schema = ON"),
        format!(
            "UPDATE sqlite_master SET sql = sql || ' STRICT'
             WHERE name = '{table}' AND sql NOT LIKE '%STRICT'"
        ),
        String::from("PRAGMA writable_schema = RESET"),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    match planted {
        Ok(done) => done.rows_affected() > 0,
        Err(_) => false,
    }
}

fn empty(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => std::fs::remove_dir_all(path).unwrap(),
            false => std::fs::remove_file(path).unwrap(),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp")
        .args(["-a", "--sparse=always"])
        .arg(from.join("."))
        .arg(to)
        .status()
        .unwrap();
    assert!(done.success());
}
