//! Where a node's chain begins in the database: behind what was carried out of it into files. The
//! node signs each time what it carried out, so nobody who can merely write to the database passes
//! a deletion off as that.
//! Must never begin a chain behind a row that its own key did not sign.

use super::block::{Bad, Link};
use super::checkpoint::Signing;
use crate::crypto;
use crate::store::{self, RecordArchive, Store};

/// What is signed begins with this, so that no checkpoint can stand for it.
const LABEL: &[u8] = b"sealgate/v1/archive/";
const UNREADABLE: &str = "a row of the table record_archives says what cannot be";
const NOT_GENUINE: &str = "the row of the archive that should hold it was not signed by this node";
const NO_ORDER: &str = "the archive that should hold it is missing, or is not the one that follows";

/// The end of what lies in files, and what is wrong there.
pub(super) struct Beginning {
    pub(super) link: Link,
    pub(super) bad: Option<Bad>,
}

impl RecordArchive {
    /// Texts with their length before them, numbers in 8 bytes, little-endian.
    fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = LABEL.to_vec();
        for text in [&self.node, &self.file] {
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        for number in [self.first, self.last, self.bytes] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for time in [self.first_time, self.last_time, self.created_at] {
            bytes.extend_from_slice(&time.to_le_bytes());
        }
        for hash in [&self.before, &self.head, &self.digest, &self.public_key] {
            bytes.extend_from_slice(hash);
        }
        bytes
    }

    pub(super) fn sign(&mut self, signing: &Signing) {
        self.public_key = signing.public_key();
        self.signature = signing.sign_bytes(&self.signed_bytes());
    }

    fn is_genuine(&self) -> bool {
        crypto::is_signed(&self.public_key, &self.signed_bytes(), &self.signature)
    }
}

/// `key`: the one that must have signed, where it is known; else one and the same.
pub(super) async fn beginning(
    store: &Store,
    node: &str,
    key: Option<[u8; 32]>,
) -> Result<Beginning, store::Error> {
    let mut link = Link::genesis(node);
    let held = match store.record_archives(node).await {
        Ok(held) => held,
        Err(store::Error::Contradiction { .. }) => {
            let bad = Some(Bad::here(node, &link, UNREADABLE));
            return Ok(Beginning { link, bad });
        }
        Err(fault) => return Err(fault),
    };
    let key = key.or_else(|| held.first().map(|first| first.public_key));
    for one in &held {
        let follows = one.first == link.next_sequence && one.before == link.hash;
        let reason = match (Some(one.public_key) == key && one.is_genuine(), follows) {
            (false, _) => NOT_GENUINE,
            (true, false) => NO_ORDER,
            (true, true) => {
                link = Link { next_sequence: one.last.saturating_add(1), hash: one.head };
                continue;
            }
        };
        let bad = Some(Bad::here(node, &link, reason));
        return Ok(Beginning { link, bad });
    }
    Ok(Beginning { link, bad: None })
}
