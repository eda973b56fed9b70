//! What settings are refused, each with its one line, and what they come to. Every
//! case has a folder and an environment of its own; nothing here touches the
//! process's.

use std::path::Path;

use super::kind::Kind;
use super::setting::{OF_A_PROVIDER, SETTINGS};
use super::*;

/// Loads `text` as `sealgate.toml` of a folder of its own.
fn load_text(text: &str, variables: &[(&str, &str)]) -> (tempfile::TempDir, Result<Loaded, Fault>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sealgate.toml"), text).unwrap();
    let loaded = load(None, &Environment::of(folder.path(), variables));
    (folder, loaded)
}

fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    match load_text(text, variables).1 {
        Ok(loaded) => loaded.config,
        Err(fault) => panic!("{fault}"),
    }
}

/// The one line of a fault in the file, without the file's name, which it must begin with.
fn refused(text: &str) -> String {
    let (folder, outcome) = load_text(text, &[]);
    let line = outcome.err().unwrap_or_else(|| panic!("accepted: {text}")).to_string();
    let file = folder.path().join("sealgate.toml").display().to_string();
    assert!(!line.contains('\n'), "more than one line: {line}");
    line.strip_prefix(&format!("{file}: ")).unwrap_or_else(|| panic!("no file: {line}")).to_owned()
}

fn refused_variable(name: &str, value: &str) -> String {
    let outcome = load_text("", &[(name, value)]).1;
    let line = outcome.err().unwrap_or_else(|| panic!("accepted: {name}={value}")).to_string();
    assert!(!line.contains('\n'), "more than one line: {line}");
    line
}

fn shown(text: &str, variables: &[(&str, &str)], key: &str) -> (String, String) {
    let loaded = load_text(text, variables).1.ok().unwrap();
    let line = loaded.shown.iter().find(|line| line.key == key).unwrap();
    (line.value.to_string(), line.origin.as_str().to_owned())
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_right_one() {
    let cases = [
        ("[proxy]\nlisen = \"127.0.0.1:1\"", "proxy.lisen", "proxy.listen"),
        ("data_dri = \"x\"", "data_dri", "data_dir"),
        ("backend = \"memory\"", "backend", "limits.backend"),
        ("[proxi]\nlisten = \"127.0.0.1:1\"", "proxi", "proxy"),
        ("[limits.tiers]\npremum = 5", "limits.tiers.premum", "limits.tiers.premium"),
        ("[proxy]\ntls = { certs = \"x\" }", "proxy.tls.certs", "proxy.tls.cert"),
        (
            "[providers.polygon]\nbase_ulr = \"x\"",
            "providers.polygon.base_ulr",
            "providers.polygon.base_url",
        ),
        (
            "[providers.polygon.timeouts]\nidle = 5",
            "providers.polygon.timeouts.idle",
            "providers.polygon.timeouts.idle_seconds",
        ),
        ("[admin]\n\"a\\nb\" = 1", "admin.\"a\\nb\"", "admin.listen"),
    ];
    for (text, key, near) in cases {
        let expected = format!("{key}: unknown setting; did you mean {near}?");
        assert_eq!(refused(text), expected, "{text}");
    }
}

#[test]
fn a_value_of_the_wrong_kind_says_what_is_expected() {
    let cases = [
        (
            "[proxy]\nlisten = 8080",
            "proxy.listen: expected an address and port like \"127.0.0.1:8080\", found a whole \
             number",
        ),
        ("[proxy]\nbehind_tls = \"yes\"", "proxy.behind_tls: expected true or false, found text"),
        (
            "[proxy]\nmax_concurrent = \"many\"",
            "proxy.max_concurrent: expected a whole number from 1 to 10000000, found text",
        ),
        (
            "[proxy]\nmax_concurrent = 0",
            "proxy.max_concurrent: 0 is out of range; give a number from 1 to 10000000",
        ),
        (
            "[proxy]\ntrusted_proxies = [1]",
            "proxy.trusted_proxies: expected an array of text, found an array",
        ),
        ("proxy = 5", "proxy: expected a table, found a whole number"),
        (
            "[database]\nurl = 5",
            "database.url: expected text, { file = \"…\" } or { env = \"…\" }, found a whole \
             number",
        ),
        (
            "[database]\nurl = { file = \"a\", env = \"b\" }",
            "database.url: give the value as text, or exactly one of file and env",
        ),
        (
            "[limits]\nbackend = \"memroy\"",
            "limits.backend: \"memroy\" is none of memory, redis; \"memory\" is nearest",
        ),
        (
            "[limits]\nwindow_seconds = 2678401",
            "limits.window_seconds: 2678401 is out of range; give a number from 1 to 2678400",
        ),
        (
            "[providers.polygon]\npool = 1",
            "providers.polygon.pool: expected true or false, found a whole number",
        ),
        ("[providers]\npolygon = 1", "providers.polygon: expected a table, found a whole number"),
    ];
    for (text, line) in cases {
        assert_eq!(refused(text), line, "{text}");
    }
}

/// What contradicts, and the line that says so.
const CONTRADICTIONS: &[(&str, &str)] = &[
    (
        "[proxy]\nlisten = \"0.0.0.0:8080\"",
        "proxy.listen: 0.0.0.0:8080 can be reached from outside and speaks plain HTTP; set \
             proxy.tls, or proxy.behind_tls = true where something in front of it speaks TLS",
    ),
    (
        "[admin]\nlisten = \"[::]:8000\"",
        "admin.listen: [::]:8000 can be reached from outside and speaks plain HTTP; set \
             admin.tls, or admin.behind_tls = true where something in front of it speaks TLS",
    ),
    (
        "[proxy]\ntls = { cert = \"c.pem\" }",
        "proxy.tls.key: is missing beside the certificate; give both files or neither",
    ),
    (
        "[admin]\ntls = { key = \"k.pem\" }",
        "admin.tls.cert: is missing beside the private key; give both files or neither",
    ),
    (
        "[admin]\nlisten = \"127.0.0.1:8080\"",
        "admin.listen: 127.0.0.1:8080 is taken by proxy.listen (127.0.0.1:8080); give each \
             its own port",
    ),
    (
        "[sandbox]\nlisten = \"127.0.0.1:8000\"",
        "sandbox.listen: 127.0.0.1:8000 is taken by admin.listen (127.0.0.1:8000); give each \
             its own port",
    ),
    (
        "[proxy]\npublic_url = \"gate.example\"",
        "proxy.public_url: \"gate.example\" must begin with https:// or http://",
    ),
    (
        "[proxy]\npublic_url = \"https://gate.example/\"",
        "proxy.public_url: \"https://gate.example/\" must not end with a slash; write \
             \"https://gate.example\"",
    ),
    (
        "[proxy]\npublic_url = \"https://gate.example/x\"",
        "proxy.public_url: \"https://gate.example/x\" must not have a path; give scheme, host \
             and port alone",
    ),
    (
        "[proxy]\ndomain = \"https://gate\"",
        "proxy.domain: \"https://gate\" is not a bare domain; write it like \"gate.internal\"",
    ),
    (
        "[proxy]\ntrusted_proxies = [\"10.0.0.0/33\"]",
        "proxy.trusted_proxies: \"10.0.0.0/33\" is not an address or network; write it like \
             \"10.0.0.0/8\"",
    ),
    (
        "[admin]\nframe_ancestors = [\"*\"]",
        "admin.frame_ancestors: \"*\" is not an origin; write it like \
             \"https://intranet.example\"",
    ),
    (
        "[database]\nurl = \"sqlite://:memory:\"",
        "database.url: names no file; what is only in memory would be lost at the next start",
    ),
    (
        "[providers.Polygon]\npool = true",
        "providers.Polygon: a provider's name is a lower-case letter, then letters, digits \
             and hyphens (63 at most), and none of the proxy's own names",
    ),
    (
        "[providers.api]\npool = true",
        "providers.api: a provider's name is a lower-case letter, then letters, digits and \
             hyphens (63 at most), and none of the proxy's own names",
    ),
];

#[test]
fn contradictory_values_are_one_line_each() {
    for (text, line) in CONTRADICTIONS {
        assert_eq!(refused(text), *line, "{text}");
    }
}

#[test]
fn a_plain_provider_url_needs_its_own_exception_and_a_private_address() {
    for url in ["http://10.0.0.5", "http://api.polygon.io"] {
        let line = refused(&format!("[providers.polygon]\nbase_url = \"{url}\""));
        assert!(line.starts_with("providers.polygon.base_url: "), "{line}");
    }
    let public =
        "[providers.polygon]\nallow_private_network = true\nbase_url = \"http://api.polygon.io\"";
    assert!(refused(public).starts_with("providers.polygon.base_url: "));
    let private =
        "[providers.polygon]\nallow_private_network = true\nbase_url = \"http://127.0.0.1:9\"";
    assert_eq!(config(private, &[]).providers.len(), 1);
}

#[test]
fn what_is_not_built_yet_says_so_and_what_to_use() {
    let cases = [
        (
            "[master_key]\nkind = \"shamir\"",
            "master_key.kind: this version does not have \"shamir\" yet; use file, passphrase, \
             aws-kms or vault-transit",
        ),
        (
            "[master_key]\nkind = \"pkcs11\"",
            "master_key.kind: this version does not have \"pkcs11\"",
        ),
        (
            "[[browser.origins]]\norigin = \"https://a.example\"\nrole = \"user\"",
            "browser.origins: a page that holds no key is a guest;",
        ),
        (
            "[[browser.origins]]\norigin = \"https://*.example\"",
            "browser.origins: \"https://*.example\" is no origin;",
        ),
        (
            "[[browser.origins]]\norigin = \"https://a.example\"\nroutes = [\"x\"]",
            "browser.origins: routes: \"x\": a scope is",
        ),
    ];
    for (text, start) in cases {
        let line = refused(text);
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn files_that_are_missing_or_of_the_wrong_sort_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let none = Environment::of(folder.path(), &[]);
    let line = |named: &str| load(Some(Path::new(named)), &none).err().unwrap().to_string();
    let place = folder.path().display();
    assert_eq!(line("absent.toml"), format!("{place}/absent.toml: there is no such file"));
    std::fs::create_dir(folder.path().join("a-folder")).unwrap();
    let is_folder = "is a folder; name the settings file in it";
    assert_eq!(line("a-folder"), format!("{place}/a-folder: {is_folder}"));
    std::fs::write(folder.path().join("bytes.toml"), [0xff, 0xfe]).unwrap();
    assert_eq!(line("bytes.toml"), format!("{place}/bytes.toml: is not UTF-8 text"));
    std::fs::create_dir(folder.path().join("sealgate.toml")).unwrap();
    let found = load(None, &none).err().unwrap().to_string();
    assert_eq!(found, format!("{place}/sealgate.toml: {is_folder}"));
    let by_variable = Environment::of(folder.path(), &[("SEALGATE_CONFIG", "gone.toml")]);
    let found = load(None, &by_variable).err().unwrap().to_string();
    assert_eq!(found, format!("{place}/gone.toml: there is no such file"));
}

#[test]
fn a_file_that_is_not_toml_is_told_with_its_line() {
    assert!(refused("data_dir = \"x\"\n[proxy\n").starts_with("line 2, column "));
    assert!(refused("data_dir = \"x\"\ndata_dir = \"y\"").starts_with("line 2, column "));
}

#[test]
fn files_that_settings_name_must_be_there() {
    let line = refused("[egress]\nca_file = \"ca.pem\"");
    assert!(line.starts_with("egress.ca_file: "), "{line}");
    assert!(line.ends_with("/ca.pem: there is no such file"), "{line}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), "-----BEGIN CERTIFICATE-----\nAAAA").unwrap();
    std::fs::write(folder.path().join("sealgate.toml"), "[egress]\nca_file = \"ca.pem\"").unwrap();
    let line = load(None, &Environment::of(folder.path(), &[])).err().unwrap().to_string();
    assert!(line.contains("egress.ca_file: "), "{line}");
    assert!(line.contains("holds no certificate in PEM"), "{line}");
    let key = rcgen::generate_simple_self_signed(vec![String::from("ca.example")]).unwrap();
    std::fs::write(folder.path().join("ca.pem"), key.cert.pem()).unwrap();
    let loaded = load(None, &Environment::of(folder.path(), &[])).ok().unwrap();
    assert_eq!(loaded.config.egress.ca_file, Some(folder.path().join("ca.pem")));
}

#[test]
fn what_kubernetes_sets_for_a_service_does_not_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let neighbours = [
        ("SEALGATE_PORT", "tcp://10.96.0.11:8080"),
        ("SEALGATE_SERVICE_HOST", "10.96.0.11"),
        ("SEALGATE_SERVICE_PORT_PROXY", "8080"),
        ("SEALGATE_PORT_8080_TCP_ADDR", "10.96.0.11"),
    ];
    assert!(load(None, &Environment::of(folder.path(), &neighbours)).is_ok());
    for meant in [("SEALGATE_PORT", "8080"), ("SEALGATE_SERVICE_HOST", "gate.example")] {
        let line = load(None, &Environment::of(folder.path(), &[meant])).err().unwrap().to_string();
        assert!(line.contains("unknown variable"), "{line}");
    }
}

#[test]
fn environment_variables_are_read_by_the_kind_of_their_setting() {
    let variables = [
        ("SEALGATE_PROXY__LISTEN", "127.0.0.1:9"),
        ("SEALGATE_PROXY__BEHIND_TLS", "true"),
        ("SEALGATE_PROXY__MAX_BODY_BYTES", "12"),
        ("SEALGATE_PROXY__TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("SEALGATE_ADMIN__FRAME_ANCESTORS", "[\"https://a.example\"]"),
        ("SEALGATE_LIMITS__TIERS__PREMIUM", "7"),
        ("SEALGATE_PROVIDERS__ACME_TWO__BASE_URL", "https://acme.example"),
        ("SEALGATE_PROVIDERS__ACME_TWO__CATEGORY", "ai"),
        ("SEALGATE_PROVIDERS__ACME_TWO__INJECT", "[{ at = \"query\", name = \"k\" }]"),
        ("SEALGATE_PROVIDERS__ACME_TWO__TIMEOUTS__IDLE_SECONDS", "9"),
        ("SEALGATE_TEST_ANYTHING", "is left alone"),
        ("SEALGATE_KEY", "is not a setting"),
        ("SEALGATE_URL", "nor is this"),
    ];
    let config = config("[proxy]\nlisten = \"127.0.0.1:8\"", &variables);
    assert_eq!(config.proxy.listen, "127.0.0.1:9".parse().unwrap());
    assert_eq!(config.proxy.public_url, "http://127.0.0.1:9");
    assert!(config.proxy.behind_tls);
    assert_eq!(config.proxy.max_body_bytes, 12);
    let trusted = vec![("10.0.0.0".parse().unwrap(), 8), ("::1".parse().unwrap(), 128)];
    assert_eq!(config.proxy.trusted_proxies, trusted);
    assert_eq!(config.admin.frame_ancestors, ["https://a.example"]);
    assert_eq!((config.limiter.premium, config.limiter.unlimited), (7, 999_999));
    let (id, table) = config.providers.first().unwrap();
    assert_eq!(id, "acme-two");
    assert_eq!(table["timeouts"]["idle_seconds"].as_integer(), Some(9));
}

#[test]
fn wrong_variables_are_told_with_the_nearest_right_one() {
    let cases = [
        (
            "SEALGATE_PROXY_LISTEN",
            "x",
            "SEALGATE_PROXY_LISTEN: unknown variable; did you mean SEALGATE_PROXY__LISTEN?",
        ),
        ("SEALGATE_CONFG", "x", "SEALGATE_CONFG: unknown variable; did you mean SEALGATE_CONFIG?"),
        (
            "SEALGATE_proxy__listen",
            "x",
            "SEALGATE_proxy__listen: unknown variable; did you mean SEALGATE_PROXY__LISTEN?",
        ),
        (
            "SEALGATE_PROVIDERS__POLYGON__BASE_URI",
            "x",
            "SEALGATE_PROVIDERS__POLYGON__BASE_URI: unknown variable; did you mean \
             SEALGATE_PROVIDERS__POLYGON__BASE_URL?",
        ),
        (
            "SEALGATE_PROXY__BEHIND_TLS",
            "yes",
            "SEALGATE_PROXY__BEHIND_TLS: proxy.behind_tls: expected true or false, found \"yes\"",
        ),
        (
            "SEALGATE_PROXY__WORKERS",
            "two",
            "SEALGATE_PROXY__WORKERS: proxy.workers: expected a whole number from 0 to 1024, \
             found \"two\"",
        ),
        (
            "SEALGATE_PROXY__LISTEN",
            "8080",
            "SEALGATE_PROXY__LISTEN: proxy.listen: \"8080\" is not an address and port; write it \
             like \"127.0.0.1:8080\" or \"[::1]:8080\"",
        ),
        (
            "SEALGATE_ADMIN__LISTEN",
            "0.0.0.0:1",
            "SEALGATE_ADMIN__LISTEN: admin.listen: 0.0.0.0:1 can be reached from outside and \
             speaks plain HTTP; set admin.tls, or admin.behind_tls = true where something in \
             front of it speaks TLS",
        ),
        (
            "SEALGATE_LIMITS__REDIS_URL",
            "http://canary",
            "SEALGATE_LIMITS__REDIS_URL: limits.redis_url: must begin with redis:// or rediss:// \
             and name a host",
        ),
    ];
    for (name, value, line) in cases {
        assert_eq!(refused_variable(name, value), line);
    }
}

#[test]
fn every_setting_has_a_variable_that_leads_back_to_it() {
    for (name, key) in example::variables() {
        let setting = SETTINGS.iter().find(|setting| setting.key == key).unwrap();
        let value = setting.default_value().unwrap();
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let outcome = load_text("", &[(&name, &text)]).1;
        assert_eq!(outcome.err().map(|fault| fault.to_string()), None, "{name}={text}");
        assert_eq!(shown("", &[(&name, &text)], key).1, name);
    }
}

#[test]
fn a_secret_may_stand_in_a_file_or_in_a_variable() {
    let url = "postgres://gate:canary-password@db.example/gate";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("url"), format!("{url}\n")).unwrap();
    let in_file = folder.path().join("url").display().to_string();
    let by_file = format!("[database]\nurl = {{ file = \"{in_file}\" }}");
    let by_env = "[database]\nurl = { env = \"SEALGATE_DB\" }";
    let cases: [(&str, &[(&str, &str)]); 5] = [
        (&by_file, &[]),
        (by_env, &[("SEALGATE_DB", url)]),
        ("", &[("SEALGATE_DATABASE__URL", url)]),
        ("", &[("SEALGATE_DATABASE__URL__FILE", &in_file)]),
        ("", &[("SEALGATE_DATABASE__URL__ENV", "DB"), ("DB", url)]),
    ];
    for (text, variables) in cases {
        match config(text, variables).store.target {
            store::Target::Postgres(found) => assert_eq!(found.expose(), url.as_bytes()),
            store::Target::Sqlite(path) => panic!("{}", path.display()),
        }
        assert_eq!(shown(text, variables, "database.url").0, format!("\"{MASK}\""));
    }
    let twice = [("SEALGATE_DATABASE__URL", url), ("SEALGATE_DATABASE__URL__FILE", &in_file)];
    let line = load_text("", &twice).1.err().unwrap().to_string();
    assert!(line.contains("contradicts SEALGATE_DATABASE__URL,"), "{line}");
    assert!(refused(by_env).ends_with("database.url: the variable SEALGATE_DB is not set"));
    assert!(refused("[database]\nurl = { file = \"no\" }").ends_with("/no: there is no such file"));
}

#[test]
fn no_fault_and_nothing_shown_repeats_a_secret() {
    let texts = [
        "[database]\nurl = \"mysql://u:canary@h/d\"",
        "[limits]\nredis_url = \"http://u:canary@h\"",
        "[database]\nurl = \"sqlite://canary?password=canary\"",
        "[database]\nurl = \"canary\" trailing",
        "[proxy]\npublic_url = \"https://u:canary@h\"",
        "[providers.polygon]\nbase_url = \"https://u:canary@h\"",
    ];
    for text in texts {
        assert!(!refused(text).contains("canary"), "{}", refused(text));
    }
    let text = "[database]\nurl = \"postgres://u:canary@h/d\"\n\
                [limits]\nredis_url = \"redis://:canary@h\"";
    let loaded = load_text(text, &[]).1.ok().unwrap();
    assert!(!format!("{:?}", loaded.shown).contains("canary"));
}

#[test]
fn what_is_shown_tells_where_it_came_from() {
    let text = "[proxy]\nlisten = \"127.0.0.1:8\"\n[providers.polygon]\npool = true";
    let variables = [("SEALGATE_PROXY__WORKERS", "3")];
    let of = |key: &str| shown(text, &variables, key);
    assert_eq!(of("proxy.listen"), (String::from("\"127.0.0.1:8\""), String::from("file")));
    assert_eq!(of("proxy.workers"), (String::from("3"), String::from("SEALGATE_PROXY__WORKERS")));
    assert_eq!(of("proxy.public_url").0, "\"http://127.0.0.1:8\"");
    assert_eq!(of("limits.enabled"), (String::from("true"), String::from("default")));
    assert_eq!(of("limits.redis_url").0, "\"redis://127.0.0.1:6379\"");
    assert_eq!(of("providers.polygon.pool"), (String::from("true"), String::from("file")));
    assert!(of("database.url").0.ends_with("/data/sealgate.db\""));
}

#[test]
fn relative_paths_count_from_the_settings_file() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("etc");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join("gate.toml"), "[database]\nurl = \"sqlite://db/x.db\"").unwrap();
    let environment = Environment::of(folder.path(), &[]);
    let config = load(Some(Path::new("etc/gate.toml")), &environment).ok().unwrap().config;
    assert_eq!(config.data_dir, inner.join("data"));
    assert_eq!(config.socket, inner.join("data/sealgate.sock"));
    assert_eq!(config.ledger.folder, inner.join("data/journal"));
    assert_eq!(config.ledger.budget_bytes, 256 << 20);
    let kms::Settings::File { path } = &config.kms else { panic!("another kind") };
    assert_eq!(*path, inner.join("keys/master.key"));
    match &config.store.target {
        store::Target::Sqlite(path) => assert_eq!(*path, inner.join("db/x.db")),
        store::Target::Postgres(_) => panic!("not PostgreSQL"),
    }
    let without = load(None, &environment).ok().unwrap().config;
    assert_eq!((without.file, without.data_dir), (None, folder.path().join("data")));
}

#[test]
fn each_kind_of_master_key_takes_what_belongs_to_it_and_nothing_else() {
    let cases = [
        ("kind = \"passphrase\"\npath = \"x\"", "master_key.path: belongs to kind = file, and"),
        ("mount = \"x\"", "master_key.mount: belongs to kind = vault-transit, and the kind is"),
        ("kind = \"passphrase\"\ncache_seconds = 5", "master_key.cache_seconds: belongs to kind"),
        (
            "kind = \"passphrase\"\npassphrase = \"correct horse\"",
            "master_key.passphrase: does not belong into the settings file; give { file",
        ),
        ("kind = \"vault-transit\"", "master_key.key: is missing; name the transit engine's key"),
        ("kind = \"vault-transit\"\nkey = \"a b\"", "master_key.key: takes letters, digits,"),
        ("kind = \"vault-transit\"\nkey = \"a\"", "master_key.token: is missing; give { file"),
        (
            "kind = \"vault-transit\"\nkey = \"a\"\ntoken = { file = \"t\" }\n\
             address = \"http://vault.example:8200\"",
            "master_key.address: must be https://HOST, with no user",
        ),
        (
            "kind = \"vault-transit\"\nkey = \"a\"\ntoken = { file = \"t\" }\n\
             address = \"https://u:p@vault.example\"",
            "master_key.address: must be https://HOST, with no user",
        ),
    ];
    for (text, start) in cases {
        let line = refused(&format!("[master_key]\n{text}"));
        assert!(line.starts_with(start), "{line}");
    }
    let text = "[master_key]\nkind = \"passphrase\"";
    let typed = config(text, &[]).kms;
    assert!(matches!(typed, kms::Settings::Passphrase { source: None }));
    let given = config(text, &[("SEALGATE_MASTER_KEY__PASSPHRASE", "correct horse")]).kms;
    assert!(matches!(given, kms::Settings::Passphrase { source: Some(kms::Source::Given(_)) }));
    let text = "[master_key]\nkind = \"passphrase\"\npassphrase = { file = \"p\" }";
    let filed = config(text, &[]).kms;
    assert!(matches!(filed, kms::Settings::Passphrase { source: Some(kms::Source::File(_)) }));
    let text = "[master_key]\nkind = \"vault-transit\"\nkey = \"a\"\ntoken = { file = \"t\" }\n\
                address = \"https://vault.example:8200/\"\ncache_seconds = 60";
    let kms::Settings::VaultTransit(transit) = config(text, &[]).kms else { panic!("other") };
    assert_eq!(transit.address, "https://vault.example:8200");
    assert_eq!((transit.mount.as_str(), transit.cache.as_secs()), ("transit", 60));
}

#[cfg(feature = "aws-kms")]
#[test]
fn a_key_of_aws_needs_a_name_and_takes_an_endpoint() {
    let line = refused("[master_key]\nkind = \"aws-kms\"");
    assert!(line.starts_with("master_key.key: is missing; name the key's id, its ARN"), "{line}");
    let text = "[master_key]\nkind = \"aws-kms\"\nkey = \"alias/x\"\nregion = \"eu-central-1\"\n\
                endpoint = \"http://127.0.0.1:5000\"";
    let kms::Settings::AwsKms(aws) = config(text, &[]).kms else { panic!("other") };
    assert_eq!(aws.endpoint.as_deref(), Some("http://127.0.0.1:5000"));
    assert_eq!((aws.key_id.as_str(), aws.profile), ("alias/x", None));
}

#[cfg(not(feature = "aws-kms"))]
#[test]
fn a_kind_that_this_program_was_built_without_is_refused() {
    let line = refused("[master_key]\nkind = \"aws-kms\"\nkey = \"alias/x\"");
    assert!(line.starts_with("master_key.kind: this program was built without aws-kms"), "{line}");
}

#[test]
fn the_public_url_follows_the_listener_where_none_is_given() {
    let of = |text: &str| config(text, &[]).proxy.public_url;
    assert_eq!(of(""), "http://127.0.0.1:8080");
    assert_eq!(of("[proxy]\nlisten = \"0.0.0.0:81\"\nbehind_tls = true"), "http://127.0.0.1:81");
    assert_eq!(of("[proxy]\nlisten = \"[::1]:81\""), "http://[::1]:81");
    assert_eq!(of("[proxy]\nlisten = \"127.0.0.1:0\""), "");
    assert_eq!(of("[proxy]\npublic_url = \"https://g.example:8443\""), "https://g.example:8443");
    assert_eq!(of("[proxy]\npublic_url = \"https://[::1]:8443\""), "https://[::1]:8443");
}

#[test]
fn the_example_loads_and_changes_nothing() {
    let (_folder, with) = load_text(&example(), &[]);
    let with = with.map_err(|fault| fault.to_string()).ok().unwrap().shown;
    let defaults = load_text("", &[]).1.ok().unwrap().shown;
    assert_eq!(with.len(), defaults.len());
    for (given, default) in with.iter().zip(&defaults) {
        assert_eq!(given.key, default.key);
        let path = matches!(given.key.as_str(), "data_dir" | "master_key.path" | "database.url");
        assert!(path || given.value == default.value || given.value.as_str() == Some(MASK));
    }
    assert!(example().lines().all(|line| line.chars().count() <= 160));
}

#[test]
fn every_default_is_of_its_kind() {
    for setting in SETTINGS.iter().chain(OF_A_PROVIDER) {
        let value = setting.default_value().unwrap_or_else(|| panic!("{}", setting.key));
        assert_eq!(setting.kind.check(&value), Ok(()), "{}", setting.key);
        assert!(setting.kind != Kind::Secret || value.is_str(), "{}", setting.key);
    }
}
