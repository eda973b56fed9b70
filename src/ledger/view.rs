//! Reads a record's frames without copying. Never panics, whatever the bytes are: they may come
//! from a torn slot or from a database that somebody edited. Must never repair what it reads: bytes
//! that are not the frames of one record are no record.

use std::net::IpAddr;

use uuid::Uuid;

use super::frame::{
    ANSWERED, CLOSED, Closing, DETAIL, FORWARDED, HAS_ACTOR_ID, HAS_COST, HAS_SECRET, HAS_TOKENS,
    MESSAGES, METERED, OPEN, SAME_REQUEST_ID, SecretRef, WAS_COMPLETE, padded,
};
use super::record::{
    Actor, ActorKind, End, Kind, StoredMeter, StoredRecord, Tokens, fault_from_byte,
    lasting_from_byte,
};

/// What the head said that went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    /// Its caller had it already, to hold for so many seconds.
    pub(super) again: Option<u32>,
    pub(super) code: &'a [u8],
    pub(super) request_id: &'a [u8],
}

/// What the call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meter<'a> {
    pub(super) model: &'a [u8],
    pub(super) tokens: Option<Tokens>,
    pub(super) cost: Option<u64>,
}

/// A record's frames, read without copying.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) kind: Kind,
    pub(super) id: Uuid,
    pub(super) started_at_ms: i64,
    pub(super) started_at_ns: u64,
    pub(super) actor_kind: ActorKind,
    pub(super) actor_id: Option<Uuid>,
    pub(super) actor_name: &'a [u8],
    pub(super) address: Option<IpAddr>,
    pub(super) provider: &'a [u8],
    pub(super) method: &'a [u8],
    pub(super) path: &'a [u8],
    pub(super) request_id: &'a [u8],
    pub(super) request_id_sent: Option<&'a [u8]>,
    /// How often the call went upstream, as far as frames say so.
    pub(super) forwards: u8,
    pub(super) secret: Option<SecretRef>,
    pub(super) answer: Option<Answer<'a>>,
    pub(super) detail: Option<&'a [u8]>,
    pub(super) meter: Option<Meter<'a>>,
    /// Of a socket: messages in, and out.
    pub(super) messages: Option<(u64, u64)>,
    pub(super) closing: Option<Closing>,
}

impl<'a> View<'a> {
    /// None if the bytes are not the frames of one record.
    pub(super) fn read(frames: &'a [u8]) -> Option<Self> {
        let (mut frame, mut rest) = next_frame(frames)?;
        let mut view = read_open(frame)?;
        while !rest.is_empty() {
            (frame, rest) = next_frame(rest)?;
            view.take_step(frame)?;
        }
        Some(view)
    }

    /// What is kept of a record in memory once it was read back.
    pub(super) fn to_stored(self, node: &str, sequence: u64) -> StoredRecord {
        let answer = self.answer;
        let closing = self.closing;
        StoredRecord {
            node: node.to_owned(),
            sequence,
            id: self.id,
            kind: self.kind,
            started_at_ms: self.started_at_ms,
            started_at_ns: self.started_at_ns,
            actor: Actor { kind: self.actor_kind, id: self.actor_id, name: text(self.actor_name) },
            address: self.address,
            provider: text(self.provider),
            method: text(self.method),
            path: text(self.path),
            request_id: text(self.final_request_id()),
            request_id_sent: self.request_id_sent.map(text),
            secret_id: self.secret.map(|secret| secret.id),
            version: self.secret.map(|secret| secret.version),
            status: answer.map(|answer| answer.status),
            error_code: answer.filter(|answer| !answer.code.is_empty()).map(|a| text(a.code)),
            fault: closing.and_then(|closing| closing.fault),
            end: self.end(),
            duration_ns: closing.map_or(0, |closing| closing.duration_ns),
            upstream_ns: closing.map_or(0, |closing| closing.upstream_ns),
            bytes_in: closing.map_or(0, |closing| closing.bytes_in),
            bytes_out: closing.map_or(0, |closing| closing.bytes_out),
            retries: closing
                .map_or_else(|| self.forwards.saturating_sub(1), |closing| closing.retries),
            meter: self.meter.map(|meter| StoredMeter {
                model: text(meter.model),
                tokens: meter.tokens,
                cost: meter.cost,
            }),
            scrub_hits: closing.map_or(0, |closing| closing.scrub_hits),
            detail: self.told(),
        }
    }

    fn told(&self) -> Option<serde_json::Value> {
        let again = self.answer.and_then(|answer| answer.again);
        match (self.detail, self.messages, again) {
            (Some(json), _, _) => serde_json::from_slice(json).ok(),
            (None, Some((came, went)), _) => {
                Some(serde_json::json!({"messages_in": came, "messages_out": went}))
            }
            (None, None, Some(seconds)) => {
                Some(serde_json::json!({"asked_again": true, "fresh_seconds": seconds}))
            }
            (None, None, None) => None,
        }
    }

    pub(super) fn end(&self) -> End {
        match self.closing {
            None => End::Unknown,
            Some(closing) if closing.complete => End::Complete,
            Some(_) => End::Cut,
        }
    }

    /// The id that the call was answered with, else the one it came with.
    pub(super) fn final_request_id(&self) -> &'a [u8] {
        match self.answer {
            Some(answer) if !answer.request_id.is_empty() => answer.request_id,
            Some(_) | None => self.request_id,
        }
    }

    fn take_step(&mut self, frame: &'a [u8]) -> Option<()> {
        let mut reader = Reader(frame);
        let [tag, flags, _, _] = reader.array()?;
        match tag {
            FORWARDED => {
                reader.array::<4>()?;
                self.take_secret(&mut reader, flags)?;
                self.forwards = self.forwards.saturating_add(1);
                self.request_id_sent = Some(self.step_request_id(reader, flags));
            }
            ANSWERED => {
                let status = u16::from_le_bytes(reader.array()?);
                let [code_length, again] = reader.array()?;
                let again = lasting_from_byte(again);
                let code = reader.take(usize::from(code_length))?;
                self.take_secret(&mut reader, flags)?;
                let request_id = self.step_request_id(reader, flags);
                self.answer = Some(Answer { status, again, code, request_id });
            }
            METERED => self.meter = Some(read_meter(reader, flags)?),
            MESSAGES => {
                reader.array::<4>()?;
                let came = u64::from_le_bytes(reader.array()?);
                self.messages = Some((came, u64::from_le_bytes(reader.array()?)));
            }
            CLOSED => self.closing = Some(read_closing(reader, flags)?),
            DETAIL => {
                reader.array::<4>()?;
                self.detail = Some(reader.0);
            }
            _ => return None,
        }
        Some(())
    }

    fn take_secret(&mut self, reader: &mut Reader<'a>, flags: u8) -> Option<()> {
        if flags & HAS_SECRET != 0 {
            let id = Uuid::from_bytes(reader.array()?);
            self.secret = Some(SecretRef { id, version: u32::from_le_bytes(reader.array()?) });
        }
        Some(())
    }

    fn step_request_id(&self, reader: Reader<'a>, flags: u8) -> &'a [u8] {
        if flags & SAME_REQUEST_ID != 0 { self.request_id } else { reader.0 }
    }
}

/// Where the first frame's content ends and what follows its padding.
fn next_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [_, _, low, high] = *bytes.first_chunk::<4>()?;
    let length = usize::from(u16::from_le_bytes([low, high]));
    // A frame shorter than its own head would never let the reader get on.
    if length < 4 {
        return None;
    }
    Some((bytes.get(..length)?, bytes.get(padded(length)..)?))
}

fn read_open(frame: &[u8]) -> Option<View<'_>> {
    let mut reader = Reader(frame);
    let [tag, flags, _, _] = reader.array()?;
    let [kind, actor_kind, address, request_id, name, provider, method, _] = reader.array()?;
    let path = u16::from_le_bytes(reader.array()?);
    reader.array::<2>()?;
    if tag != OPEN {
        return None;
    }
    Some(View {
        kind: Kind::from_byte(kind)?,
        actor_kind: ActorKind::from_byte(actor_kind)?,
        id: Uuid::from_bytes(reader.array()?),
        started_at_ms: i64::from_le_bytes(reader.array()?),
        started_at_ns: u64::from_le_bytes(reader.array()?),
        request_id: reader.take(usize::from(request_id))?,
        actor_id: match flags & HAS_ACTOR_ID {
            0 => None,
            _ => Some(Uuid::from_bytes(reader.array()?)),
        },
        address: match address {
            0 => None,
            4 => Some(IpAddr::from(reader.array::<4>()?)),
            16 => Some(IpAddr::from(reader.array::<16>()?)),
            _ => return None,
        },
        actor_name: reader.take(usize::from(name))?,
        provider: reader.take(usize::from(provider))?,
        method: reader.take(usize::from(method))?,
        path: reader.take(usize::from(path))?,
        request_id_sent: None,
        forwards: 0,
        secret: None,
        answer: None,
        detail: None,
        meter: None,
        messages: None,
        closing: None,
    })
}

fn read_closing(mut reader: Reader<'_>, flags: u8) -> Option<Closing> {
    let [fault, retries] = reader.array()?;
    Some(Closing {
        complete: flags & WAS_COMPLETE != 0,
        fault: fault_from_byte(fault),
        retries,
        scrub_hits: u16::from_le_bytes(reader.array()?),
        duration_ns: u64::from_le_bytes(reader.array()?),
        upstream_ns: u64::from_le_bytes(reader.array()?),
        bytes_in: u64::from_le_bytes(reader.array()?),
        bytes_out: u64::from_le_bytes(reader.array()?),
    })
}

fn read_meter(mut reader: Reader<'_>, flags: u8) -> Option<Meter<'_>> {
    let [model, _, _, _] = reader.array()?;
    let cost = u64::from_le_bytes(reader.array()?);
    let mut tokens = Tokens::default();
    for count in &mut tokens {
        *count = u64::from(u32::from_le_bytes(reader.array()?));
    }
    reader.array::<4>()?;
    Some(Meter {
        model: reader.take(usize::from(model))?,
        tokens: (flags & HAS_TOKENS != 0).then_some(tokens),
        cost: (flags & HAS_COST != 0).then_some(cost),
    })
}

/// Takes bytes off the front; None where there are too few.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }
}

/// What callers sent is text; what somebody edited may not be, and is shown all the same.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
