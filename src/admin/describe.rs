//! The description of both faces in OpenAPI 3.1. Routes describe themselves where they stand; here
//! is what they have in common, written once over all of them, and the proxy face, which has no
//! routes.

use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, OpenApi as Description};

#[derive(OpenApi)]
#[openapi(
    info(title = "Sealgate", license(name = "Apache-2.0")),
    tags(
        (name = "Client keys", description = "What callers of the proxy hold."),
        (name = "Secrets", description = "What providers are called with. No call answers a value."),
        (name = "Providers", description = "The catalogue."),
        (name = "Audit", description = "The trail of calls, look-ups and changes, and its proof."),
        (name = "Symbols", description = "Tracked symbols."),
        (name = "Operation", description = "Open without a credential."),
        (name = "Proxy", description = "The other face: provider traffic.")
    )
)]
struct Common;

pub(super) fn common() -> Description {
    let mut description = Common::openapi();
    description.info.description = Some(String::from(include_str!("describe/front.md")));
    let mut components = description.components.take().unwrap_or_else(Components::new);
    components.add_security_scheme(
        "ApiKey",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            "X-API-Key",
            "A client key (`mdw_…`) whose role allows the call.",
        ))),
    );
    components.add_security_scheme(
        "Bearer",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some("The same client key as a bearer token."))
                .build(),
        ),
    );
    description.components = Some(components);
    description
}
