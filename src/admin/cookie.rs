//! The console's cookie: its name, how it is read, how it is set and taken away. Under TLS its name
//! binds it to this host alone (`__Host-`), so that no other host of the domain can plant one.
//! Must never be readable by a script, nor go along from another site.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::secret::SecretBytes;

const UNDER_TLS: &str = "__Host-sealgate";
/// On loopback, where nothing else speaks plain HTTP to browsers.
const PLAIN: &str = "sealgate";

/// What the browser holds. Two that differ are none: somebody has planted one.
pub(super) fn held(headers: &HeaderMap, is_under_tls: bool) -> Option<&[u8]> {
    let name = name(is_under_tls).as_bytes();
    let mut found = None;
    for pair in headers.get_all(header::COOKIE).iter().flat_map(pairs) {
        let Some(value) = pair.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"=")) else {
            continue;
        };
        match found {
            None => found = Some(value),
            Some(other) if other == value => {}
            Some(_) => return None,
        }
    }
    found.filter(|value| !value.is_empty())
}

fn pairs(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii)
}

/// Ends with the browser; how long it is good for, the server alone says.
pub(super) fn put(headers: &mut HeaderMap, value: &SecretBytes, is_under_tls: bool) {
    let text = value.expose_str().unwrap_or_default();
    set(headers, &format!("{}={text}; {}", name(is_under_tls), attributes(is_under_tls)));
}

pub(super) fn take_away(headers: &mut HeaderMap, is_under_tls: bool) {
    set(headers, &format!("{}=; Max-Age=0; {}", name(is_under_tls), attributes(is_under_tls)));
}

fn set(headers: &mut HeaderMap, text: &str) {
    if let Ok(mut value) = HeaderValue::from_str(text) {
        value.set_sensitive(true);
        headers.append(header::SET_COOKIE, value);
    }
}

fn name(is_under_tls: bool) -> &'static str {
    if is_under_tls { UNDER_TLS } else { PLAIN }
}

fn attributes(is_under_tls: bool) -> &'static str {
    match is_under_tls {
        true => "Path=/; Secure; HttpOnly; SameSite=Strict",
        false => "Path=/; HttpOnly; SameSite=Strict",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::COOKIE, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_cookie_is_found_by_its_whole_name_and_two_that_differ_are_none() {
        for (values, expected) in [
            (&["sealgate=a"][..], Some("a")),
            (&["x=1; sealgate=a; y=2"], Some("a")),
            (&["x=1", "sealgate=a"], Some("a")),
            (&["sealgate=a; sealgate=a"], Some("a")),
            (&["sealgate=a; sealgate=b"], None),
            (&["sealgate=a", "sealgate=b"], None),
            (&["sealgate="], None),
            (&["xsealgate=a; sealgate2=b; __Host-sealgate=c"], None),
            (&[], None),
        ] {
            let headers = with(values);
            assert_eq!(held(&headers, false), expected.map(str::as_bytes), "{values:?}");
        }
        assert_eq!(held(&with(&["sealgate=a; __Host-sealgate=c"]), true), Some(&b"c"[..]));
    }

    #[test]
    fn it_is_set_for_this_host_and_this_site_alone() {
        let value = SecretBytes::copy_of(b"word");
        for (tls, expected) in [
            (true, "__Host-sealgate=word; Path=/; Secure; HttpOnly; SameSite=Strict"),
            (false, "sealgate=word; Path=/; HttpOnly; SameSite=Strict"),
        ] {
            let mut headers = HeaderMap::new();
            put(&mut headers, &value, tls);
            assert_eq!(headers[header::SET_COOKIE], expected);
            assert!(headers[header::SET_COOKIE].is_sensitive());
        }
    }
}
