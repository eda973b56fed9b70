//! What the house does not catch yet. Each entry is checked to fail still, so that whoever mends it
//! has to take it off.

/// The reply's name, and why it is not caught.
pub(crate) const AWAITED: &[(&str, &str)] = &[];
