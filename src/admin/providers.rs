//! The catalogue as it is read: the settings' members plus `id`.
//! Read only in this version.
//! Must never show a secret: the catalogue holds none.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::http::Uri;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Page};
use super::call::Call;
use super::house::House;
use super::members::Members;
use super::page;
use super::refused::Refused;
use crate::provider::{Placement, Probe, Provider, Template};
use crate::refusal::{Reason, Refusal};

pub(super) fn reading() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

#[derive(Serialize, ToSchema)]
#[schema(as = Provider)]
struct ProviderView {
    #[schema(example = "polygon")]
    id: String,
    title: String,
    #[schema(example = "market-data")]
    category: String,
    docs_url: Option<String>,
    #[schema(example = "https://api.polygon.io:443")]
    base_url: String,
    websocket_url: Option<String>,
    /// The names of the fields that a secret of this provider has.
    #[schema(example = json!(["api_key"]))]
    fields: Vec<String>,
    inject: Vec<PlacementView>,
    probe: Option<ProbeView>,
    allow_private_network: bool,
    max_wait_seconds: u64,
    pool: bool,
    /// 0: as the provider says in its answers, or none.
    requests_per_minute: u32,
    timeouts: TimeoutsView,
    /// Where callers of the proxy may present their key, beside the usual places.
    slots: SlotsView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Placement)]
struct PlacementView {
    #[schema(value_type = String, example = "header")]
    at: &'static str,
    #[schema(example = "authorization")]
    name: String,
    /// With the fields' names in braces.
    #[schema(example = "Bearer {api_key}")]
    value: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Probe)]
struct ProbeView {
    method: String,
    path: String,
    ok: Vec<u16>,
    bad: Vec<u16>,
    bad_body: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Timeouts)]
struct TimeoutsView {
    connect_seconds: u64,
    first_byte_seconds: u64,
    idle_seconds: u64,
    /// 0: no bound on the whole.
    total_seconds: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Slots)]
struct SlotsView {
    headers: Vec<String>,
    query: Vec<String>,
}

/// A page of providers, by id.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone; `Page` is answered")]
struct Providers {
    items: Vec<ProviderView>,
    next_cursor: Option<String>,
}

/// List the catalogue, by id.
#[utoipa::path(get, path = "/api/v1/admin/providers", tag = "Providers",
    params(("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = Providers)))]
async fn list(call: Call, uri: Uri) -> Result<Answer, Refused> {
    let mut query = Members::of_query(&uri)?;
    let limit = page::limit(&mut query);
    let after = page::after_text(&mut query);
    query.finish()?;
    let follows = |provider: &&Arc<Provider>| {
        after.as_ref().is_none_or(|after| provider.id.as_ref() > after.as_str())
    };
    let providers: Vec<&Arc<Provider>> = call.house.catalogue.iter().filter(follows).collect();
    let (providers, next_cursor) =
        page::split(providers, limit, |provider| provider.id.to_string());
    let items: Vec<ProviderView> = providers.into_iter().map(|one| ProviderView::of(one)).collect();
    Answer::ok(&Page { items, next_cursor })
}

/// Show a provider.
#[utoipa::path(get, path = "/api/v1/admin/providers/{id}", tag = "Providers",
    params(("id" = String, Path, example = "polygon")),
    responses((status = 200, description = "The provider.", body = ProviderView)))]
async fn show(call: Call, Path(id): Path<String>) -> Result<Answer, Refused> {
    let Some(provider) = call.house.catalogue.get(&id) else {
        let detail = "The catalogue has no provider of that id.";
        return Err(Refusal::new(Reason::UnknownProvider, detail).into());
    };
    Answer::ok(&ProviderView::of(provider))
}

impl ProviderView {
    fn of(provider: &Provider) -> Self {
        let timeouts = provider.timeouts;
        Self {
            id: provider.id.to_string(),
            title: provider.title.clone(),
            category: provider.category.clone(),
            docs_url: provider.docs_url.clone(),
            base_url: provider.base.canonical(),
            websocket_url: provider.websocket.as_ref().map(|base| base.canonical()),
            fields: provider.fields.iter().map(|field| field.name.clone()).collect(),
            inject: provider.inject.iter().map(PlacementView::of).collect(),
            probe: provider.probe.as_ref().map(ProbeView::of),
            allow_private_network: provider.allow_private_network,
            max_wait_seconds: provider.max_wait.as_secs(),
            pool: provider.pool,
            requests_per_minute: provider.requests_per_minute.unwrap_or(0),
            timeouts: TimeoutsView {
                connect_seconds: timeouts.connect.as_secs(),
                first_byte_seconds: timeouts.first_byte.as_secs(),
                idle_seconds: timeouts.idle.as_secs(),
                total_seconds: timeouts.total.as_ref().map_or(0, Duration::as_secs),
            },
            slots: SlotsView {
                headers: provider.slots.headers.clone(),
                query: provider.slots.query.clone(),
            },
        }
    }
}

impl PlacementView {
    fn of(placement: &Placement) -> Self {
        match placement {
            Placement::Header { name, value } => {
                Self { at: "header", name: name.to_string(), value: text(value) }
            }
            Placement::Query { name, value } => {
                Self { at: "query", name: name.clone(), value: text(value) }
            }
        }
    }
}

impl ProbeView {
    fn of(probe: &Probe) -> Self {
        Self {
            method: probe.method.clone(),
            path: probe.path.clone(),
            ok: probe.ok.clone(),
            bad: probe.bad.clone(),
            bad_body: probe.bad_body.clone(),
        }
    }
}

/// The template as it was written: filled with the names of its own fields.
fn text(template: &Template) -> String {
    let names: Vec<(&str, String)> =
        template.fields().map(|name| (name, format!("{{{name}}}"))).collect();
    let written = template.fill(|wanted| {
        let found = names.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, braced)| braced.as_bytes())
    });
    written.and_then(|text| text.expose_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_shown_as_it_was_written() {
        for written in ["Bearer {api_key}", "{key_id}:{secret_key}", "plain"] {
            assert_eq!(text(&Template::parse(written).unwrap()), written);
        }
    }
}
