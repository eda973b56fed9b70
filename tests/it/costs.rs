//! What calls cost: read from answers and streams, packed or not, as they pass; in the record, in
//! the sums, and in what the command line shows of them.

use std::io::Write;

use http::Method;
use serde_json::{Value, json};

use crate::house::{Client, House, Plan};

/// Prices in dollars for a million tokens.
const PRICES: &str = r#"
[providers.acme.price]
routes = ["POST /says"]
model = ["/model", "/message/model"]
tokens.input = { at = ["/usage/input", "/message/usage/input"] }
tokens.output = { at = ["/usage/output"] }
tokens.cached = { at = ["/usage/details/cached"], within = "input" }
models.large = { input = 2.5, cached = 1.25, output = 10 }

[providers.quill.price]
per_call = 0.002
"#;

const ANSWER: &str = r#"{"choices":[{"text":"{\"usage\":{\"input\":7}}"}],"model":"large-2026-01-15",
    "usage":{"input":1000,"details":{"cached":400},"output":100}}"#;
const STREAM: &str = "event: start\ndata: {\"message\":{\"model\":\"large\",\"usage\":{\"input\":10}}}\n\n\
    data: {\"text\":\"one\"}\n\ndata: {\"usage\":{\"output\":1}}\n\n\
    data: {\"usage\":{\"output\":2}}\n\ndata: [DONE]\n\n";

async fn house() -> (House, Client) {
    let house = House::planned(Plan { settings: PRICES.to_owned(), ..Plan::default() }).await;
    let client = house.client().await;
    (house, client)
}

fn packed(coding: &str, text: &str) -> Vec<u8> {
    let mut packed = Vec::new();
    match coding {
        "gzip" => {
            let mut writer =
                flate2::write::GzEncoder::new(&mut packed, flate2::Compression::fast());
            writer.write_all(text.as_bytes()).unwrap();
            writer.finish().unwrap();
        }
        "br" => {
            let mut writer = brotli::CompressorWriter::new(&mut packed, 4096, 5, 20);
            writer.write_all(text.as_bytes()).unwrap();
        }
        "zstd" => packed = zstd::stream::encode_all(text.as_bytes(), 3).unwrap(),
        _ => packed = text.as_bytes().to_vec(),
    }
    packed
}

/// Has the provider say this, and gives back the record of it.
async fn said(
    (house, client): (&House, &Client),
    (path, kind, coding): (&str, &str, &str),
    text: &str,
) -> Value {
    let body = packed(coding, text);
    let mut call = client.call(Method::POST, path).header("x-says-content-type", kind);
    if !coding.is_empty() {
        call = call.header("x-says-content-encoding", coding).header("accept-encoding", coding);
    }
    let answer = call.body(body.clone()).send().await;
    assert!(answer.body == body, "the answer was altered");
    newest(house, client).await
}

async fn newest(house: &House, client: &Client) -> Value {
    let path = format!("/api/v1/admin/api-keys/{}/audit?limit=1", client.id);
    house.admin.get(&path).send().await.json()["items"][0].clone()
}

async fn usage(house: &House, group_by: &str) -> Vec<Value> {
    let path = format!("/api/v1/admin/usage?bucket=day&group_by={group_by}");
    house.admin.get(&path).send().await.json()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn tokens_are_priced_in_answers_and_streams_packed_or_not() {
    let (house, client) = house().await;
    let mut cost = 0;
    for client in [client.over_http2(), client] {
        let at = (&house, &client);
        for coding in ["", "gzip", "br", "zstd"] {
            for size in [3, 100_000] {
                let path = format!("/acme/says?size={size}");
                let record = said(at, (&path, "application/json", coding), ANSWER).await;
                let tokens = json!({"input": 600, "cached": 400, "written": 0, "written_long": 0,
                    "output": 100});
                assert_eq!(record["tokens"], tokens, "{coding} {record}");
                assert_eq!(record["model"], "large-2026-01-15");
                assert_eq!(
                    (&record["cost_micros"], &record["cost"]),
                    (&json!(3_000), &json!(0.003))
                );
                let kind = "text/event-stream; charset=utf-8";
                let record = said(at, (&path, kind, coding), STREAM).await;
                assert_eq!(record["tokens"]["output"], 2, "{coding} {record}");
                assert_eq!(record["cost_micros"], 45);
                cost += 3_045;
            }
        }
    }
    let sums = usage(&house, "provider").await;
    let [sum] = sums.as_slice() else { panic!("{sums:?}") };
    assert_eq!((&sum["group"], &sum["requests"]), (&json!("acme"), &json!(32)));
    assert_eq!((&sum["cost_micros"], &sum["unpriced"]), (&json!(cost), &json!(0)));
    assert_eq!((&sum["tokens_in"], &sum["tokens_out"]), (&json!(16 * 1_010), &json!(16 * 102)));
    house.leave().await;
}

#[tokio::test]
async fn what_costs_nothing_and_what_nobody_can_price_are_told_apart() {
    let (house, client) = house().await;
    let at = (&house, &client);
    let json_of = |path| (path, "application/json", "");
    // Another route, a refusal: nothing is charged.
    let other = said(at, json_of("/acme/says/else?size=9"), ANSWER).await;
    let refused = said(at, json_of("/acme/says?size=9&status=404"), ANSWER).await;
    for record in [other, refused] {
        assert_eq!((&record["cost"], &record["tokens"]), (&Value::Null, &Value::Null), "{record}");
    }
    // No count, no price, nothing that could be read.
    let unknown = ANSWER.replace("large", "huge");
    let record = said(at, json_of("/acme/says?size=9"), &unknown).await;
    assert_eq!((&record["cost"], &record["tokens"]["output"]), (&Value::Null, &json!(100)));
    let record = said(at, json_of("/acme/says?size=9"), "{\"model\":\"large\"}").await;
    assert_eq!((&record["model"], &record["tokens"]), (&json!("large"), &Value::Null));
    said(at, ("/acme/says?size=9", "audio/mpeg", ""), ANSWER).await;
    // A price for each call, failed ones free.
    let record = said(at, json_of("/quill/says?size=9"), "{}").await;
    assert_eq!((&record["cost_micros"], &record["model"]), (&json!(2_000), &Value::Null));
    said(at, json_of("/quill/says?size=9&status=500"), "{}").await;
    let sums = usage(&house, "provider").await;
    let told = |sum: &Value| {
        ["group", "requests", "cost_micros", "unpriced"].map(|member| sum[member].clone())
    };
    let told: Vec<_> = sums.iter().map(told).collect();
    assert_eq!(told[0], [json!("acme"), json!(5), json!(0), json!(3)]);
    assert_eq!(told[1], [json!("quill"), json!(2), json!(2_000), json!(0)]);
    house.leave().await;
}

#[tokio::test]
async fn a_stream_that_is_cut_costs_what_it_told_until_then() {
    let (house, client) = house().await;
    let call = client.call(Method::POST, "/acme/says?size=5");
    let call = call.header("x-says-content-type", "text/event-stream");
    let long = format!("{STREAM}{}", "data: {\"text\":\"more\"}\n\n".repeat(200_000));
    let mut stream = call.body(long).open().await;
    let mut had = 0;
    while had < STREAM.len() * 2 {
        had += stream.next().await.unwrap().len();
    }
    drop(stream);
    let mut record = Value::Null;
    for _ in 0..100 {
        record = newest(&house, &client).await;
        if record["endpoint"] == "/says" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!((&record["end"], &record["cost_micros"]), (&json!("cut"), &json!(45)), "{record}");
    house.leave().await;
}
