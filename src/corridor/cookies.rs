//! The console's cookie belongs to another door, though a browser may send it here, too: cookies
//! know hosts and no ports. It goes to no provider, and none sets it.
//! Must never touch a cookie of anybody else.

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

/// As `admin` calls it, off TLS and under it.
const OURS: [&[u8]; 2] = [b"sealgate", b"__Host-sealgate"];

/// Out of what a client sends.
pub(super) fn withhold(headers: &mut HeaderMap) {
    if !headers.get_all(COOKIE).iter().any(|value| pairs(value).any(is_ours)) {
        return;
    }
    let rest = |value: &HeaderValue| {
        let rest: Vec<&[u8]> = pairs(value).filter(|pair| !is_ours(pair)).collect();
        HeaderValue::from_bytes(&rest.join(&b"; "[..])).ok().filter(|value| !value.is_empty())
    };
    let kept: Vec<HeaderValue> = headers.get_all(COOKIE).iter().filter_map(rest).collect();
    headers.remove(COOKIE);
    for value in kept {
        headers.append(COOKIE, value);
    }
}

/// Out of what a provider answers.
pub(super) fn refuse(headers: &mut HeaderMap) {
    let is_set = |value: &HeaderValue| pairs(value).next().is_some_and(is_ours);
    if !headers.get_all(SET_COOKIE).iter().any(is_set) {
        return;
    }
    let others = headers.get_all(SET_COOKIE).iter().filter(|value| !is_set(value));
    let kept: Vec<HeaderValue> = others.cloned().collect();
    headers.remove(SET_COOKIE);
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

fn pairs(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii)
}

/// In any case of letters: some read them so.
fn is_ours(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
    OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &http::HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn all(headers: &HeaderMap, name: &http::HeaderName) -> Vec<String> {
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        headers.get_all(name).iter().map(text).collect()
    }

    #[test]
    fn the_consoles_cookie_is_taken_out_and_others_stay_as_they_came() {
        for (sent, left) in [
            (&["a=1;b=2 ; c"][..], &["a=1;b=2 ; c"][..]),
            (&["sealgate=x"], &[]),
            (&["a=1; sealgate=x; b=2"], &["a=1; b=2"]),
            (&["a=1", "__Host-sealgate=x", "b=2"], &["a=1", "b=2"]),
            (&["SEALGATE = x; sealgate2=y"], &["sealgate2=y"]),
        ] {
            let mut headers = of(&COOKIE, sent);
            withhold(&mut headers);
            assert_eq!(all(&headers, &COOKIE), left, "{sent:?}");
        }
    }

    #[test]
    fn no_provider_sets_it() {
        let mut headers = of(&SET_COOKIE, &["a=1; Path=/", "__host-sealgate=x; Secure", "b=2"]);
        refuse(&mut headers);
        assert_eq!(all(&headers, &SET_COOKIE), ["a=1; Path=/", "b=2"]);
        let mut other = of(&SET_COOKIE, &["a=sealgate=1; sealgate=2"]);
        refuse(&mut other);
        assert_eq!(all(&other, &SET_COOKIE).len(), 1);
    }
}
