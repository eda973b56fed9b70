//! Verification of an export by somebody who has nothing but the public keys: the chain is computed
//! again from the bytes of each line, what the line shows is held against them, and the checkpoints
//! among the lines against both. Must never call an export whole that was filtered or cut.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::block::{Bad, Link};
use super::checkpoint::{hex, public_key_of, unhex};
use super::export::{GOES_ON, HAD, chain_end_bytes, end_bytes, end_of};
use super::record::StoredRecord;
use super::verify::{Covered, Verified};
use super::view::View;
use super::walk::{Vouchers, Walk};
use crate::crypto;
use crate::store::Checkpoint;

const NO_RECORD: &str = "its line is not one of an export";
const CHANGED: &str = "it was changed after it was written";
const SHOWN: &str = "its line shows something else than the record that was chained";
const NO_END: &str = "the end of the export is missing or was not signed by this key";
const BEHIND_END: &str = "something stands behind the end of the export";
const UNSIGNED: &str = "no checkpoint vouches for it";
const FORM_UNKNOWN: &str =
    "the export has a form that this version does not know: verify it with the one that made it";
const APART: &str = "the file before it ends elsewhere: one between them is missing";

/// What lines look like: exports and archives of this form are verified for ever. Whoever shows
/// records otherwise gives it the next number, and goes on showing this one to this verification.
pub(crate) const FORM: u64 = 1;

/// How a record is shown in a line; the same on both sides.
pub(crate) type Shown = fn(StoredRecord) -> Value;

/// A record's line in a whole export: what it shows, its hash, and the bytes that were chained.
pub(crate) fn proven_line(mut shown: Value, hash: &[u8; 32], frames: &[u8]) -> Option<String> {
    let members = shown.as_object_mut()?;
    members.insert(String::from("hash"), hex(hash).into());
    members.insert(String::from("frames"), STANDARD.encode(frames).into());
    Some(shown.to_string())
}

/// Exports and archives, each read twice: first what vouches, then what is vouched for.
pub(crate) struct Offline {
    keys: Vec<[u8; 32]>,
    shown: Shown,
    signed: Vec<Checkpoint>,
    outside: Vec<Checkpoint>,
    chain: Option<Chain>,
    /// Where each chain ended in the files before.
    behind: HashMap<String, Link>,
    /// Where the chains of this file ended, and whether that was signed.
    ended: Vec<(String, bool)>,
    is_begun: bool,
    is_ended: bool,
    verified: Verified,
}

struct Chain {
    first: u64,
    link: Link,
    node: String,
    walk: Walk,
    pushed_through: u64,
}

impl Offline {
    /// `outside`: checkpoints that were pushed to a place of their own, if they are at hand.
    pub(crate) fn new(keys: Vec<[u8; 32]>, outside: Vec<Checkpoint>, shown: Shown) -> Self {
        Self {
            keys,
            shown,
            signed: Vec::new(),
            outside,
            chain: None,
            behind: HashMap::new(),
            ended: Vec::new(),
            is_begun: false,
            is_ended: false,
            verified: Verified { records: 0, first_bad: None, nodes: Vec::new() },
        }
    }

    /// Before the first reading of each file, where there are several.
    pub(crate) fn begin_file(&mut self) {
        if std::mem::replace(&mut self.is_begun, true) && !self.is_ended {
            self.finish_chain(false);
            let _said = self.bad(NO_END);
        }
        self.signed.clear();
        self.ended.clear();
        self.is_ended = false;
    }

    /// What comes must follow this.
    pub(super) fn goes_on_behind(&mut self, node: &str, link: Link) {
        self.behind.insert(node.to_owned(), link);
    }

    /// Where the chain of a node ended in what was read.
    pub(super) fn end_of(&self, node: &str) -> Option<Link> {
        self.behind.get(node).copied()
    }

    /// First reading.
    pub(crate) fn take_voucher(&mut self, line: &str) {
        if line.starts_with("{\"checkpoint\"") {
            let value = serde_json::from_str(line).ok();
            self.signed.extend(value.as_ref().and_then(Checkpoint::of_json));
        }
    }

    /// Second reading; false once something bad was found.
    pub(crate) fn take(&mut self, line: &str) -> bool {
        let Ok(value) = serde_json::from_str::<Value>(line) else { return self.bad(NO_RECORD) };
        let has = |name: &str| value.get(name).is_some();
        if has("checkpoint") {
            return true;
        }
        if self.is_ended {
            return self.bad(BEHIND_END);
        }
        if let Some(form) = value.get("export") {
            return form.as_u64() == Some(FORM) || self.bad(FORM_UNKNOWN);
        }
        if let Some(node) = value.get("chain").and_then(Value::as_str) {
            return self.begin(node, &value);
        }
        if let Some(end) = value.get("chain_end").and_then(Value::as_str) {
            self.finish_chain(end.ends_with(GOES_ON));
            return self.verified.first_bad.is_none() && self.end_chain(end, &value);
        }
        // Every record says how it ended, too.
        if has("end") && !has("kind") {
            if self.chain.is_some() {
                return self.bad(NO_END);
            }
            return self.verified.first_bad.is_none() && self.end(&value);
        }
        self.record(line, &value)
    }

    /// After the last line.
    pub(crate) fn finish(mut self) -> Verified {
        self.finish_chain(false);
        if self.verified.first_bad.is_none() && !self.is_ended {
            let _said = self.bad(NO_END);
        }
        self.verified
    }

    fn begin(&mut self, node: &str, value: &Value) -> bool {
        self.finish_chain(false);
        let of_node = |all: &[Checkpoint]| -> Vec<Checkpoint> {
            all.iter().filter(|one| one.node == node).cloned().collect()
        };
        let outside = of_node(&self.outside);
        let mut signed = of_node(&self.signed);
        // Where an export was taken up again, the one at the border may stand twice.
        signed.sort_by_key(|one| one.last);
        signed.dedup();
        let pushed_through = outside.iter().map(|one| one.last).max().unwrap_or(0);
        let keys = self.keys.clone();
        let genesis = Link::genesis(node);
        let before = value.get("before").and_then(Value::as_str).and_then(unhex);
        let first = value.get("first").and_then(Value::as_u64);
        let (Some(next_sequence), Some(hash)) = (first.filter(|first| *first > 0), before) else {
            return self.bad(NO_RECORD);
        };
        let link = Link { next_sequence, hash };
        let walk = Walk::new(Vouchers { signed, outside, keys }, next_sequence);
        let (first, node) = (next_sequence, node.to_owned());
        let former = self.behind.get(&node).copied();
        let reason = match former {
            Some(former) if former != link => Some(APART),
            // Elsewhere a chain begins where the end says that it does, which is signed.
            None if first == 1 && link != genesis => Some(NO_RECORD),
            Some(_) | None => None,
        };
        let link = reason.and(former).unwrap_or(link);
        self.chain = Some(Chain { first, link, node, walk, pushed_through });
        match reason {
            Some(reason) => self.bad(reason),
            None => self.verified.first_bad.is_none(),
        }
    }

    fn record(&mut self, line: &str, value: &Value) -> bool {
        let Some(chain) = &mut self.chain else { return self.bad(NO_RECORD) };
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let frames = text("frames").and_then(|text| STANDARD.decode(text).ok());
        let (Some(hash), Some(frames)) = (text("hash").and_then(unhex), frames) else {
            return self.bad(NO_RECORD);
        };
        let sequence = chain.link.next_sequence;
        let mut item = sequence.to_le_bytes().to_vec();
        item.extend_from_slice(&frames);
        let mut link = chain.link;
        link.add(&item);
        if link.hash != hash {
            return self.bad(CHANGED);
        }
        let stored = View::read(&frames).map(|view| view.to_stored(&chain.node, sequence));
        // To the letter: a number that is read and written again may be another.
        if stored.and_then(|stored| proven_line((self.shown)(stored), &hash, &frames)).as_deref()
            != Some(line)
        {
            return self.bad(SHOWN);
        }
        if let Err(flaw) = chain.walk.step(sequence, &link.hash) {
            let node = chain.node.clone();
            let bad = Bad { node, sequence: flaw.from, id: None, reason: flaw.reason };
            self.verified.first_bad = Some(bad);
            return false;
        }
        chain.link = link;
        true
    }

    /// Behind the last record of a chain.
    fn end_chain(&mut self, end: &str, value: &Value) -> bool {
        let is_it = self.ended.last().is_some_and(|(held, is_signed)| held == end && !is_signed);
        let is_ours = is_it && self.is_signed(value, &chain_end_bytes(end));
        if let Some((_, is_signed)) = self.ended.last_mut() {
            *is_signed = is_ours;
        }
        is_ours || self.bad(NO_END)
    }

    /// All chains and no other, each where its own line says.
    fn end(&mut self, value: &Value) -> bool {
        let chains = value.get("chains").and_then(Value::as_str).unwrap_or_default();
        let named: Vec<&str> = chains.split(' ').collect();
        let is_named = |((held, is_signed), named): (&(String, bool), &&str)| {
            let had = named.strip_suffix(HAD).map(|node| format!("{node}:"));
            *is_signed && (held == named || had.is_some_and(|node| held.starts_with(&node)))
        };
        self.is_ended = self.is_signed(value, &end_bytes(chains))
            && named.len() == self.ended.len()
            && self.ended.iter().zip(&named).all(is_named);
        self.is_ended || self.bad(NO_END)
    }

    fn is_signed(&self, value: &Value, bytes: &[u8]) -> bool {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let signature = super::checkpoint::signature_of(text("signature")).unwrap_or_default();
        public_key_of(text("public_key")).is_some_and(|key| {
            self.keys.contains(&key) && crypto::is_signed(&key, bytes, &signature)
        })
    }

    /// `goes_on`: an archive, behind which there is more.
    fn finish_chain(&mut self, goes_on: bool) {
        let Some(chain) = self.chain.take() else { return };
        let records = chain.link.next_sequence - 1;
        let held = records.saturating_sub(chain.first - 1);
        let signed_through = chain.walk.signed_through();
        let end = end_of(&chain.node, (chain.first, &chain.link), goes_on);
        self.ended.push((end, false));
        let end = if goes_on { chain.walk.end_of_part() } else { chain.walk.end() };
        let reason = match end {
            None if held > 0 && signed_through == 0 => Some(UNSIGNED),
            other => other,
        };
        if let (None, Some(reason)) = (&self.verified.first_bad, reason) {
            self.verified.first_bad = Some(Bad::here(&chain.node, &chain.link, reason));
        }
        let former = self.verified.nodes.iter().position(|one| one.node == chain.node);
        let archived = match former {
            Some(former) => self.verified.nodes.remove(former).archived,
            None => chain.first - 1,
        };
        self.verified.records += held;
        self.behind.insert(chain.node.clone(), chain.link);
        self.verified.nodes.push(Covered {
            node: chain.node,
            records,
            archived,
            signed_through,
            pushed_through: chain.pushed_through.min(records),
            public_key: None,
        });
    }

    fn bad(&mut self, reason: &'static str) -> bool {
        if self.verified.first_bad.is_none() {
            let bad = match &self.chain {
                Some(chain) => Bad::here(&chain.node, &chain.link, reason),
                None => Bad { node: String::new(), sequence: 1, id: None, reason },
            };
            self.verified.first_bad = Some(bad);
        }
        false
    }
}
