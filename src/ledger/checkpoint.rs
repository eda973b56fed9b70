//! Checkpoints: the bytes that are signed, the form in which they travel, and this node's signing
//! key, which lies in the data folder, where the database's owner cannot read. Must never sign
//! under another key, nor take a checkpoint for genuine whose signature does not hold.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::crypto::{self, Sha256, Signer, label};
use crate::secret::{Key, SecretBytes};
use crate::store::Checkpoint;

const FORMAT: u64 = 1;

/// This node's key, for as long as its data folder lives.
pub(super) struct Signing(Signer);

/// What a checkpoint says beside the records.
pub(super) struct Words<'a> {
    pub(super) signing: &'a Signing,
    pub(super) node: &'a str,
    pub(super) inventory_epoch: u64,
    pub(super) now_ms: i64,
}

impl Signing {
    /// Made where there is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let unusable = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let key = match fs::read(path) {
            Ok(bytes) => {
                let bytes = SecretBytes::new(bytes);
                let key = Key::from_slice(bytes.expose());
                key.ok_or_else(|| unusable("it is not a key of 32 bytes; bring it back"))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path)?,
            Err(error) => return Err(error),
        };
        Signer::of_seed(&key).map(Self).map_err(|_| unusable("it is no key"))
    }

    pub(super) fn public_key(&self) -> [u8; 32] {
        self.0.public_bytes()
    }

    pub(super) fn sign_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(bytes)
    }

    /// The same checkpoint with this node's signature.
    pub(super) fn sign(&self, mut unsigned: Checkpoint) -> Checkpoint {
        unsigned.public_key = self.public_key();
        unsigned.signature = self.0.sign(&unsigned.signed_bytes());
        unsigned
    }
}

fn make(path: &Path) -> io::Result<Key> {
    let no_randomness = |_| io::Error::other("the operating system gave no random bytes");
    let key = Key::fill_with(crypto::fill_random).map_err(no_randomness)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(key.expose())?;
    file.sync_all()?;
    Ok(key)
}

impl Checkpoint {
    /// `label ‖ length of node u32 ‖ node ‖ first ‖ last ‖ head ‖ root ‖ before ‖ epoch ‖ time ‖
    /// public key`, numbers in 8 bytes, little-endian.
    pub(super) fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = label::CHECKPOINT.to_vec();
        let length = u32::try_from(self.node.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(self.node.as_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.last.to_le_bytes());
        for hash in [&self.head, &self.root, &self.before] {
            bytes.extend_from_slice(hash);
        }
        bytes.extend_from_slice(&self.inventory_epoch.to_le_bytes());
        bytes.extend_from_slice(&self.time_ms.to_le_bytes());
        bytes.extend_from_slice(&self.public_key);
        bytes
    }

    /// What the next one repeats.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new(label::CHECKPOINT);
        digest.update(b"/digest/");
        digest.update(&self.signed_bytes());
        digest.finish()
    }

    /// Signed by the key that it names.
    pub(super) fn is_genuine(&self) -> bool {
        crypto::is_signed(&self.public_key, &self.signed_bytes(), &self.signature)
    }

    /// One line of JSON, without its end.
    pub(crate) fn to_line(&self) -> String {
        self.to_json().to_string()
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "checkpoint": FORMAT,
            "node": self.node,
            "first": self.first,
            "last": self.last,
            "head": hex(&self.head),
            "root": hex(&self.root),
            "before": hex(&self.before),
            "inventory_epoch": self.inventory_epoch,
            "time": self.time_ms,
            "public_key": URL_SAFE_NO_PAD.encode(self.public_key),
            "signature": URL_SAFE_NO_PAD.encode(&self.signature),
        })
    }

    pub(crate) fn of_json(value: &Value) -> Option<Self> {
        let number = |name: &str| value.get(name)?.as_u64();
        let text = |name: &str| value.get(name)?.as_str();
        if number("checkpoint")? != FORMAT {
            return None;
        }
        Some(Self {
            node: text("node")?.to_owned(),
            first: number("first")?,
            last: number("last")?,
            head: unhex(text("head")?)?,
            root: unhex(text("root")?)?,
            before: unhex(text("before")?)?,
            inventory_epoch: number("inventory_epoch")?,
            time_ms: value.get("time")?.as_i64()?,
            public_key: public_key_of(text("public_key")?)?,
            signature: URL_SAFE_NO_PAD.decode(text("signature")?).ok()?,
        })
    }
}

/// The public half of a signing key, as people pass it on.
pub(crate) fn public_key_text(key: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

pub(crate) fn public_key_of(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

pub(crate) fn signature_text(signature: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(signature)
}

pub(super) fn signature_of(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn signing(seed: u8) -> Signing {
        Signing(Signer::of_seed(&Key::copy_of(&[seed; 32])).unwrap())
    }

    fn checkpoint() -> Checkpoint {
        signing(7).sign(Checkpoint {
            node: String::from("a1"),
            first: 1,
            last: 1_000,
            head: [1; 32],
            root: [2; 32],
            before: [0; 32],
            inventory_epoch: 5,
            time_ms: -3,
            public_key: [0; 32],
            signature: Vec::new(),
        })
    }

    #[test]
    fn a_checkpoint_travels_as_a_line_and_stays_genuine() {
        let checkpoint = checkpoint();
        assert!(checkpoint.is_genuine());
        let value: Value = serde_json::from_str(&checkpoint.to_line()).unwrap();
        assert_eq!(Checkpoint::of_json(&value), Some(checkpoint));
    }

    #[test]
    fn no_member_can_be_changed() {
        let genuine = checkpoint();
        let edits: [fn(&mut Checkpoint); 10] = [
            |edited| edited.node = String::from("a2"),
            |edited| edited.first += 1,
            |edited| edited.last += 1,
            |edited| edited.head[31] ^= 1,
            |edited| edited.root[0] ^= 1,
            |edited| edited.before[5] ^= 1,
            |edited| edited.inventory_epoch -= 1,
            |edited| edited.time_ms += 1,
            |edited| edited.public_key = signing(8).public_key(),
            |edited| edited.signature[9] ^= 1,
        ];
        for (place, edit) in edits.into_iter().enumerate() {
            let mut edited = genuine.clone();
            edit(&mut edited);
            assert!(!edited.is_genuine(), "edit {place}");
        }
    }

    #[test]
    fn the_key_is_made_once_and_refused_where_it_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.key");
        let first = Signing::open(&path).unwrap().public_key();
        assert_eq!(Signing::open(&path).unwrap().public_key(), first);
        fs::write(&path, b"short").unwrap();
        assert!(Signing::open(&path).is_err());
    }
}
