//! What the vault seals opens in a second reader, in another language and written from the page
//! alone; what was changed on the way is refused by it.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::*;
use crate::kms;
use crate::store::{InventoryRow, KekRow, SecretRow, VersionRow};
use crate::vault::inventory::Inventory;
use crate::vault::signing::signing_seed;

const CHAINS: usize = 1000;

#[tokio::test]
async fn a_second_reader_opens_a_thousand_values_and_refuses_a_thousand_changed_ones() {
    let mut lines = Vec::new();
    let mut told = Vec::new();
    for house in 0..10 {
        let way = if house % 2 == 0 { Way::Raw } else { Way::Passphrase };
        for (line, answer) in chains(CHAINS / 10, way).await {
            lines.push(line);
            told.push(answer);
        }
    }
    let changed: Vec<Value> =
        (0..CHAINS).map(|index| changed(&lines[index], &lines[(index + 1) % CHAINS])).collect();
    lines.extend(changed.iter().cloned());
    let answers = tokio::task::spawn_blocking(move || read(&lines)).await.unwrap();
    assert_eq!(answers.len(), 2 * CHAINS);
    let (opened, refused) = answers.split_at(CHAINS);
    assert_eq!(opened, told);
    for (answer, line) in refused.iter().zip(&changed) {
        assert!(answer["refused"].is_string(), "{line} was opened: {answer}");
    }
}

/// How the reader is given the master key.
#[derive(Clone, Copy)]
enum Way {
    Raw,
    /// By what opens its row.
    Passphrase,
}

/// A house with a master key of its own, and that key or what opens it.
async fn house_by(way: Way) -> (House, Value) {
    match way {
        Way::Raw => {
            let key = random(32);
            let house = house_under(async |_, _| {
                let key = Key::from_slice(&key).unwrap();
                Arc::new(Masters::of(Master::local(MasterKind::File, key)))
            });
            (house.await, json!({"master": hex(&key)}))
        }
        Way::Passphrase => {
            let said = format!("a passphrase of {}", hex(&random(8)));
            let settings = kms::Settings::Passphrase { source: None };
            let house = house_under(async |store, clock| {
                let ground = kms::Ground { store, clock, installation: Uuid::nil() };
                let typed = || Some(SecretBytes::copy_of(said.as_bytes()));
                kms::create_if_missing(&settings, &ground, typed()).await.unwrap();
                Arc::new(Masters::of(kms::open(&settings, &ground, typed()).await.unwrap()))
            });
            let house = house.await;
            let row = house.store.master_passphrases().await.unwrap().rows.remove(0);
            let row = json!({
                "said": said, "id": row.master_id, "wrapped": hex(&row.wrapped),
                "salt": hex(&row.salt), "memory_kib": row.memory_kib, "passes": row.passes,
                "lanes": row.lanes,
            });
            (house, json!({"passphrase": row}))
        }
    }
}

/// Rows as they are stored, and what they must open to.
async fn chains(count: usize, way: Way) -> Vec<(Value, Value)> {
    let (house, opener) = house_by(way).await;
    for provider in ["polygon", "openai"] {
        let value =
            if provider == "openai" { "sk-0123456789abcdef0123" } else { "0123456789abcdef" };
        house.vault.add(new(provider, "default", value)).await.unwrap();
    }
    house.vault.signer().await.unwrap();
    let keks = house.store.keks().await.unwrap().rows;
    let unsealed = house.vault.opened.load_full().unwrap();
    let lists = house.store.inventories().await.unwrap().rows;
    let signing = house.store.signing_keys().await.unwrap().rows.remove(0);
    let seed = signing_seed(&unsealed.keyring, &signing).unwrap();
    let of_signing = keks.iter().find(|kek| kek.id == signing.kek_id).unwrap();
    let signing = json!({
        "kek": kek_line(of_signing), "number": signing.number, "created_at": signing.created_at,
        "sealed": hex(&signing.sealed),
    });
    let mut chains = Vec::new();
    for _ in 0..count {
        let [long, provider] = crypto::random_bytes::<2>().unwrap();
        let provider = ["polygon", "massive", "openai", "anthropic"][usize::from(provider % 4)];
        let provider = house.catalogue.get(provider).unwrap().clone();
        let value = random(usize::from(long));
        let mut new = new(&provider.id, "any", "");
        // Two fields, so that their order and both lengths are read.
        new.fields = ["api_key", "key_id"]
            .map(|name| (name.to_owned(), SecretBytes::new([name.as_bytes(), &value].concat())))
            .into();
        let list = lists.iter().find(|list| list.category == provider.category).unwrap();
        let inventory = Inventory::open(&unsealed.keyring, list).unwrap();
        let kek = unsealed.keyring.known_active(&provider.category).unwrap();
        let (secret, version) =
            house.vault.seal_new(&kek, (&provider, &new), &inventory.fingerprint_key).unwrap();
        let kek = keks.iter().find(|kek| kek.id == secret.kek_id).unwrap();
        let answer = json!({
            "destinations": provider.destinations(),
            "fields": {
                "api_key": hex(&[b"api_key", &value[..]].concat()),
                "key_id": hex(&[b"key_id", &value[..]].concat()),
            },
            "fingerprint": secret.fingerprint,
            "seed": hex(seed.expose()),
        });
        let mut line = line(&house, (kek, list), (&secret, &version));
        line["signing"] = signing.clone();
        for (name, value) in opener.as_object().unwrap() {
            line[name] = value.clone();
        }
        chains.push((line, answer));
    }
    chains
}

fn line(
    house: &House,
    (kek, list): (&KekRow, &InventoryRow),
    (secret, version): (&SecretRow, &VersionRow),
) -> Value {
    json!({
        "installation": house.vault.installation.to_string(),
        "kek": kek_line(kek),
        "inventory": { "epoch": list.epoch, "sealed": hex(&list.sealed) },
        "secret": {
            "id": secret.id.to_string(), "category": secret.category, "provider": secret.provider,
            "data_key": hex(&secret.data_key),
        },
        "version": {
            "version": version.version, "destinations": hex(&version.destinations),
            "envelope": hex(version.envelope.as_deref().unwrap()),
        },
    })
}

fn kek_line(kek: &KekRow) -> Value {
    json!({
        "id": kek.id.to_string(), "category": kek.category, "generation": kek.generation,
        "wrapped": hex(&kek.wrapped),
    })
}

/// One thing changed at random: bytes, lengths, meanings, or what belongs to another row.
fn changed(line: &Value, other: &Value) -> Value {
    const ENVELOPES: [&str; 7] = [
        "/kek/wrapped",
        "/secret/data_key",
        "/version/envelope",
        "/passphrase/wrapped",
        "/inventory/sealed",
        "/signing/sealed",
        "/signing/kek/wrapped",
    ];
    let [what, which, bit, high, low] = crypto::random_bytes::<5>().unwrap();
    let mut line = line.clone();
    let there: Vec<&str> =
        ENVELOPES.into_iter().filter(|path| line.pointer(path).is_some()).collect();
    let envelope = there[usize::from(which) % there.len()];
    let mut bytes = unhex(line.pointer(envelope).unwrap());
    let at = usize::from(u16::from_be_bytes([high, low])) % bytes.len();
    let is_said = line.get("passphrase").is_some();
    let mut put = |path: &str, value: Value| *line.pointer_mut(path).unwrap() = value;
    match what % 15 {
        0..=3 => {
            bytes[at] ^= 1 << (bit % 8);
            put(envelope, json!(hex(&bytes)));
        }
        4 => put(envelope, json!(hex(&bytes[..at]))),
        5 => put(envelope, json!(hex(&[&bytes[..], &[bit]].concat()))),
        6 => put("/version/envelope", other["version"]["envelope"].clone()),
        7 => put("/secret/data_key", other["secret"]["data_key"].clone()),
        8 => put("/version/version", json!(2 + u32::from(bit))),
        9 => put("/kek/generation", json!(2 + u32::from(bit))),
        10 => put("/secret/provider", json!("elsewhere")),
        11 => put("/inventory/epoch", json!(1000 + u32::from(bit))),
        12 => put("/signing/number", json!(2 + u32::from(bit))),
        13 if is_said => put("/passphrase/salt", json!(hex(&[bit % 2; 16]))),
        13 => put("/master", json!(hex(&random(32)))),
        _ => {
            let path = ["/installation", "/kek/id", "/secret/id"][usize::from(which % 3)];
            put(path, json!(Uuid::now_v7().to_string()));
        }
    }
    line
}

fn read(lines: &[Value]) -> Vec<Value> {
    let mut reader = Command::new("tests/interop/run.sh")
        .arg("decrypt")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = reader.stdin.take().unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    // Beside the reading: both pipes have an end.
    let writing = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = reader.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    crypto::fill_random(&mut bytes).unwrap();
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}
