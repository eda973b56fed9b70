//! Every route of the admin face, grouped by the right that it demands. The router and its
//! description come from the same list, so that neither can know a route that the other does
//! not.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::change::change;
use super::csrf::csrf;
use super::frame::frame;
use super::guard::{Needs, WhileSealed, guard};
use super::house::House;
use super::refused::Refused;
use super::{
    alerts, audit, backfills, backups, console, deliveries, describe, destinations, export, keks,
    keys, open, operators, pages, policy, providers, reports, sealing, secrets, session, sessions,
    stream, symbols, usage,
};
use crate::client::Right;

type Routes = OpenApiRouter<Arc<House>>;

pub(super) fn router(house: Arc<House>) -> Router {
    let (router, _) = all(Some(&house)).split_for_parts();
    router
        .fallback(async || Refused::of_status(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || Refused::of_status(StatusCode::METHOD_NOT_ALLOWED))
        .layer(from_fn(csrf))
        .layer(CatchPanicLayer::custom(|_| -> Response {
            // The panic hook has logged where; what it said may hold anything.
            axum::response::IntoResponse::into_response(Refused::internal("a route panicked"))
        }))
        .layer(from_fn_with_state(Arc::clone(&house), frame))
        .with_state(house)
}

pub(super) fn description() -> Value {
    let (_, description) = all(None).split_for_parts();
    describe::finished(&description)
}

/// The layers need the house; the description alone does not.
fn all(house: Option<&Arc<House>>) -> OpenApiRouter<Arc<House>> {
    let groups: [(Right, WhileSealed, Vec<Routes>); 8] = [
        (
            Right::ReadMetadata,
            WhileSealed::Refuses,
            vec![
                keks::reading(),
                keys::reading(),
                secrets::reading(),
                providers::reading(),
                symbols::reading(),
                backfills::reading(),
                usage::reading(),
                reports::reading(),
            ],
        ),
        (
            Right::ReadUsageTrail,
            WhileSealed::Answers,
            vec![keys::reading_trail(), audit::reading(), export::reading(), stream::reading()],
        ),
        // Whoever may be an operator may look.
        (Right::ReadMetadata, WhileSealed::Answers, vec![session::own(), sessions::own()]),
        (Right::VerifyTrail, WhileSealed::Answers, vec![audit::verifying()]),
        (Right::ExplainPolicy, WhileSealed::Refuses, vec![policy::explaining()]),
        (
            Right::Operate,
            WhileSealed::Refuses,
            vec![
                keys::changing(),
                secrets::changing(),
                providers::changing(),
                symbols::changing(),
                backfills::changing(),
            ],
        ),
        (
            Right::Administer,
            WhileSealed::Refuses,
            vec![
                backups::administering(),
                keys::accepting(),
                keks::changing(),
                keks::master::changing(),
                secrets::destroying(),
                operators::administering(),
            ],
        ),
        (Right::Administer, WhileSealed::Answers, vec![sealing::changing()]),
    ];
    groups
        .into_iter()
        .chain(of_alerts())
        .flat_map(|(right, sealed, group)| group.into_iter().map(move |one| (right, sealed, one)))
        .fold(open_to_all(), |all, (right, sealed, one)| {
            let one = match house {
                Some(house) => behind(house, (right, sealed), one),
                None => one,
            };
            all.merge(one)
        })
}

/// What is amiss is shown by a house that is sealed, too; who is told of it is sealed with it.
fn of_alerts() -> [(Right, WhileSealed, Vec<Routes>); 3] {
    let changing = vec![alerts::changing(), destinations::changing(), deliveries::changing()];
    [
        (Right::ReadMetadata, WhileSealed::Answers, vec![alerts::reading(), deliveries::reading()]),
        (Right::ReadMetadata, WhileSealed::Refuses, vec![destinations::reading()]),
        (Right::Operate, WhileSealed::Refuses, changing),
    ]
}

fn open_to_all() -> Routes {
    OpenApiRouter::with_openapi(describe::whole())
        .routes(routes!(open::healthz))
        .routes(routes!(open::readyz))
        .routes(routes!(open::metrics))
        .merge(session::open())
        .merge(pages::router())
        .merge(console::router())
}

/// Authenticated and entitled first, then, where something changes, read and protected from
/// repeats.
fn behind(
    house: &Arc<House>,
    (right, while_sealed): (Right, WhileSealed),
    routes: Routes,
) -> Routes {
    let needs = Needs { house: Arc::clone(house), right, while_sealed };
    routes
        .route_layer(from_fn_with_state(Arc::clone(house), change))
        .route_layer(from_fn_with_state(needs, guard))
}
