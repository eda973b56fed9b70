//! A session as its own browser sees it. Tells a stranger no more than whether the console was set
//! up.
//! Must never hold what the browser's cookie holds.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::caller::Errand;
use super::super::house::House;
use super::super::words;
use crate::clock::rfc3339;
use crate::operators::Signed;

/// How a browser's session stands.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct Session {
    state: State,
    operator: Option<SignedIn>,
    /// The session's own id, as `…/admin/sessions` lists it.
    id: Option<String>,
    /// Until then what hurts may be done; null: a fresh code is asked for.
    #[schema(format = DateTime)]
    stepped_up_until: Option<String>,
    /// It ends then, unless it is used.
    #[schema(format = DateTime)]
    idle_until: Option<String>,
    /// It ends then, used or not.
    #[schema(format = DateTime)]
    ends_at: Option<String>,
    sealed: bool,
    version: &'static str,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SessionState)]
enum State {
    /// There is no operator yet; sign in with an admin key.
    FirstRun,
    /// Signed in with an admin key, to invite the first operator.
    SetUp,
    /// Signed in with an admin key, to unseal.
    Unsealing,
    SignedOut,
    SignedIn,
}

/// An operator, as he sees himself.
#[derive(Serialize, ToSchema)]
struct SignedIn {
    id: String,
    name: String,
    #[schema(value_type = words::Role)]
    role: &'static str,
    email: Option<String>,
    recovery_codes_left: usize,
}

impl Session {
    fn bare(house: &House, state: State) -> Self {
        Self {
            state,
            operator: None,
            id: None,
            stepped_up_until: None,
            idle_until: None,
            ends_at: None,
            sealed: house.vault.is_sealed(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    pub(super) fn of_nobody(house: &House, has_operators: bool) -> Self {
        Self::bare(house, if has_operators { State::SignedOut } else { State::FirstRun })
    }

    pub(super) fn by_key(house: &House, errand: Errand, ends_at: Option<i64>) -> Self {
        let state = match errand {
            Errand::SetUp => State::SetUp,
            Errand::Unseal => State::Unsealing,
        };
        let ends_at = ends_at.map(rfc3339);
        Self { idle_until: ends_at.clone(), ends_at, ..Self::bare(house, state) }
    }
}

pub(in super::super) fn seen(house: &House, signed: &Signed) -> Session {
    let operator = SignedIn {
        id: signed.operator_id().to_string(),
        name: signed.name.clone(),
        role: signed.role.as_str(),
        email: signed.email.clone(),
        recovery_codes_left: signed.recovery_codes_left,
    };
    Session {
        operator: Some(operator),
        id: Some(signed.session_id().to_string()),
        stepped_up_until: signed.stepped_up_until(house.clock.unix_ms()).map(rfc3339),
        idle_until: Some(rfc3339(house.operators.idle_until(signed))),
        ends_at: Some(rfc3339(signed.ends_at())),
        ..Session::bare(house, State::SignedIn)
    }
}
