//! Where a real key is placed in an outbound call, and what the placed text looks like. A
//! template is compiled once; filling it is a copy. Must never be built from anything a client
//! sent.

use crate::secret::SecretBytes;

/// One place that is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Lower-case name.
    Header {
        name: http::HeaderName,
        value: Template,
    },
    Query {
        name: String,
        value: Template,
    },
}

/// Literal text with the names of fields in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Field(String),
}

impl Placement {
    /// One text for one slot; bound into every sealed value.
    pub(crate) fn canonical(&self) -> String {
        match self {
            Self::Header { name, .. } => format!("header {name}"),
            Self::Query { name, .. } => format!("query {name}"),
        }
    }

    pub(crate) fn template(&self) -> &Template {
        match self {
            Self::Header { value, .. } | Self::Query { value, .. } => value,
        }
    }
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, tail) = after
                .split_once('}')
                .ok_or_else(|| format!("`{text}` has a brace that does not close"))?;
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(Part::Field(name.to_owned()));
            rest = tail;
        }
        if rest.contains('}') {
            return Err(format!("`{text}` has a brace that was never opened"));
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        let printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if !printable {
            return Err(format!("`{text}` has characters that no header may carry"));
        }
        Ok(Self { parts })
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The text with its fields filled in. None if a field is missing.
    pub(crate) fn fill<'a>(&self, field: impl Fn(&str) -> Option<&'a [u8]>) -> Option<SecretBytes> {
        let mut length = 0;
        for part in &self.parts {
            length += match part {
                Part::Literal(text) => text.len(),
                Part::Field(name) => field(name)?.len(),
            };
        }
        // Exactly as long as needed: a vector that grows leaves copies behind.
        let mut filled = Vec::with_capacity(length);
        for part in &self.parts {
            match part {
                Part::Literal(text) => filled.extend_from_slice(text.as_bytes()),
                Part::Field(name) => filled.extend_from_slice(field(name)?),
            }
        }
        Some(SecretBytes::new(filled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_literal_text_and_fields() {
        let template = Template::parse("Bearer {api_key}").unwrap();
        assert_eq!(template.fields().collect::<Vec<_>>(), ["api_key"]);
        let filled = template.fill(|name| (name == "api_key").then_some(b"k1".as_slice()));
        assert_eq!(filled.unwrap().expose(), b"Bearer k1");
        assert!(template.fill(|_| None).is_none());
        assert!(Template::parse("Bearer {api_key").is_err());
        assert!(Template::parse("a}b").is_err());
        assert!(Template::parse("a\r\nb").is_err());
    }
}
