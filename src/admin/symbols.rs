//! Tracked symbols: list, show, add, change, no longer track. One that is no longer tracked keeps
//! its history, and a pair is found in whatever form it is written.
//! Must never guess figures of a history that has not been fetched.

mod candles;
pub(super) mod import;
mod view;
mod wanted;

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use self::view::{Gap, list as listed, share, time};
use self::view::{Symbol, SymbolShown, Symbols};
pub(super) use self::wanted::interval;
use self::wanted::{NewSymbolBody, SymbolChange, Wanted};
use super::act::Act;
use super::answer::{Answer, Page};
use super::call::Call;
use super::house::House;
use super::members::Members;
use super::page;
use super::refused::Refused;
use super::sent::Sent;
use crate::market;
use crate::refusal::{Reason, Refusal};
use crate::store::{AssetClass, NewSymbol, SeriesRow, SymbolRow};

/// 1900-01-01: no exchange's history that anybody sells goes back so far.
pub(super) const EARLIEST_MS: i64 = -2_208_988_800_000;
pub(super) const TOO_EARLY: &str = "must not lie before 1900";

pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(candles::candles))
}

pub(super) fn changing() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new()
        .routes(routes!(add))
        .routes(routes!(change, remove))
        .routes(routes!(import::import))
}

/// List tracked symbols, by name.
#[utoipa::path(get, path = "/api/v1/admin/symbols", tag = "Symbols",
    params(("active_only" = Option<bool>, Query),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = Symbols)))]
async fn list(call: Call, uri: Uri) -> Result<Answer, Refused> {
    let mut query = Members::of_query(&uri)?;
    let active_only = query.flag("active_only").value().unwrap_or(false);
    let limit = page::limit(&mut query);
    let after = page::after_text(&mut query);
    query.finish()?;
    let store = &call.house.store;
    let rows = store.symbols_page(active_only, after.as_deref(), limit + 1).await;
    let rows = rows.map_err(Refused::internal)?;
    let series = store.series(None).await.map_err(Refused::internal)?;
    let (rows, next_cursor) = page::split(rows, limit, |row| row.symbol.clone());
    let items: Vec<Symbol> = rows.iter().map(|row| Symbol::of(row, &series)).collect();
    Answer::ok(&Page { items, next_cursor })
}

/// Show a symbol, how much of its history there is, and what is missing of it.
#[utoipa::path(get, path = "/api/v1/admin/symbols/{symbol}", tag = "Symbols",
    params(("symbol" = String, Path, description = "As it is tracked; a pair in any form.")),
    responses((status = 200, description = "The symbol.", body = SymbolShown)))]
async fn show(call: Call, Path(symbol): Path<String>) -> Result<Answer, Refused> {
    let row = found(&call, &symbol).await?;
    Answer::ok(&SymbolShown::of(&row, &series(&call, &row).await?))
}

/// Track a symbol.
///
/// Upper case and lower case are the same; a crypto pair may be written as `BTC`, `BTCUSD`,
/// `BTC-USD` or `X:BTCUSD`, and these are one.
#[utoipa::path(post, path = "/api/v1/admin/symbols", tag = "Symbols",
    request_body = NewSymbolBody,
    responses((status = 201, description = "It is tracked; nothing is fetched yet.",
        body = SymbolShown)))]
async fn add(call: Call, sent: Sent) -> Result<Answer, Refused> {
    let mut members = sent.members()?;
    let new = Wanted::read(&mut members, &call);
    members.finish()?;
    let Some(new) = new else { return Err(Refused::internal("a symbol that is required is gone")) };
    let intent = json!({"symbol": new.symbol, "asset_class": new.asset_class.as_str()});
    let act = Act::begin(&call, "", None, &intent)?;
    match track(&call, &new).await {
        Ok(row) => {
            act.done(StatusCode::CREATED.as_u16(), Some(&intent));
            Answer::created(&SymbolShown::of(&row, &[]))
        }
        Err(refused) => Err(act.refused(refused)),
    }
}

/// Change whether a symbol is tracked, and where its history comes from.
#[utoipa::path(put, path = "/api/v1/admin/symbols/{symbol}", tag = "Symbols",
    params(("symbol" = String, Path)), request_body = SymbolChange,
    responses((status = 200, description = "As it is now.", body = SymbolShown)))]
async fn change(call: Call, Path(symbol): Path<String>, sent: Sent) -> Result<Answer, Refused> {
    let before = found(&call, &symbol).await?;
    let mut members = sent.members()?;
    let after = wanted::changed(&mut members, &before, &call);
    members.finish()?;
    let act = Act::begin(&call, "", Some(view::alterable(&before)), &view::alterable(&after))?;
    match call.house.store.change_symbol(&after).await {
        Ok(true) => {
            act.done(200, Some(&view::alterable(&after)));
            Answer::ok(&SymbolShown::of(&after, &series(&call, &after).await?))
        }
        Ok(false) => Err(act.refused(nothing(&symbol))),
        Err(fault) => Err(act.refused(Refused::internal(fault))),
    }
}

/// Track a symbol no longer; its history stays.
#[utoipa::path(delete, path = "/api/v1/admin/symbols/{symbol}", tag = "Symbols",
    params(("symbol" = String, Path)),
    responses((status = 204, description = "It is inactive.")))]
async fn remove(
    call: Call,
    Path(symbol): Path<String>,
    sent: Sent,
) -> Result<axum::response::Response, Refused> {
    sent.members()?.finish()?;
    let before = found(&call, &symbol).await?;
    let after = SymbolRow { active: false, ..before.clone() };
    let act = Act::begin(&call, "", Some(view::alterable(&before)), &view::alterable(&after))?;
    match call.house.store.change_symbol(&after).await {
        Ok(_) => {
            act.done(StatusCode::NO_CONTENT.as_u16(), Some(&view::alterable(&after)));
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Err(fault) => Err(act.refused(Refused::internal(fault))),
    }
}

/// One that is there already, in whatever form, is a conflict.
async fn track(call: &Call, new: &NewSymbol) -> Result<SymbolRow, Refused> {
    // Between the look and the row.
    let _turn = call.house.key_changes.lock().await;
    let store = &call.house.store;
    let known = known(call, &new.symbol, Some(new.asset_class)).await?;
    let is_new = known.is_none() && store.add_symbol(new).await.map_err(Refused::internal)?;
    if !is_new {
        let name = known.map_or_else(|| new.symbol.clone(), |known| known.symbol);
        return Err(Refused::conflict(format!(
            "{name} is tracked already; where it is inactive, `\"active\": true` tracks it again."
        )));
    }
    let row = store.symbol(&new.symbol).await.map_err(Refused::internal)?;
    row.ok_or_else(|| Refused::internal("a symbol that was added is gone"))
}

/// By its name, or, for a pair, by any that means the same.
pub(super) async fn found(call: &Call, symbol: &str) -> Result<SymbolRow, Refused> {
    known(call, symbol, None).await?.ok_or_else(|| nothing(symbol))
}

async fn known(
    call: &Call,
    symbol: &str,
    class: Option<AssetClass>,
) -> Result<Option<SymbolRow>, Refused> {
    let name = symbol.trim().to_ascii_uppercase();
    market::tracked(&call.house.store, &name, class).await.map_err(Refused::internal)
}

async fn series(call: &Call, row: &SymbolRow) -> Result<Vec<SeriesRow>, Refused> {
    call.house.store.series(Some(row.id)).await.map_err(Refused::internal)
}

fn nothing(symbol: &str) -> Refused {
    let shown: String = symbol.chars().filter(|sign| !sign.is_control()).take(20).collect();
    let detail = format!("{shown} is not tracked; `sealgate symbols add` tracks it.");
    Refusal::new(Reason::NotFound, detail).into()
}
