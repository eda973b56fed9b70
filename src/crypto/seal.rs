//! Sealing and opening of one envelope; the layout stands in `crypto.rs`.
//! Parses foreign bytes: must never panic, and must refuse short input, unknown formats and
//! trailing bytes.

use zeroize::Zeroizing;

use super::fault::CryptoError;
use super::primitive::{Cipher, TAG_BYTES, expand};
use super::random::{fresh_salt, random_bytes};
use super::{Aad, Layer, label, sha256};
use crate::secret::{Key, Locked, SecretBytes, leaving_nothing, same};

const MAGIC: &[u8; 4] = b"SGE1";
const FORMAT: u8 = 1;
/// HKDF-SHA-512 with commitment, AES-256-GCM.
const SUITE: u8 = 1;
const SALT_AT: usize = 23;
const COMMITMENT_AT: usize = 55;
const NONCE_AT: usize = 87;
const LENGTH_AT: usize = 99;
const HEADER_BYTES: usize = 103;
/// Plaintext grows to a multiple of this, so that a length says little.
const PADDING_STEP: usize = 64;
const MAX_PLAINTEXT_BYTES: usize = 1 << 20;

/// The key that sealed a value, with the id that its envelopes carry.
#[derive(Clone, Copy)]
pub(crate) struct Parent<'a> {
    pub(crate) id: [u8; 16],
    pub(crate) key: &'a Key,
}

/// An envelope whose key was derived and whose commitment was verified once; opening it again
/// costs one AES-GCM pass. Holds the expanded key, in protected memory, never the plaintext.
pub(crate) struct Prepared {
    cipher: Locked<Cipher>,
    nonce: [u8; 12],
    header_and_aad: Vec<u8>,
    ciphertext_and_tag: Vec<u8>,
}

/// Seals `plaintext` under `parent`, bound to its layer and meaning.
pub(crate) fn seal(
    parent: Parent<'_>,
    layer: Layer,
    aad: &Aad,
    plaintext: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let mut body = padded(plaintext)?;
    let salt = fresh_salt()?;
    let nonce: [u8; 12] = random_bytes()?;
    let (cipher, commitment) = derive(parent.key, layer, &salt, aad)?;
    let length = u32::try_from(body.len()).map_err(|_| CryptoError::TooLarge)?;

    let mut envelope = Vec::with_capacity(HEADER_BYTES + body.len() + TAG_BYTES);
    envelope.extend_from_slice(MAGIC);
    envelope.extend_from_slice(&[FORMAT, SUITE, layer.byte()]);
    envelope.extend_from_slice(&parent.id);
    envelope.extend_from_slice(&salt);
    envelope.extend_from_slice(&commitment);
    envelope.extend_from_slice(&nonce);
    envelope.extend_from_slice(&length.to_be_bytes());

    let associated = [envelope.as_slice(), aad.as_bytes()].concat();
    let tag = cipher.seal_in_place(nonce, &associated, &mut body)?;
    envelope.extend_from_slice(&body);
    envelope.extend_from_slice(&tag);
    Ok(envelope)
}

/// Opens an envelope made by `seal` with the same parent, layer and meaning.
pub(crate) fn open(
    parent: Parent<'_>,
    layer: Layer,
    aad: &Aad,
    envelope: &[u8],
) -> Result<SecretBytes, CryptoError> {
    prepare(parent, layer, aad, envelope)?.open()
}

/// Derives the envelope's key and verifies its commitment, without opening it.
pub(crate) fn prepare(
    parent: Parent<'_>,
    layer: Layer,
    aad: &Aad,
    envelope: &[u8],
) -> Result<Prepared, CryptoError> {
    let parsed = Parsed::read(envelope)?;
    if parsed.layer != layer.byte() {
        return Err(CryptoError::WrongLayer);
    }
    if parsed.parent_id != parent.id {
        return Err(CryptoError::WrongParent);
    }
    let (cipher, commitment) = derive(parent.key, layer, &parsed.salt, aad)?;
    if !same(&commitment, &parsed.commitment) {
        return Err(CryptoError::NotAuthentic);
    }
    Ok(Prepared {
        cipher,
        nonce: parsed.nonce,
        header_and_aad: [parsed.header, aad.as_bytes()].concat(),
        ciphertext_and_tag: parsed.ciphertext_and_tag.to_vec(),
    })
}

/// Could these bytes be an envelope of this layer? What is in it, only its key can tell.
pub(crate) fn is_envelope(layer: Layer, envelope: &[u8]) -> bool {
    Parsed::read(envelope).is_ok_and(|parsed| parsed.layer == layer.byte())
}

impl Prepared {
    pub(crate) fn open(&self) -> Result<SecretBytes, CryptoError> {
        let split = self.ciphertext_and_tag.len().checked_sub(TAG_BYTES);
        let parts = split.and_then(|at| self.ciphertext_and_tag.split_at_checked(at));
        let (ciphertext, tag) = parts.ok_or(CryptoError::Malformed)?;
        let tag: [u8; TAG_BYTES] = tag.try_into().map_err(|_| CryptoError::Malformed)?;
        let mut body = Zeroizing::new(ciphertext.to_vec());
        self.cipher.open_in_place(self.nonce, &self.header_and_aad, &mut body, tag)?;
        unpadded(body)
    }
}

struct Parsed<'a> {
    layer: u8,
    parent_id: [u8; 16],
    salt: [u8; 32],
    commitment: [u8; 32],
    nonce: [u8; 12],
    header: &'a [u8],
    ciphertext_and_tag: &'a [u8],
}

impl<'a> Parsed<'a> {
    fn read(envelope: &'a [u8]) -> Result<Self, CryptoError> {
        let split = envelope.split_at_checked(HEADER_BYTES).ok_or(CryptoError::Malformed)?;
        let (header, ciphertext_and_tag) = split;
        let [b'S', b'G', b'E', b'1', FORMAT, SUITE, layer, ..] = header else {
            return Err(CryptoError::Malformed);
        };
        let length = u32::from_be_bytes(field(header, LENGTH_AT)?);
        let length = usize::try_from(length).map_err(|_| CryptoError::Malformed)?;
        if length > MAX_PLAINTEXT_BYTES + PADDING_STEP || length % PADDING_STEP != 0 {
            return Err(CryptoError::Malformed);
        }
        if ciphertext_and_tag.len() != length + TAG_BYTES {
            return Err(CryptoError::Malformed);
        }
        Ok(Self {
            layer: *layer,
            parent_id: field(header, 7)?,
            salt: field(header, SALT_AT)?,
            commitment: field(header, COMMITMENT_AT)?,
            nonce: field(header, NONCE_AT)?,
            header,
            ciphertext_and_tag,
        })
    }
}

fn field<const N: usize>(header: &[u8], at: usize) -> Result<[u8; N], CryptoError> {
    let bytes = header.get(at..at + N).ok_or(CryptoError::Malformed)?;
    bytes.try_into().map_err(|_| CryptoError::Malformed)
}

/// One fresh cipher and its commitment for one sealed thing.
fn derive(
    parent: &Key,
    layer: Layer,
    salt: &[u8; 32],
    aad: &Aad,
) -> Result<(Locked<Cipher>, [u8; 32]), CryptoError> {
    leaving_nothing(|| derived(parent, layer, salt, aad))
}

fn derived(
    parent: &Key,
    layer: Layer,
    salt: &[u8; 32],
    aad: &Aad,
) -> Result<(Locked<Cipher>, [u8; 32]), CryptoError> {
    let digest = sha256(aad.as_bytes());
    let info: [&[u8]; 5] = [label::ENVELOPE, &[SUITE], &[layer.byte()], salt, &digest];
    let mut output = Zeroizing::new([0_u8; 64]);
    expand(parent.expose(), &info, &mut output[..])?;
    let (enc, com) = output.split_at(32);
    let commitment = com.try_into().map_err(|_| CryptoError::Malformed)?;
    Ok((Locked::new(Cipher::new(enc)?), commitment))
}

/// The plaintext, its true length before it, grown with zeros to the next step.
fn padded(plaintext: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    if plaintext.len() > MAX_PLAINTEXT_BYTES - 4 {
        return Err(CryptoError::TooLarge);
    }
    let length = u32::try_from(plaintext.len()).map_err(|_| CryptoError::TooLarge)?;
    let total = (plaintext.len() + 4).next_multiple_of(PADDING_STEP);
    let mut body = Zeroizing::new(Vec::with_capacity(total));
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(plaintext);
    body.resize(total, 0);
    Ok(body)
}

/// In place: the plaintext moves to the front of its own buffer, so that no second copy is made.
fn unpadded(mut body: Zeroizing<Vec<u8>>) -> Result<SecretBytes, CryptoError> {
    let (length, rest) = body.split_at_checked(4).ok_or(CryptoError::Malformed)?;
    let length: [u8; 4] = length.try_into().map_err(|_| CryptoError::Malformed)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| CryptoError::Malformed)?;
    let (_plaintext, padding) = rest.split_at_checked(length).ok_or(CryptoError::Malformed)?;
    if padding.len() >= PADDING_STEP || padding.iter().any(|byte| *byte != 0) {
        return Err(CryptoError::Malformed);
    }
    body.drain(..4);
    body.truncate(length);
    Ok(SecretBytes::from(body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parent(key: &Key) -> Parent<'_> {
        Parent { id: [7; 16], key }
    }

    fn aad() -> Aad {
        Aad::new("test").with(b"polygon").with_number(3)
    }

    const LAYERS: [Layer; 8] = [
        Layer::KeyEncryptionKey,
        Layer::DataKey,
        Layer::Value,
        Layer::MasterKey,
        Layer::Inventory,
        Layer::SigningKey,
        Layer::OperatorCodes,
        Layer::AlertDestination,
    ];

    proptest! {
        #[test]
        fn what_was_sealed_opens_again(
            value in proptest::collection::vec(any::<u8>(), 0..300),
            key in any::<[u8; 32]>(),
            layer in proptest::sample::select(&LAYERS[..]),
        ) {
            let key = Key::copy_of(&key);
            let envelope = seal(parent(&key), layer, &aad(), &value).unwrap();
            let opened = open(parent(&key), layer, &aad(), &envelope).unwrap();
            prop_assert_eq!(opened.expose(), &value[..]);
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            layer in proptest::sample::select(&LAYERS[..]),
        ) {
            let key = Key::copy_of(&[9; 32]);
            prop_assert!(open(parent(&key), layer, &aad(), &bytes).is_err());
            // Behind a head that is right, so that what stands deeper is reached too.
            let mut dressed = seal(parent(&key), layer, &aad(), b"").unwrap();
            let length = dressed.len();
            dressed.truncate(length.saturating_sub(bytes.len()));
            dressed.extend_from_slice(&bytes);
            prop_assert!(bytes.is_empty() || open(parent(&key), layer, &aad(), &dressed).is_err());
        }

        #[test]
        fn a_changed_byte_a_cut_and_a_longer_envelope_are_refused_at_every_length(
            value in proptest::collection::vec(any::<u8>(), 0..2000),
            at in any::<proptest::sample::Index>(),
            change in 1..=255_u8,
            layer in proptest::sample::select(&LAYERS[..]),
        ) {
            let key = Key::copy_of(&[9; 32]);
            let mut envelope = seal(parent(&key), layer, &aad(), &value).unwrap();
            let at = at.index(envelope.len());
            prop_assert!(open(parent(&key), layer, &aad(), &envelope[..at]).is_err());
            envelope[at] ^= change;
            prop_assert!(open(parent(&key), layer, &aad(), &envelope).is_err());
            envelope[at] ^= change;
            envelope.push(change);
            prop_assert!(open(parent(&key), layer, &aad(), &envelope).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let key = Key::copy_of(&[9; 32]);
        for layer in LAYERS {
            let envelope = seal(parent(&key), layer, &aad(), b"the value").unwrap();
            let refused = |edited: &[u8]| open(parent(&key), layer, &aad(), edited).is_err();
            for index in 0..envelope.len() {
                for bit in 0..8 {
                    let mut edited = envelope.clone();
                    edited[index] ^= 1 << bit;
                    assert!(refused(&edited), "{layer:?}: byte {index}, bit {bit}");
                }
                assert!(refused(&envelope[..index]), "{layer:?}: cut at {index}");
            }
            assert!(refused(&[envelope.as_slice(), &[0]].concat()));
            let other = LAYERS.into_iter().filter(|other| *other != layer);
            for other in other {
                assert!(open(parent(&key), other, &aad(), &envelope).is_err());
            }
        }
    }

    #[test]
    fn another_meaning_layer_or_key_is_refused() {
        let key = Key::copy_of(&[9; 32]);
        let other = Key::copy_of(&[8; 32]);
        let envelope = seal(parent(&key), Layer::Value, &aad(), b"the value").unwrap();
        let elsewhere = Aad::new("test").with(b"massive").with_number(3);
        let refused = |result: Result<SecretBytes, CryptoError>| result.err().unwrap();
        let opened = open(parent(&key), Layer::Value, &elsewhere, &envelope);
        assert_eq!(refused(opened), CryptoError::NotAuthentic);
        let opened = open(parent(&key), Layer::DataKey, &aad(), &envelope);
        assert_eq!(refused(opened), CryptoError::WrongLayer);
        let opened = open(parent(&other), Layer::Value, &aad(), &envelope);
        assert_eq!(refused(opened), CryptoError::NotAuthentic);
    }

    /// Cipher libraries move blocks of the plaintext over the stack.
    #[test]
    fn what_was_sealed_or_opened_does_not_stay_on_the_stack() {
        let key = Key::copy_of(&[9; 32]);
        for length in [24, 200, 1000, 5000] {
            let value: Vec<u8> =
                (0..length).map(|at| b"0123456789abcdefghijklmnopqrstuvwxyz!?#"[at % 39]).collect();
            let envelope = seal(parent(&key), Layer::Value, &aad(), &value).unwrap();
            let prepared = prepare(parent(&key), Layer::Value, &aad(), &envelope).unwrap();
            let opened = left_by(move || {
                let opened = prepared.open().unwrap();
                assert!(opened.expose().starts_with(b"0123456789"));
            });
            let key = Key::copy_of(&[9; 32]);
            let sealed = left_by(move || {
                drop(seal(parent(&key), Layer::Value, &aad(), &value).unwrap());
            });
            for (what, stack) in [("opened", opened), ("sealed", sealed)] {
                let found = stack.windows(16).position(|part| part == b"3456789abcdefghi");
                let from_top = found.map(|at| stack.len() - at);
                assert_eq!(from_top, None, "{what} of {length}: it is on the stack");
            }
        }
    }

    /// The stack of a thread on which this ran, below the frame of whoever ran it.
    fn left_by(run: impl FnOnce() + Send + 'static) -> Vec<u8> {
        use std::os::unix::fs::FileExt as _;
        use std::sync::mpsc::channel;
        let (here, there) = channel();
        let (go_on, waiting) = channel::<()>();
        let ran = std::thread::spawn(move || {
            let frame = [0_u8; 1];
            run();
            here.send(std::ptr::from_ref(&frame).addr()).unwrap();
            let _gone = waiting.recv();
        });
        let top = there.recv().unwrap();
        let mut stack = vec![0; 256 << 10];
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let from = u64::try_from(top - stack.len()).unwrap();
        memory.read_exact_at(&mut stack, from).unwrap();
        drop(go_on);
        ran.join().unwrap();
        stack
    }

    #[test]
    fn lengths_are_hidden_in_steps_of_sixty_four() {
        let key = Key::copy_of(&[9; 32]);
        let length = |value: &[u8]| seal(parent(&key), Layer::Value, &aad(), value).unwrap().len();
        assert_eq!(length(b""), length(&[1; 60]));
        assert_eq!(length(&[1; 61]), length(b"") + 64);
    }
}
