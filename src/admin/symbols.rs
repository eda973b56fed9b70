//! Tracked symbols, as they stand in the database.
//! Read only in this version.
//! Must never ask a provider.

use std::sync::Arc;

use axum::http::Uri;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Page};
use super::call::Call;
use super::house::House;
use super::members::Members;
use super::page;
use super::refused::Refused;
use super::words::{AssetClass, BackfillStatus};
use crate::clock::rfc3339;
use crate::store::SymbolRow;

pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Serialize, ToSchema)]
struct Symbol {
    id: i64,
    #[schema(example = "AAPL")]
    symbol: String,
    #[schema(value_type = AssetClass)]
    asset_class: &'static str,
    active: bool,
    #[schema(format = DateTime)]
    date_added: String,
    #[schema(value_type = BackfillStatus)]
    backfill_status: &'static str,
    backfill_error: Option<String>,
    #[schema(format = DateTime)]
    last_backfill: Option<String>,
}

/// A page of symbols, by name.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Page` is answered")]
struct Symbols {
    items: Vec<Symbol>,
    next_cursor: Option<String>,
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
    let (rows, next_cursor) = page::split(rows, limit, |row| row.symbol.clone());
    let items: Vec<Symbol> = rows.into_iter().map(Symbol::of).collect();
    Answer::ok(&Page { items, next_cursor })
}

impl Symbol {
    fn of(row: SymbolRow) -> Self {
        Self {
            id: row.id,
            symbol: row.symbol,
            asset_class: row.asset_class.as_str(),
            active: row.active,
            date_added: rfc3339(row.date_added),
            backfill_status: row.backfill_status.as_str(),
            backfill_error: row.backfill_error,
            last_backfill: row.last_backfill.map(rfc3339),
        }
    }
}
