//! Short secrets that live longer than one call: copies in protected memory, in a few sizes.
//! Must never be made of what is needed for a moment only; that is what `SecretBytes` is for, and
//! protected memory is small.

use super::{Locked, SecretBytes};

/// What longer ones are not kept beyond.
const MOST_BYTES: usize = 4096;

/// A copy of a secret, in locked memory that no dump holds.
pub(crate) struct KeptBytes {
    block: Block,
    length: usize,
}

enum Block {
    Short(Locked<[u8; 64]>),
    Middling(Locked<[u8; 512]>),
    Long(Locked<[u8; MOST_BYTES]>),
    /// In ordinary memory, wiped like the rest.
    TooLong(SecretBytes),
}

impl KeptBytes {
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let block = match bytes.len() {
            0..=64 => Block::Short(filled(bytes)),
            65..=512 => Block::Middling(filled(bytes)),
            513..=MOST_BYTES => Block::Long(filled(bytes)),
            _ => Block::TooLong(SecretBytes::copy_of(bytes)),
        };
        Self { block, length: bytes.len() }
    }

    /// The plain bytes.
    pub(crate) fn expose(&self) -> &[u8] {
        let whole: &[u8] = match &self.block {
            Block::Short(block) => &block[..],
            Block::Middling(block) => &block[..],
            Block::Long(block) => &block[..],
            Block::TooLong(bytes) => bytes.expose(),
        };
        whole.get(..self.length).unwrap_or_default()
    }

    /// False for one that is too long for protected memory: it must go when its call ends.
    pub(crate) fn may_stay(&self) -> bool {
        !matches!(self.block, Block::TooLong(_))
    }
}

/// For a header value that owns its bytes.
impl AsRef<[u8]> for KeptBytes {
    fn as_ref(&self) -> &[u8] {
        self.expose()
    }
}

fn filled<const N: usize>(bytes: &[u8]) -> Locked<[u8; N]> {
    let mut block = Locked::new([0; N]);
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = *from;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_kept_as_it_is() {
        for length in [0, 1, 63, 64, 65, 512, 513, 4096, 4097] {
            let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let kept = KeptBytes::copy_of(&bytes);
            assert_eq!(kept.expose(), bytes);
            assert_eq!(kept.may_stay(), length <= MOST_BYTES);
        }
    }
}
