//! What can go wrong with keys and envelopes.
//! Every file of this module answers with it.
//! Must never say anything about the key or the plaintext.

/// Why an envelope could not be made or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CryptoError {
    NoRandomness,
    TooLarge,
    Malformed,
    WrongLayer,
    WrongParent,
    NotAuthentic,
}

impl std::fmt::Display for CryptoError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::NoRandomness => "the system gave no usable randomness",
            Self::TooLarge => "the value is larger than 1 MiB",
            Self::Malformed => "the envelope is malformed",
            Self::WrongLayer => "the envelope is of another layer",
            Self::WrongParent => "the envelope was sealed under another key",
            Self::NotAuthentic => {
                "the envelope does not open: it was edited, moved, or its key is another"
            }
        })
    }
}

impl std::error::Error for CryptoError {}
