//! The bytes of a record: frames, appended one after the other as the call goes on. The same bytes
//! stand in the slot, under the chain's hash and in the database, so that nothing is translated on
//! the way; `view` reads them. Must never change the meaning of a tag: it stands in stored records.
//!
//! Every frame: `tag u8 | flags u8 | length u16 | …`, little-endian, padded with zeros to whole
//! words; the length is without the padding. A later frame of the same tag overrides the earlier
//! one.

use std::net::IpAddr;

use uuid::Uuid;

use super::record::{Begin, Metered, fault_byte, lasting_byte};
use crate::client::masked;
use crate::refusal::{Fault, Reason};

/// The largest opening frame, and the largest of any other but details.
pub(super) const OPEN_BYTES: usize = 560;
pub(super) const STEP_BYTES: usize = 184;
pub(super) const CLOSE_BYTES: usize = 40;
/// What a call came to, without the model's name.
pub(super) const METER_BYTES: usize = 40;
/// What must find room whatever happened before.
pub(super) const END_BYTES: usize = METER_BYTES + CLOSE_BYTES;
/// Before the first text of an opening frame, which is the request id.
pub(super) const OPEN_FIXED_BYTES: usize = 48;
/// Where the opening frame says when the call began, and a closing frame how long it took.
pub(super) const OPEN_STARTED_NS_AT: usize = 40;
pub(super) const CLOSE_DURATION_AT: usize = 8;

pub(super) const OPEN: u8 = 1;
pub(super) const FORWARDED: u8 = 2;
pub(super) const ANSWERED: u8 = 3;
pub(super) const CLOSED: u8 = 4;
pub(super) const DETAIL: u8 = 5;
pub(super) const METERED: u8 = 6;
pub(super) const MESSAGES: u8 = 7;

pub(super) const HAS_ACTOR_ID: u8 = 1;
pub(super) const SAME_REQUEST_ID: u8 = 1;
pub(super) const HAS_SECRET: u8 = 2;
pub(super) const WAS_COMPLETE: u8 = 1;
pub(super) const HAS_COST: u8 = 1;
pub(super) const HAS_TOKENS: u8 = 2;

const MOST_REQUEST_ID: usize = 128;
const MOST_NAME: usize = 128;
const MOST_PROVIDER: usize = 63;
const MOST_METHOD: usize = 32;
const MOST_CODE: usize = 24;
const MOST_MODEL: usize = 64;
const MARK: &str = "…";

/// A frame under construction, on the stack.
pub(super) struct Frame<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

/// The secret that a call was sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SecretRef {
    pub(super) id: Uuid,
    pub(super) version: u32,
}

/// What is known when a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closing {
    pub(super) complete: bool,
    pub(super) fault: Option<Fault>,
    pub(super) retries: u8,
    pub(super) scrub_hits: u16,
    pub(super) duration_ns: u64,
    pub(super) upstream_ns: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

/// When a call began, and under which id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Birth {
    pub(super) id: Uuid,
    pub(super) started_at_ms: i64,
    pub(super) started_at_ns: u64,
}

impl<const N: usize> Frame<N> {
    fn new(tag: u8, flags: u8) -> Self {
        let mut frame = Self { bytes: [0; N], length: 0 };
        frame.put(&[tag, flags, 0, 0]);
        frame
    }

    /// Callers cut their texts to what fits; a part that did not fit would be left out whole.
    fn put(&mut self, part: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.length..self.length + part.len()) {
            room.copy_from_slice(part);
            self.length += part.len();
        }
    }

    fn put_text(&mut self, text: &Fitted<'_>) {
        self.put(text.kept.as_bytes());
        self.put(text.mark.as_bytes());
    }

    /// The finished frame, padded.
    pub(super) fn bytes(&mut self) -> &[u8] {
        let length = u16::try_from(self.length).unwrap_or(u16::MAX).to_le_bytes();
        if let Some(place) = self.bytes.get_mut(2..4) {
            place.copy_from_slice(&length);
        }
        self.bytes.get(..padded(self.length)).unwrap_or_default()
    }
}

/// A text and, where it had to be cut, the mark that says so.
struct Fitted<'a> {
    kept: &'a str,
    mark: &'static str,
}

impl Fitted<'_> {
    fn len(&self) -> usize {
        self.kept.len() + self.mark.len()
    }

    fn len_byte(&self) -> u8 {
        u8::try_from(self.len()).unwrap_or(u8::MAX)
    }
}

fn fit(text: &str, most: usize) -> Fitted<'_> {
    if text.len() <= most {
        return Fitted { kept: text, mark: "" };
    }
    let mut end = most.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Fitted { kept: text.get(..end).unwrap_or_default(), mark: MARK }
}

pub(super) fn open(begin: &Begin<'_>, birth: &Birth) -> Frame<OPEN_BYTES> {
    let request_id = fit(begin.request_id, MOST_REQUEST_ID);
    let name = fit(begin.actor.name, MOST_NAME);
    let provider = fit(begin.provider, MOST_PROVIDER);
    let method = fit(begin.method, MOST_METHOD);
    let (address, address_bytes) = address_bytes(begin.address);
    let actor_id = begin.actor.id.as_ref().map_or(&[][..], |id| &id.as_bytes()[..]);
    let before_path = OPEN_FIXED_BYTES
        + [
            request_id.len(),
            actor_id.len(),
            address_bytes,
            name.len(),
            provider.len(),
            method.len(),
        ]
        .iter()
        .sum::<usize>();
    // Somebody may have put a key there.
    let path = masked(begin.path);
    let path = fit(&path, OPEN_BYTES - before_path);

    let mut frame = Frame::new(OPEN, if actor_id.is_empty() { 0 } else { HAS_ACTOR_ID });
    frame.put(&[
        begin.kind.byte(),
        begin.actor.kind.byte(),
        u8::try_from(address_bytes).unwrap_or(0),
        request_id.len_byte(),
        name.len_byte(),
        provider.len_byte(),
        method.len_byte(),
        0,
    ]);
    frame.put(&u16::try_from(path.len()).unwrap_or(u16::MAX).to_le_bytes());
    frame.put(&[0, 0]);
    frame.put(birth.id.as_bytes());
    frame.put(&birth.started_at_ms.to_le_bytes());
    frame.put(&birth.started_at_ns.to_le_bytes());
    frame.put_text(&request_id);
    frame.put(actor_id);
    frame.put(address.get(..address_bytes).unwrap_or_default());
    for text in [name, provider, method, path] {
        frame.put_text(&text);
    }
    frame
}

/// `request_id` None: the same as in the opening frame.
pub(super) fn forwarded(request_id: Option<&str>, secret: Option<SecretRef>) -> Frame<STEP_BYTES> {
    let mut frame = Frame::new(FORWARDED, step_flags(request_id, secret));
    frame.put(&[0; 4]);
    put_step(&mut frame, request_id, secret);
    frame
}

/// `again`: its caller had this answer already, to hold for so many seconds.
pub(super) fn answered(
    (status, again): (u16, Option<u32>),
    reason: Option<Reason>,
    request_id: Option<&str>,
    secret: Option<SecretRef>,
) -> Frame<STEP_BYTES> {
    let code = fit(reason.map_or("", Reason::code), MOST_CODE);
    let mut frame = Frame::new(ANSWERED, step_flags(request_id, secret));
    frame.put(&status.to_le_bytes());
    frame.put(&[code.len_byte(), again.map_or(0, lasting_byte)]);
    frame.put_text(&code);
    put_step(&mut frame, request_id, secret);
    frame
}

pub(super) fn closed(closing: &Closing) -> Frame<CLOSE_BYTES> {
    let mut frame = Frame::new(CLOSED, if closing.complete { WAS_COMPLETE } else { 0 });
    frame.put(&[fault_byte(closing.fault), closing.retries]);
    frame.put(&closing.scrub_hits.to_le_bytes());
    for number in [closing.duration_ns, closing.upstream_ns, closing.bytes_in, closing.bytes_out] {
        frame.put(&number.to_le_bytes());
    }
    frame
}

pub(super) fn metered(metered: &Metered<'_>) -> Frame<{ METER_BYTES + MOST_MODEL }> {
    let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
    let flags = flag(metered.cost.is_some(), HAS_COST) | flag(metered.tokens.is_some(), HAS_TOKENS);
    let model = fit(metered.model, MOST_MODEL);
    let mut frame = Frame::new(METERED, flags);
    frame.put(&[model.len_byte(), 0, 0, 0]);
    frame.put(&metered.cost.unwrap_or_default().to_le_bytes());
    for count in metered.tokens.unwrap_or_default() {
        frame.put(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }
    frame.put(&[0; 4]);
    frame.put_text(&model);
    frame
}

/// What passed on a socket: in, and out.
pub(super) fn messages(count: (u64, u64)) -> Frame<24> {
    let mut frame = Frame::new(MESSAGES, 0);
    frame.put(&[0; 4]);
    frame.put(&count.0.to_le_bytes());
    frame.put(&count.1.to_le_bytes());
    frame
}

/// A detail frame is as long as its text, so it is made on the heap; the admin face can afford it.
pub(super) fn detail(json: &[u8]) -> Vec<u8> {
    let length = 8 + json.len();
    let mut bytes = Vec::with_capacity(padded(length));
    bytes.extend_from_slice(&[DETAIL, 0]);
    bytes.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(json);
    bytes.resize(padded(length), 0);
    bytes
}

fn step_flags(request_id: Option<&str>, secret: Option<SecretRef>) -> u8 {
    let same = if request_id.is_none() { SAME_REQUEST_ID } else { 0 };
    same | if secret.is_some() { HAS_SECRET } else { 0 }
}

fn put_step<const N: usize>(
    frame: &mut Frame<N>,
    request_id: Option<&str>,
    secret: Option<SecretRef>,
) {
    if let Some(secret) = secret {
        frame.put(secret.id.as_bytes());
        frame.put(&secret.version.to_le_bytes());
    }
    if let Some(request_id) = request_id {
        frame.put_text(&fit(request_id, MOST_REQUEST_ID));
    }
}

fn address_bytes(address: Option<IpAddr>) -> ([u8; 16], usize) {
    let mut bytes = [0; 16];
    match address {
        None => (bytes, 0),
        Some(IpAddr::V4(address)) => {
            if let Some(place) = bytes.first_chunk_mut::<4>() {
                *place = address.octets();
            }
            (bytes, 4)
        }
        Some(IpAddr::V6(address)) => (address.octets(), 16),
    }
}

pub(super) fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}
