//! Which calls of a batch asked again for what their client key had, by day, way and secret: what
//! reports say of calls made for nothing. Gathered while a batch is packed, from what the record
//! says of itself. Must never hold a query, and must never count what is no proxied call.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::record::Kind;
use super::view::View;
use crate::client::put_path;
use crate::store::{Bucket, Repeated, RepeatedCalls};

#[derive(Clone, Default)]
pub(super) struct Repeats(BTreeMap<RepeatedCalls, Repeated>);

impl Repeats {
    pub(super) fn add(&mut self, client_id: Uuid, view: &View<'_>) {
        let Some(fresh_seconds) = view.answer.and_then(|answer| answer.again) else { return };
        if view.kind != Kind::Usage {
            return;
        }
        let mut path = String::new();
        put_path(&mut path, &String::from_utf8_lossy(view.path));
        let calls = RepeatedCalls {
            client_id,
            day_ms: Bucket::Day.start_of(view.started_at_ms),
            secret_id: view.secret.map(|secret| secret.id),
            provider: String::from_utf8_lossy(view.provider).into_owned(),
            path,
        };
        let once = Repeated {
            calls: 1,
            bytes: view.closing.map_or(0, |closing| closing.bytes_out),
            cost: view.meter.and_then(|meter| meter.cost).unwrap_or_default(),
            fresh_seconds,
        };
        self.put(calls, once);
    }

    fn put(&mut self, calls: RepeatedCalls, more: Repeated) {
        self.0.entry(calls).and_modify(|held| held.merge(&more)).or_insert(more);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (calls, more) in &other.0 {
            self.put(calls.clone(), *more);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// As it is stored, in one order everywhere.
    pub(super) fn to_rows(&self) -> Vec<(RepeatedCalls, Repeated)> {
        self.0.iter().map(|(calls, repeated)| (calls.clone(), *repeated)).collect()
    }
}
