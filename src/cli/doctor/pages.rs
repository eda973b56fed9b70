//! The check of `[[browser.origins]]`: a page that is listed
//! with no routes reads nothing, which is rarely what was
//! meant. Must never count as a fault what may be meant.

use super::check::Check;
use crate::corridor::PageSettings;

const NAME: &str = "pages";

/// Nothing where no page is listed.
pub(super) fn check(pages: &[PageSettings]) -> Option<Check> {
    let idle: Vec<&str> = pages
        .iter()
        .filter(|page| page.routes.iter().all(|route| route.starts_with('!')))
        .map(|page| page.origin.as_str())
        .collect();
    match (pages.len(), idle.as_slice()) {
        (0, _) => None,
        (1, []) => Some(Check::green(NAME, "1 origin may call with no key")),
        (listed, []) => Some(Check::green(NAME, format!("{listed} origins may call with no key"))),
        (_, idle) => Some(Check::note(
            NAME,
            format!("{}: no route is listed, so nothing passes without a key", idle.join(", ")),
            "give routes in [[browser.origins]], unless these pages bring a key or token",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Tier;

    fn page(origin: &str, routes: &[&str]) -> PageSettings {
        let routes = routes.iter().map(|route| (*route).to_owned()).collect();
        PageSettings { origin: origin.to_owned(), tier: Tier::Limited, limit: 0, routes }
    }

    #[test]
    fn a_page_that_may_read_nothing_is_named_and_is_no_fault() {
        assert!(check(&[]).is_none());
        let open = page("https://open.example", &["acme:GET:/**"]);
        let fine = check(std::slice::from_ref(&open)).unwrap();
        assert!(fine.ok && fine.remedy.is_none());
        let idle =
            [page("https://idle.example", &[]), page("https://no.example", &["!acme:*:/**"])];
        let noted = check(&[&[open][..], &idle].concat()).unwrap();
        assert!(noted.ok && noted.remedy.is_some(), "{}", noted.detail);
        assert!(noted.detail.starts_with("https://idle.example, https://no.example: "));
    }
}
