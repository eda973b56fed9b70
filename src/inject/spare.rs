//! A head that can be sent once more, with another version's key in it: copied before the first
//! try, clean as that was. It asks for no socket.
//! Must never be copied of a head in which a key was placed.

use http::request::Parts;

use super::Head;

pub(crate) struct Spare {
    parts: Parts,
    rest_at: usize,
    query: Option<String>,
}

impl Spare {
    pub(crate) fn head(&mut self) -> Head<'_> {
        Head::new(&mut self.parts, self.rest_at, self.query.take())
    }
}

impl Head<'_> {
    /// For a second try: what it holds, as it is by now.
    pub(crate) fn spare(&self) -> Spare {
        Spare { parts: self.parts.clone(), rest_at: self.rest_at, query: self.query.clone() }
    }
}
