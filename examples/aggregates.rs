//! A backend that reads daily prices through Sealgate: the provider's own paths and answers, with two
//! strings changed, the base URL and the key. Pages are followed as any client of the provider would.
//!
//! `cargo run --example aggregates -- http://127.0.0.1:8080/sandbox mdw_…`
#![expect(clippy::print_stdout, reason = "an example shows what it read")]

use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(base), Some(key)) = (arguments.next(), arguments.next()) else {
        return Err("usage: aggregates BASE_URL CLIENT_KEY".into());
    };
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut next = Some(format!("{base}/v2/aggs/ticker/AAPL/range/1/day/2026-01-05/2026-01-09"));
    while let Some(url) = next {
        let answer = client.get(url).bearer_auth(&key).send().await?.error_for_status()?;
        let left = answer.headers().get("x-sealgate-ratelimit-remaining").cloned();
        let page: serde_json::Value = answer.json().await?;
        let bars = page.get("results").and_then(|results| results.as_array()).map_or(0, Vec::len);
        println!("{bars} bars, {left:?} calls left");
        next = page.get("next_url").and_then(|url| url.as_str()).map(str::to_owned);
    }
    Ok(())
}
