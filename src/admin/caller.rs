//! Who calls the admin face: a client key, or somebody at the machine
//! itself. What a caller may do is asked of his role; nothing here decides
//! it.

use std::sync::Arc;

use uuid::Uuid;

use crate::client::{Client, Right, Role};
use crate::ledger::{ActorKind, ActorRef};

#[derive(Clone)]
pub(super) enum Caller {
    /// Through the local socket: counts as an admin.
    Local,
    Key(Arc<Client>),
}

impl Caller {
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Local => Role::Admin,
            Self::Key(client) => client.rights.role,
        }
    }

    pub(super) fn may(&self, right: Right) -> bool {
        match self {
            Self::Local => Role::Admin.may(right),
            Self::Key(client) => client.may(right),
        }
    }

    /// In the words of a refusal.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Key(client) if client.token().is_some() => "token",
            Self::Local | Self::Key(_) => "key",
        }
    }

    /// What is written down as the maker of a thing.
    pub(super) fn actor(&self) -> String {
        match self {
            Self::Local => String::from("local"),
            Self::Key(client) => client.id.to_string(),
        }
    }

    /// As the trail names him.
    pub(super) fn actor_ref(&self) -> ActorRef<'_> {
        match self {
            Self::Local => ActorRef { kind: ActorKind::Local, id: None, name: "local" },
            Self::Key(client) => {
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
            Self::Local => None,
            Self::Key(client) => Some(client.id),
        }
    }
}
