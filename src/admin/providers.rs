//! The catalogue as it is read: the settings' members plus `id`. What changes it is below.
//! Must never show a value of a secret, only the names of its
//! fields.

mod change;
mod price;
mod window;

use std::collections::BTreeMap;
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
use crate::catalogue::InForce;
use crate::provider::{
    Account, Field, Host, Hosts, KeyFormat, Permission, Placement, Probe, Provider, Spot,
};
use crate::refusal::{Reason, Refusal};

pub(crate) use self::change::Refresh;
use self::price::PriceView;
use self::window::WindowView;

pub(super) fn changing() -> OpenApiRouter<Arc<House>> {
    OpenApiRouter::new()
        .routes(routes!(change::add))
        .routes(routes!(change::set))
        .routes(routes!(change::remove))
}

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
    /// Further hosts, by name.
    #[schema(example = json!({"data": "https://data.alpaca.markets:443"}))]
    hosts: BTreeMap<String, String>,
    /// Which paths are at which of the hosts; all others are at `base_url`.
    paths: Vec<PathView>,
    /// The names of the fields that a secret of this provider has.
    #[schema(example = json!(["api_key"]))]
    fields: Vec<String>,
    /// Of the fields whose shape is known.
    formats: BTreeMap<String, FormatView>,
    inject: Vec<PlacementView>,
    /// What of its answers is made to lead back here.
    rewrite: RewriteView,
    probe: Option<ProbeView>,
    allow_private_network: bool,
    /// Further certificates that are believed.
    ca_file: Option<String>,
    max_wait_seconds: u64,
    pool: bool,
    /// 0: as the provider says in its answers, or none.
    requests_per_minute: u32,
    /// Calls with one secret in a window, where the entry says so.
    limits: Option<WindowView>,
    /// Calls that wait for one secret's limit at once.
    max_waiting: usize,
    /// Calls at once; 0: no bound.
    max_concurrent: usize,
    /// How long an answer holds that says nothing of it; 0: nobody knows.
    fresh_seconds: u32,
    /// `auto`, `never`, `always`.
    #[schema(value_type = String, example = "auto")]
    http2: &'static str,
    timeouts: TimeoutsView,
    /// What calls cost; null where nothing has a price.
    price: Option<PriceView>,
    /// Where callers of the proxy may present their key, beside the usual places.
    slots: SlotsView,
    /// `settings`: changed in the settings file alone. `operators`: written by these calls.
    #[schema(value_type = Option<String>, example = "operators")]
    managed_by: Option<&'static str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Placement)]
struct PlacementView {
    #[schema(value_type = String, example = "header")]
    at: &'static str,
    /// With the fields' names in braces.
    #[schema(example = "Bearer {api_key}")]
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// With `header` and `query`.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// With `json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// With `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    /// With `basic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    /// Empty: filled whatever the method.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    methods: Vec<String>,
}

/// What lies under a path is at the host of that name.
#[derive(Serialize, ToSchema)]
#[schema(as = ProviderPath)]
struct PathView {
    under: Vec<String>,
    host: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Probe)]
struct ProbeView {
    method: String,
    path: String,
    ok: Vec<u16>,
    bad: Vec<u16>,
    bad_body: Option<String>,
    /// Any key is answered: its yes proves nothing.
    accepts_any: bool,
    headers: BTreeMap<String, String>,
    permissions: Vec<PermissionView>,
    /// Figures of the answer, by JSON pointer.
    limits: BTreeMap<String, String>,
    /// Where the answer tells the key's end: a JSON pointer or a header's name.
    expires: Option<String>,
    account: Option<AccountView>,
}

/// A call that a key must be allowed to make.
#[derive(Serialize, ToSchema)]
#[schema(as = ProbePermission)]
struct PermissionView {
    #[schema(example = "trading")]
    name: String,
    method: String,
    path: String,
    /// A key without it is refused; else it is only told.
    needed: bool,
}

/// What tells paper accounts from live ones.
#[derive(Serialize, ToSchema)]
#[schema(as = ProbeAccount)]
struct AccountView {
    /// What a key of this entry is for.
    #[schema(value_type = String, example = "paper")]
    is: &'static str,
    at: String,
    paper: Vec<String>,
}

/// What a value of a field looks like.
#[derive(Serialize, ToSchema)]
#[schema(as = KeyFormat)]
struct FormatView {
    #[schema(example = json!(["sk-"]))]
    prefixes: Vec<String>,
    min_length: usize,
    max_length: usize,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Rewrite)]
struct RewriteView {
    /// Members of JSON answers that hold the provider's own absolute URLs.
    #[schema(example = json!(["next_url"]))]
    json: Vec<String>,
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
    let catalogue = call.house.catalogue.now();
    let providers: Vec<&Arc<Provider>> = catalogue.iter().filter(follows).collect();
    let (providers, next_cursor) =
        page::split(providers, limit, |provider| provider.id.to_string());
    let of = |one: &Arc<Provider>| ProviderView::of(one, &call.house.catalogue);
    let items: Vec<ProviderView> = providers.into_iter().map(of).collect();
    Answer::ok(&Page { items, next_cursor })
}

/// Show a provider.
#[utoipa::path(get, path = "/api/v1/admin/providers/{id}", tag = "Providers",
    params(("id" = String, Path, example = "polygon")),
    responses((status = 200, description = "The provider.", body = ProviderView)))]
async fn show(call: Call, Path(id): Path<String>) -> Result<Answer, Refused> {
    let Some(provider) = call.house.catalogue.get(&id) else {
        return Err(unknown());
    };
    Answer::ok(&ProviderView::of(&provider, &call.house.catalogue))
}

fn unknown() -> Refused {
    let detail = "The catalogue has no provider of that id.";
    Refusal::new(Reason::UnknownProvider, detail).into()
}

impl ProviderView {
    fn of(provider: &Provider, catalogue: &InForce) -> Self {
        let managed_by = match catalogue.is_of_settings(&provider.id) {
            true => Some("settings"),
            false => catalogue.stored(&provider.id).map(|_| "operators"),
        };
        let timeouts = provider.timeouts;
        let sockets = provider.sockets.iter();
        let hosts = || std::iter::once(&provider.hosts).chain(sockets.clone());
        let named = |(name, host): (&str, &Host)| (name.to_owned(), host.base.canonical());
        Self {
            id: provider.id.to_string(),
            title: provider.title.clone(),
            category: provider.category.clone(),
            docs_url: provider.docs_url.clone(),
            base_url: provider.hosts.home().base.canonical(),
            websocket_url: sockets.clone().next().map(|sockets| sockets.home().base.canonical()),
            hosts: hosts().flat_map(Hosts::named).map(named).collect(),
            paths: hosts().flat_map(Hosts::paths).map(PathView::of).collect(),
            fields: provider.fields.iter().map(|field| field.name.clone()).collect(),
            formats: provider.fields.iter().filter_map(FormatView::of).collect(),
            inject: provider.inject.iter().map(PlacementView::of).collect(),
            rewrite: RewriteView::of(provider),
            probe: provider.probe.as_ref().map(ProbeView::of),
            allow_private_network: provider.allow_private_network,
            ca_file: provider.ca_file.as_ref().map(|path| path.display().to_string()),
            max_wait_seconds: provider.max_wait.as_secs(),
            pool: provider.pool,
            requests_per_minute: provider.requests_per_minute.unwrap_or(0),
            limits: WindowView::of(provider.window()),
            max_waiting: provider.max_waiting,
            max_concurrent: provider.max_concurrent.unwrap_or(0),
            fresh_seconds: provider.fresh_seconds,
            http2: provider.http2.as_str(),
            timeouts: TimeoutsView {
                connect_seconds: timeouts.connect.as_secs(),
                first_byte_seconds: timeouts.first_byte.as_secs(),
                idle_seconds: timeouts.idle.as_secs(),
                total_seconds: timeouts.total.as_ref().map_or(0, Duration::as_secs),
            },
            price: PriceView::of(&provider.price),
            managed_by,
            slots: SlotsView {
                headers: provider.slots.headers.clone(),
                query: provider.slots.query.clone(),
            },
        }
    }
}

impl FormatView {
    fn of(field: &Field) -> Option<(String, Self)> {
        let KeyFormat { prefixes, min_length, max_length } = &field.format;
        let (prefixes, min_length, max_length) = (prefixes.clone(), *min_length, *max_length);
        let is_known = field.format != KeyFormat::default();
        is_known.then(|| (field.name.clone(), Self { prefixes, min_length, max_length }))
    }
}

impl RewriteView {
    fn of(provider: &Provider) -> Self {
        // They are kept in the quotes in which they are looked for.
        let name = |member: &Vec<u8>| String::from_utf8_lossy(member).trim_matches('"').to_owned();
        Self { json: provider.rewrite.members.iter().map(name).collect() }
    }
}

impl PathView {
    fn of((under, host): (&str, &str)) -> Self {
        Self { under: vec![under.to_owned()], host: host.to_owned() }
    }
}

impl PlacementView {
    fn of(placement: &Placement) -> Self {
        let methods = placement.methods.iter().map(ToString::to_string).collect();
        let written = placement.template().written();
        let plain = Self {
            at: "",
            value: None,
            name: None,
            pointer: None,
            prefix: None,
            user: None,
            password: None,
            methods,
        };
        match &placement.spot {
            Spot::Header { name, .. } => {
                Self { at: "header", name: Some(name.to_string()), value: Some(written), ..plain }
            }
            Spot::Query { name, .. } => {
                Self { at: "query", name: Some(name.clone()), value: Some(written), ..plain }
            }
            Spot::Json { pointer, .. } => {
                let pointer = Some(pointer.to_string());
                Self { at: "json", pointer, value: Some(written), ..plain }
            }
            Spot::Path { .. } => Self { at: "path", prefix: Some(written), ..plain },
            Spot::Basic { .. } => {
                let (user, password) = written.split_once(':').unwrap_or((&written, ""));
                let (user, password) = (Some(user.to_owned()), Some(password.to_owned()));
                Self { at: "basic", user, password, ..plain }
            }
        }
    }
}

impl ProbeView {
    fn of(probe: &Probe) -> Self {
        let header = |(name, value): &(http::HeaderName, http::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let permission = |one: &Permission| PermissionView {
            name: one.name.clone(),
            method: one.method.to_string(),
            path: one.path.clone(),
            needed: one.needed,
        };
        let account = |account: &Account| AccountView {
            is: account.is.as_str(),
            at: account.at.clone(),
            paper: account.paper.clone(),
        };
        Self {
            method: probe.method.to_string(),
            path: probe.path.clone(),
            ok: probe.ok.clone(),
            bad: probe.bad.clone(),
            bad_body: probe.bad_body.clone(),
            accepts_any: probe.accepts_any,
            headers: probe.headers.iter().map(header).collect(),
            permissions: probe.permissions.iter().map(permission).collect(),
            limits: probe.limits.iter().cloned().collect(),
            expires: probe.expires.clone(),
            account: probe.account.as_ref().map(account),
        }
    }
}
