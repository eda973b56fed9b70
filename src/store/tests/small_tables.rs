//! The installation's one row, and the tracked symbols.
//! Both are written at every first start, so writing them again must change nothing.
//! Must never hold tests of a table that has grown: those get a file of their own.

use super::*;

async fn there_is_one_installation_for_ever(bed: Bed) {
    assert_eq!(bed.store.installation().await.unwrap(), None);
    let id = Uuid::now_v7();
    let first = bed.store.create_installation(id).await.unwrap();
    assert_eq!(first, Installation { id, created_at: NOW_MS });
    bed.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(bed.store.create_installation(Uuid::now_v7()).await.unwrap(), first);
    assert_eq!(bed.store.installation().await.unwrap(), Some(first));

    bed.tamper("UPDATE installation SET id = 'mine'").await;
    let error = bed.store.installation().await.unwrap_err();
    let line = "The row mine of table installation contradicts the model: column id is not an id.";
    assert!(error.to_string().starts_with(line), "{error}");
}

async fn symbols_are_seeded_once(bed: Bed) {
    let seed = [("SPY", AssetClass::Etf), ("AAPL", AssetClass::Stock)];
    assert_eq!(bed.store.seed_symbols(&seed).await.unwrap(), 2);
    bed.tamper("UPDATE symbols SET active = 0 WHERE symbol = 'SPY'").await;
    let more = [("SPY", AssetClass::Stock), ("X:BTCUSD", AssetClass::Crypto)];
    assert_eq!(bed.store.seed_symbols(&more).await.unwrap(), 1);

    let symbols = bed.store.symbols().await.unwrap();
    let shown: Vec<_> =
        symbols.iter().map(|row| (row.symbol.as_str(), row.asset_class, row.active)).collect();
    let expected = [
        ("AAPL", AssetClass::Stock, true),
        ("SPY", AssetClass::Etf, false),
        ("X:BTCUSD", AssetClass::Crypto, true),
    ];
    assert_eq!(shown, expected, "what was there stays as it was");
    assert!(symbols.iter().all(|row| row.id > 0 && row.date_added == NOW_MS));
    assert!(symbols.iter().all(|row| row.backfill_status == BackfillStatus::Pending));
    assert_eq!(bed.store.symbol("AAPL").await.unwrap().as_ref(), symbols.first());
    assert_eq!(bed.store.symbol("aapl").await.unwrap(), None);

    let page = async |active_only, after, limit| {
        let rows = bed.store.symbols_page(active_only, after, limit).await.unwrap();
        rows.into_iter().map(|row| row.symbol).collect::<Vec<_>>()
    };
    assert_eq!(page(false, None, 2).await, ["AAPL", "SPY"]);
    assert_eq!(page(false, Some("SPY"), 2).await, ["X:BTCUSD"]);
    assert_eq!(page(true, None, 9).await, ["AAPL", "X:BTCUSD"]);
}

async fn a_symbol_that_contradicts_the_model_is_named(bed: Bed) {
    bed.store.seed_symbols(&[("SPY", AssetClass::Etf)]).await.unwrap();
    bed.tamper("UPDATE symbols SET backfill_status = 'paused'").await;
    let expected = Error::Contradiction {
        table: "symbols",
        row: String::from("SPY"),
        column: "backfill_status",
        fault: String::from("says \"paused\", which is not known"),
    };
    assert_eq!(bed.store.symbol("SPY").await.unwrap_err(), expected);
    assert_eq!(bed.store.symbols().await.unwrap(), []);
    assert_eq!(bed.store.symbol_faults().await.unwrap().len(), 1);
}

on_both!(
    a_symbol_that_contradicts_the_model_is_named,
    symbols_are_seeded_once,
    there_is_one_installation_for_ever,
);
