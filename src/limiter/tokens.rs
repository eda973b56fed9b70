//! The windows of tokens that have a tier of their own. Tokens come and go without end, so theirs
//! are thrown away once they have.
//! Must never throw away one whose token may still be used.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use uuid::Uuid;

use crate::client::Client;
use crate::quota::Window;

/// Fewer are never looked through.
const FEW: usize = 1024;

#[derive(Default)]
pub(super) struct Tokens {
    windows: papaya::HashMap<Uuid, (Arc<Window>, i64)>,
    /// How many were left when they were last looked through.
    left: AtomicUsize,
}

impl Tokens {
    /// That of this client's token.
    pub(super) fn window(&self, client: &Client, now_ms: i64) -> Arc<Window> {
        let windows = self.windows.pin();
        let id = client.token().map_or(client.id, |token| token.id);
        if let Some((window, _)) = windows.get(&id) {
            return Arc::clone(window);
        }
        // Each look halves at worst what the next one finds, so that a new window costs little.
        if windows.len() >= FEW.max(2 * self.left.load(Ordering::Relaxed)) {
            windows.retain(|_, (_, ends)| *ends > now_ms);
            self.left.store(windows.len(), Ordering::Relaxed);
        }
        let ends = client.expires_at_ms.unwrap_or(i64::MAX);
        Arc::clone(&windows.get_or_insert_with(id, || (Arc::default(), ends)).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Role, Shows, Token};

    #[test]
    fn windows_of_ended_tokens_are_thrown_away_and_others_stay() {
        let tokens = Tokens::default();
        let token = |number: u128, ends| {
            let mut client = Client::of_role(Role::User);
            let token = Token { id: Uuid::from_u128(number), ..Token::default() };
            client.shows = Shows::Token(Box::new(token));
            client.expires_at_ms = Some(ends);
            client
        };
        let kept = tokens.window(&token(1, i64::MAX), 0);
        for number in 2..100_000 {
            let now_ms = i64::try_from(number).unwrap();
            tokens.window(&token(number, now_ms + 100), now_ms);
        }
        assert!(tokens.windows.len() <= 2 * FEW, "{}", tokens.windows.len());
        assert!(Arc::ptr_eq(&kept, &tokens.window(&token(1, i64::MAX), 0)));
    }
}
