//! The kind `aws-kms`: AWS KMS wraps and unwraps; its key never leaves it. Credentials come as the
//! SDK finds them. Every call carries an encryption context, which KMS demands again at unwrapping
//! and writes into CloudTrail. Must never log what it sends or gets.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;

use super::{AwsSettings, Context, KmsError};
use crate::crypto::CryptoError;
use crate::secret::{Key, SecretBytes};
use crate::store::{MasterId, MasterKind};

pub(crate) struct AwsKms {
    client: Client,
    /// As the settings name it.
    key_id: String,
    /// What that name stood for when it was asked; rows name it.
    arn: String,
}

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

impl AwsKms {
    /// Proves the right to wrap and to unwrap, and learns the key's ARN.
    pub(super) async fn open(
        settings: &AwsSettings,
        proof: &Context<'_>,
    ) -> Result<Self, KmsError> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_WITHIN)
            .operation_timeout(ANSWER_WITHIN)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        if config.region().is_none() {
            let cause = String::from("no region is known; set master_key.region");
            return Err(KmsError::Denied { what: what(&settings.key_id), cause });
        }
        let mut kms = Self {
            client: Client::new(&config),
            key_id: settings.key_id.clone(),
            arn: String::new(),
        };
        let key = Key::fill_with(crate::crypto::fill_random)?;
        let (wrapped, arn) = kms.encrypt(proof, &key).await?;
        kms.arn = arn;
        kms.unwrap(proof, &kms.id(), &wrapped).await?;
        Ok(kms)
    }

    pub(super) fn id(&self) -> MasterId {
        MasterId { kind: MasterKind::AwsKms, id: self.arn.clone() }
    }

    pub(super) async fn wrap(&self, context: &Context<'_>, key: &Key) -> Result<Vec<u8>, KmsError> {
        let (wrapped, arn) = self.encrypt(context, key).await?;
        if arn == self.arn {
            return Ok(wrapped);
        }
        // The row would name the wrong key.
        let cause = format!("it stands for {arn} now; seal and unseal to take that over");
        Err(KmsError::Denied { what: what(&self.key_id), cause })
    }

    /// By the key that the row names: an alias may have moved on since.
    pub(super) async fn unwrap(
        &self,
        context: &Context<'_>,
        wrapped_by: &MasterId,
        wrapped: &[u8],
    ) -> Result<Key, KmsError> {
        let mut call = self.client.decrypt().key_id(&wrapped_by.id);
        for (name, value) in encryption_context(context) {
            call = call.encryption_context(name, value);
        }
        let answer = call.ciphertext_blob(Blob::new(wrapped)).send().await;
        let answer = answer.map_err(|fault| self.fault(&fault))?;
        let plain = answer.plaintext.ok_or(CryptoError::Malformed)?;
        let plain = SecretBytes::new(plain.into_inner());
        Ok(Key::from_slice(plain.expose()).ok_or(CryptoError::Malformed)?)
    }

    async fn encrypt(
        &self,
        context: &Context<'_>,
        key: &Key,
    ) -> Result<(Vec<u8>, String), KmsError> {
        let mut call = self.client.encrypt().key_id(&self.key_id);
        for (name, value) in encryption_context(context) {
            call = call.encryption_context(name, value);
        }
        let answer = call.plaintext(Blob::new(key.expose().as_slice())).send().await;
        let answer = answer.map_err(|fault| self.fault(&fault))?;
        let wrapped = answer.ciphertext_blob.ok_or(CryptoError::Malformed)?;
        let arn = answer.key_id.ok_or(CryptoError::Malformed)?;
        Ok((wrapped.into_inner(), arn))
    }

    fn fault<E: ProvideErrorMetadata + std::error::Error + 'static>(
        &self,
        fault: &SdkError<E, HttpResponse>,
    ) -> KmsError {
        let what = what(&self.key_id);
        let Some(service) = fault.as_service_error() else {
            return KmsError::Away { what, cause: deepest(fault) };
        };
        let code = service.code().unwrap_or("an error without a name");
        if matches!(code, "InvalidCiphertextException" | "IncorrectKeyException") {
            return KmsError::Crypto(CryptoError::NotAuthentic);
        }
        let status = fault.raw_response().map_or(0, |response| response.status().as_u16());
        let is_passing = code.contains("Throttl") || code == "LimitExceededException";
        let cause = match service.message() {
            Some(message) => format!("{code}: {message}"),
            None => code.to_owned(),
        };
        if status >= 500 || status == 429 || is_passing {
            KmsError::Away { what, cause }
        } else {
            KmsError::Denied { what, cause }
        }
    }
}

fn what(key_id: &str) -> String {
    format!("AWS KMS ({key_id})")
}

/// What stands deepest in a chain of causes says most.
fn deepest(fault: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = fault;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// KMS checks it like the associated data of an envelope, and shows it in its own log.
fn encryption_context(context: &Context<'_>) -> [(String, String); 5] {
    [
        ("sealgate:installation", context.installation.to_string()),
        ("sealgate:layer", String::from("key-encryption-key")),
        ("sealgate:category", context.category.to_owned()),
        ("sealgate:generation", context.generation.to_string()),
        ("sealgate:id", context.id.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}
