//! The list of rooms as `src/lib.rs` writes it: rooms are its `mod` lines, a comment right above one
//! begins a storey. The order of the lines is the law; this file only reads it. Must never know a room by
//! name.

use crate::tree::Tree;

/// One top-level module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) storey: String,
    pub(crate) name: String,
}

/// All rooms, from the ground up.
#[derive(Clone, Debug, Default)]
pub(crate) struct House {
    pub(crate) rooms: Vec<Room>,
}

impl House {
    pub(crate) fn read(tree: &Tree) -> Self {
        let mut storey = "";
        let mut above = "";
        let mut rooms = Vec::new();
        for line in tree.text("src/lib.rs").unwrap_or_default().lines() {
            if let Some(name) = declared(line) {
                storey = above.strip_prefix("// ").unwrap_or(storey);
                rooms.push(Room { storey: storey.to_owned(), name: name.to_owned() });
            }
            above = line;
        }
        Self { rooms }
    }

    /// How high a room stands. The binary stands above everything.
    pub(crate) fn height(&self, room: &str) -> Option<usize> {
        match room {
            "main" => Some(self.rooms.len()),
            _ => self.rooms.iter().position(|candidate| candidate.name == room),
        }
    }
}

/// The name in `mod name;`, whatever its visibility.
fn declared(line: &str) -> Option<&str> {
    let line = line.split("//").next().unwrap_or_default().trim();
    let (visibility, rest) = line.split_once("mod ")?;
    let visible = ["", "pub ", "pub(crate) "].contains(&visibility);
    rest.strip_suffix(';').filter(|_| visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storeys_and_rooms_are_read_in_order() {
        let house = House::read(&Tree::lawful());
        let rooms: Vec<_> =
            house.rooms.iter().map(|room| format!("{}/{}", room.storey, room.name)).collect();
        let expected =
            "ground/secret ground/refusal way out/policy keepers/vault doors/proxy doors/admin";
        assert_eq!(rooms.join(" "), expected);
        assert_eq!(house.height("vault"), Some(3));
        assert_eq!(house.height("main"), Some(6));
        assert_eq!(house.height("cellar"), None);
    }
}
