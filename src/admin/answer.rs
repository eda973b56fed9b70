//! What a route answers when all went well: a status, a resource, and at most one value that is
//! shown once. The value stays outside the resource, so that what is kept for a repeat cannot hold
//! it. Must never put that value into anything but the body.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

use super::refused::Refused;
use crate::secret::SecretBytes;

pub(super) struct Answer {
    status: StatusCode,
    /// The resource as JSON.
    resource: String,
    shown_once: Option<(&'static str, SecretBytes)>,
}

/// The resource of an answer without what is shown once; travels beside the body.
#[derive(Clone)]
pub(super) struct Kept(pub(super) Arc<str>);

/// A page of a list.
#[derive(Serialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next_cursor: Option<String>,
}

/// Bytes that are wiped when the last reader lets go of them.
pub(super) struct Wiped(pub(super) SecretBytes);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

impl Answer {
    pub(super) fn ok(resource: &impl Serialize) -> Result<Self, Refused> {
        Self::of(StatusCode::OK, resource)
    }

    pub(super) fn created(resource: &impl Serialize) -> Result<Self, Refused> {
        Self::of(StatusCode::CREATED, resource)
    }

    /// Begun, not done.
    pub(super) fn accepted(resource: &impl Serialize) -> Result<Self, Refused> {
        Self::of(StatusCode::ACCEPTED, resource)
    }

    /// The one time that this value leaves the house.
    #[must_use]
    pub(super) fn showing_once(mut self, name: &'static str, value: SecretBytes) -> Self {
        self.shown_once = Some((name, value));
        self
    }

    fn of(status: StatusCode, resource: &impl Serialize) -> Result<Self, Refused> {
        let resource = serde_json::to_string(resource).map_err(Refused::internal)?;
        Ok(Self { status, resource, shown_once: None })
    }

    fn body(&self) -> Option<Bytes> {
        let Some((name, value)) = &self.shown_once else {
            return Some(Bytes::from(self.resource.clone()));
        };
        // Keys and tokens are plain ASCII words: nothing in them needs an escape.
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.+/=".contains(byte);
        let rest = self.resource.strip_prefix('{').filter(|rest| rest.starts_with('"'))?;
        if !value.expose().iter().all(is_word) {
            return None;
        }
        let head = format!("{{\"{name}\":\"");
        // Exactly as long as needed: a vector that grows leaves copies behind.
        let mut body = Vec::with_capacity(head.len() + value.len() + 2 + rest.len());
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value.expose());
        body.extend_from_slice(b"\",");
        body.extend_from_slice(rest.as_bytes());
        Some(Bytes::from_owner(Wiped(SecretBytes::new(body))))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let Some(body) = self.body() else {
            return Refused::internal("a value that is shown once is no plain word")
                .into_response();
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response.extensions_mut().insert(Kept(Arc::from(self.resource)));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_shown_once_stands_in_the_body_and_not_in_what_is_kept() {
        let resource = serde_json::json!({"id": "1", "name": "n"});
        let answer = Answer::created(&resource).map_err(|_| ()).unwrap();
        let response = answer.showing_once("key", SecretBytes::copy_of(b"mdw_x")).into_response();
        let kept = response.extensions().get::<Kept>().unwrap().0.to_string();
        assert_eq!(kept, r#"{"id":"1","name":"n"}"#);
        let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
        assert_eq!(body, r#"{"key":"mdw_x","id":"1","name":"n"}"#);
    }
}
