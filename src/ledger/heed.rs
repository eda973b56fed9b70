//! What the house has found, read from the trail by whoever tells people: the security records of
//! a node behind a place. Blocks that hold none are passed over by their marks.
//! Must never pass over one that may hold such a record.

use super::Ledger;
use super::block::Unpacked;
use super::marks::{self, Mark};
use super::record::{Kind, StoredRecord};
use crate::store;

/// Marks are small; bodies are read one by one.
const BLOCKS_AT_ONCE: u32 = 64;

/// The findings of the next blocks of a node, and where the last of these begins.
pub(crate) struct Heeded {
    pub(crate) node: String,
    pub(crate) records: Vec<StoredRecord>,
    pub(crate) place: u64,
    /// More stands behind it.
    pub(crate) has_more: bool,
}

impl Ledger {
    /// Behind these places, of every node; none where nothing came. Of a node without a place what
    /// is older than `since_ms` is passed over.
    pub(crate) async fn heed(
        &self,
        places: &[(String, u64)],
        since_ms: i64,
    ) -> Result<Vec<Heeded>, store::Error> {
        let mut heeded = Vec::new();
        // Who has counted anything; the blocks themselves would be gone through for that.
        for node in self.0.sink.store().counted_nodes().await? {
            let known = places.iter().find(|(known, _)| *known == node).map(|(_, place)| *place);
            let (place, since_ms) = match known {
                Some(place) => (place, i64::MIN),
                None => {
                    let store = self.0.sink.store();
                    (store.place_of_news(&node, since_ms).await?.unwrap_or(0), since_ms)
                }
            };
            heeded.extend(self.heed_node(node, place, since_ms).await?);
        }
        Ok(heeded)
    }

    async fn heed_node(
        &self,
        node: String,
        place: u64,
        since_ms: i64,
    ) -> Result<Option<Heeded>, store::Error> {
        let store = self.0.sink.store();
        let (blocks, last) = store.marked_blocks_after(&node, place, BLOCKS_AT_ONCE).await?;
        let Some(last) = last else { return Ok(None) };
        let has_more = u32::try_from(blocks.len()).is_ok_and(|count| count >= BLOCKS_AT_ONCE);
        let wanted = [Mark::kind(Kind::Security)];
        let mut records = Vec::new();
        for one in blocks {
            if one.last_time < since_ms || !marks::may_hold(one.marks.as_deref(), &wanted) {
                continue;
            }
            let Some(block) = store.record_block(&node, one.first_sequence).await? else {
                continue;
            };
            let Ok(unpacked) = Unpacked::read(&block.body) else { continue };
            let is_finding = |record: &StoredRecord| {
                record.kind == Kind::Security && record.started_at_ms >= since_ms
            };
            let found = unpacked.items.iter().filter_map(|item| item.to_stored(&node));
            records.extend(found.filter(is_finding));
        }
        Ok(Some(Heeded { node, records, place: last, has_more }))
    }
}
