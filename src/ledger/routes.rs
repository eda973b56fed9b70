//! Which ways the calls of a batch went, by client key: what reports say of what a key needs.
//! Gathered while a batch is packed, so that it costs a request nothing.
//! Must never hold a query, and must never count what is no proxied call.

use std::collections::HashMap;

use uuid::Uuid;

use super::record::Kind;
use super::view::View;
use crate::client::{Route, put_path};
use crate::store::{ClientRoute, Gone};

/// Of one client key in one batch.
const MOST_ROUTES: usize = 256;

/// By client key, then by provider, method and way, apart by blanks.
#[derive(Clone, Default)]
pub(super) struct Routes {
    keys: HashMap<Uuid, HashMap<String, Gone>>,
    /// Grows once.
    scratch: String,
}

impl Routes {
    pub(super) fn add(&mut self, client_id: Uuid, view: &View<'_>) {
        if view.kind != Kind::Usage {
            return;
        }
        let (provider, method) = (text(view.provider), text(view.method));
        let gone = Gone { calls: 1, first: view.started_at_ms, last: view.started_at_ms };
        self.put(client_id, (provider, method, text(view.path)), gone);
        // What is said on a socket may be more than reading, and is asked for as a POST.
        if view.messages.is_some() {
            self.put(client_id, (provider, "POST", text(view.path)), Gone { calls: 0, ..gone });
        }
    }

    fn put(&mut self, client_id: Uuid, (provider, method, path): (&str, &str, &str), gone: Gone) {
        let of_key = self.keys.entry(client_id).or_default();
        self.scratch.clear();
        for part in [provider, " ", method, " "] {
            self.scratch.push_str(part);
        }
        let named = self.scratch.len();
        put_path(&mut self.scratch, path);
        if of_key.len() >= MOST_ROUTES && !of_key.contains_key(self.scratch.as_str()) {
            self.scratch.truncate(named);
            self.scratch.push_str("/**");
        }
        match of_key.get_mut(self.scratch.as_str()) {
            Some(held) => held.merge(&gone),
            None => {
                of_key.insert(self.scratch.clone(), gone);
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (id, routes) in &other.keys {
            let held = self.keys.entry(*id).or_default();
            for (route, gone) in routes {
                held.entry(route.clone()).and_modify(|held| held.merge(gone)).or_insert(*gone);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
    }

    /// As it is stored, in one order everywhere.
    pub(super) fn to_rows(&self) -> Vec<ClientRoute> {
        let mut rows = Vec::new();
        for (client_id, routes) in &self.keys {
            rows.extend(routes.iter().filter_map(|(route, gone)| {
                let mut parts = route.splitn(3, ' ').map(str::to_owned);
                let route =
                    Route { provider: parts.next()?, method: parts.next()?, path: parts.next()? };
                Some(ClientRoute { client_id: *client_id, route, gone: *gone })
            }));
        }
        rows.sort_by(|left, right| {
            (left.client_id, &left.route).cmp(&(right.client_id, &right.route))
        });
        rows
    }
}

/// What is no text was written by nobody here: it stands for whatever may be there.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("…")
}
