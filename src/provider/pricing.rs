//! Reads `price` of an entry: what a call costs, what its tokens cost, and where answers tell how
//! many there were. Every fault is named by its member.
//! Must never let an amount in that is none.

use std::sync::Arc;

use super::Pointer;
use super::file::{BadProvider, bad};
use super::price::{Places, Price, Rates, TokenKind, TokenPrices, Told, millionths};
use super::raw::RawPrice;

pub(super) fn price(id: &str, raw: &RawPrice) -> Result<Price, BadProvider> {
    let per_call = raw.per_call.map_or(Ok(0), millionths);
    let per_call = per_call.map_err(|fault| bad(id, "price.per_call", fault))?;
    let tokens = token_prices(id, raw)?.map(Arc::new);
    Ok(Price { per_call, tokens })
}

/// None where no answer tells tokens, or none has a price.
fn token_prices(id: &str, raw: &RawPrice) -> Result<Option<TokenPrices>, BadProvider> {
    let mut places = Places::default();
    for text in &raw.model {
        places.add(&pointer(id, "price.model", text)?, Told::Model);
    }
    let mut within = Vec::new();
    for (name, tokens) in &raw.tokens {
        let member = format!("price.tokens.{name}");
        let kind = kind(id, &member, name)?;
        for text in &tokens.at {
            places.add(&pointer(id, &member, text)?, Told::Tokens(kind));
        }
        if let Some(whole) = &tokens.within {
            within.push((kind, self::kind(id, &member, whole)?));
        }
    }
    let route = |text: &String| {
        let parts = text.split_once(' ').filter(|(_, path)| path.starts_with('/'));
        let (method, path) = parts.ok_or_else(|| {
            bad(id, "price.routes", format!("`{text}` is no route such as POST /v1/messages"))
        })?;
        Ok((method.to_owned(), path.to_owned()))
    };
    let routes = raw.routes.iter().map(route).collect::<Result<Vec<_>, BadProvider>>()?;
    let mut models = std::collections::BTreeMap::new();
    for (model, given) in &raw.models {
        let member = format!("price.models.{model}");
        let mut dollars = [None; TokenKind::ALL.len()];
        for (name, price) in given {
            let place = kind(id, &member, name)?.place();
            if let Some(slot) = dollars.get_mut(place) {
                *slot = Some(*price);
            }
        }
        let rates = Rates::new(&dollars).map_err(|fault| bad(id, &member, fault))?;
        models.insert(model.clone(), rates);
    }
    let is_told = !routes.is_empty() && !raw.tokens.is_empty() && !models.is_empty();
    Ok(is_told.then_some(TokenPrices { routes, places, within, models }))
}

fn pointer(id: &str, member: &str, text: &str) -> Result<Pointer, BadProvider> {
    Pointer::parse(text).map_err(|fault| bad(id, member, fault))
}

fn kind(id: &str, member: &str, name: &str) -> Result<TokenKind, BadProvider> {
    let known = TokenKind::ALL.into_iter().find(|kind| kind.as_str() == name);
    known.ok_or_else(|| {
        let kinds: Vec<&str> = TokenKind::ALL.into_iter().map(TokenKind::as_str).collect();
        bad(id, member, format!("`{name}` is no kind of token: {}", kinds.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Catalogue;
    use super::*;

    fn priced(text: &str) -> Result<Catalogue, BadProvider> {
        Catalogue::build(&[(String::from("openai"), text.parse().unwrap())])
    }

    #[test]
    fn settings_change_one_price_and_add_another() {
        let text = "price.models.gpt-4o.input = 2\nprice.per_call = 0.001\n\
                    price.models.\"my-own\" = { input = 1.5, output = 3 }";
        let catalogue = priced(text).unwrap();
        let price = &catalogue.get("openai").unwrap().price;
        let tokens = price.tokens.as_ref().unwrap();
        assert_eq!(price.per_call, 1_000);
        let cost = |model: &str| tokens.rates(model).map(|rates| rates.cost(&[10, 0, 0, 0, 10]));
        assert_eq!(cost("gpt-4o-2024-08-06"), Some(120));
        assert_eq!(cost("my-own"), Some(45));
        assert_eq!(cost("other"), None);
        let catalogue = priced("price.models.\"*\".output = 1").unwrap();
        let tokens = catalogue.get("openai").unwrap().price.tokens.clone().unwrap();
        assert_eq!(tokens.rates("other").map(|rates| rates.cost(&[9, 0, 0, 0, 7])), Some(7));
    }

    #[test]
    fn a_wrong_price_names_its_member() {
        for (text, member) in [
            ("price.per_call = -1", "price.per_call"),
            ("price.per_call = nan", "price.per_call"),
            ("price.models.x.input = 1e9", "price.models.x"),
            ("price.models.x.inputs = 1", "price.models.x"),
            ("price.tokens.x.at = [\"/usage\"]", "price.tokens.x"),
            ("price.tokens.input.at = [\"usage\"]", "price.tokens.input"),
            ("price.routes = [\"/v1/messages\"]", "price.routes"),
        ] {
            let fault = priced(text).unwrap_err();
            assert_eq!(fault.key, format!("providers.openai.{member}"), "{text}: {fault}");
        }
    }
}
