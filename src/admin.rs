//! The admin face: the operators' REST API, health, metrics and the description of the API, on a
//! listener of its own and on the local socket. It carries no provider traffic, knows nothing of
//! the proxy, and must never answer with a secret's value.

mod caller;
mod describe;
mod frame;
mod guard;
mod house;
mod local;
mod members;
mod note;
mod open;
mod pages;
mod rate;
mod refused;
mod routes;
mod serve;
mod trace;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use self::house::House;
use self::pages::Pages;
use self::rate::Rate;
use crate::clock::Clock;
use crate::net::TlsFiles;

pub(crate) use self::local::{LocalError, LocalSocket};
pub(crate) use self::open::{Figures, Part, Readiness};
pub(crate) use self::serve::Doors;

#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    pub behind_tls: bool,
    pub tls: Option<TlsFiles>,
    pub frame_ancestors: Vec<String>,
    pub requests_per_minute: u64,
}

/// What the admin face is built from.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) figures: Figures,
    pub(crate) readiness: Readiness,
}

/// The admin face, ready to be served.
pub(crate) struct Admin {
    house: Arc<House>,
}

impl Admin {
    pub(crate) fn new(parts: Parts) -> Self {
        let pages = Pages::new(&parts.settings.frame_ancestors, Self::openapi());
        let house = House {
            rate: Rate::new(parts.clock.clone(), parts.settings.requests_per_minute),
            clock: parts.clock,
            figures: parts.figures,
            readiness: parts.readiness,
            pages,
        };
        Self { house: Arc::new(house) }
    }

    pub(crate) fn router(&self) -> axum::Router {
        routes::router(Arc::clone(&self.house))
    }

    /// Runs until `shutdown`, then lets what is in flight finish, within bounds.
    pub(crate) async fn serve(self, doors: Doors, shutdown: impl Future<Output = ()>) {
        serve::serve(self.router(), doors, shutdown).await;
    }

    /// The description of the API, for which no server has to run.
    pub(crate) fn openapi() -> String {
        routes::description().to_pretty_json().unwrap_or_default()
    }
}
