//! Where a real key is placed in an outbound call, and what the placed text looks like. A
//! template is compiled once; filling it is a copy. Must never be built from anything a client
//! sent.

use super::Pointer;
use crate::secret::SecretBytes;

/// One place that is filled, in the calls of some methods or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    pub spot: Spot,
    /// Empty: all of them.
    pub methods: Vec<http::Method>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// Lower-case name.
    Header {
        name: http::HeaderName,
        value: Template,
    },
    Query {
        name: String,
        value: Template,
    },
    /// A member of the body's JSON object.
    Json {
        pointer: Pointer,
        value: Template,
    },
    /// Between the base path and the rest: begins with a slash.
    Path {
        value: Template,
    },
    /// The Authorization header: user, colon and password.
    Basic {
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
        match &self.spot {
            Spot::Header { name, .. } => format!("header {name}"),
            Spot::Query { name, .. } => format!("query {name}"),
            Spot::Json { pointer, .. } => format!("json {pointer}"),
            Spot::Path { value } => format!("path {}", value.written()),
            Spot::Basic { .. } => String::from("basic"),
        }
    }

    pub(crate) fn template(&self) -> &Template {
        match &self.spot {
            Spot::Header { value, .. }
            | Spot::Query { value, .. }
            | Spot::Json { value, .. }
            | Spot::Path { value }
            | Spot::Basic { value } => value,
        }
    }

    /// Is it filled in a call of this method?
    pub(crate) fn is_for(&self, method: &http::Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
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

    /// As it was written, with the names of fields in braces.
    pub(crate) fn written(&self) -> String {
        let part = |part: &Part| match part {
            Part::Literal(text) => text.clone(),
            Part::Field(name) => format!("{{{name}}}"),
        };
        self.parts.iter().map(part).collect()
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
        assert_eq!(template.written(), "Bearer {api_key}");
        assert!(Template::parse("Bearer {api_key").is_err());
        assert!(Template::parse("a}b").is_err());
        assert!(Template::parse("a\r\nb").is_err());
    }
}
