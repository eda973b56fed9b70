//! What makes the trail provable while the house runs: this node's signing key, the newest
//! checkpoint, and the places outside that get each. Must never forget a checkpoint that was
//! stored: whoever takes its row away is found by it.

use std::path::Path;
use std::sync::Mutex;

use serde_json::json;

use super::block::Link;
use super::checkpoint::{Signing, Words};
use super::cover::Cover;
use super::journal::Journal;
use super::push::{Place, Post, Way};
use super::{Error, Settings, lock};
use crate::clock::Clock;
use crate::store::{self, Checkpoint, Store};

pub(super) struct Proof {
    pub(super) signing: Signing,
    /// The newest that is stored.
    pub(super) last: Mutex<Option<Checkpoint>>,
    pub(super) places: Vec<Place>,
}

impl Proof {
    pub(super) fn open(
        settings: &Settings,
        journal: &Journal,
        (node, post): (&str, Option<Post>),
    ) -> Result<Self, Error> {
        let path = settings.folder.with_file_name("audit.key");
        let signing = Signing::open(&path).map_err(|error| Error::Key { path, error })?;
        let file = settings.checkpoints.as_deref().map(|path| match path.is_dir() {
            true => path.join(format!("{node}.checkpoints")),
            false => path.to_owned(),
        });
        let web = post.map(|post| Way::Web(post, journal.pushed_file()));
        let places = file.map(Way::File).into_iter().chain(web).map(Place::new).collect();
        let last = Mutex::new(journal.remembered_checkpoint());
        Ok(Self { signing, last, places })
    }

    /// Where signing goes on, and what there is to say.
    pub(super) async fn resume(
        &self,
        store: &Store,
        (node, link): (&str, Link),
        clock: &Clock,
    ) -> Result<(Cover, Vec<serde_json::Value>), store::Error> {
        let ours = |one: &Checkpoint| {
            one.public_key == self.signing.public_key() && one.node == node && one.is_genuine()
        };
        let stored = match store.last_checkpoint(node).await {
            Ok(stored) => stored,
            Err(store::Error::Contradiction { .. }) => None,
            Err(fault) => return Err(fault),
        };
        // What was cut off, with the records, is told as that, and nothing is built on it.
        let stands = |one: &Checkpoint| one.last < link.next_sequence;
        let remembered = lock(&self.last).take().filter(ours).filter(stands);
        let stored = stored.filter(ours).filter(stands);
        let through = |one: &Option<Checkpoint>| one.as_ref().map_or(0, |one| one.last);
        let mut doubts = Vec::new();
        if through(&remembered) > through(&stored) {
            doubts.push(json!({
                "alert": "integrity",
                "finding": format!("a checkpoint of the trail of node {node} was taken away (table \
                                    record_checkpoints): that of its records up to {}",
                                   through(&remembered)),
            }));
        }
        // Stored and not noted: the process died between the two.
        let last = if through(&stored) > through(&remembered) { stored } else { remembered };
        let at = (node, link);
        let cover = Cover::resume(store, at, last.as_ref(), clock.unix_ms()).await?;
        *lock(&self.last) = last;
        Ok((cover, doubts))
    }

    pub(super) fn words<'a>(
        &'a self,
        node: &'a str,
        (inventory_epoch, now_ms): (u64, i64),
    ) -> Words<'a> {
        Words { signing: &self.signing, node, inventory_epoch, now_ms }
    }

    /// After the commit.
    pub(super) fn stored(&self, journal: &Journal, checkpoints: &[Checkpoint]) {
        if let Some(newest) = checkpoints.last() {
            journal.remember_checkpoint(newest);
            *lock(&self.last) = Some(newest.clone());
        }
    }

    /// The files outside that can be read back.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.places.iter().filter_map(Place::file)
    }

    /// Has every place outside the checkpoint of this record?
    pub(super) fn is_everywhere(&self, last: u64) -> bool {
        self.places.iter().all(|place| place.through() >= last)
    }

    /// The last record whose checkpoint a place outside has confirmed.
    pub(super) fn pushed_through(&self) -> u64 {
        self.places.iter().map(Place::through).max().unwrap_or(0)
    }
}
