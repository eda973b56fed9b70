//! The description of both faces in OpenAPI 3.1. Routes describe themselves where they stand; here
//! is what they have in common, laid over all of them once, and the proxy face, which has no routes
//! here. Every error's example is made by the code that makes the error.

mod noes;

use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Description;

#[derive(OpenApi)]
#[openapi(
    info(title = "Sealgate", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    tags(
        (name = "Client keys", description = "What callers of the proxy hold."),
        (name = "Secrets", description = "What providers are called with. No call answers a value."),
        (name = "Key hierarchy", description = "The keys that seal secrets: generations and jobs."),
        (name = "Providers", description = "The catalogue."),
        (name = "Audit", description = "The trail of calls, look-ups and changes, and its proof."),
        (name = "Operators", description = "The accounts of the console, and where they are signed in."),
        (name = "Session", description = "Signing in to the console; its cookie is a credential."),
        (name = "Symbols", description = "Tracked symbols."),
        (name = "Operation", description = "Open without a credential."),
        (name = "Proxy", description = "The other face, on another port: provider traffic.")
    )
)]
struct Whole;

const FRONT: &str = include_str!("describe/front.md");
const PROXY: &str = include_str!("describe/proxy.json");
/// What the proxy face answers by itself.
const OWN: &str = include_str!("describe/own.json");

/// What the routes' own descriptions are added to.
pub(super) fn whole() -> Description {
    let mut description = Whole::openapi();
    description.info.description = Some(FRONT.to_owned());
    description
}

/// The whole, as JSON.
pub(super) fn finished(routes: &Description) -> Value {
    let mut whole = serde_json::to_value(routes).unwrap_or_default();
    for (path, item) in members(&mut whole, "paths") {
        for (method, operation) in entries(item) {
            complete(path, method, operation);
        }
    }
    let proxy: Value = serde_json::from_str(PROXY).unwrap_or_default();
    if let Some(paths) = whole.get_mut("paths").and_then(Value::as_object_mut) {
        paths.insert(String::from("/{provider}/{path}"), proxy);
        let own: Value = serde_json::from_str(OWN).unwrap_or_default();
        paths.extend(own.as_object().cloned().unwrap_or_default());
    }
    if let Some(components) = whole.get_mut("components").and_then(Value::as_object_mut) {
        components.insert(String::from("securitySchemes"), security_schemes());
        components.insert(String::from("responses"), noes::responses());
        components.insert(String::from("headers"), headers());
    }
    if let Some(schemas) = whole.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        schemas.insert(String::from("Error"), noes::schema());
    }
    whole
}

fn complete(path: &str, method: &str, operation: &mut Value) {
    let is_open = is_open(path);
    let has_query = operation.to_string().contains("\"in\":\"query\"");
    if !is_open {
        put(operation, "security", json!([{"ApiKey": []}, {"Bearer": []}, {"Session": []}]));
    }
    if path.starts_with("/api/") {
        name_apart(path, operation);
    }
    if method == "post" && !is_open {
        push(operation, "parameters", idempotency_key());
    }
    for (status, response) in members(operation, "responses") {
        put(response, "headers", header_references(is_open, method == "post" && status == "201"));
    }
    if !path.starts_with("/api/") {
        return;
    }
    let mut noes = vec!["400", "401", "403", "408", "429", "500", "503"];
    if ["{id}", "{symbol}", "{kind}"].iter().any(|part| path.contains(part)) {
        noes.push("404");
    }
    match method {
        "post" | "put" => noes.extend(["409", "413", "415", "422"]),
        "delete" => noes.push("409"),
        _ if has_query => noes.push("422"),
        _ => {}
    }
    noes.sort_unstable();
    for status in noes {
        let reference = json!({"$ref": format!("#/components/responses/{status}")});
        if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
            responses.entry(status).or_insert(reference);
        }
    }
}

/// Asked for by whoever comes, with a credential or none.
pub(super) fn is_open(path: &str) -> bool {
    let of_session =
        ["/api/v1/session", "/api/v1/session/invitation", "/api/v1/session/invitation/accept"];
    !path.starts_with("/api/") || of_session.contains(&path)
}

/// `list` of client keys and `list` of secrets are two operations: `api_keys_list`, `secrets_list`.
fn name_apart(path: &str, operation: &mut Value) {
    let room = path.trim_start_matches("/api/v1/").trim_start_matches("admin/");
    let room = room.split('/').next().unwrap_or_default();
    let name = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
    let name = format!("{}_{name}", room.replace('-', "_"));
    put(operation, "operationId", name.into());
}

fn security_schemes() -> Value {
    json!({
        "ApiKey": {
            "type": "apiKey", "in": "header", "name": "X-API-Key",
            "description": "A client key (`mdw_…`) whose role allows the call.",
        },
        "Bearer": {
            "type": "http", "scheme": "bearer",
            "description": "The same client key as a bearer token.",
        },
        "Session": {
            "type": "apiKey", "in": "cookie", "name": "__Host-sealgate",
            "description": "An operator who is signed in to the console. Off TLS, which is on \
                loopback alone, the cookie is called `sealgate`.",
        },
    })
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "description": "A repeat within 24 hours answers with the same resource, without `key` or \
            `token`, and changes nothing. Another body under the same key is a 422.",
    })
}

const QUOTA_HEADERS: [(&str, &str); 4] = [
    ("Limit", "Calls allowed in the window."),
    ("Remaining", "Calls left in it."),
    ("Used", "Calls counted in it, this one included."),
    (
        "Reset",
        "Unix seconds: on a success when the oldest counted call leaves the window, on a 429 when \
         the next call would be admitted.",
    ),
];

fn headers() -> Value {
    let mut headers = json!({
        "X-Request-Id": {
            "description": "The caller's own if it matches `^[A-Za-z0-9._:-]{1,128}$`, else a new one.",
            "schema": {"type": "string"},
        },
        "X-Sealgate-Error": {
            "description": "The `code` of the body: this refusal is Sealgate's own.",
            "schema": {"type": "string"},
        },
        "Idempotent-Replay": {
            "description": "`true`: the answer of an earlier call under the same Idempotency-Key.",
            "schema": {"type": "string", "enum": ["true"]},
        },
        "Retry-After": {
            "description": "Whole seconds, at least one.",
            "schema": {"type": "integer", "minimum": 1},
        },
    });
    for (name, about) in QUOTA_HEADERS {
        for prefix in ["X-Sealgate-RateLimit", "X-RateLimit"] {
            let header = json!({"description": about, "schema": {"type": "integer"}});
            put(&mut headers, &format!("{prefix}-{name}"), header);
        }
    }
    headers
}

fn header_references(is_open: bool, is_repeatable: bool) -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/components/headers/{name}")});
    let mut headers = json!({"X-Request-Id": reference("X-Request-Id")});
    if !is_open {
        for (name, _) in QUOTA_HEADERS {
            for prefix in ["X-Sealgate-RateLimit", "X-RateLimit"] {
                let name = format!("{prefix}-{name}");
                put(&mut headers, &name, reference(&name));
            }
        }
    }
    if is_repeatable {
        put(&mut headers, "Idempotent-Replay", reference("Idempotent-Replay"));
    }
    headers
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

fn push(object: &mut Value, name: &str, value: Value) {
    let Value::Object(members) = object else { return };
    if let Value::Array(list) = members.entry(name).or_insert_with(|| json!([])) {
        list.push(value);
    }
}

fn members<'a>(
    object: &'a mut Value,
    name: &str,
) -> impl Iterator<Item = (&'a String, &'a mut Value)> {
    object.get_mut(name).into_iter().flat_map(entries)
}

fn entries(object: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    object.as_object_mut().into_iter().flatten()
}
