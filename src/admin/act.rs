//! A change on its way into the trail: written down before it is made, closed with what became of
//! it. No room in the journal means no change. Must never be told a secret: before and after are
//! settings.

use serde_json::{Value, json};

use super::call::Call;
use super::refused::Refused;
use crate::ledger::{Begin, Change, Kind};
use crate::refusal::{Reason, Refusal};

/// Dropped without `done` or `refused`, it stands in the trail as broken off.
#[must_use]
pub(super) struct Act {
    change: Change,
    before: Option<Value>,
}

impl Act {
    /// `before` is None where something new is made; `wanted` says what.
    pub(super) fn begin(
        call: &Call,
        provider: &str,
        before: Option<Value>,
        wanted: &Value,
    ) -> Result<Self, Refused> {
        let trace = &call.trace;
        let begin = Begin {
            kind: Kind::Change,
            actor: call.caller.actor_ref(),
            address: trace.address(),
            provider,
            method: trace.method.as_str(),
            path: &trace.path,
            request_id: &trace.request_id,
        };
        let intent = json!({"before": before, "wanted": wanted});
        let begun = call.house.ledger.begin_change(&begin, Some(&intent));
        let change = begun.map_err(|full| no_room(&full))?;
        trace.take_over();
        Ok(Self { change, before })
    }

    pub(super) fn done(self, status: u16, after: Option<&Value>) {
        self.change.done(status, Some(&json!({"before": self.before, "after": after})));
    }

    /// Closes the record with the refusal and hands it on.
    pub(super) fn refused(self, refused: Refused) -> Refused {
        self.change.refused(refused.refusal().reason);
        refused
    }
}

/// Where everything is to be on disk before it is answered.
pub(super) fn no_disk() -> Refused {
    Refused::because(
        Refusal::new(
            Reason::AuditUnavailable,
            "The audit journal does not reach its disk, and nothing is answered before it does; a \
             change may have been made all the same.",
        ),
        "the journal could not be carried to its disk",
    )
}

pub(super) fn no_room(full: &crate::ledger::Full) -> Refused {
    Refused::because(
        Refusal::new(
            Reason::AuditUnavailable,
            "Nothing is done that cannot be written down, and the journal has no room.",
        ),
        full,
    )
}
