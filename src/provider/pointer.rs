//! A JSON pointer to one member of an object, as a file writes it. Objects alone: a credential in
//! an array has no fixed place.
//! Must never be made from anything a client sent.

/// The names that lead to the member, outermost first; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    names: Vec<String>,
}

impl Pointer {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let plain = text.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'"');
        let Some(rest) = text.strip_prefix('/').filter(|rest| plain && !rest.is_empty()) else {
            return Err(format!("`{text}` is no JSON pointer such as /secret"));
        };
        let name = |part: &str| part.replace("~1", "/").replace("~0", "~");
        Ok(Self { names: rest.split('/').map(name).collect() })
    }

    /// To a member of the outermost object.
    pub(crate) fn to_member(name: &str) -> Self {
        Self { names: vec![name.to_owned()] }
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }
}

impl std::fmt::Display for Pointer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let escaped = |name: &String| name.replace('~', "~0").replace('/', "~1");
        self.names.iter().try_for_each(|name| write!(formatter, "/{}", escaped(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_through_objects_by_their_names() {
        let pointer = Pointer::parse("/auth/a~1b~0c").unwrap();
        assert_eq!(pointer.names(), ["auth", "a/b~c"]);
        assert_eq!(pointer.to_string(), "/auth/a~1b~0c");
        for text in ["", "/", "secret", "/a\"b", "/a b"] {
            assert!(Pointer::parse(text).is_err(), "{text}");
        }
    }
}
