//! Which providers' secrets somebody has touched: with these, a call that names no secret gets the
//! one that is named `default` and is as it was left, or none. Must never let an edited, moved or
//! deleted row hand its calls to a sibling.

use std::collections::HashSet;

use uuid::Uuid;

use super::keyring::Keyring;
use super::stock::Stock;
use crate::provider::Provider;
use crate::store::Unreadable;

#[derive(Default)]
pub(super) struct Doubts {
    providers: HashSet<String>,
    /// Where not even the provider can be told.
    categories: HashSet<String>,
}

impl Doubts {
    pub(super) fn of(stock: &Stock, keyring: &Keyring) -> Self {
        let mut doubts = Self::default();
        for stored in stock.loaded.rows.iter().filter(|stored| !stock.judge(stored)) {
            let secret = &stored.secret;
            let meaning = (secret.provider.as_str(), secret.id);
            match stock.listed_in(secret.id) {
                Some(_) if keyring.vouches(meaning, (secret.kek_id, &secret.data_key)) => {
                    doubts.providers.insert(secret.provider.clone());
                }
                Some(category) => {
                    doubts.categories.insert(category.to_owned());
                }
                // Somebody put it there; no call ever meant it.
                None => {}
            }
        }
        let unread = &stock.loaded.contradictions;
        doubts.providers.extend(unread.iter().map(|unread| unread.provider.clone()));
        for (id, category) in stock.missing() {
            if !unread.iter().any(|unread| is(keyring, unread, id)) {
                doubts.categories.insert(category);
            }
        }
        let of_touched = stock.loaded.rows.iter().map(|stored| &stored.secret);
        let of_touched = of_touched.filter(|secret| doubts.categories.contains(&secret.category));
        doubts.providers.extend(of_touched.map(|secret| secret.provider.clone()));
        doubts
    }

    pub(super) fn touch(&self, provider: &Provider) -> bool {
        self.providers.contains(&*provider.id) || self.categories.contains(&provider.category)
    }
}

/// Whatever stands in its columns, a data key is wrapped for one secret of one provider.
fn is(keyring: &Keyring, unread: &Unreadable, id: Uuid) -> bool {
    Uuid::try_parse(&unread.kek_id)
        .is_ok_and(|kek_id| keyring.vouches((&unread.provider, id), (kek_id, &unread.data_key)))
}
