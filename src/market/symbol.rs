//! What a symbol may look like, by asset class, and what the provider calls it.
//! Pure: a name is judged by itself.
//! Must never let a name through that could mean another path at the provider.

use crate::store::AssetClass;

/// Currencies that crypto pairs are quoted in; the longer ones first.
const QUOTES: [&str; 8] = ["USDT", "USDC", "USD", "EUR", "GBP", "JPY", "AUD", "CAD"];

/// A symbol as it is tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// In upper case, as it was given.
    pub(crate) symbol: String,
    pub(crate) asset_class: AssetClass,
}

/// Reads what somebody has typed; the fault says what is allowed.
pub(crate) fn parse(text: &str, class: Option<AssetClass>) -> Result<Name, &'static str> {
    let symbol = text.trim().to_ascii_uppercase();
    let asset_class = class.unwrap_or_else(|| guessed(&symbol));
    let is_fine = match asset_class {
        AssetClass::Stock | AssetClass::Etf => is_share(&symbol),
        AssetClass::Crypto => pair(&symbol).is_some(),
    };
    match (is_fine, asset_class) {
        (true, _) => Ok(Name { symbol, asset_class }),
        (false, AssetClass::Crypto) => Err(CRYPTO),
        (false, AssetClass::Stock | AssetClass::Etf) => Err(SHARE),
    }
}

/// What the provider calls it.
pub(super) fn ticker(symbol: &str, asset_class: AssetClass) -> String {
    match asset_class {
        AssetClass::Stock | AssetClass::Etf => symbol.to_owned(),
        AssetClass::Crypto => match pair(symbol) {
            Some((base, quote)) => format!("X:{base}{quote}"),
            None => symbol.to_owned(),
        },
    }
}

/// Every way to write the pair that this one is; none for what is no pair.
pub(super) fn spellings(symbol: &str) -> Vec<String> {
    let Some((base, quote)) = pair(symbol) else { return Vec::new() };
    let mut bare = vec![format!("{base}{quote}"), format!("{base}-{quote}")];
    if quote == "USD" {
        bare.push(base.to_owned());
    }
    let marked: Vec<String> = bare.iter().map(|name| format!("X:{name}")).collect();
    bare.into_iter().chain(marked).collect()
}

/// Only what can be nothing else is taken for a crypto pair.
fn guessed(symbol: &str) -> AssetClass {
    let is_pair = |(base, quote): (&str, &str)| !base.is_empty() && QUOTES.contains(&quote);
    match symbol.starts_with("X:") || symbol.split_once('-').is_some_and(is_pair) {
        true => AssetClass::Crypto,
        false => AssetClass::Stock,
    }
}

/// `AAPL`, `BRK.B`, `BF-B`.
fn is_share(symbol: &str) -> bool {
    let is_word = |word: &str, most: usize| {
        (1..=most).contains(&word.len())
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    let begins = symbol.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase());
    begins
        && match symbol.split_once(['.', '-']) {
            None => is_word(symbol, 10),
            Some((name, class)) => is_word(name, 10) && is_word(class, 4),
        }
}

/// Base and quote of `BTC`, `BTCUSD`, `BTC-USD` and `X:BTCUSD`.
fn pair(symbol: &str) -> Option<(&str, &str)> {
    let bare = symbol.strip_prefix("X:").unwrap_or(symbol);
    let parted = |quote: &&'static str| Some((bare.strip_suffix(*quote)?, *quote));
    let (base, quote) = match bare.split_once('-') {
        Some((base, quote)) => (base, QUOTES.into_iter().find(|known| *known == quote)?),
        None => {
            let found = QUOTES.iter().filter_map(parted).find(|(base, _)| base.len() >= 2);
            found.unwrap_or((bare, "USD"))
        }
    };
    let is_base = (2..=10).contains(&base.len())
        && base.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    is_base.then_some((base, quote))
}

const SHARE: &str = "is no symbol of a stock or an ETF: give 1 to 10 letters and digits that begin \
                     with a letter, and its class behind a dot, as in AAPL or BRK.B";
const CRYPTO: &str = "is no crypto pair: give it as BTC, BTCUSD, BTC-USD or X:BTCUSD, quoted in \
                      USD, EUR, GBP, JPY, AUD, CAD, USDT or USDC";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn four_ways_to_write_a_pair_mean_one_ticker() {
        for text in ["BTC", "btcusd", "BTC-USD", " x:btcusd "] {
            let name = parse(text, Some(AssetClass::Crypto)).unwrap();
            assert_eq!(ticker(&name.symbol, name.asset_class), "X:BTCUSD", "{text}");
        }
        for (text, expected) in
            [("ETHEUR", "X:ETHEUR"), ("USDT", "X:USDTUSD"), ("1INCH", "X:1INCHUSD")]
        {
            let name = parse(text, Some(AssetClass::Crypto)).unwrap();
            assert_eq!(ticker(&name.symbol, name.asset_class), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_means_a_pair_is_among_its_spellings(
            bare in "[A-Z0-9]{1,8}(-?(USD|USDT|EUR))?", other in "[A-Z0-9]{2,8}(-?(USD|USDT))?",
            marked: bool,
        ) {
            let text = if marked { format!("X:{bare}") } else { bare };
            let of = |text: &str| ticker(text, AssetClass::Crypto);
            if parse(&text, Some(AssetClass::Crypto)).is_ok() {
                prop_assert!(spellings(&text).contains(&text), "{text}");
                for spelling in spellings(&text).iter().filter(|spelling| pair(spelling).is_some()) {
                    // A short base that ends like a currency is another pair alone.
                    let is_same = of(spelling) == of(&text);
                    prop_assert!(is_same || !spelling.contains('-'), "{text} {spelling}");
                }
                let is_same = pair(&other).is_some() && of(&other) == of(&text);
                prop_assert!(!is_same || spellings(&text).contains(&other), "{text} {other}");
            }
        }
    }

    #[test]
    fn a_class_that_is_not_said_is_a_stock_unless_it_can_only_be_a_pair() {
        for (text, class) in [
            ("aapl", AssetClass::Stock),
            ("BRK.B", AssetClass::Stock),
            ("BF-B", AssetClass::Stock),
            ("BTC-USD", AssetClass::Crypto),
            ("X:BTCUSD", AssetClass::Crypto),
        ] {
            assert_eq!(parse(text, None).unwrap().asset_class, class, "{text}");
        }
    }

    #[test]
    fn what_is_no_symbol_is_refused() {
        for text in ["", "..", "A/B", "1A", "A B", "A.BCDEF", "ABCDEFGHIJK", "Ä", "A?B", "A%2F"] {
            assert!(parse(text, Some(AssetClass::Stock)).is_err(), "{text}");
        }
        for text in ["", "B", "BTC-XXX", "X:", "X:X:BTC", "BTC/USD", "ABCDEFGHIJKUSD"] {
            assert!(parse(text, Some(AssetClass::Crypto)).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_segment_of_a_path(text in "\\PC{0,16}", crypto: bool) {
            let class = if crypto { AssetClass::Crypto } else { AssetClass::Stock };
            if let Ok(name) = parse(&text, Some(class)) {
                let ticker = ticker(&name.symbol, class);
                prop_assert!(ticker.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:".contains(&b)));
                prop_assert!(!ticker.starts_with('.'));
            }
        }
    }
}
