//! Bodies of the kind `application/x-www-form-urlencoded`, read into memory that wipes itself:
//! there is a client key in them. Must never take one member for another: a name that comes twice
//! is an error.

use crate::corridor::percent_decoded;
use crate::secret::SecretBytes;

/// Names with their values, each name once.
pub(super) struct Form(Vec<(Vec<u8>, SecretBytes)>);

impl Form {
    /// None where a name comes twice.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut members: Vec<(Vec<u8>, SecretBytes)> = Vec::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decoded(halves.next().unwrap_or_default());
            if members.iter().any(|(known, _)| *known == name) {
                return None;
            }
            members.push((name, SecretBytes::new(decoded(halves.next().unwrap_or_default()))));
        }
        Some(Self(members))
    }

    /// None for what is absent or empty, which OAuth has for the same.
    pub(super) fn value(&self, name: &str) -> Option<&SecretBytes> {
        let found = self.0.iter().find(|(known, _)| known == name.as_bytes());
        found.map(|(_, value)| value).filter(|value| !value.is_empty())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.expose_str()
    }
}

/// One name or value.
pub(super) fn decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> =
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decoded(&spaced).unwrap_or(spaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_decoded_and_none_may_come_twice() {
        let form =
            Form::read(b"grant_type=client_credentials&scope=a%3AGET%3A/x+b&empty=").unwrap();
        assert_eq!(form.text("grant_type"), Some("client_credentials"));
        assert_eq!(form.text("scope"), Some("a:GET:/x b"));
        assert!(form.text("empty").is_none() && form.text("other").is_none());
        assert!(Form::read(b"a=1&%61=2").is_none());
    }
}
