//! Associated data in its one canonical form: a tag and a length before every part, so that no
//! two different meanings have the same bytes. Must never hold anything an operator may edit
//! freely.

/// A list of tagged parts, in the order in which they were added.
pub(crate) struct Aad(Vec<u8>);

impl Aad {
    pub(crate) fn new(kind: &str) -> Self {
        Self(Vec::with_capacity(256)).with(kind.as_bytes())
    }

    /// Appends one part: its length as u32, then its bytes.
    #[must_use]
    pub(crate) fn with(mut self, part: &[u8]) -> Self {
        // A part is an id, a name or a digest; none comes near four gigabytes.
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(part);
        self
    }

    #[must_use]
    pub(crate) fn with_number(self, number: u64) -> Self {
        self.with(&number.to_be_bytes())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_run_into_each_other() {
        let left = Aad::new("x").with(b"ab").with(b"c");
        let right = Aad::new("x").with(b"a").with(b"bc");
        assert_ne!(left.as_bytes(), right.as_bytes());
    }
}
