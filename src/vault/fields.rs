//! What a sealed value holds: the fields, and the list of destinations and slots they were sealed
//! for. The list's digest is bound into the envelope; opening for a target outside the list gives
//! nothing.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use uuid::Uuid;

use super::{Provider, crypto, label};
use crate::crypto::{Aad, CryptoError, Layer, Parent, Prepared};
use crate::provider::is_like_a_field;
use crate::refusal::FieldFault;
use crate::secret::{KeptBytes, Key, Needles, SecretBytes};
use crate::store::{SecretRow, VersionRow};

/// A fresh envelope and the digest of its destinations.
pub(super) struct Sealed {
    pub(super) envelope: Vec<u8>,
    pub(super) destinations: [u8; 32],
}

/// The fields of one version, opened for one call. Only the vault makes one.
pub(crate) struct Fresh {
    plaintext: SecretBytes,
}

/// What calls are given of the fields. It lies in protected memory and serves the calls of the next
/// moments too.
pub(crate) struct Placed {
    /// One for each placement of the provider, in the provider's order.
    pub(crate) values: Vec<PlacedValue>,
    /// One for each message that shows the key, in the provider's order.
    pub(crate) hails: Vec<KeptBytes>,
    /// What must not come back.
    pub(crate) needles: Arc<Needles>,
    /// False where some of it is too long for protected memory.
    pub(crate) may_stay: bool,
}

/// What goes into one slot, written as it is needed there.
pub(crate) enum PlacedValue {
    /// Marked sensitive; owns its bytes until its last copy is dropped.
    Header(HeaderName, HeaderValue),
    /// Escaped for the query, the path or the body.
    Text(KeptBytes),
}

/// Read access to opened fields.
pub(super) struct Fields;

impl Fresh {
    /// One field's plain bytes.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        let (count, mut reader) = Fields::begin(self.plaintext.expose())?;
        for _ in 0..count {
            let (found, value) = (reader.sized_short()?, reader.sized_long()?);
            if found == name.as_bytes() {
                return Some(value);
            }
        }
        None
    }

    /// Every field, whatever the provider calls its own today.
    pub(super) fn all(&self) -> Option<Vec<(String, SecretBytes)>> {
        let (count, mut reader) = Fields::begin(self.plaintext.expose())?;
        let mut field = || {
            let name = std::str::from_utf8(reader.sized_short()?).ok()?;
            Some((name.to_owned(), SecretBytes::copy_of(reader.sized_long()?)))
        };
        (0..count).map(|_| field()).collect()
    }

    pub(super) fn copies(&self, provider: &Provider) -> Vec<(String, SecretBytes)> {
        let copy = |name: &String| Some((name.clone(), SecretBytes::copy_of(self.field(name)?)));
        provider.fields.iter().filter_map(|field| copy(&field.name)).collect()
    }
}

/// Opens a prepared version.
pub(super) fn open(prepared: &Prepared) -> Result<Fresh, CryptoError> {
    let plaintext = prepared.open()?;
    if !Fields::are_whole(plaintext.expose()) {
        return Err(CryptoError::Malformed);
    }
    Ok(Fresh { plaintext })
}

/// Of a value that nobody has sealed yet: for nowhere but the check that it is for.
pub(super) fn unsealed(fields: &[(String, SecretBytes)]) -> Result<Fresh, CryptoError> {
    Ok(Fresh { plaintext: write(&[], fields)? })
}

/// Is everything that a call to the provider reaches today in the list that was sealed?
pub(super) fn covers(opened: &Fresh, provider: &Provider) -> bool {
    holds(opened, &provider.destinations_of_calls())
}

/// The same of what a socket reaches.
pub(super) fn covers_sockets(opened: &Fresh, provider: &Provider) -> bool {
    holds(opened, &provider.destinations_of_sockets())
}

fn holds(opened: &Fresh, wanted: &[String]) -> bool {
    let Some(sealed) = destinations_of(opened.plaintext.expose()) else { return false };
    wanted.iter().all(|wanted| sealed.contains(&wanted.as_bytes()))
}

/// The same value and the same destinations under another data key.
pub(super) fn rekeyed(
    installation: Uuid,
    (former, fresh): (&Key, &Key),
    secret: &SecretRow,
    version: &VersionRow,
) -> Result<Option<Vec<u8>>, CryptoError> {
    let Some(envelope) = &version.envelope else { return Ok(None) };
    let sealed = (version.version, &version.destinations, envelope.as_slice());
    let opened = open(&prepare(installation, former, secret, sealed)?)?;
    let aad = aad(installation, secret, version.version, &version.destinations);
    crypto::seal(parent(fresh), Layer::Value, &aad, opened.plaintext.expose()).map(Some)
}

/// The same value for the provider's present destinations.
pub(super) fn resealed(
    installation: Uuid,
    data_key: &Key,
    secret: &SecretRow,
    (version, provider): (&VersionRow, &Provider),
) -> Result<Option<Sealed>, CryptoError> {
    let Some(envelope) = &version.envelope else { return Ok(None) };
    let sealed = (version.version, &version.destinations, envelope.as_slice());
    let opened = open(&prepare(installation, data_key, secret, sealed)?)?;
    let fields = opened.all().ok_or(CryptoError::Malformed)?;
    seal(installation, data_key, secret, version.version, (provider, &fields)).map(Some)
}

pub(super) fn seal(
    installation: Uuid,
    data_key: &Key,
    secret: &SecretRow,
    version: u32,
    (provider, fields): (&Provider, &[(String, SecretBytes)]),
) -> Result<Sealed, CryptoError> {
    let list = provider.destinations();
    let destinations = digest(&list);
    let plaintext = write(&list, fields)?;
    let aad = aad(installation, secret, version, &destinations);
    let envelope = crypto::seal(parent(data_key), Layer::Value, &aad, plaintext.expose())?;
    Ok(Sealed { envelope, destinations })
}

pub(super) fn prepare(
    installation: Uuid,
    data_key: &Key,
    secret: &SecretRow,
    (version, destinations, envelope): (u32, &[u8; 32], &[u8]),
) -> Result<Prepared, CryptoError> {
    let aad = aad(installation, secret, version, destinations);
    crypto::prepare(parent(data_key), Layer::Value, &aad, envelope)
}

fn parent(data_key: &Key) -> Parent<'_> {
    Parent { id: crypto::key_id(data_key, label::DATA_KEY_ID), key: data_key }
}

/// Tells an operator which key is in, and cannot be guessed without the category's own key. It
/// stays the same when data keys change; equal values of two secrets do not show.
pub(super) fn fingerprint(key: &Key, secret_id: Uuid, fields: &[(String, SecretBytes)]) -> String {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_by(|left, right| left.0.cmp(&right.0));
    let mut parts: Vec<&[u8]> = vec![label::FINGERPRINT, secret_id.as_bytes()];
    for (name, value) in sorted {
        parts.extend([name.as_bytes(), &[0], value.expose(), &[0]]);
    }
    let mac = crypto::hmac_sha256(key, &parts);
    mac.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What the value means: moved to another row, version, provider or destination, it does not open.
fn aad(installation: Uuid, secret: &SecretRow, version: u32, destinations: &[u8; 32]) -> Aad {
    Aad::new("value")
        .with(installation.as_bytes())
        .with(secret.category.as_bytes())
        .with(secret.provider.as_bytes())
        .with(secret.id.as_bytes())
        .with_number(u64::from(version))
        .with(destinations)
}

fn digest(list: &[String]) -> [u8; 32] {
    let mut hash = crypto::Sha256::new(label::DESTINATIONS);
    for destination in list {
        let length = u32::try_from(destination.len()).unwrap_or(u32::MAX);
        hash.update(&length.to_be_bytes());
        hash.update(destination.as_bytes());
    }
    hash.finish()
}

/// `count u16 | (length u16 | destination)… | count u16 | (length u16 | name | length u32 |
/// value)…`
fn write(
    destinations: &[String],
    fields: &[(String, SecretBytes)],
) -> Result<SecretBytes, CryptoError> {
    let short = |length: usize| u16::try_from(length).map_err(|_| CryptoError::TooLarge);
    let long = |length: usize| u32::try_from(length).map_err(|_| CryptoError::TooLarge);
    let list_bytes: usize = destinations.iter().map(|text| text.len() + 2).sum();
    let field_bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
    // Exactly as long as needed: a vector that grows leaves copies behind.
    let mut plaintext = Vec::with_capacity(4 + list_bytes + field_bytes);
    plaintext.extend_from_slice(&short(destinations.len())?.to_be_bytes());
    for destination in destinations {
        plaintext.extend_from_slice(&short(destination.len())?.to_be_bytes());
        plaintext.extend_from_slice(destination.as_bytes());
    }
    plaintext.extend_from_slice(&short(fields.len())?.to_be_bytes());
    for (name, value) in fields {
        plaintext.extend_from_slice(&short(name.len())?.to_be_bytes());
        plaintext.extend_from_slice(name.as_bytes());
        plaintext.extend_from_slice(&long(value.len())?.to_be_bytes());
        plaintext.extend_from_slice(value.expose());
    }
    Ok(SecretBytes::new(plaintext))
}

fn destinations_of(plaintext: &[u8]) -> Option<Vec<&[u8]>> {
    let mut reader = Reader(plaintext);
    let count = reader.short()?;
    (0..count).map(|_| reader.sized_short()).collect()
}

impl Fields {
    /// How many fields there are, and where they begin. Nothing here allocates.
    fn begin(plaintext: &[u8]) -> Option<(u16, Reader<'_>)> {
        let mut reader = Reader(plaintext);
        for _ in 0..reader.short()? {
            reader.sized_short()?;
        }
        Some((reader.short()?, reader))
    }

    /// Can every name and value be read, and does nothing follow them?
    fn are_whole(plaintext: &[u8]) -> bool {
        let Some((count, mut reader)) = Self::begin(plaintext) else { return false };
        for _ in 0..count {
            if reader.sized_short().and_then(|_| reader.sized_long()).is_none() {
                return false;
            }
        }
        reader.0.is_empty()
    }
}

/// Exactly the provider's fields, each once, each of its shape.
pub(crate) fn faults(provider: &Provider, fields: &[(String, SecretBytes)]) -> Vec<FieldFault> {
    let mut faults = Vec::new();
    let mut fault = |field: String, fault: String| faults.push(FieldFault { field, fault });
    for (name, value) in fields {
        let place = format!("fields.{name}");
        match provider.field(name) {
            None if is_like_a_field(name) => {
                fault(place, format!("is no field of {}", provider.id));
                continue;
            }
            None => {
                fault(String::from("fields"), no_name(provider));
                continue;
            }
            Some(field) => {
                if let Some(what) = field.format.fault(value) {
                    fault(place.clone(), what);
                }
            }
        }
        if fields.iter().filter(|(other, _)| other == name).count() > 1 {
            fault(place, String::from("is given twice"));
        }
    }
    for field in &provider.fields {
        if !fields.iter().any(|(name, _)| *name == field.name) {
            fault(format!("fields.{}", field.name), String::from("is missing"));
        }
    }
    faults
}

fn no_name(provider: &Provider) -> String {
    let known: Vec<&str> = provider.fields.iter().map(|field| &*field.name).collect();
    format!(
        "has a name that is no field of {}, whose fields are {}; it is not repeated here, because \
         it may be a value",
        provider.id,
        known.join(", ")
    )
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn sized_short(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.short()?);
        self.take(length)
    }

    fn sized_long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        self.take(usize::try_from(length).ok()?)
    }
}
