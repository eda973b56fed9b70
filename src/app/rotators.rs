//! The ways by which rotators are asked for keys: letters to webhooks, with the client of every
//! webhook, and programs of this machine, run with no shell, with nothing in their environment, as
//! a group that ends together. Must never log what either says, nor run what somebody else may
//! have written.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, Uid};

use super::webhook;
use crate::config::Config;
use crate::rotation::{Command, Errand, Letter, Ways};
use crate::secret::SecretBytes;

/// Of what is answered.
const MOST_BYTES: usize = 64 * 1024;
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

pub(super) fn ways(config: &Config) -> Ways {
    let way = Arc::new(webhook::Way::of(config));
    Ways {
        post: Arc::new(move |letter| {
            let way = Arc::clone(&way);
            Box::pin(async move { post(&way, letter).await })
        }),
        run: Arc::new(|errand| Box::pin(run(errand))),
        look: Arc::new(may_run),
    }
}

async fn post(way: &webhook::Way, letter: Letter) -> Result<SecretBytes, String> {
    let Letter { url, headers, body, may_be_gone, within } = letter;
    let url = url.expose_str().and_then(webhook::parsed).ok_or("its URL cannot be read")?;
    let is_asked = body.is_some();
    let asking = async {
        let mut answer = way.ask((&url, within), &headers, body).await?;
        let status = answer.status();
        if may_be_gone && matches!(status.as_u16(), 404 | 410) {
            return Ok(SecretBytes::new(Vec::new()));
        }
        if is_asked && !status.is_success() {
            return Err(format!("it answered {}", status.as_u16()));
        }
        // Grown by hand, it would leave copies behind.
        let mut text = Vec::with_capacity(MOST_BYTES);
        while is_asked
            && let Some(piece) = answer.chunk().await.map_err(|_| "its answer broke off")?
        {
            if text.len().saturating_add(piece.len()) > MOST_BYTES {
                drop(SecretBytes::new(text));
                return Err(String::from("its answer is longer than 64 KiB"));
            }
            text.extend_from_slice(&piece);
        }
        Ok(SecretBytes::new(text))
    };
    match tokio::time::timeout(within, asking).await {
        Ok(answered) => answered,
        Err(_) => Err(format!("it did not answer within {} seconds", within.as_secs())),
    }
}

/// The file, and every folder above it: whoever can write one of them decides what is run.
fn may_run(command: &Command) -> Result<(), String> {
    let path = &command.path;
    let shown = path.display();
    let real = std::fs::canonicalize(path).map_err(|fault| format!("{shown}: {fault}"))?;
    let file = std::fs::metadata(&real).map_err(|fault| format!("{shown}: {fault}"))?;
    if !file.is_file() || file.mode() & 0o111 == 0 {
        return Err(format!("{shown} is no file that may be run"));
    }
    // Where the path leads over a link, the link's own folder counts, too.
    for part in real.ancestors().chain(path.ancestors().skip(1)) {
        may_trust(part)?;
    }
    Ok(())
}

fn may_trust(part: &Path) -> Result<(), String> {
    let shown = part.display();
    let found = std::fs::metadata(part).map_err(|fault| format!("{shown}: {fault}"))?;
    let (owner, own) = (Uid::from_raw(found.uid()), Uid::effective());
    if !owner.is_root() && owner != own {
        return Err(format!("{shown} belongs to another user, who could change what is run"));
    }
    // In a folder like /tmp nobody changes what others have there.
    let is_shared = found.is_dir() && found.mode() & STICKY != 0;
    if found.mode() & WRITABLE_BY_OTHERS != 0 && !is_shared {
        return Err(format!("{shown} may be written by others; take that right away (chmod go-w)"));
    }
    Ok(())
}

/// Ends what is left of a group, whatever becomes of whoever waits for it.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        // There may be nobody left.
        let _gone = self.0.map(|group| killpg(group, Signal::SIGKILL));
    }
}

async fn run(errand: Errand) -> Result<SecretBytes, String> {
    let Errand { command, input, within } = errand;
    may_run(&command)?;
    let child = std::process::Command::new(&command.path)
        .args(&command.args)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // It may say what it likes, and nobody writes it down.
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|fault| format!("{}: {fault}", command.path.display()))?;
    let process = i32::try_from(child.id()).map_err(|_| "its process has no number")?;
    let mut group = Group(Some(Pid::from_raw(process)));
    let (sender, ended) = tokio::sync::oneshot::channel();
    // A program that does not end holds a thread of its own, and no other work.
    std::thread::spawn(move || {
        let _left = sender.send(watched(child, &input));
    });
    let answered = tokio::time::timeout(within, ended).await;
    match answered {
        Ok(Ok(answered)) => {
            // It ended, and so did its group; the number may be somebody else's by now.
            group.0 = None;
            answered
        }
        Ok(Err(_)) => Err(String::from("nobody heard how it ended")),
        Err(_) => Err(took_too_long(within)),
    }
}

fn took_too_long(within: Duration) -> String {
    format!("it did not end within {} seconds, and was killed", within.as_secs())
}

fn watched(mut child: Child, input: &str) -> Result<SecretBytes, String> {
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read has no need of it.
        let _unread = stdin.write_all(input.as_bytes());
    }
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::with_capacity(MOST_BYTES + 1);
        let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX) + 1;
        let read = stdout.map(|stdout| stdout.take(most).read_to_end(&mut text));
        let is_read = read.is_none_or(|read| read.is_ok());
        (SecretBytes::new(text), is_read)
    });
    let process = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    // It is not reaped before its group is killed, so that the number is nobody else's.
    let _waited = waitid(Id::Pid(process), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    drop(Group(Some(process)));
    let status = child.wait().map_err(|fault| fault.to_string())?;
    let (text, is_read) = reader.join().map_err(|_| "its output could not be read")?;
    if text.len() > MOST_BYTES {
        return Err(String::from("its output is longer than 64 KiB"));
    }
    match status.code() {
        Some(0) if !is_read => Err(String::from("its output could not be read")),
        Some(0) => Ok(text),
        Some(code) => Err(format!("it ended with {code}")),
        None => Err(String::from("it was killed")),
    }
}
