//! What may be reached, how a key is placed there and checked. Pure.
