//! A tree of text files: the real one, as git sees it, or one that a test plants. Rules read
//! nothing else, so that what is true of a planted tree is true of the real one. Must never write
//! to the disk.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

/// One broken rule at one place, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: &'static str,
    pub(crate) file: String,
    /// Counted from one; nought where the whole file is meant.
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, file, line, what } = self;
        match line {
            0 => write!(formatter, "{file}: {rule}: {what}"),
            _ => write!(formatter, "{file}:{line}: {rule}: {what}"),
        }
    }
}

/// Paths from the root of the repository, with `/`, and their text; a file that is no text is
/// empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, String>,
}

impl Tree {
    /// What is tracked and what would be: new files that no ignore rule names count already.
    pub(crate) fn real() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new("git")
            .args(["-c", "safe.directory=*", "ls-files", "-z"])
            .args(["--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .expect("git is needed to know which files are tracked");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git ls-files failed: {complaint}");
        let names = String::from_utf8(output.stdout).expect("paths are UTF-8");
        let files = names
            .split_terminator('\0')
            .filter(|name| root.join(name).is_file())
            .map(|name| {
                let text = std::fs::read_to_string(root.join(name)).unwrap_or_default();
                (name.to_owned(), text)
            })
            .collect();
        Self { files }
    }

    /// A small house that breaks no rule, for tests to plant a violation in.
    pub(crate) fn lawful() -> Self {
        let header = "//! What this room owns, in a sentence of its own.\n\
                      //! What it must never do stands here as well.\n\
                      //! Its neighbour is named too.\n\n";
        let room = |text: &str| format!("{header}{text}");
        Self::default()
            .with(
                "src/lib.rs",
                "// ground\nmod secret;\npub mod refusal;\n// way out\nmod policy;\n\
                 // keepers\nmod vault;\n// doors\nmod proxy;\nmod admin;\n",
            )
            .with("src/secret.rs", &room("pub(crate) struct Key;\n"))
            .with(
                "src/refusal.rs",
                &room(
                    "pub enum Reason { Sealed }\nimpl Reason {\n\
                     pub fn code(self) -> &'static str { match self { Self::Sealed => \"sealed\" } }\n}\n",
                ),
            )
            .with("src/policy.rs", &room("pub(crate) struct Permit { rule: u8 }\n"))
            .with("src/vault.rs", &room("use crate::secret::Key;\nmod keyring;\n"))
            .with("src/vault/keyring.rs", &room("use super::super::policy::Permit;\n"))
            .with("src/proxy.rs", &room("use hyper::Request;\nuse crate::vault;\n"))
            .with("src/admin.rs", &room("use crate::vault;\n"))
            .with(
                "ARCHITECTURE.md",
                "# The house\n\n## Map\n\n```text\n\
                 ground    secret   bytes that wipe themselves\n\
                 \x20         refusal  every reason to say no\n\
                 way out   policy   who may do what\n\
                 keepers   vault    secrets and their versions\n\
                 doors     proxy    the way for callers\n\
                 \x20         admin    the way for operators\n```\n",
            )
            .with("docs/errors.md", "| code |\n| --- |\n| `sealed` |\n")
            .with("Cargo.toml", "[package]\nname = \"x\"\n[dependencies]\nhyper = \"1\"\n")
            .with("keys/README.md", "How keys are made.\n")
            .with("keys/.gitignore", "*\n!README.md\n!.gitignore\n")
            .with("migrations/sqlite/0001_start.sql", "")
            .with("migrations/postgres/0001_start.sql", "")
    }

    /// The same tree with one file planted or replaced.
    #[must_use]
    pub(crate) fn with(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    /// The same tree with a text behind the header of a room that stands already.
    #[must_use]
    pub(crate) fn grown(self, path: &str, text: &str) -> Self {
        let before = self.text(path).expect("the file to grow is there").to_owned();
        self.with(path, &format!("{before}{text}\n"))
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    pub(crate) fn under<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let files = self.files.iter().filter(move |(path, _)| path.starts_with(folder));
        files.map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.under("").filter(|(path, _)| path.ends_with(".rs"))
    }
}
