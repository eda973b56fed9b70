//! Lists: how many items, and from where on.
//! A cursor is whatever the list before gave out; callers keep it as it is, and one that was made
//! up is refused.

use uuid::Uuid;

use super::members::{Members, Patch};

const USUAL: u64 = 100;
const MOST: u64 = 1000;

/// `limit`, 100 unless said otherwise.
pub(super) fn limit(query: &mut Members) -> u32 {
    let limit = query.whole("limit", 1, MOST).value().unwrap_or(USUAL);
    u32::try_from(limit).unwrap_or(u32::MAX)
}

/// `cursor`, where the list goes by id.
pub(super) fn after_id(query: &mut Members) -> Option<Uuid> {
    let text = after_text(query)?;
    let id = Uuid::try_parse(&text).ok();
    if id.is_none() {
        query.fault("cursor", "is not one that this list gave out");
    }
    id
}

/// `cursor`, where the list goes by text.
pub(super) fn after_text(query: &mut Members) -> Option<String> {
    match query.text("cursor") {
        Patch::Set(text) => Some(text),
        Patch::Keep | Patch::Clear => None,
    }
}

/// Asked for one more than is shown: whether there is one says whether there is a next page.
pub(super) fn split<T>(
    mut rows: Vec<T>,
    limit: u32,
    cursor: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = if has_more { rows.last().map(cursor) } else { None };
    (rows, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Members {
        let uri = format!("/x?{text}").parse().unwrap();
        Members::of_query(&uri).map_err(|_| ()).unwrap()
    }

    #[test]
    fn a_page_has_a_hundred_items_unless_one_to_a_thousand_are_asked_for() {
        for (text, expected, is_fine) in [
            ("", 100, true),
            ("limit=1", 1, true),
            ("limit=1000", 1000, true),
            ("limit=1001", 100, false),
            ("limit=0", 100, false),
            ("limit=x", 100, false),
        ] {
            let mut query = query(text);
            assert_eq!(limit(&mut query), expected, "{text}");
            assert_eq!(query.finish().is_ok(), is_fine, "{text}");
        }
    }

    #[test]
    fn a_cursor_that_was_made_up_is_refused() {
        let mut made_up = query("cursor=..");
        assert_eq!(after_id(&mut made_up), None);
        assert!(made_up.finish().is_err());
    }

    #[test]
    fn the_last_item_shown_is_where_the_next_page_begins() {
        let (items, next) = split(vec![3, 2, 1], 2, ToString::to_string);
        assert_eq!((items, next), (vec![3, 2], Some(String::from("2"))));
        let (items, next) = split(vec![2, 1], 2, ToString::to_string);
        assert_eq!((items, next), (vec![2, 1], None));
    }
}
