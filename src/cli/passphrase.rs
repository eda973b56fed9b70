//! Where a passphrase comes from: a prompt without echo, or one line of standard input. Never an
//! argument, which other users of the machine and the shell's history would see. Must never be
//! shown, nor kept longer than the command.

use std::io::{BufRead, IsTerminal, Read};

use super::failure::Failure;
use crate::secret::SecretBytes;

/// Longer than anybody types.
const MOST_BYTES: u64 = 64 * 1024;

/// For what stands already.
pub(super) fn present() -> Result<SecretBytes, Failure> {
    if std::io::stdin().is_terminal() { prompted("passphrase (not shown): ") } else { piped() }
}

/// For what is about to be made: on a terminal it is typed twice, because nobody sees it.
pub(super) fn new() -> Result<SecretBytes, Failure> {
    if !std::io::stdin().is_terminal() {
        return piped();
    }
    let first = prompted("a passphrase for the master key (not shown): ")?;
    let second = prompted("the same once more: ")?;
    if crate::secret::same(first.expose(), second.expose()) {
        return Ok(first);
    }
    Err(Failure::new("the two passphrases differ; nothing was made, try again"))
}

fn prompted(words: &str) -> Result<SecretBytes, Failure> {
    let typed = rpassword::prompt_password(words)
        .map_err(|error| Failure::new(format!("cannot read from the terminal: {error}")))?;
    given(SecretBytes::from_string(typed))
}

fn piped() -> Result<SecretBytes, Failure> {
    let mut line = Vec::with_capacity(4096);
    let read = std::io::stdin().lock().take(MOST_BYTES).read_until(b'\n', &mut line);
    let line = SecretBytes::new(line);
    read.map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?;
    given(SecretBytes::copy_of(line.expose().trim_ascii_end()))
}

fn given(passphrase: SecretBytes) -> Result<SecretBytes, Failure> {
    if passphrase.expose_str().is_none() {
        return Err(Failure::new("the passphrase is not UTF-8 text"));
    }
    if passphrase.is_empty() {
        let what = "no passphrase was given; pipe it in, run this on a terminal, or set \
                    master_key.passphrase";
        return Err(Failure::new(what));
    }
    Ok(passphrase)
}
