//! The stand-in's certificate and the authority that signed it, made in memory and thrown away with
//! it.
//! Must never be trusted for anything but a stand-in on this machine.

use crate::net::TlsAcceptor;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::EmulatorError;

const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate chain with its private key, and the authority above it.
pub(crate) struct Identity {
    ca_pem: String,
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
}

impl Identity {
    /// A new authority and a new certificate for `localhost`, `127.0.0.1` and `::1`.
    pub(crate) fn fresh() -> Result<Self, EmulatorError> {
        Self::make().map_err(|cause| EmulatorError::Identity(cause.to_string()))
    }

    fn make() -> Result<Self, rcgen::Error> {
        let mut above = CertificateParams::default();
        above.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        above.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        above.distinguished_name.push(DnType::CommonName, "Sealgate emulator authority");
        let authority = CertifiedIssuer::self_signed(above, KeyPair::generate()?)?;

        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut leaf = CertificateParams::new(names)?;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        leaf.distinguished_name.push(DnType::CommonName, "Sealgate emulator");
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &authority)?;
        Ok(Self {
            ca_pem: authority.pem(),
            chain: vec![certificate.der().to_vec()],
            key: key.serialize_der(),
        })
    }

    pub(super) fn into_acceptor(self) -> Result<(String, TlsAcceptor), EmulatorError> {
        let acceptor = crate::net::server_tls(self.chain, self.key, &ALPN)
            .map_err(|fault| EmulatorError::Identity(fault.to_string()))?;
        Ok((self.ca_pem, acceptor))
    }
}
