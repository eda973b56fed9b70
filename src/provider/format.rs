//! The shape of a provider's key, checked before anything is sent or stored. A
//! shape is a hint, not a proof: it is kept loose where the provider documents
//! none.

use crate::secret::SecretBytes;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyFormat {
    /// Any of these; empty: no prefix is known.
    pub prefixes: Vec<String>,
    pub min_length: usize,
    pub max_length: usize,
}

impl Default for KeyFormat {
    fn default() -> Self {
        Self { prefixes: Vec::new(), min_length: 1, max_length: 8192 }
    }
}

impl KeyFormat {
    /// What is wrong with the value, in words that do not repeat it.
    pub(crate) fn fault(&self, value: &SecretBytes) -> Option<String> {
        let bytes = value.expose();
        if bytes.is_empty() {
            return Some(String::from("is empty"));
        }
        if bytes.iter().any(|byte| !(0x21..0x7f).contains(byte)) {
            return Some(String::from(
                "holds a space, a line break or another character that no key has; copy it again",
            ));
        }
        if bytes.starts_with(b"mdw_") || bytes.starts_with(b"mdt_") {
            return Some(String::from(
                "is a Sealgate client key; the provider's own key goes here",
            ));
        }
        if bytes.len() < self.min_length || bytes.len() > self.max_length {
            return Some(format!(
                "has {} characters; keys of this provider have {} to {}",
                bytes.len(),
                self.min_length,
                self.max_length
            ));
        }
        let known = |prefix: &String| bytes.starts_with(prefix.as_bytes());
        if !self.prefixes.is_empty() && !self.prefixes.iter().any(known) {
            return Some(format!("does not begin with {}", self.prefixes.join(" or ")));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_shape_is_said_without_the_value() {
        let format =
            KeyFormat { prefixes: vec![String::from("sk-")], min_length: 5, max_length: 9 };
        let fault = |value: &[u8]| format.fault(&SecretBytes::copy_of(value));
        assert_eq!(fault(b"sk-abc"), None);
        assert_eq!(fault(b"pk-abc").unwrap(), "does not begin with sk-");
        assert!(fault(b"sk-abc\n").unwrap().contains("line break"));
        assert!(fault(b"sk").unwrap().contains("has 2 characters"));
        assert!(fault(b"mdw_abcdef").unwrap().contains("Sealgate client key"));
    }
}
