//! Origins of pages, as browsers write them: scheme, host, and a
//! port that is not the scheme's own. Compared byte for byte. Must
//! never take a pattern: an origin is listed or it is not.

/// Why this text can never be what a browser sends in `Origin`; None where it can.
pub(crate) fn fault_of_origin(text: &str) -> Option<&'static str> {
    const SHAPE: &str = "is no origin; write it as browsers do, such as https://app.example";
    let Some((scheme, rest)) = text.split_once("://") else { return Some(SHAPE) };
    let own_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return Some("begins with neither https:// nor http://"),
    };
    if rest.ends_with(own_port) {
        return Some("names the port that its scheme has anyway; leave the port out");
    }
    let port_at = rest.rfind(':').filter(|at| rest.get(at + 1..).is_some_and(is_port));
    let host = port_at.and_then(|at| rest.get(..at)).unwrap_or(rest);
    let is_v6 = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let fits = match is_v6 {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host(host),
    };
    (!fits).then_some(SHAPE)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('0') && text.parse::<u16>().is_ok()
}

fn is_host(host: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    !host.is_empty() && host.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for text in [
            "https://app.example",
            "http://localhost:3000",
            "https://[2001:db8::1]:8443",
            "http://127.0.0.1",
        ] {
            assert_eq!(fault_of_origin(text), None, "{text}");
        }
        for text in [
            "",
            "*",
            "null",
            "app.example",
            "https://app.example/",
            "https://App.example",
            "https://app.example:443",
            "http://app.example:80",
            "https://*.example",
            "https://user@app.example",
            "ftp://app.example",
            "https://app.example:",
            "https://",
        ] {
            assert!(fault_of_origin(text).is_some(), "{text}");
        }
    }
}
