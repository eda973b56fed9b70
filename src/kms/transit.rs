//! The kind `vault-transit`: the transit engine of HashiCorp Vault or OpenBao wraps and unwraps;
//! its key never leaves it. The token is read anew for every call where it stands in a file, as
//! agents renew it there. Must never follow a redirect with it, and never put it into an error.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::HeaderValue;
use reqwest::{Certificate, Client, StatusCode};
use serde::Deserialize;

use super::{Context, KmsError, Source, TransitSettings};
use crate::crypto::CryptoError;
use crate::secret::{Key, SecretBytes};
use crate::store::{MasterId, MasterKind};

pub(crate) struct Transit {
    client: Client,
    address: String,
    mount: String,
    key: String,
    namespace: Option<String>,
    token: Source,
}

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// More than any answer of this API has.
const LARGEST_ANSWER: usize = 64 * 1024;

#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    ciphertext: Option<String>,
    plaintext: Option<String>,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

impl Transit {
    /// Proves the right to wrap and to unwrap.
    pub(super) async fn open(
        settings: &TransitSettings,
        proof: &Context<'_>,
    ) -> Result<Self, KmsError> {
        let transit = Self {
            client: client(settings)?,
            address: settings.address.clone(),
            mount: settings.mount.clone(),
            key: settings.key.clone(),
            namespace: settings.namespace.clone(),
            token: settings.token.clone(),
        };
        let key = Key::fill_with(crate::crypto::fill_random)?;
        let wrapped = transit.wrap(proof, &key).await?;
        transit.unwrap(proof, &wrapped).await?;
        Ok(transit)
    }

    /// Not the address: the same key may be reached by another one tomorrow.
    pub(super) fn id(&self) -> MasterId {
        let namespace = self.namespace.as_deref().map(|name| format!("{name}/"));
        let id = format!("{}{}/{}", namespace.unwrap_or_default(), self.mount, self.key);
        MasterId { kind: MasterKind::VaultTransit, id }
    }

    pub(super) async fn wrap(&self, context: &Context<'_>, key: &Key) -> Result<Vec<u8>, KmsError> {
        let plain = SecretBytes::from_string(STANDARD.encode(key.expose()));
        let body = body("plaintext", plain.expose(), context);
        let data = self.call("encrypt", body).await?;
        let wrapped = data.ciphertext.ok_or(CryptoError::Malformed)?;
        Ok(wrapped.into_bytes())
    }

    pub(super) async fn unwrap(
        &self,
        context: &Context<'_>,
        wrapped: &[u8],
    ) -> Result<Key, KmsError> {
        // It goes into JSON as it is; what this API makes has no other characters.
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b":+/=".contains(byte);
        if !wrapped.iter().all(is_plain) {
            return Err(CryptoError::Malformed.into());
        }
        let data = self.call("decrypt", body("ciphertext", wrapped, context)).await?;
        let text = SecretBytes::from_string(data.plaintext.ok_or(CryptoError::Malformed)?);
        let plain = STANDARD.decode(text.expose()).map_err(|_| CryptoError::Malformed)?;
        let plain = SecretBytes::new(plain);
        Ok(Key::from_slice(plain.expose()).ok_or(CryptoError::Malformed)?)
    }

    /// A token that was given as text lives on by being renewed; a file is others' to renew.
    pub(super) async fn renew(&self) {
        if let Source::File(_) = self.token {
            return;
        }
        let url = format!("{}/v1/auth/token/renew-self", self.address);
        // Root tokens and those without an end cannot be renewed, and need not be.
        let _answered = self.send(url, Bytes::from_static(b"{}")).await;
    }

    async fn call(&self, verb: &str, body: Bytes) -> Result<Data, KmsError> {
        let url = format!("{}/v1/{}/{verb}/{}", self.address, self.mount, self.key);
        let (status, bytes) = self.send(url, body).await?;
        if status.is_success() {
            let answer: Result<Answer, _> = serde_json::from_slice(bytes.expose());
            // The fault of the JSON could quote the plaintext.
            let data = answer.ok().and_then(|answer| answer.data);
            return Ok(data.ok_or(CryptoError::Malformed)?);
        }
        Err(self.refused(status, bytes.expose()))
    }

    async fn send(&self, url: String, body: Bytes) -> Result<(StatusCode, SecretBytes), KmsError> {
        let token = match self.token.read("token") {
            // Whoever else could read it can ask the KMS too: nothing to wait for.
            Err(open @ KmsError::OpenSource { .. }) => return Err(open),
            token => token.map_err(|fault| self.denied(&fault.to_string()))?,
        };
        let Ok(mut token) = HeaderValue::from_bytes(token.expose()) else {
            return Err(self.denied("the token holds characters that no token has"));
        };
        token.set_sensitive(true);
        let mut request = self
            .client
            .post(url)
            .header("x-vault-token", token)
            .header("x-vault-request", "true")
            .header("content-type", "application/json");
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        let answer = request.body(body).send().await.map_err(|fault| self.away(&fault))?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|fault| self.away(&fault))?;
        if bytes.len() > LARGEST_ANSWER {
            return Err(self.denied("the answer is larger than any of this API"));
        }
        Ok((status, SecretBytes::copy_of(&bytes)))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> KmsError {
        let errors = serde_json::from_slice(body).unwrap_or(Errors { errors: Vec::new() }).errors;
        let text = errors.join("; ").replace(char::is_control, " ");
        let is_about_the_bytes = text.contains("authentication failed")
            || text.contains("invalid ciphertext")
            || text.contains("unable to decrypt");
        if status == StatusCode::BAD_REQUEST && is_about_the_bytes {
            return KmsError::Crypto(CryptoError::NotAuthentic);
        }
        let cause = match text.as_str() {
            "" => format!("status {}", status.as_u16()),
            text => format!("status {}: {text}", status.as_u16()),
        };
        // 429: too many calls or a standby, 472 and 473: a standby, 503: sealed.
        if status.is_server_error() || matches!(status.as_u16(), 412 | 429 | 472 | 473) {
            return KmsError::Away { what: self.what(), cause };
        }
        self.denied(&cause)
    }

    fn denied(&self, cause: &str) -> KmsError {
        KmsError::Denied { what: self.what(), cause: cause.to_owned() }
    }

    fn away(&self, fault: &reqwest::Error) -> KmsError {
        let mut cause: &dyn std::error::Error = fault;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        KmsError::Away { what: self.what(), cause: cause.to_string() }
    }

    fn what(&self) -> String {
        format!("Vault's transit engine ({}/{} at {})", self.mount, self.key, self.address)
    }
}

fn client(settings: &TransitSettings) -> Result<Client, KmsError> {
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("sealgate/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN);
    let unusable = |path: &std::path::Path, cause: String| KmsError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    if let Some(path) = &settings.ca_file {
        let pem = std::fs::read(path).map_err(|cause| unusable(path, cause.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem);
        let certificates = certificates.map_err(|cause| unusable(path, cause.to_string()))?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|fault| KmsError::Denied {
        what: String::from("the client of Vault's transit engine"),
        cause: fault.to_string(),
    })
}

/// `{"NAME": "text", "associated_data": "…"}`, in memory that is wiped when the last reader goes.
fn body(name: &str, text: &[u8], context: &Context<'_>) -> Bytes {
    let associated = STANDARD.encode(context.aad().as_bytes());
    let parts: [&[u8]; 7] = [
        b"{\"",
        name.as_bytes(),
        b"\":\"",
        text,
        b"\",\"associated_data\":\"",
        associated.as_bytes(),
        b"\"}",
    ];
    // Exactly as long as needed: a vector that grows leaves copies behind.
    let mut whole = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        whole.extend_from_slice(part);
    }
    Bytes::from_owner(Wiped(SecretBytes::new(whole)))
}

struct Wiped(SecretBytes);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}
