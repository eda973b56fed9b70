//! Who calls the admin face: a client key, an operator of the console, or somebody at the machine
//! itself. What a caller may do is asked of his role; nothing here decides
//! it.

use std::sync::Arc;

use uuid::Uuid;

use crate::client::{Client, Right, Role};
use crate::ledger::{ActorKind, ActorRef};
use crate::operators::Signed;

#[derive(Clone)]
pub(super) enum Caller {
    /// Through the local socket: counts as an admin.
    Local,
    Key(Arc<Client>),
    /// By his session.
    Operator(Arc<Signed>),
    /// A session that an admin key made, for one thing alone.
    ByKey(Arc<Client>, Errand),
}

/// What a session that an admin key made is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// The first operator, while there is none.
    SetUp,
    /// The house is sealed, so that nobody's code can be checked.
    Unseal,
}

impl Caller {
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Local => Role::Admin,
            Self::Key(client) | Self::ByKey(client, _) => client.rights.role,
            Self::Operator(signed) => signed.role,
        }
    }

    pub(super) fn may(&self, right: Right) -> bool {
        match self {
            Self::Local => Role::Admin.may(right),
            Self::Key(client) | Self::ByKey(client, _) => client.may(right),
            Self::Operator(signed) => signed.role.may(right),
        }
    }

    /// In the words of a refusal.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Key(client) if client.token().is_some() => "A token",
            Self::Operator(_) => "An operator",
            Self::Local | Self::Key(_) | Self::ByKey(..) => "A key",
        }
    }

    /// What is written down as the maker of a thing.
    pub(super) fn actor(&self) -> String {
        match self {
            Self::Local => String::from("local"),
            Self::Key(client) | Self::ByKey(client, _) => client.id.to_string(),
            Self::Operator(signed) => signed.operator_id().to_string(),
        }
    }

    /// As the trail names him.
    pub(super) fn actor_ref(&self) -> ActorRef<'_> {
        match self {
            Self::Local => ActorRef { kind: ActorKind::Local, id: None, name: "local" },
            Self::Operator(signed) => ActorRef {
                kind: ActorKind::Operator,
                id: Some(signed.operator_id()),
                name: &signed.name,
            },
            Self::Key(client) | Self::ByKey(client, _) => {
                let kind = match client.token() {
                    None => ActorKind::Key,
                    Some(_) => ActorKind::Token,
                };
                ActorRef { kind, id: Some(client.id), name: &client.name }
            }
        }
    }

    pub(super) fn key_id(&self) -> Option<Uuid> {
        match self {
            Self::Local | Self::Operator(_) => None,
            Self::Key(client) | Self::ByKey(client, _) => Some(client.id),
        }
    }

    /// Whose calls are counted as whose.
    pub(super) fn counted_as(&self) -> Option<Uuid> {
        match self {
            Self::Operator(signed) => Some(signed.operator_id()),
            Self::Local | Self::Key(_) | Self::ByKey(..) => self.key_id(),
        }
    }
}
