//! The trailers of a request: those that it announces and that are no slot, no framing and no
//! override go on; of all others nothing does, and no server can take them for more than they are.
//! Must never let a credential through behind the body.

use http::header::TRAILER;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::names::{hyphened, is_ours_or_hop_by_hop};
use super::overrides;
use crate::provider::Catalogue;

/// More than any protocol announces.
const MOST_NAMES: usize = 16;

/// The names that go on, in the order in which they were announced; none where that is nothing.
pub(super) fn announced(headers: &HeaderMap, catalogue: &Catalogue) -> Option<HeaderValue> {
    let values = headers.get_all(TRAILER).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let names = names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
    let may_go = |name: &HeaderName| {
        let hyphened = hyphened(name.as_str());
        let mut spellings = [Some(name.as_str()), hyphened.as_deref()].into_iter().flatten();
        !spellings.any(|name| {
            catalogue.header_slot(name).is_some()
                || is_ours_or_hop_by_hop(name)
                || overrides::is_one(name)
                || name.starts_with("content-")
        })
    };
    let names: Vec<HeaderName> = names.filter(may_go).take(MOST_NAMES).collect();
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    HeaderValue::try_from(names.join(", ")).ok().filter(|names| !names.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_taken_for_more_than_a_trailer_does_not_go_on() {
        let catalogue = Catalogue::build(&[]).unwrap();
        let go = |text: &str| {
            let mut headers = HeaderMap::new();
            for value in text.split('|') {
                headers.append(TRAILER, HeaderValue::from_str(value).unwrap());
            }
            announced(&headers, &catalogue).map(|names| names.to_str().unwrap().to_owned())
        };
        assert_eq!(
            go("X-Checksum, x-took|Grpc-Status").unwrap(),
            "x-checksum, x-took, grpc-status"
        );
        for name in [
            "authorization",
            "X-API-Key",
            "x_api_key",
            "Host",
            "content-length",
            "content_length",
            "Content-Encoding",
            "Transfer-Encoding",
            "X-Forwarded-For",
            "X-Sealgate-Secret",
            "X-HTTP-Method-Override",
            "X-Original-URL",
            "trailer",
            "no name",
            "",
        ] {
            assert_eq!(go(name), None, "{name}");
        }
    }
}
