//! What is said of a symbol that is to be tracked or changed, member by member.
//! Each fault is told with its field.
//! Must never let a name pass that the market's room refuses.

use utoipa::ToSchema;

use super::super::call::Call;
use super::super::members::{Members, Patch};
use super::super::words;
use crate::market::{self, Span};
use crate::provider::is_provider_id;
use crate::store::{AssetClass, NewSymbol, SymbolRow};

/// A symbol to be tracked.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Wanted` reads it")]
pub(super) struct NewSymbolBody {
    #[schema(example = "AAPL")]
    symbol: String,
    /// Crypto where the name can only be a pair (`BTC-USD`, `X:BTCUSD`), else stock.
    asset_class: Option<words::AssetClass>,
    #[schema(default = true)]
    active: Option<bool>,
    /// Where its history comes from; else as `backfill.provider` says.
    provider: Option<String>,
    /// How long a candle lasts; else as `backfill.interval` says.
    interval: Option<words::Interval>,
}

/// What may be changed of a symbol.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `changed` reads it")]
pub(super) struct SymbolChange {
    active: Option<bool>,
    provider: Option<String>,
    interval: Option<words::Interval>,
}

pub(super) struct Wanted;

impl Wanted {
    /// None where a fault was left behind.
    pub(super) fn read(members: &mut Members, call: &Call) -> Option<NewSymbol> {
        let symbol = members.text_up_to("symbol", 40);
        members.required("symbol", &symbol);
        let classes = [AssetClass::Stock, AssetClass::Crypto, AssetClass::Etf];
        let class = members.word("asset_class", &classes, AssetClass::as_str).value();
        let active = members.flag("active").value().unwrap_or(true);
        let provider = provider(members, call).value();
        let span = interval(members).value().map(Span::seconds);
        let last_backfill = None;
        match market::parse_symbol(&symbol.value()?, class) {
            Ok(name) => {
                let (symbol, asset_class) = (name.symbol, name.asset_class);
                Some(NewSymbol { symbol, asset_class, active, last_backfill, provider, span })
            }
            Err(fault) => {
                members.fault("symbol", fault);
                None
            }
        }
    }
}

pub(super) fn changed(members: &mut Members, before: &SymbolRow, call: &Call) -> SymbolRow {
    let mut after = before.clone();
    members.fixed("symbol", "track another one");
    members.fixed("asset_class", "it decides what its history means");
    let active = members.flag("active");
    after.active = members.unclearable("active", active).unwrap_or(before.active);
    provider(members, call).over(&mut after.provider);
    match interval(members) {
        Patch::Keep => {}
        Patch::Clear => after.span = None,
        Patch::Set(span) => after.span = Some(span.seconds()),
    }
    after
}

fn provider(members: &mut Members, call: &Call) -> Patch<String> {
    let named = members.text_up_to("provider", 64);
    if let Patch::Set(id) = &named
        && (!is_provider_id(id) || call.house.catalogue.get(id).is_none())
    {
        members.fault("provider", "is no provider that is configured");
    }
    named
}

pub(in super::super) fn interval(members: &mut Members) -> Patch<Span> {
    members.word("interval", &Span::ALL, Span::as_str)
}
