//! What is said of a category's list that is not as it should be: sentences for people, each with
//! a remedy that works as things stand.
//! Must never name a remedy that would lose a secret.

use super::rows::CATEGORY as CLIENT_KEYS;

pub(super) fn lost(category: &str, what: &str) -> String {
    if category == CLIENT_KEYS {
        return format!(
            "the list of category {category} {what}, and with it the key by which client keys are \
             sealed; a new one was made, and no client key was taken over: each is refused until \
             somebody has looked at it and says `sealgate client accept`"
        );
    }
    format!(
        "the inventory of category {category} {what}; it was begun anew from the rows that stand, \
         so what was deleted or put back before cannot be told any more; look through `sealgate \
         secret list`, then say with `sealgate secret accept` that what stands is meant"
    )
}

pub(super) fn to_be_begun(category: &str, what: &str) -> String {
    format!(
        "the inventory of category {category} {what}; at the next start it is begun anew from the \
         rows that stand"
    )
}

/// Of a category in which no key seals anything any more.
pub(super) fn keyless(category: &str, what: &str) -> String {
    format!(
        "the inventory of category {category} {what}, and no key is there to begin it anew; so \
         none of its secrets can be told from an edited one, and all are closed until `sealgate \
         kek rotate --category {category}` has made a key; or restore a backup"
    )
}

pub(super) fn behind(category: &str, what: &str) -> String {
    format!(
        "the inventory of category {category} {what}; its secrets are judged by this node's own copy \
         (the file `anchors` in data_dir), and those that differ are closed. If the database was \
         put back on purpose, run `sealgate secret accept`"
    )
}

pub(super) fn closed(category: &str, what: &str) -> String {
    format!(
        "the inventory of category {category} {what}; so none of its secrets can be told from an \
         earlier one, and all are closed. Restore a backup with `sealgate backup restore`; \
         if the database was put back on purpose, run `sealgate secret accept`"
    )
}

/// Of a category that has neither a key nor a secret.
pub(super) fn stray(category: &str) -> String {
    let category: String = category.chars().take(100).collect();
    format!(
        "the table inventories has a list of category {category:?}, which has no key and no secret: \
         somebody put it there; `sealgate secret accept` takes it away"
    )
}
