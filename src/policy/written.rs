//! Scopes as somebody writes them, for a client key or a token: does each name a provider of this
//! house, and can a call match it at all? Must never judge what is stored already: a provider that
//! is taken out of the settings ends no key.

use crate::client::Scopes;
use crate::provider::{Catalogue, SANDBOX};

/// Places in scopes that are no provider: the callers' own API, where it has scopes.
const OWN: [&str; 1] = ["market"];

/// What is wrong, with the place in the list of each fault.
pub(crate) fn faults_of_scopes<T: AsRef<str>>(
    texts: &[T],
    catalogue: &Catalogue,
) -> Vec<(usize, String)> {
    let written = |(index, text): (usize, &T)| Some((index, Scopes::fault_of(text.as_ref())?));
    let mut faults: Vec<(usize, String)> = texts.iter().enumerate().filter_map(written).collect();
    let is_known =
        |name: &str| catalogue.get(name).is_some() || name == SANDBOX || OWN.contains(&name);
    for (index, _) in Scopes::providers_of(texts).filter(|(_, name)| !is_known(name)) {
        if faults.iter().all(|(faulty, _)| *faulty != index) {
            let known: Vec<&str> = catalogue.iter().map(|provider| &*provider.id).collect();
            let known = known.join(", ");
            faults.push((
                index,
                format!("names no provider of this house: it has {known}; * is all"),
            ));
        }
    }
    faults.sort_by_key(|(index, _)| *index);
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_of_an_unknown_provider_names_the_known_ones() {
        let catalogue = Catalogue::build(&[]).unwrap();
        let good = ["*:GET:/**", "!openai:*:/v1/x", "sandbox:GET:/**", "market:GET:/**"];
        assert_eq!(faults_of_scopes(&good, &catalogue), []);
        let bad = ["polygone:GET:/v2/**", "openai:FOO:/v1", "polygon:GET:/v2"];
        let faults = faults_of_scopes(&bad, &catalogue);
        let places: Vec<usize> = faults.iter().map(|(index, _)| *index).collect();
        assert_eq!(places, [0, 1]);
        assert!(faults[0].1.contains("openai, polygon"), "{faults:?}");
    }
}
