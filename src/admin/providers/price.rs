//! What a provider's calls cost, as the
//! catalogue shows it: in dollars.
//! Read only.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::provider::{Price, TokenKind};

#[derive(Serialize, ToSchema)]
#[schema(as = Price)]
pub(super) struct PriceView {
    /// In dollars, for each call that did not fail.
    per_call: f64,
    /// The calls whose answers tell tokens.
    #[schema(example = json!(["POST /v1/messages"]))]
    routes: Vec<String>,
    /// In dollars for a million tokens of each kind, by model; `*` stands for all others.
    #[schema(example = json!({"gpt-4o": {"input": 2.5, "cached": 1.25, "output": 10.0}}))]
    models: BTreeMap<String, BTreeMap<String, f64>>,
}

impl PriceView {
    pub(super) fn of(price: &Price) -> Option<Self> {
        if price.per_call == 0 && price.tokens.is_none() {
            return None;
        }
        let tokens = price.tokens.iter();
        let routes = tokens.clone().flat_map(|tokens| &tokens.routes);
        let models = tokens.flat_map(|tokens| &tokens.models).map(|(model, rates)| {
            let kinds = TokenKind::ALL.into_iter();
            let of = |kind: TokenKind| (kind.as_str().to_owned(), rates.dollars(kind));
            (model.clone(), kinds.map(of).collect())
        });
        Some(Self {
            per_call: crate::admin::usage::dollars(price.per_call),
            routes: routes.map(|(method, path)| format!("{method} {path}")).collect(),
            models: models.collect(),
        })
    }
}
