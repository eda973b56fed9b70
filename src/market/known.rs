//! A symbol that is tracked, found by the name that somebody gives: a pair in whatever form it is
//! written. A few looks by key, however many symbols there are.
//! Must never take one asset class for another.

use super::symbol;
use crate::store::{self, AssetClass, Store, SymbolRow};

/// By its name in upper case, or, for a pair, by any that means the same; of any class, or of one.
pub(crate) async fn tracked(
    store: &Store,
    name: &str,
    class: Option<AssetClass>,
) -> Result<Option<SymbolRow>, store::Error> {
    if let Some(row) = store.symbol(name).await? {
        return Ok(Some(row));
    }
    let may_be_pair = class.is_none_or(|class| class == AssetClass::Crypto);
    if !may_be_pair || symbol::parse(name, Some(AssetClass::Crypto)).is_err() {
        return Ok(None);
    }
    let ticker = symbol::ticker(name, AssetClass::Crypto);
    let is_same = |row: &SymbolRow| {
        row.asset_class == AssetClass::Crypto
            && symbol::ticker(&row.symbol, AssetClass::Crypto) == ticker
    };
    for spelling in symbol::spellings(name) {
        if let Some(row) = store.symbol(&spelling).await?.filter(is_same) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}
