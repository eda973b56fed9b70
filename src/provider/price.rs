//! What calls cost: a price for each, and one for each token, by model, with the places where the
//! provider's answers say how many there were. Data of the catalogue, changed by the settings.
//! Amounts are whole millionths of a dollar; prices of tokens are kept a million times finer.
//! Must never guess: of a model that has no price nothing is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Pointer;

/// What a provider's calls cost.
#[derive(Debug, Default)]
pub(crate) struct Price {
    /// For each call that did not fail, in millionths of a dollar; 0: none.
    pub per_call: u64,
    pub tokens: Option<Arc<TokenPrices>>,
}

/// What tokens are counted as. Each token counts as one kind alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TokenKind {
    Input,
    /// Read from the provider's own cache.
    Cached,
    /// Written into it,
    Written,
    /// and there for longer.
    WrittenLong,
    Output,
}

/// What a member of an answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Model,
    Tokens(TokenKind),
}

/// How many of each kind, as `TokenKind::ALL` has them.
pub(crate) type Tokens = [u64; TokenKind::ALL.len()];

#[derive(Debug)]
pub(crate) struct TokenPrices {
    /// Method and path of the calls that cost something.
    pub routes: Vec<(String, String)>,
    pub places: Places,
    /// Of which other kind's count a kind's is a part, where it is.
    pub within: Vec<(TokenKind, TokenKind)>,
    pub models: BTreeMap<String, Rates>,
}

/// In millionths of a millionth of a dollar for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rates([u64; TokenKind::ALL.len()]);

/// The members that tell something, as a tree of names. The root is 0.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<Node>);

#[derive(Debug, Default)]
struct Node {
    told: Option<Told>,
    below: Vec<(String, usize)>,
}

/// Dollars for a million tokens are as many millionths for one.
const FINER: f64 = 1e6;
const MOST_DOLLARS: f64 = 1e6;

impl TokenKind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Input, Self::Cached, Self::Written, Self::WrittenLong, Self::Output];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Cached => "cached",
            Self::Written => "written",
            Self::WrittenLong => "written_long",
            Self::Output => "output",
        }
    }

    /// Its place among the counts.
    pub(crate) fn place(self) -> usize {
        match self {
            Self::Input => 0,
            Self::Cached => 1,
            Self::Written => 2,
            Self::WrittenLong => 3,
            Self::Output => 4,
        }
    }

    /// Whose price it has where it has none.
    fn priced_like(self) -> Option<Self> {
        match self {
            Self::Input | Self::Output => None,
            Self::Cached | Self::Written => Some(Self::Input),
            Self::WrittenLong => Some(Self::Written),
        }
    }
}

impl TokenPrices {
    /// Do calls of this route cost tokens?
    pub(crate) fn concerns(&self, method: &str, path: &str) -> bool {
        self.routes.iter().any(|(of, at)| of == method && at == path)
    }

    /// Each token as one kind alone: what is part of another count is taken out of that.
    pub(crate) fn apart(&self, told: &Tokens) -> Tokens {
        let mut apart = *told;
        for (part, whole) in &self.within {
            let part = told.get(part.place()).copied().unwrap_or_default();
            if let Some(whole) = apart.get_mut(whole.place()) {
                *whole = whole.saturating_sub(part);
            }
        }
        apart
    }

    /// By its own name, else without the date behind it, else what stands for all others.
    pub(crate) fn rates(&self, model: &str) -> Option<&Rates> {
        let known = |name: &str| self.models.get(name);
        known(model).or_else(|| known(undated(model)?)).or_else(|| known("*"))
    }
}

impl Rates {
    /// `dollars` for a million tokens of each kind that has a price.
    pub(super) fn new(dollars: &[Option<f64>; TokenKind::ALL.len()]) -> Result<Self, String> {
        let mut rates = [0; TokenKind::ALL.len()];
        for kind in TokenKind::ALL {
            let given = dollars.get(kind.place()).copied().flatten();
            let rate = match (given, kind.priced_like()) {
                (Some(given), _) => finer(given, FINER)?,
                (None, Some(like)) => rates.get(like.place()).copied().unwrap_or_default(),
                (None, None) => 0,
            };
            if let Some(place) = rates.get_mut(kind.place()) {
                *place = rate;
            }
        }
        Ok(Self(rates))
    }

    /// In millionths of a dollar, rounded.
    pub(crate) fn cost(&self, tokens: &Tokens) -> u64 {
        let parts = self.0.iter().zip(tokens);
        let parts = parts.map(|(rate, count)| u128::from(*rate) * u128::from(*count));
        let sum: u128 = parts.fold(0, u128::saturating_add);
        u64::try_from(sum.saturating_add(500_000) / 1_000_000).unwrap_or(u64::MAX)
    }

    /// Dollars for a million tokens of a kind.
    #[expect(clippy::cast_precision_loss, reason = "prices are far below 2^53")]
    pub(crate) fn dollars(&self, kind: TokenKind) -> f64 {
        self.0.get(kind.place()).copied().unwrap_or_default() as f64 / FINER
    }
}

impl Places {
    pub(super) fn add(&mut self, pointer: &Pointer, told: Told) {
        let mut at = 0;
        if self.0.is_empty() {
            self.0.push(Node::default());
        }
        for name in pointer.names() {
            at = match self.below(at, name.as_bytes()) {
                Some(known) => known,
                None => {
                    let new = self.0.len();
                    self.0.push(Node::default());
                    if let Some(node) = self.0.get_mut(at) {
                        node.below.push((name.clone(), new));
                    }
                    new
                }
            };
        }
        if let Some(node) = self.0.get_mut(at) {
            node.told = Some(told);
        }
    }

    /// The member of that name.
    pub(crate) fn below(&self, node: usize, name: &[u8]) -> Option<usize> {
        let below = &self.0.get(node)?.below;
        below.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, at)| *at)
    }

    pub(crate) fn told(&self, node: usize) -> Option<Told> {
        self.0.get(node)?.told
    }
}

/// Millionths of so many dollars.
pub(super) fn millionths(dollars: f64) -> Result<u64, String> {
    finer(dollars, FINER)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be between 0 and 1e12"
)]
fn finer(dollars: f64, by: f64) -> Result<u64, String> {
    if !(0.0..=MOST_DOLLARS).contains(&dollars) {
        return Err(format!("`{dollars}` is no price in dollars, from 0 to a million"));
    }
    Ok((dollars * by).round() as u64)
}

/// `gpt-4o-2024-08-06`, `claude-sonnet-4-20250514`, `gpt-4-0613`, `claude-3-5-haiku-latest`.
fn undated(model: &str) -> Option<&str> {
    const SHAPES: [&str; 4] = ["-0000-00-00", "-00000000", "-0000", "-latest"];
    let fits = |end: &str, shape: &str| {
        let like = |(byte, of): (u8, u8)| match of {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        };
        end.bytes().zip(shape.bytes()).all(like)
    };
    SHAPES.into_iter().find_map(|shape| {
        let (name, end) = model.split_at_checked(model.len().checked_sub(shape.len())?)?;
        fits(end, shape).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(provider: &str) -> Arc<TokenPrices> {
        super::super::built_in(provider).unwrap().price.tokens.unwrap()
    }

    #[test]
    fn a_token_costs_what_the_table_says_of_its_kind() {
        let prices = prices("openai");
        let rates = prices.rates("gpt-4o-2024-08-06").unwrap();
        // A million of each would cost 2.50, 1.25 and 10 dollars.
        let tokens = prices.apart(&[1_000, 400, 0, 0, 100]);
        assert_eq!(tokens, [600, 400, 0, 0, 100]);
        assert_eq!(rates.cost(&tokens), 1_500 + 500 + 1_000);
        assert_eq!(rates.cost(&[0; 5]), 0);
        assert_eq!(rates.cost(&[u64::MAX; 5]), u64::MAX);
        // Half a millionth is one, less is none.
        let small = prices.rates("text-embedding-3-small").unwrap();
        assert_eq!((small.cost(&[25, 0, 0, 0, 0]), small.cost(&[24, 0, 0, 0, 0])), (1, 0));
    }

    #[test]
    fn what_stays_in_the_cache_for_longer_is_part_of_what_was_written() {
        let prices = prices("anthropic");
        let rates = prices.rates("claude-sonnet-4-20250514").unwrap();
        let tokens = prices.apart(&[100, 1_000, 500, 200, 10]);
        assert_eq!(tokens, [100, 1_000, 300, 200, 10]);
        assert_eq!(rates.cost(&tokens), 300 + 300 + 1_125 + 1_200 + 150);
    }

    #[test]
    fn a_model_is_known_by_its_name_with_or_without_a_date() {
        let prices = prices("openai");
        let dear = prices.rates("gpt-4o").unwrap();
        assert_eq!(prices.rates("gpt-4o-2024-11-20"), Some(dear));
        assert_ne!(prices.rates("gpt-4o-mini"), Some(dear));
        assert_ne!(prices.rates("gpt-4o-mini-2024-07-18"), Some(dear));
        for unknown in ["", "gpt-4o-", "gpt-4o-audio-preview", "gpt-4o-2024-08-6x", "gpt", "é"] {
            assert_eq!(prices.rates(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn every_price_of_the_catalogue_is_one() {
        for provider in ["openai", "anthropic"] {
            let prices = prices(provider);
            assert!(prices.models.len() > 8);
            for (model, rates) in &prices.models {
                assert!(rates.dollars(TokenKind::Input) > 0.0, "{model}");
                let cached = rates.dollars(TokenKind::Cached);
                assert!(cached <= rates.dollars(TokenKind::Input), "{model}");
            }
        }
    }
}
