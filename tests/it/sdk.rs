//! Official SDKs, unmodified, against the real binary: base URL and key are all that they are told.

use std::process::Command;

use crate::house::{Emulator, Ground};

/// Real secrets as each provider shapes them.
const SK: &str = "sk-emulated-real-key-0123456789";
const SK_ANT: &str = "sk-ant-api03-emulated-real-key-0123456789";
const PAIR: &str =
    "key_id=AKEMULATED0123456789\nsecret_key=emulated/real+secret=0123456789abcdefgh";

fn make_the_trip(provider: &str, secret: &str, (script, told): (&str, &str)) {
    let folder = tempfile::tempdir().unwrap();
    let emulator = Emulator::of(provider, secret, folder.path());
    let ground = Ground::new(&emulator.settings(provider));
    ground.json(&["init", "--json"]);
    // The second one the provider refuses: its last character is another.
    let stale = format!("{}X", &secret[..secret.len() - 1]);
    for (name, secret) in [("default", secret), ("stale", &stale)] {
        let mut arguments = vec!["secret", "add", provider, "--name", name, "--json"];
        if name == "stale" {
            arguments.push("--no-validate");
        }
        let added = ground.run_with_input(&arguments, secret);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    }
    let client = ground.json(&["client", "create", "sdk", "--json"]);
    let bound = format!("{provider}=stale");
    let refused = ground.json(&["client", "create", "stale", "--secret", &bound, "--json"]);
    let server = ground.serve(&[]);
    let trip = Command::new("tests/sdk/run.sh")
        .arg(script)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("SEALGATE_URL", &server.proxy)
        .env("SEALGATE_KEY", client["key"].as_str().unwrap())
        .env("SEALGATE_REFUSED_KEY", refused["key"].as_str().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&trip.stdout).into_owned();
    assert!(trip.status.success(), "{said}{}", String::from_utf8_lossy(&trip.stderr));
    assert_eq!(said.trim_end(), format!("{told}, wrong key, refused key: as ever"));
    let values: Vec<&str> =
        secret.lines().map(|line| line.split_once('=').map_or(line, |(_, value)| value)).collect();
    for line in server.stop() {
        assert!(values.iter().all(|value| !line.contains(value)), "{line}");
    }
}

#[test]
fn polygon_api_client_pages_through_the_proxy() {
    let trip = ("polygon_py", "polygon-api-client: three pages, details, nanoseconds");
    make_the_trip("polygon", SK, trip);
}

#[test]
fn the_polygon_package_of_npm_pages_through_the_proxy() {
    make_the_trip(
        "polygon",
        SK,
        ("polygon_js", "@polygon.io/client-js: three pages, escaped ticker"),
    );
}

#[test]
fn massive_pages_through_the_proxy() {
    make_the_trip("massive", SK, ("massive_py", "massive: three pages, details, nanoseconds"));
}

#[test]
fn the_massive_package_of_npm_pages_through_the_proxy() {
    let trip = ("massive_js", "@massive.com/client-js: three pages, escaped ticker");
    make_the_trip("massive", SK, trip);
}

#[test]
fn alpaca_py_trades_and_reads_data_behind_one_route() {
    make_the_trip("alpaca", PAIR, ("alpaca_py", "alpaca-py: account, order, three pages, crypto"));
}

#[test]
fn the_alpaca_package_of_npm_trades_and_reads_data_behind_one_route() {
    make_the_trip(
        "alpaca",
        PAIR,
        ("alpaca_js", "@alpacahq/alpaca-trade-api: account, three pages"),
    );
}

#[test]
fn the_openai_package_of_pypi_streams_through_the_proxy() {
    make_the_trip(
        "openai",
        SK,
        ("openai_py", "openai (Python): whole answer, stream, three pages"),
    );
}

#[test]
fn the_openai_package_of_npm_streams_through_the_proxy() {
    make_the_trip("openai", SK, ("openai_js", "openai (npm): whole answer, stream, three pages"));
}

#[test]
fn the_anthropic_package_of_pypi_streams_through_the_proxy() {
    let trip = ("anthropic_py", "anthropic (Python): whole answer, stream, three pages");
    make_the_trip("anthropic", SK_ANT, trip);
}

#[test]
fn the_anthropic_package_of_npm_streams_through_the_proxy() {
    let trip = ("anthropic_js", "@anthropic-ai/sdk: whole answer, stream, three pages");
    make_the_trip("anthropic", SK_ANT, trip);
}

#[test]
fn fmpsdk_reads_json_and_tables_through_the_proxy() {
    make_the_trip("fmp", SK, ("fmpsdk_py", "fmpsdk: search, quote, table, three pages"));
}

#[test]
fn fmp_python_reads_through_the_proxy() {
    make_the_trip("fmp", SK, ("fmp_python_py", "fmp-python: quote, index, table"));
}

#[test]
fn ibind_reads_through_the_proxy() {
    make_the_trip("ibkr", SK, ("ibind_py", "ibind: session, accounts, contract, history"));
}

#[test]
fn taapi_puts_its_key_into_query_and_body() {
    make_the_trip("taapi", SK, ("taapi_js", "taapi: indicator, list, key in the body"));
}

#[test]
fn the_streams_of_both_names_of_polygon_open_by_their_first_message() {
    let told = "a trade by its stream";
    for (provider, script, client) in [
        ("polygon", "polygon_stream_py", "polygon-api-client"),
        ("polygon", "polygon_stream_js", "@polygon.io/client-js"),
        ("massive", "massive_stream_py", "massive"),
        ("massive", "massive_stream_js", "@massive.com/client-js"),
    ] {
        make_the_trip(provider, SK, (script, &format!("{client}: {told}")));
    }
}

#[test]
fn both_streams_of_both_clients_of_alpaca_open_by_their_first_message() {
    let told = "a trade in MessagePack, an update of trading";
    for (script, client) in
        [("alpaca_stream_py", "alpaca-py"), ("alpaca_stream_js", "@alpacahq/alpaca-trade-api")]
    {
        make_the_trip("alpaca", PAIR, (script, &format!("{client}: {told}")));
    }
}

#[test]
fn the_realtime_sockets_of_openai_open_by_header_and_by_subprotocol() {
    make_the_trip("openai", SK, ("openai_realtime_py", "openai: a session by header"));
    make_the_trip("openai", SK, ("openai_realtime_js", "openai: a session by subprotocol"));
}
