//! Lists the console's built files (`ui/dist`, made by `ui/build.sh`) as tables that the binary embeds.
//! Where nothing was built the tables are empty, so that compiling needs no Node. Must never run
//! anything and never look at anything but `ui/dist`.
#![expect(clippy::disallowed_methods, reason = "Cargo tells a build script of itself in variables")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What is worth packing has these two forms beside it.
const PACKED: [&str; 2] = ["br", "gz"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=ui/dist");
    let dist = variable("CARGO_MANIFEST_DIR")?.join("ui/dist");
    let index = dist.join("index.html");
    let mut tables = String::from("pub(super) const INDEX: Option<&str> = ");
    match index.is_file() {
        true => tables.push_str(&format!("Some(include_str!({index:?}));\n")),
        false => tables.push_str("None;\n"),
    }
    tables.push_str("pub(super) const FILES: &[File] = &[\n");
    for path in files_of(&dist.join("assets"))? {
        entry(&mut tables, &path);
    }
    tables.push_str("];\n");
    fs::write(variable("OUT_DIR")?.join("console.rs"), tables)
}

/// In one order, so that the same files make the same binary.
fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if path.is_file() && !PACKED.contains(&ending) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn entry(tables: &mut String, path: &Path) {
    let name = path.file_name().unwrap_or_default();
    let packed = PACKED.map(|ending| {
        let path = PathBuf::from(format!("{}.{ending}", path.display()));
        match path.is_file() {
            true => format!("Some(include_bytes!({path:?}))"),
            false => String::from("None"),
        }
    });
    let [brotli, gzip] = packed;
    // Writing to a string does not fail.
    let _ = writeln!(
        tables,
        "File {{ name: {name:?}, plain: include_bytes!({path:?}), brotli: {brotli}, gzip: {gzip} }},"
    );
}

fn variable(name: &str) -> io::Result<PathBuf> {
    let value = env::var_os(name).map(PathBuf::from);
    value.ok_or_else(|| io::Error::other(format!("{name} is not set; Cargo sets it")))
}
