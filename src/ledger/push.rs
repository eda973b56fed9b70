//! Checkpoints on their way out: to a file elsewhere, to a webhook. Each place is brought up to
//! date from the database, so one that was away for a week gets everything, in order. Must never
//! keep the trail from going on, and never take a place for up to date before it has confirmed.

use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use super::{Inner, lock};
use crate::store::Checkpoint;

/// Sends lines of JSON to the webhook; how is decided by whoever builds the house.
pub(crate) type Post = Arc<dyn Fn(String) -> Sending + Send + Sync>;
type Sending = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks between two tries at a place that is away.
const LOOKS_AWAY: u32 = 10;
const CHECKPOINTS_A_PAGE: u32 = 256;
const UNKNOWN: u64 = u64::MAX;

pub(super) enum Way {
    /// Lines are only ever added to it.
    File(PathBuf),
    /// With the file that remembers how far it has come.
    Web(Post, PathBuf),
}

pub(super) struct Place {
    way: Way,
    /// The last record of the last checkpoint that it has confirmed.
    through: AtomicU64,
    /// How long the file was when we left it: another has to be read anew.
    length: AtomicU64,
    is_away: AtomicBool,
}

impl Place {
    pub(super) fn new(way: Way) -> Self {
        let (through, length) = (AtomicU64::new(UNKNOWN), AtomicU64::new(UNKNOWN));
        Self { way, through, length, is_away: AtomicBool::new(false) }
    }

    /// The last record that this place has confirmed; 0: none that is known.
    pub(super) fn through(&self) -> u64 {
        match self.through.load(Ordering::Acquire) {
            UNKNOWN => 0,
            through => through,
        }
    }

    pub(super) fn file(&self) -> Option<&Path> {
        match &self.way {
            Way::File(path) => Some(path),
            Way::Web(..) => None,
        }
    }

    /// For people: never what the webhook's URL may hold.
    fn name(&self) -> String {
        match &self.way {
            Way::File(path) => path.display().to_string(),
            Way::Web(..) => String::from("the webhook of audit.checkpoint_webhook"),
        }
    }

    /// Which of two places, where there are both.
    fn part(&self) -> &'static str {
        match &self.way {
            Way::File(_) => "checkpoint_file",
            Way::Web(..) => "checkpoint_webhook",
        }
    }

    async fn bring_up_to_date(&self, inner: &Arc<Inner>, last: u64) -> Result<(), String> {
        self.find_out(&inner.node).await?;
        loop {
            let through = self.through();
            if through >= last {
                return Ok(());
            }
            let store = inner.sink.store();
            let page = store.checkpoints_after(&inner.node, through, CHECKPOINTS_A_PAGE).await;
            let page = page.map_err(|fault| fault.to_string())?;
            let Some(end) = page.last() else { return Ok(()) };
            let lines: String = page.iter().map(|one| one.to_line() + "\n").collect();
            match &self.way {
                Way::File(path) => {
                    let path = path.clone();
                    let length = blocking(move || append(&path, lines.as_bytes())).await?;
                    self.length.store(length, Ordering::Release);
                }
                Way::Web(post, kept) => {
                    post(lines).await?;
                    let (kept, through) = (kept.clone(), end.last);
                    blocking(move || fs::write(kept, through.to_string())).await?;
                }
            }
            self.through.store(end.last, Ordering::Release);
        }
    }

    /// How far the place has come, where that is not known or somebody else has been there.
    async fn find_out(&self, node: &str) -> Result<(), String> {
        match &self.way {
            Way::File(path) => {
                let of_file = path.clone();
                let length = blocking(move || length_of(&of_file)).await?;
                if length == self.length.load(Ordering::Acquire) {
                    return Ok(());
                }
                let of_file = path.clone();
                let held = blocking(move || read_lines(&of_file)).await?;
                let ours = held.get(node).and_then(|ours| ours.iter().map(|one| one.last).max());
                self.through.store(ours.unwrap_or(0), Ordering::Release);
                self.length.store(length, Ordering::Release);
            }
            Way::Web(_, kept) => {
                if self.through.load(Ordering::Acquire) == UNKNOWN {
                    let text = fs::read_to_string(kept).unwrap_or_default();
                    self.through.store(text.trim().parse().unwrap_or(0), Ordering::Release);
                }
            }
        }
        Ok(())
    }
}

/// For as long as the house runs. Never ends.
pub(super) async fn run(inner: &Arc<Inner>) {
    let mut looks: u32 = 0;
    loop {
        once(inner, looks.is_multiple_of(LOOKS_AWAY)).await;
        looks = looks.wrapping_add(1);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Every place that is behind; those that were away only if `all`.
pub(super) async fn once(inner: &Arc<Inner>, all: bool) {
    let last = lock(&inner.proof.last).as_ref().map_or(0, |last| last.last);
    for place in &inner.proof.places {
        let was_away = place.is_away.load(Ordering::Relaxed);
        let is_behind = place.through.load(Ordering::Acquire) == UNKNOWN || place.through() < last;
        if !is_behind || (was_away && !all) {
            continue;
        }
        let done = place.bring_up_to_date(inner, last).await;
        place.is_away.store(done.is_err(), Ordering::Relaxed);
        match done {
            Err(fault) if !was_away => inner.append_finding(json!({
                "alert": "ledger_degraded", "part": place.part(),
                "finding": format!("checkpoints of the trail cannot be pushed to {}: {fault}; they \
                                    wait, and follow by themselves", place.name()),
            })),
            Ok(()) if was_away => inner.append_noted(json!({
                "alert": "ledger_degraded", "part": place.part(),
                "resolved": format!("{} has all checkpoints again", place.name()),
            })),
            Ok(()) | Err(_) => {}
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err(String::from("the work was broken off")),
    }
}

fn length_of(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Answers how long the file is now. A line that was broken off before stays one of its own.
fn append(path: &Path, lines: &[u8]) -> io::Result<u64> {
    let mut file =
        fs::OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
    let mut end = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut end)?;
    }
    if end != [b'\n'] {
        file.write_all(b"\n")?;
    }
    file.write_all(lines)?;
    file.sync_data()?;
    Ok(file.metadata()?.len())
}

/// What a file of checkpoints holds, by node. What is no checkpoint vouches for nothing.
pub(crate) fn read_lines(path: &Path) -> io::Result<HashMap<String, Vec<Checkpoint>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut held: HashMap<String, Vec<Checkpoint>> = HashMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let value = serde_json::from_slice(line).ok();
        if let Some(one) = value.as_ref().and_then(Checkpoint::of_json) {
            held.entry(one.node.clone()).or_default().push(one);
        }
    }
    Ok(held)
}
