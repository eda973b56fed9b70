//! What README and docs tell people to type. Blocks fenced as `console` are run, line by line,
//! against a house with a sandbox; blocks fenced as `sh` are for another machine or another user,
//! and there only the names of commands and flags are checked.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::house::{Emulator, Ground, Server};

/// A fenced block's language and lines.
type Block = (String, Vec<String>);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> =
        docs.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(_) if is_inside => is_inside = false,
            Some(language) => {
                is_inside = true;
                blocks.push((language.to_owned(), Vec::new()));
            }
            None if is_inside => blocks.last_mut().unwrap().1.push(line.to_owned()),
            None => {}
        }
    }
    blocks
}

/// What a person types: after the prompt in `console`, every line in `sh` but comments.
fn typed((language, lines): &Block) -> Vec<String> {
    let typed = |line: &String| match language.as_str() {
        "console" => line.strip_prefix("$ ").map(str::to_owned),
        "sh" => Some(line.clone()).filter(|line| !line.starts_with('#') && !line.is_empty()),
        _ => None,
    };
    lines.iter().filter_map(typed).collect()
}

/// The arguments, where the line calls Sealgate: at its beginning, or as another user.
fn arguments(line: &str) -> Option<Vec<&str>> {
    let command = line.split_once(" -- ").map_or(line, |(_, command)| command);
    let mut words = command.split_whitespace();
    words.next().filter(|program| program.rsplit('/').next() == Some("sealgate"))?;
    let is_argument = |word: &&str| !["|", ">", "&&"].contains(word);
    Some(words.take_while(is_argument).collect())
}

#[test]
fn every_command_and_flag_in_the_papers_exists() {
    let ground = Ground::new("");
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let mut checked = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for block in blocks(&text) {
            for line in typed(&block) {
                let place = format!("{}: {line}", page.display());
                if let Some(mut arguments) = arguments(&line) {
                    arguments.push("--help");
                    let output = ground.run(&arguments);
                    let told = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "{place}: {told}");
                    checked += 1;
                } else if let Some(target) = line.strip_prefix("make ") {
                    let is_there =
                        makefile.lines().any(|rule| rule.starts_with(&format!("{target}:")));
                    assert!(is_there, "{place}");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 12, "{checked} commands were found");
}

const VALUE: &str = "u7Qp2xV9sK4mB8wZ3nT6yR1cD5fH0jLa";

/// One reader's shell: a folder, a running server, and what was exported so far.
struct Reader {
    ground: Ground,
    server: Server,
    admin_key: String,
    exported: BTreeMap<String, String>,
    /// The last `key` that was answered.
    made: String,
    _provider: (Emulator, tempfile::TempDir),
}

impl Reader {
    fn sit_down() -> Self {
        // The papers' own provider is asked about the key that is entered.
        let folder = tempfile::tempdir().unwrap();
        let provider = Emulator::of("polygon", &format!("{VALUE}\n"), folder.path());
        let ground = Ground::new(&provider.settings("polygon"));
        let admin_key = ground.json(&["init", "--json"])["admin_key"].as_str().unwrap().to_owned();
        let server = ground.serve(&["--sandbox"]);
        let bin = ground.path().join("target/release");
        std::fs::create_dir_all(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_sealgate"), bin.join("sealgate")).unwrap();
        let (exported, made) = (BTreeMap::new(), String::new());
        Self { ground, server, admin_key, exported, made, _provider: (provider, folder) }
    }

    /// Exit 0, with the server's real ports and the real keys in their places.
    fn types(&mut self, line: &str) -> Option<Output> {
        if let Some((name, value)) = line.strip_prefix("export ").and_then(|e| e.split_once('=')) {
            let key = if name == "ADMIN_KEY" { &self.admin_key } else { &self.made };
            assert!(!key.is_empty(), "{line}: nothing has answered with a key");
            self.exported.insert(name.to_owned(), value.replace("mdw_…", key));
            return None;
        }
        let line = line.replace("http://127.0.0.1:8080", &self.server.proxy);
        let line = line.replace("http://127.0.0.1:8000", &self.server.admin);
        let path = format!(
            "{}:/usr/local/bin:/usr/bin:/bin",
            self.ground.path().join("target/release").display()
        );
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &line]).current_dir(self.ground.path());
        shell.env_clear().env("PATH", path).envs(&self.exported);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        // For whoever asks for a value; nobody else reads it.
        let _ = child.stdin.take().unwrap().write_all(format!("{VALUE}\n").as_bytes());
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {told}");
        let answer: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
        if let Some(key) = answer.as_ref().and_then(|answer| answer["key"].as_str()) {
            key.clone_into(&mut self.made);
        }
        Some(output)
    }
}

#[test]
fn whatever_the_papers_show_at_a_prompt_runs() {
    let mut ran = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        let blocks = blocks(&text);
        let lines: Vec<_> =
            blocks.iter().filter(|block| block.0 == "console").flat_map(typed).collect();
        if lines.is_empty() {
            continue;
        }
        let mut reader = Reader::sit_down();
        for line in &lines {
            ran += usize::from(reader.types(line).is_some());
        }
        reader.server.stop();
    }
    assert!(ran > 8, "{ran} commands were run");
}

#[test]
fn the_first_five_minutes_of_the_readme_are_as_it_says() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = text.split_once("## The first five minutes").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut reader = Reader::sit_down();
    let mut told = Vec::new();
    for line in blocks(section).iter().filter(|block| block.0 == "console").flat_map(typed) {
        if let Some(output) = reader.types(&line) {
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            told.push((line, printed));
        }
    }
    let said = |part: &str| {
        let (_, printed) = told.iter().find(|(line, _)| line.contains(part)).expect("it is there");
        printed.as_str()
    };
    assert!(said("api/v1/admin/api-keys").contains("\"key\":\"mdw_"));
    let page: serde_json::Value = serde_json::from_str(said("$CLIENT_KEY")).unwrap();
    let next = page["next_url"].as_str().unwrap();
    assert!(next.starts_with(&format!("{}/sandbox/", reader.server.proxy)), "{next}");
    assert!(said("curl -i").starts_with("HTTP/1.1 401 "), "{}", said("curl -i"));
    assert!(said("audit tail").contains("/v2/aggs/ticker/AAPL"), "{}", said("audit tail"));
    assert!(!said("doctor").contains("FAIL"), "{}", said("doctor"));
    assert!(said("secret add polygon").contains("polygon"));
    assert!(reader.server.stop().join("\n").matches("mdw_").count() == 0);
}
