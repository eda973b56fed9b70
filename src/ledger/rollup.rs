//! What a batch of calls adds up to, for the numbers of usage: gathered by every combination that
//! came up, taken apart by one thing at a time when it is stored. Must never count what is no
//! proxied call.

use std::collections::HashMap;

use uuid::Uuid;

use super::record::Kind;
use super::view::View;
use crate::refusal::Fault;
use crate::store::{Bucket, Dimension, UsageKey, UsageSum};

/// Of one batch.
const MOST_MODELS: usize = 64;

/// Calls of a minute that share everything by which they are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Combination {
    minute_ms: i64,
    /// Its place among the names.
    provider: usize,
    secret: Option<Uuid>,
    client: Option<Uuid>,
    status: u16,
    /// Its place among the models; None where none was named.
    model: Option<usize>,
}

#[derive(Clone, Default)]
pub(super) struct Rollup {
    /// There are few.
    providers: Vec<String>,
    /// Each behind its provider; of one batch so many, and then others.
    models: Vec<String>,
    sums: HashMap<Combination, UsageSum>,
}

impl Rollup {
    pub(super) fn add(&mut self, view: &View<'_>) {
        if view.kind != Kind::Usage {
            return;
        }
        let combination = Combination {
            minute_ms: Bucket::Minute.start_of(view.started_at_ms),
            provider: self.provider(view.provider),
            secret: view.secret.map(|secret| secret.id),
            client: view.actor_id,
            status: view.answer.map_or(0, |answer| answer.status),
            model: view.meter.and_then(|meter| self.model(view.provider, meter.model)),
        };
        let sum = self.sums.entry(combination).or_default();
        sum.requests += 1;
        if let Some(meter) = view.meter {
            let [input, cached, written, long, output] = meter.tokens.unwrap_or_default();
            sum.tokens_in = sum.tokens_in.saturating_add(input + cached + written + long);
            sum.tokens_out = sum.tokens_out.saturating_add(output);
            sum.cost = sum.cost.saturating_add(meter.cost.unwrap_or_default());
            sum.unpriced += u64::from(meter.cost.is_none());
        }
        let Some(closing) = view.closing else { return };
        let [client, provider, us] = &mut sum.errors;
        match closing.fault {
            Some(Fault::Client) => *client += 1,
            Some(Fault::Provider) => *provider += 1,
            Some(Fault::Us) => *us += 1,
            None => {}
        }
        sum.bytes_in = sum.bytes_in.saturating_add(closing.bytes_in);
        sum.bytes_out = sum.bytes_out.saturating_add(closing.bytes_out);
        sum.durations.add(closing.duration_ns);
    }

    fn provider(&mut self, name: &[u8]) -> usize {
        match self.providers.iter().position(|held| held.as_bytes() == name) {
            Some(place) => place,
            None => {
                self.providers.push(String::from_utf8_lossy(name).into_owned());
                self.providers.len() - 1
            }
        }
    }

    /// A provider names it: whatever it is, there are not too many.
    fn model(&mut self, provider: &[u8], model: &[u8]) -> Option<usize> {
        if model.is_empty() {
            return None;
        }
        let text = String::from_utf8_lossy;
        let name = format!("{}/{}", text(provider), text(model));
        Some(self.place_of_model(name, text(provider).as_ref()))
    }

    fn place_of_model(&mut self, name: String, provider: &str) -> usize {
        let place = |models: &[String], name: &str| models.iter().position(|held| held == name);
        if let Some(known) = place(&self.models, &name) {
            return known;
        }
        let name = if self.models.len() < MOST_MODELS { name } else { format!("{provider}/…") };
        place(&self.models, &name).unwrap_or_else(|| {
            self.models.push(name);
            self.models.len() - 1
        })
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (combination, sum) in &other.sums {
            let name = other.providers.get(combination.provider).map_or("", String::as_str);
            let provider = self.provider(name.as_bytes());
            let model = combination.model.and_then(|place| other.models.get(place));
            let model = model.map(|model| self.place_of_model(model.clone(), name));
            let combination = Combination { provider, model, ..*combination };
            self.sums.entry(combination).or_default().merge(sum);
        }
    }

    pub(super) fn clear(&mut self) {
        self.sums.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// As it is stored, in one order everywhere.
    pub(super) fn to_rows(&self) -> Vec<(UsageKey, UsageSum)> {
        let mut rows: HashMap<UsageKey, UsageSum> = HashMap::new();
        for (combination, sum) in &self.sums {
            for bucket in Bucket::ALL {
                for dimension in Dimension::ALL {
                    if dimension == Dimension::Model && combination.model.is_none() {
                        continue;
                    }
                    let key = UsageKey {
                        bucket,
                        start_ms: bucket.start_of(combination.minute_ms),
                        dimension,
                        name: self.name(combination, dimension),
                    };
                    rows.entry(key).or_default().merge(sum);
                }
            }
        }
        let mut rows: Vec<(UsageKey, UsageSum)> = rows.into_iter().collect();
        rows.sort_by(|(left, _), (right, _)| left.cmp(right));
        rows
    }

    fn name(&self, of: &Combination, dimension: Dimension) -> String {
        let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        match dimension {
            Dimension::All => String::new(),
            Dimension::Provider => self.providers.get(of.provider).cloned().unwrap_or_default(),
            Dimension::Secret => id(of.secret),
            Dimension::Client => id(of.client),
            Dimension::Status if of.status == 0 => String::new(),
            Dimension::Status => of.status.to_string(),
            Dimension::Model => {
                let model = of.model.and_then(|place| self.models.get(place));
                model.cloned().unwrap_or_default()
            }
        }
    }
}
