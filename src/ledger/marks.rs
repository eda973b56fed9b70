//! What a search may find in a block, in a few bytes beside it: a Bloom filter of all that searches
//! ask for. Derived from the block's records alone, so that whoever verifies the trail finds marks
//! that were edited to hide a record.
//! Must never say of a record that is in the block that it is not.

use uuid::Uuid;

use super::block::Unpacked;
use super::record::Kind;
use super::view::View;

/// For each record; with some three different words in each, one block in a thousand is read in
/// vain.
const BYTES_A_RECORD: usize = 4;
const LEAST_BYTES: usize = 64;
const MOST_BYTES: usize = 16_384;
const PROBES: u32 = 5;

/// Something that a record has, told apart from every other, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u64);

impl Mark {
    pub(super) fn kind(kind: Kind) -> Self {
        Self::of(b'k', kind.as_str().as_bytes())
    }

    pub(super) fn actor(id: Uuid) -> Self {
        Self::of(b'a', id.as_bytes())
    }

    pub(super) fn provider(id: &[u8]) -> Self {
        Self::of(b'p', id)
    }

    pub(super) fn secret(id: Uuid) -> Self {
        Self::of(b's', id.as_bytes())
    }

    pub(super) fn status(status: u16) -> Self {
        Self::of(b't', &status.to_le_bytes())
    }

    pub(super) fn request(id: &[u8]) -> Self {
        Self::of(b'r', id)
    }

    /// FNV-1a of 64 bits, its bits then mixed as `MurmurHash3` ends: it is stored, and so may never
    /// change.
    fn of(tag: u8, bytes: &[u8]) -> Self {
        let add = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let tagged = add(0xcbf2_9ce4_8422_2325, &tag);
        let mut hash = bytes.iter().fold(tagged, add);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        Self(hash ^ (hash >> 33))
    }

    /// Places of bits in a filter of so many bytes, a power of two.
    fn bits(self, bytes: usize) -> impl Iterator<Item = (usize, u8)> {
        let mask = (bytes as u64).saturating_mul(8).saturating_sub(1);
        let step = (self.0 >> 32) | 1;
        (0..u64::from(PROBES)).map(move |probe| {
            let bit = self.0.wrapping_add(probe.wrapping_mul(step)) & mask;
            (usize::try_from(bit >> 3).unwrap_or(0), 1 << (bit & 7))
        })
    }
}

/// Of a block's body; nothing of one that is none.
pub(super) fn of(body: &[u8]) -> Vec<u8> {
    let Ok(unpacked) = Unpacked::read(body) else { return Vec::new() };
    let wanted = unpacked.items.len().saturating_mul(BYTES_A_RECORD).next_power_of_two();
    let mut bytes = vec![0; wanted.clamp(LEAST_BYTES, MOST_BYTES)];
    let length = bytes.len();
    let mut add = |mark: Mark| {
        for (place, bit) in mark.bits(length) {
            if let Some(byte) = bytes.get_mut(place) {
                *byte |= bit;
            }
        }
    };
    for view in unpacked.items.iter().filter_map(super::block::Item::view) {
        each(&view, &mut add);
    }
    bytes
}

/// Everything that a filter can ask for.
fn each(view: &View<'_>, add: &mut impl FnMut(Mark)) {
    add(Mark::kind(view.kind));
    add(Mark::provider(view.provider));
    view.actor_id.into_iter().for_each(|id| add(Mark::actor(id)));
    view.secret.into_iter().for_each(|secret| add(Mark::secret(secret.id)));
    view.answer.into_iter().for_each(|answer| add(Mark::status(answer.status)));
    add(Mark::request(view.request_id));
    let last = view.final_request_id();
    if last != view.request_id {
        add(Mark::request(last));
    }
    if let Some(sent) = view.request_id_sent.filter(|sent| *sent != view.request_id) {
        add(Mark::request(sent));
    }
}

/// Can a record have all of these? What is no filter could hold anything.
pub(super) fn may_hold(marks: Option<&[u8]>, wanted: &[Mark]) -> bool {
    let Some(marks) = marks.filter(|marks| is_filter(marks)) else { return true };
    let has = |(place, bit): (usize, u8)| marks.get(place).is_some_and(|byte| byte & bit != 0);
    wanted.iter().all(|mark| mark.bits(marks.len()).all(has))
}

fn is_filter(marks: &[u8]) -> bool {
    marks.len().is_power_of_two() && (LEAST_BYTES..=MOST_BYTES).contains(&marks.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Stored filters are read by later versions.
    #[test]
    fn a_mark_is_what_it_always_was() {
        assert_eq!(Mark::request(b"0198c0de"), Mark::of(b'r', b"0198c0de"));
        assert_eq!(Mark::status(429).0, Mark::of(b't', &[0xad, 0x01]).0);
        assert_eq!(Mark::of(b'a', b"").0, 0x82a2_a958_a9be_ce5b);
    }

    proptest! {
        #[test]
        fn what_is_no_filter_hides_nothing(marks in proptest::collection::vec(any::<u8>(), 0..200)) {
            let hidden = !may_hold(Some(&marks), &[Mark::status(200)]);
            prop_assert!(!hidden || is_filter(&marks));
            prop_assert!(may_hold(None, &[Mark::status(200)]));
        }
    }
}
