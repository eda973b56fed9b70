//! May this caller do that? `authorize` is the one place that decides, and the only maker of a
//! `Permit` for a client's call. Pure: no I/O, no clock, no HTTP server. Must never look at a Host
//! header.

use std::sync::Arc;

use crate::client::{Client, Right};
use crate::provider::Provider;

/// What is asked for, after it was made clean.
pub(crate) struct Request<'a> {
    pub(crate) provider: &'a Arc<Provider>,
    pub(crate) method: &'a str,
    /// The path behind the provider, cut at its slashes, each segment decoded once.
    pub(crate) segments: &'a [&'a str],
    /// The secret that the caller named, if any.
    pub(crate) secret: Option<&'a str>,
}

/// The right to make one call. Only this room makes one.
pub(crate) struct Permit {
    client: Arc<Client>,
    provider: Arc<Provider>,
    secret: Option<String>,
}

/// Why not. The first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    Role,
    Method,
    Scope,
    Secret,
}

impl Denied {
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Role => "The role of this client key may not use the proxy.",
            Self::Method => "The role of this client key may only read (GET and HEAD).",
            Self::Scope => {
                "No scope of this client key allows this method and path at this provider."
            }
            Self::Secret => "This client key is bound to another secret of this provider.",
        }
    }
}

/// After this, the caller may make this call; which secret opens for it is the vault's business.
pub(crate) fn authorize(client: &Arc<Client>, request: &Request<'_>) -> Result<Permit, Denied> {
    if !client.role.may(Right::ProxyRead) {
        return Err(Denied::Role);
    }
    let reads = matches!(request.method, "GET" | "HEAD");
    if !reads && !client.role.may(Right::Proxy) {
        return Err(Denied::Method);
    }
    if let Some(scopes) = &client.scopes
        && !scopes.allows(&request.provider.id, request.method, request.segments)
    {
        return Err(Denied::Scope);
    }
    let bound = client.bound_secret(&request.provider.id);
    if let (Some(wanted), Some(bound)) = (request.secret, bound)
        && wanted != bound
    {
        return Err(Denied::Secret);
    }
    Ok(Permit {
        client: Arc::clone(client),
        provider: Arc::clone(request.provider),
        secret: request.secret.or(bound).map(str::to_owned),
    })
}

impl Permit {
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(crate) fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    /// The secret that was named by the caller or is bound to its key.
    pub(crate) fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::client::{Role, Scopes, Tier};
    use crate::provider::Catalogue;

    fn client(role: Role, scopes: Option<&[&str]>) -> Arc<Client> {
        Arc::new(Client {
            id: uuid::Uuid::nil(),
            name: String::from("test"),
            role,
            tier: Tier::Standard,
            scopes: scopes.map(|texts| Scopes::parse(texts).unwrap()),
            limit: None,
            expires_at_ms: None,
            secrets: vec![(String::from("polygon"), String::from("desk"))],
            active: true,
            superseded: AtomicBool::new(false),
        })
    }

    fn check(
        client: &Arc<Client>,
        provider: &str,
        method: &str,
        secret: Option<&str>,
    ) -> Result<Option<String>, Denied> {
        let catalogue = Catalogue::build(&[]).unwrap();
        let provider = catalogue.get(provider).unwrap();
        let request = Request { provider, method, segments: &["v2", "aggs"], secret };
        authorize(client, &request).map(|permit| permit.secret().map(str::to_owned))
    }

    #[test]
    fn a_role_decides_before_a_scope() {
        assert_eq!(check(&client(Role::Auditor, None), "openai", "GET", None), Err(Denied::Role));
        assert_eq!(check(&client(Role::Guest, None), "openai", "POST", None), Err(Denied::Method));
        assert_eq!(check(&client(Role::Guest, None), "openai", "HEAD", None), Ok(None));
        let narrow = client(Role::User, Some(&["openai:GET:/v1/**"]));
        assert_eq!(check(&narrow, "openai", "GET", None), Err(Denied::Scope));
    }

    #[test]
    fn a_bound_key_uses_its_secret_and_no_other() {
        let user = client(Role::User, None);
        assert_eq!(check(&user, "polygon", "GET", None), Ok(Some(String::from("desk"))));
        assert_eq!(check(&user, "polygon", "GET", Some("other")), Err(Denied::Secret));
        assert_eq!(check(&user, "openai", "GET", Some("o")), Ok(Some(String::from("o"))));
    }
}
