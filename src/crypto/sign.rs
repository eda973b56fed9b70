//! Signatures that others can check: Ed25519, and the one form of JWT that this house issues, whose
//! header is fixed but for the key's id. Nothing here reads a JWT: whoever signed one knows it by
//! its digest. Must never sign under an algorithm that somebody else chose.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::fault::CryptoError;
use super::sha256;
use crate::secret::{Key, SecretBytes};

/// A signing key, unpacked; the library wipes it when it is dropped.
pub(crate) struct Signer(Ed25519KeyPair);

impl Signer {
    pub(crate) fn of_seed(seed: &Key) -> Result<Self, CryptoError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose());
        pair.map(Self).map_err(|_| CryptoError::Malformed)
    }

    /// The public half.
    pub(crate) fn public_bytes(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap_or_default()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }

    /// The public half, as a JSON Web Key writes it.
    pub(crate) fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.public_key())
    }

    /// The thumbprint of RFC 7638: no other key has it, and nobody has to agree on a name.
    pub(crate) fn id(&self) -> String {
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.public());
        URL_SAFE_NO_PAD.encode(sha256(jwk.as_bytes()))
    }

    /// A signed token of these claims, which are a JSON object.
    pub(crate) fn jwt(&self, claims: &[u8]) -> SecretBytes {
        let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, self.id());
        // As long as it will be, so that no copy is left behind.
        let length = (header.len() + claims.len() + 64) * 4 / 3 + 8;
        let mut token = String::with_capacity(length);
        URL_SAFE_NO_PAD.encode_string(header, &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.0.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        SecretBytes::from_string(token)
    }
}

/// Did the holder of this key's other half sign the message?
pub(crate) fn is_signed(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::token;

    /// The first test of RFC 8032, section 7.1, and the key of RFC 8037, appendix A.
    const SEED: [u8; 32] = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c,
        0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae,
        0x7f, 0x60,
    ];

    #[test]
    fn key_and_thumbprint_are_the_published_ones() {
        let signer = Signer::of_seed(&Key::copy_of(&SEED)).unwrap();
        assert_eq!(signer.public(), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(signer.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_jwt_can_be_checked_with_the_public_key_and_is_known_by_its_beginning() {
        let signer = Signer::of_seed(&Key::copy_of(&SEED)).unwrap();
        let jwt = signer.jwt(br#"{"sub":"x"}"#);
        assert!(token::is_jwt_shaped(jwt.expose()));
        let held = [b"a=".as_slice(), jwt.expose(), b"; b"].concat();
        assert!(token::holds_jwt(&held) && !token::holds_jwt(&held[..150]));
        let text = jwt.expose_str().unwrap();
        let (signed, signature) = text.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = URL_SAFE_NO_PAD.decode(signer.public()).unwrap();
        let key = UnparsedPublicKey::new(&ED25519, &public);
        assert!(key.verify(signed.as_bytes(), &signature).is_ok());
        assert!(key.verify(b"other", &signature).is_err());
        let (header, claims) = signed.split_once('.').unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(claims).unwrap(), br#"{"sub":"x"}"#);
        let header = URL_SAFE_NO_PAD.decode(header).unwrap();
        assert!(header.starts_with(br#"{"alg":"EdDSA","typ":"at+jwt","kid":"kPrK_"#));
    }
}
