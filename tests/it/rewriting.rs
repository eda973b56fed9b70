//! What a provider says about itself leads back here; what it says about others is its own affair.

use serde_json::json;

use crate::house::House;
use crate::resilience::last_record;

#[tokio::test]
async fn next_urls_lead_back_and_a_doubled_prefix_means_the_same() {
    let house = House::open().await;
    let client = house.client().await;
    let public = house.public_url();
    for path in ["/acme/pages?page=1", "/acme/acme/pages?page=1"] {
        let answer = client.get(path).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            answer.json(),
            json!({
                "page": 1,
                "next_url": format!("{public}/acme/pages?page=2"),
                "foreign": "https://elsewhere.example/x",
            })
        );
        assert_eq!(house.provider.last().path, "/base/pages?page=1");
    }
    house.leave().await;
}

#[tokio::test]
async fn redirects_pass_unfollowed_with_the_providers_own_addresses_rewritten() {
    let house = House::open().await;
    let client = house.client().await;
    let public = house.public_url();
    let own = client.get("/acme/redirect?to=own").send().await;
    assert_eq!(own.status, 302);
    assert_eq!(own.header("location"), Some(format!("{public}/acme/landing?a=b").as_str()));
    let link = format!(
        "<{public}/acme/landing?page=2>; rel=\"next\", <https://elsewhere.example/>; rel=x"
    );
    assert_eq!(own.header("link"), Some(link.as_str()));
    let foreign = client.get("/acme/redirect?to=foreign").send().await;
    assert_eq!(foreign.header("location"), Some("https://elsewhere.example/landing?a=b"));
    assert_eq!(house.provider.seen().len(), 2);
    house.leave().await;
}

#[tokio::test]
async fn a_real_key_that_comes_back_is_replaced() {
    let house = House::open().await;
    let client = house.client().await;
    let mut asked = 0;
    for path in ["/acme/echo", "/quill/echo?a=b"] {
        let answer = client.get(path).header("x-own", "kept").send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        // Still one JSON value, of the announced length, with everything else in it.
        assert!(answer.text().contains("\"x-own\",\"kept\""), "{}", answer.text());
        assert!(answer.json()["headers"].is_array());
        house.canary.is_nowhere_in("an echo", &answer.body);
        asked += 1;
        let record = last_record(&house, &client, asked).await;
        assert!(record["scrub_hits"].as_u64().unwrap() >= 1, "{record}");
    }
    assert_eq!(client.get("/acme/x").send().await.status, 200);
    assert_eq!(last_record(&house, &client, asked + 1).await["scrub_hits"], 0);
    let figures = house.admin.get("/metrics").send().await.text();
    assert!(figures.contains("sealgate_alerts_total{kind=\"key_echoed\"} 2\n"), "{figures}");
    house.leave().await;
}
