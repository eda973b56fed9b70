//! `POST …/symbols/import`: the symbols of an older warehouse, each with the time to which it has
//! their history. A result for each line; a broken one refuses only itself.
//! Must never alter a symbol of which anything was fetched here.

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::super::act::Act;
use super::super::answer::Answer;
use super::super::call::Call;
use super::super::members::Members;
use super::super::refused::Refused;
use super::super::sent::Sent;
use super::super::words;
use super::wanted::Wanted;
use super::{known, track};
use crate::store::{NewSymbol, SymbolRow};

/// The body of an import.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `read` reads it")]
pub(in super::super) struct SymbolImport {
    symbols: Vec<ImportedSymbol>,
}

/// A symbol of an older warehouse. May have every other member of a new symbol, too.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `read` reads it")]
pub(in super::super) struct ImportedSymbol {
    #[schema(example = "AAPL")]
    symbol: String,
    asset_class: Option<words::AssetClass>,
    #[schema(default = true)]
    active: Option<bool>,
    /// To where the older warehouse has its history: it goes on from there here.
    #[schema(format = DateTime)]
    last_backfill: Option<String>,
}

/// What became of an import of symbols.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct ImportedSymbols {
    imported: usize,
    refused: usize,
    items: Vec<ImportedSymbolLine>,
}

/// What became of one line: an id, or the reason why there is none.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct ImportedSymbolLine {
    /// Its place in `symbols`, from 1.
    line: usize,
    ok: bool,
    id: Option<i64>,
    symbol: Option<String>,
    /// As in an error answer: `invalid`, `conflict`.
    #[schema(value_type = Option<String>)]
    code: Option<&'static str>,
    detail: Option<String>,
}

/// Track the symbols of an older warehouse, or many at once.
///
/// A line that cannot be taken refuses only itself. A symbol that is tracked already is left alone,
/// unless nothing of it was fetched yet: then it goes on from `last_backfill`.
#[utoipa::path(post, path = "/api/v1/admin/symbols/import", tag = "Symbols",
    request_body = SymbolImport,
    responses((status = 200, description = "A result for each line.", body = ImportedSymbols)))]
pub(in super::super) async fn import(call: Call, sent: Sent) -> Result<Answer, Refused> {
    let mut members = sent.members()?;
    let lines = members.lines("symbols");
    members.required("symbols", &lines);
    members.finish()?;
    let lines = lines.value().unwrap_or_default();
    let act = Act::begin(&call, "", None, &json!({"symbols": lines.len()}))?;
    let mut items = Vec::with_capacity(lines.len());
    for (index, line) in lines.into_iter().enumerate() {
        let item = match read(line, &call) {
            Ok(new) => (Some(new.symbol.clone()), take(&call, &new).await),
            Err(refused) => (None, Err(refused)),
        };
        match ImportedSymbolLine::of(index, item) {
            Ok(line) => items.push(line),
            // What went before stands; to send everything again does no harm.
            Err(refused) => return Err(act.refused(refused)),
        }
    }
    let imported = items.iter().filter(|line| line.ok).count();
    let done = ImportedSymbols { imported, refused: items.len() - imported, items };
    let after = json!({"imported": done.imported, "refused": done.refused});
    act.done(StatusCode::OK.as_u16(), Some(&after));
    Answer::ok(&done)
}

async fn take(call: &Call, new: &NewSymbol) -> Result<SymbolRow, Refused> {
    if new.last_backfill.is_some()
        && let Some(row) = known(call, &new.symbol, Some(new.asset_class)).await?
        && row.asset_class == new.asset_class
        && call.house.store.adopt_symbol(row.id, new).await.map_err(Refused::internal)?
    {
        let adopted = call.house.store.symbol(&row.symbol).await.map_err(Refused::internal)?;
        return Ok(adopted.unwrap_or(row));
    }
    track(call, new).await
}

fn read(mut members: Members, call: &Call) -> Result<NewSymbol, Refused> {
    let last_backfill = members.time("last_backfill").value();
    if last_backfill.is_some_and(|last| last < super::EARLIEST_MS) {
        members.fault("last_backfill", super::TOO_EARLY);
    }
    if last_backfill.is_some_and(|last| last > call.house.clock.unix_ms()) {
        members.fault("last_backfill", "must not lie in the future");
    }
    let new = Wanted::read(&mut members, call);
    members.finish()?;
    let new = new.ok_or_else(|| Refused::internal("a symbol that is required is gone"))?;
    Ok(NewSymbol { last_backfill, ..new })
}

impl ImportedSymbolLine {
    /// A fault of ours ends the import; what is wrong with a line refuses that line.
    fn of(
        index: usize,
        (symbol, taken): (Option<String>, Result<SymbolRow, Refused>),
    ) -> Result<Self, Refused> {
        let line = index + 1;
        let refused = match taken {
            Ok(row) => {
                let (id, symbol) = (Some(row.id), Some(row.symbol));
                return Ok(Self { line, ok: true, id, symbol, code: None, detail: None });
            }
            Err(refused) if refused.refusal().reason.status() >= 500 => return Err(refused),
            Err(refused) => refused,
        };
        let refusal = refused.refusal();
        let faults = refusal.fields().iter().map(|fault| match fault.field.as_str() {
            "" => fault.fault.clone(),
            field => format!("{field} {}", fault.fault),
        });
        let faults: Vec<String> = faults.collect();
        let detail = if faults.is_empty() { refusal.detail.to_string() } else { faults.join("; ") };
        let code = Some(refusal.reason.code());
        Ok(Self { line, ok: false, id: None, symbol, code, detail: Some(detail) })
    }
}
