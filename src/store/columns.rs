//! From columns to the model: ids, flags, digests, JSON and closed sets, each checked, each fault
//! named by table, row and column.
//! Must never guess: what is not understood is a contradiction.

use uuid::Uuid;

use super::Error;

/// Above every id, so that a page without a cursor needs no statement of its own.
pub(super) const ABOVE_ALL_IDS: &str = "~";

/// The row that is being read, as its error will name it.
pub(super) struct Place<'a> {
    pub(super) table: &'static str,
    pub(super) row: &'a str,
}

impl Place<'_> {
    pub(super) fn contradiction(&self, column: &'static str, fault: impl Into<String>) -> Error {
        let row = self.row.chars().take(200).collect();
        Error::Contradiction { table: self.table, row, column, fault: fault.into() }
    }

    pub(super) fn id(&self, column: &'static str, text: &str) -> Result<Uuid, Error> {
        Uuid::try_parse(text).map_err(|_| self.contradiction(column, "is not an id"))
    }

    pub(super) fn flag(&self, column: &'static str, number: i64) -> Result<bool, Error> {
        match number {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.contradiction(column, format!("is {other}, neither 0 nor 1"))),
        }
    }

    pub(super) fn count(&self, column: &'static str, number: i64) -> Result<u64, Error> {
        u64::try_from(number)
            .map_err(|_| self.contradiction(column, format!("is {number}, below zero")))
    }

    /// A number of a smaller type than the database has.
    pub(super) fn small<T: TryFrom<i64>>(
        &self,
        column: &'static str,
        number: i64,
    ) -> Result<T, Error> {
        T::try_from(number)
            .map_err(|_| self.contradiction(column, format!("is {number}, out of range")))
    }

    pub(super) fn optional_count(
        &self,
        column: &'static str,
        number: Option<i64>,
    ) -> Result<Option<u64>, Error> {
        number.map(|number| self.count(column, number)).transpose()
    }

    pub(super) fn digest(&self, column: &'static str, bytes: &[u8]) -> Result<[u8; 32], Error> {
        bytes.try_into().map_err(|_| {
            self.contradiction(column, format!("has {} bytes instead of 32", bytes.len()))
        })
    }

    /// As long as every signature here is.
    pub(super) fn signature(&self, column: &'static str, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
        match bytes.len() {
            64 => Ok(bytes),
            other => Err(self.contradiction(column, format!("has {other} bytes instead of 64"))),
        }
    }

    /// A member of a closed set.
    pub(super) fn word<T>(
        &self,
        column: &'static str,
        text: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<T, Error> {
        parse(text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            self.contradiction(column, format!("says {shown:?}, which is not known"))
        })
    }

    /// A JSON list of strings; NULL is None.
    pub(super) fn texts(
        &self,
        column: &'static str,
        json: Option<&str>,
    ) -> Result<Option<Vec<String>>, Error> {
        let Some(json) = json else { return Ok(None) };
        serde_json::from_str(json)
            .map(Some)
            .map_err(|_| self.contradiction(column, "is not a JSON list of strings"))
    }

    /// A JSON object of strings; NULL is an empty one.
    pub(super) fn pairs(
        &self,
        column: &'static str,
        json: Option<&str>,
    ) -> Result<Vec<(String, String)>, Error> {
        let Some(json) = json else { return Ok(Vec::new()) };
        let fault = || self.contradiction(column, "is not a JSON object of strings");
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(json).map_err(|_| fault())?;
        let pair = |(name, value): (String, serde_json::Value)| match value {
            serde_json::Value::String(text) => Ok((name, text)),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => Err(fault()),
        };
        object.into_iter().map(pair).collect()
    }
}

pub(super) fn texts_json(texts: Option<&[String]>) -> Option<String> {
    texts.map(|texts| serde_json::Value::from(texts).to_string())
}

pub(super) fn pairs_json(pairs: &[(String, String)]) -> Option<String> {
    if pairs.is_empty() {
        return None;
    }
    let object: serde_json::Map<_, _> =
        pairs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    Some(serde_json::Value::Object(object).to_string())
}

/// Both databases count in signed 64 bits. Nothing that is counted here comes near the end of them.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn optional_signed(number: Option<u64>) -> Option<i64> {
    number.map(signed)
}

/// A closed set as it stands in a column of text.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$note:meta])* $member:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum $name {
            $($(#[$note])* $member,)+
        }

        impl $name {
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$member => $word,)+
                }
            }

            pub(crate) fn parse(text: &str) -> Option<Self> {
                [$(Self::$member),+].into_iter().find(|member| member.as_str() == text)
            }
        }
    };
}

pub(super) use words;
