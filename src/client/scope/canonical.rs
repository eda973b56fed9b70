//! The canonical form of a path: one spelling for all that some server takes for the same. What
//! denies is compared with it, so that a denial may be too wide on strange paths and is never too
//! narrow. Must never be asked where something is allowed.

use super::Segment;

/// A path cut into segments.
type Path = Vec<String>;

/// What a server may read in these segments, which were decoded once: the whole path, and where an
/// encoded `?` or `#` stands in it the part before that.
pub(super) fn readings(segments: &[&str]) -> Vec<Path> {
    let whole = decoded(segments.join("/").as_bytes());
    let text = String::from_utf8_lossy(&whole);
    let mut readings = vec![canonical(&text)];
    if let Some((path, _)) = text.split_once(['?', '#']) {
        readings.push(canonical(path));
    }
    readings
}

/// The pattern that is compared with such a reading.
pub(super) fn pattern(path: &[Segment]) -> Vec<Segment> {
    let mut pattern = Vec::with_capacity(path.len());
    for segment in path {
        match segment {
            Segment::Any | Segment::One => pattern.push(segment.clone()),
            Segment::Exactly(text) => {
                let decoded = decoded(text.as_bytes());
                let segments = canonical(&String::from_utf8_lossy(&decoded));
                pattern.extend(segments.into_iter().map(Segment::Exactly));
            }
        }
    }
    pattern
}

/// One round of percent-decoding, as the paths have that are compared.
pub(super) fn decoded_once(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let pair = tail.split_at_checked(2).filter(|_| *first == b'%');
        let (byte, left) = match pair.and_then(|(digits, left)| Some((hex_pair(digits)?, left))) {
            Some(found) => found,
            None => (*first, tail),
        };
        decoded.push(byte);
        rest = left;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Until nothing changes, in one pass: what a decoded byte completes is decoded at once.
pub(in super::super) fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded: Vec<u8> = Vec::with_capacity(bytes.len());
    for byte in bytes {
        decoded.push(*byte);
        loop {
            if let Some([b'%', digits @ ..]) = decoded.last_chunk::<3>()
                && let Some(value) = hex_pair(digits)
            {
                decoded.truncate(decoded.len() - 3);
                decoded.push(value);
            } else if let Some(letter) = decoded.last_chunk::<6>().and_then(long_escape) {
                decoded.truncate(decoded.len() - 6);
                decoded.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                break;
            }
        }
    }
    decoded
}

/// `%uXXXX`, which some servers know.
fn long_escape(end: &[u8; 6]) -> Option<char> {
    let [b'%', b'u' | b'U', a, b, c, d] = *end else { return None };
    let value = [a, b, c, d]
        .into_iter()
        .try_fold(0, |value, digit| Some(value * 16 + char::from(digit).to_digit(16)?));
    char::from_u32(value?)
}

fn hex_pair(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    let high = char::from(*high).to_digit(16)?;
    let low = char::from(*low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// Without what many servers overlook: doubled slashes, path parameters, blanks at either end of a
/// segment and dots at its end, the case of letters; and with dot segments gone up.
fn canonical(path: &str) -> Path {
    let is_blank = |letter: char| letter.is_whitespace() || letter.is_control();
    let mut segments = Path::new();
    for segment in path.split(['/', '\\']) {
        let name = segment.split(';').next().unwrap_or_default().trim_matches(is_blank);
        if name == ".." {
            segments.pop();
            continue;
        }
        // Three dots and more are a name like any other.
        let is_name = name.len() > 2 && name.bytes().all(|byte| byte == b'.');
        let end = |letter| !is_name && (letter == '.' || is_blank(letter));
        let name = name.trim_end_matches(end);
        if !name.is_empty() {
            segments.push(name.to_ascii_lowercase());
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Scopes;
    use super::*;

    const DENIED: [&str; 3] = ["v1", "organization", "keys"];

    fn scopes() -> Scopes {
        Scopes::parse(&["*:*:/**", "!p:GET:/v1/organization/**"]).unwrap()
    }

    /// As the corridor cuts and decodes it.
    fn allows(scopes: &Scopes, path: &str) -> bool {
        let segments: Vec<String> =
            path.trim_start_matches('/').split('/').map(decoded_once).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        scopes.allows("p", "GET", &segments)
    }

    #[test]
    fn the_known_tricks_open_nothing_that_is_denied() {
        for path in [
            "/v1/organization/keys",
            "//v1/organization/keys",
            "/v1//organization/keys",
            "/v1/organization//keys",
            "/v1%2Forganization/keys",
            "/v1/organization%2fkeys",
            "/v1%252Forganization",
            "/v1/organization;x/keys",
            "/v1;a=b/organization",
            "/v1/%6Frganization",
            "/v1/%256Frganization",
            "/v1/%25256Frganization",
            "/v1/organization%20/keys",
            "/v1/organization%20",
            "/v1/organization.",
            "/v1/organization%2E%20./keys",
            "/v1/Organization/keys",
            "/V1/ORGANIZATION",
            "/v1/./organization",
            "/v1/x/../organization",
            "/v1/x/%2e%2e/organization",
            "/v1/x/..;y/organization",
            "/v1/x/..%20/organization",
            "/v1\\organization",
            "/v1%5Corganization",
            "/v1/organization/",
            "/v1/organization%3Fx=y",
            "/v1/organization%253Fx=y/z",
            "/v1/organization%23",
            "/v1/organization%09",
            "/v1/%20organization",
            "/v1/%E2%80%83organization%C2%85/keys",
            "/v1/organization%E3%80%80",
            "/v1/%01organization%7f",
            "/v1/%u006Frganization",
            "/v1%u002Forganization",
            "/v1/%25u006Frganization",
            "/v1/x/%u002e%U002e/organization",
        ] {
            assert!(!allows(&scopes(), path), "{path}");
        }
        for path in [
            "/v1/organizations",
            "/v1/models",
            "/v2/organization",
            "/organization/v1",
            "/v1/.../organization",
        ] {
            assert!(allows(&scopes(), path), "{path}");
        }
        let exact = Scopes::parse(&["p:GET:/v1/models"]).unwrap();
        for path in ["/v1/Models", "/v1//models", "/v1/models/", "/v1/models;x"] {
            assert!(!allows(&exact, path), "an allowance is for the path as it is: {path}");
        }
    }

    #[test]
    fn a_pattern_is_read_like_the_paths_that_it_denies() {
        let scopes = Scopes::parse(&["*:*:/**", "!p:*:/Admin//Keys/*", "!p:get:/x"]);
        assert!(scopes.is_err(), "methods are upper case");
        let scopes = Scopes::parse(&["*:*:/**", "!p:*:/Admin//Keys/*", "!p:GET:/a%20b."]).unwrap();
        assert!(!allows(&scopes, "/admin/keys/7") && allows(&scopes, "/admin/keys/7/8"));
        assert!(!allows(&scopes, "/A%2520b"));
        assert!(!scopes.allows("p", "get", &["a b"]), "some servers take `get` for GET");
    }

    #[test]
    fn decoding_until_nothing_changes_takes_one_pass() {
        let deep = format!("%{}2e", "25".repeat(30_000));
        assert_eq!(decoded(deep.as_bytes()), b".");
        assert_eq!(decoded(b"%%341%4"), b"A%4");
        assert_eq!(decoded(b"%u00%34%31%ud800%u12"), b"A%ud800%u12");
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_denied_path_is_allowed(path in spelt()) {
            prop_assert!(!allows(&scopes(), &path), "{path}");
        }

        #[test]
        fn decoding_is_what_rounds_of_it_come_to(text in "[%25]{0,32}") {
            let mut round = text.clone();
            while decoded_once(&round) != round {
                round = decoded_once(&round);
            }
            // `%55` is the U of the long escapes, of which one round knows nothing.
            prop_assume!(!round.contains('U'));
            prop_assert_eq!(decoded(text.as_bytes()), round.into_bytes());
        }
    }

    /// The denied path, each letter in some case and encoding, with what servers overlook between.
    fn spelt() -> impl Strategy<Value = String> {
        let segment = |name: &'static str| {
            let letters: Vec<BoxedStrategy<String>> = name.chars().map(letter).collect();
            (letters, tail()).prop_map(|(letters, tail)| letters.concat() + &tail)
        };
        let [first, second, third] = DENIED.map(segment);
        (slash(), first, slash(), second, slash(), third, prop::option::of(slash())).prop_map(
            |(a, first, b, second, c, third, d)| {
                let end = d.unwrap_or_default();
                // The path itself begins with a plain slash.
                format!("/{a}{first}{b}{second}{c}{third}{end}")
            },
        )
    }

    fn letter(plain: char) -> BoxedStrategy<String> {
        let cases = vec![plain.to_ascii_lowercase(), plain.to_ascii_uppercase()];
        (prop::sample::select(cases), 0..3_usize)
            .prop_map(|(letter, rounds)| encoded(&letter.to_string(), rounds))
            .boxed()
    }

    fn slash() -> impl Strategy<Value = String> {
        let marks = vec!["/", "//", "\\", "/./", "/x/../", "/x/..;y/", "/;a=b/", "/.;/"];
        (prop::sample::select(marks), 0..3_usize).prop_map(|(mark, rounds)| encoded(mark, rounds))
    }

    fn tail() -> impl Strategy<Value = String> {
        let ends = vec!["", "", " ", ".", ". ", "...", "\t", ";", ";x=y", " ;z"];
        (prop::sample::select(ends), 1..4_usize).prop_map(|(end, rounds)| encoded(end, rounds))
    }

    fn encoded(text: &str, rounds: usize) -> String {
        (0..rounds).fold(text.to_owned(), |text, _| {
            text.bytes().map(|byte| format!("%{byte:02x}")).collect()
        })
    }
}
