//! A seat and the record that is opened on it: what a call says of itself while it goes on. A
//! record closes when it is dropped, so no way out of a call can skip it. Every step is a copy into
//! the mapped slot; nothing here allocates for a plain call, waits or makes a system call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use uuid::Uuid;

use super::frame::{
    self, Birth, CLOSE_BYTES, Closing, END_BYTES, OPEN_FIXED_BYTES, STEP_BYTES, SecretRef,
};
use super::lane::Place;
use super::record::{Begin, Kind, Metered};
use super::slot::{Progress, State};
use crate::clock::Moment;
use crate::refusal::{Fault, Reason};

/// Room for one record. Dropped unopened, it leaves no trace.
#[must_use]
pub(crate) struct Seat {
    place: Place,
    birth: Birth,
}

/// How much of a request's body has passed, whether its client holds it up, and why it broke off.
#[derive(Debug, Default)]
pub(crate) struct BytesIn {
    count: AtomicU64,
    waits: AtomicBool,
    /// 0: it did not. The others are named by whoever breaks it off.
    flaw: AtomicU8,
}

/// A call that is being written down.
#[must_use]
pub(crate) struct Record {
    /// What the closing says; filled as the call goes on.
    closing: Closing,
    birth: Birth,
    progress: Progress,
    /// Set and not yet in the slot.
    new_secret: Option<SecretRef>,
    request_id_bytes: usize,
    forwards: u8,
    answered: bool,
    /// Its caller had the answer already, to hold for so many seconds.
    again: Option<u32>,
    /// A proxied call: then somebody waits for its end.
    is_call: bool,
    upstream_since_ns: Option<u64>,
    bytes_in: Option<Arc<BytesIn>>,
    /// Last: it hands the slot over after everything was written.
    place: Place,
}

impl Seat {
    pub(super) fn new(place: Place, birth: Birth) -> Self {
        Self { place, birth }
    }

    /// The record's own id, before there is a record: a new request id may be made from it.
    pub(crate) fn id(&self) -> Uuid {
        self.birth.id
    }

    /// When it was taken: serves whatever happens before the call leaves.
    pub(crate) fn moment(&self) -> Moment {
        let Birth { started_at_ms, started_at_ns, .. } = self.birth;
        Moment { unix_ms: started_at_ms, monotonic_ns: started_at_ns }
    }

    /// After this the call is in the journal, however it ends.
    pub(crate) fn open(mut self, begin: &Begin<'_>) -> Record {
        self.place.opened = true;
        self.place.unpin();
        let mut progress = Progress::START;
        let mut opening = frame::open(begin, &self.birth);
        self.place.slot().append(&mut progress, State::Open, opening.bytes(), END_BYTES);
        Record {
            closing: Closing {
                complete: false,
                fault: None,
                retries: 0,
                scrub_hits: 0,
                duration_ns: 0,
                upstream_ns: 0,
                bytes_in: 0,
                bytes_out: 0,
            },
            birth: self.birth,
            progress,
            new_secret: None,
            request_id_bytes: begin.request_id.len(),
            forwards: 0,
            answered: false,
            again: None,
            is_call: begin.kind == Kind::Usage,
            upstream_since_ns: None,
            bytes_in: None,
            place: self.place,
        }
    }
}

impl BytesIn {
    pub(crate) fn add(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.count.fetch_add(count, Ordering::Relaxed);
        if self.waits() {
            self.waits.store(false, Ordering::Relaxed);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Somebody wants to send on and has nothing.
    pub(crate) fn wait(&self) {
        self.waits.store(true, Ordering::Relaxed);
    }

    /// It breaks off here. Not every way out hands the reason on.
    pub(crate) fn break_off(&self, flaw: u8) {
        self.flaw.store(flaw, Ordering::Relaxed);
    }

    pub(crate) fn flaw(&self) -> u8 {
        self.flaw.load(Ordering::Relaxed)
    }

    /// Is it the client for whom everybody waits?
    pub(crate) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }
}

impl Record {
    pub(crate) fn id(&self) -> Uuid {
        self.birth.id
    }

    /// Which secret the call uses; stands in the slot from the next step on.
    pub(crate) fn secret(&mut self, secret_id: Uuid, version: u32) {
        self.new_secret = Some(SecretRef { id: secret_id, version });
    }

    /// Before the call leaves. Called again for every further try.
    pub(crate) fn forwarded(&mut self, request_id_sent: &str) {
        self.forwards = self.forwards.saturating_add(1);
        let request_id = self.unless_same(request_id_sent);
        let mut step = frame::forwarded(request_id, self.new_secret);
        // The first try always fits. A further one that does not is still counted in the closing.
        let reserve = if self.answered { END_BYTES } else { STEP_BYTES + END_BYTES };
        if self.append(State::Forwarded, step.bytes(), reserve) {
            self.new_secret = None;
        }
    }

    /// Its caller had the answer already, to hold for so many seconds, and asked again meanwhile.
    /// Said before `answered`.
    pub(crate) fn again(&mut self, seconds: u32) {
        self.again = Some(seconds);
    }

    /// Before the head goes out: whoever gets this answer has a record of it.
    pub(crate) fn answered(&mut self, status: u16, request_id: &str, reason: Option<Reason>) {
        if let Some(reason) = reason {
            self.closing.fault = Some(reason.fault());
        }
        let request_id = self.unless_same(request_id);
        // A no that takes the answer's place is nothing that he had.
        let said = (status, self.again.take());
        let mut step = frame::answered(said, reason, request_id, self.new_secret);
        self.answered = true;
        if self.append(State::Answered, step.bytes(), END_BYTES) {
            self.new_secret = None;
            self.place.pin(self.progress, State::Answered);
            return;
        }
        // A second answer after several tries may find too little room for a long request id.
        let mut short = frame::answered(said, reason, Some(""), None);
        self.append(State::Answered, short.bytes(), END_BYTES);
        self.place.pin(self.progress, State::Answered);
    }

    /// Answers with the moment, on the clock that never goes back.
    pub(crate) fn upstream_began(&mut self) -> u64 {
        let now_ns = self.place.shared.clock.monotonic_ns();
        self.upstream_since_ns = Some(now_ns);
        now_ns
    }

    /// Adds what went by since `upstream_began`; several tries add up.
    pub(crate) fn upstream_ended(&mut self) {
        if let Some(since) = self.upstream_since_ns.take() {
            let now = self.place.shared.clock.monotonic_ns();
            self.closing.upstream_ns += now.saturating_sub(since);
        }
    }

    /// The real key stood in the answer.
    pub(crate) fn scrub_hits(&mut self, count: usize) {
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        self.closing.scrub_hits = self.closing.scrub_hits.saturating_add(count);
    }

    pub(crate) fn bytes_out(&mut self, count: u64) {
        self.closing.bytes_out += count;
    }

    /// For the wrapper of the request's body, which may outlive this record. Ask for it only where
    /// there is a body: it is the one allocation that a record can make.
    pub(crate) fn bytes_in_counter(&mut self) -> Arc<BytesIn> {
        Arc::clone(self.bytes_in.get_or_insert_with(Arc::default))
    }

    /// What the call came to, once its answer is over. Always finds room, if need be without the
    /// model's name.
    pub(crate) fn metered(&mut self, metered: &Metered<'_>) {
        let mut whole = frame::metered(metered);
        if !self.append(State::Answered, whole.bytes(), CLOSE_BYTES) {
            let mut short = frame::metered(&Metered { model: "", ..*metered });
            self.append(State::Answered, short.bytes(), CLOSE_BYTES);
        }
    }

    /// What passed on a socket, in and out, once it has ended. In the room for what a call came to:
    /// a socket tells no tokens.
    pub(crate) fn messages(&mut self, count: (u64, u64)) {
        let mut frame = frame::messages(count);
        self.append(State::Answered, frame.bytes(), CLOSE_BYTES);
    }

    /// Whose fault it is, where the answer's status alone does not say.
    pub(crate) fn fault(&mut self, fault: Fault) {
        self.closing.fault = Some(fault);
    }

    /// The whole answer went out. Without this a record that is dropped says "cut".
    pub(crate) fn complete(&mut self) {
        self.closing.complete = true;
    }

    /// Before and after of a change; false if it did not fit.
    pub(super) fn detail(&mut self, json: &[u8], reserve: usize) -> bool {
        let frame = frame::detail(json);
        let state = if self.answered { State::Answered } else { State::Open };
        self.append(state, &frame, reserve)
    }

    pub(super) fn bytes_left(&self) -> usize {
        self.place.slot().bytes_left(self.progress)
    }

    /// A call that ends before its time with nobody to blame was dropped: by its caller, who hung
    /// up, unless we ourselves broke off.
    fn blame_for_the_cut(&mut self) {
        if !self.is_call || self.closing.complete || self.closing.fault.is_some() {
            return;
        }
        let ours = self.place.shared.is_leaving() || std::thread::panicking();
        self.closing.fault = Some(if ours { Fault::Us } else { Fault::Client });
    }

    fn append(&mut self, state: State, frame: &[u8], reserve: usize) -> bool {
        self.place.slot().append(&mut self.progress, state, frame, reserve)
    }

    /// None if the id is the one that the record was opened with: it need not be written twice.
    fn unless_same<'a>(&self, request_id: &'a str) -> Option<&'a str> {
        let same = request_id.len() == self.request_id_bytes
            && self.place.slot().holds(OPEN_FIXED_BYTES, request_id.as_bytes());
        (!same).then_some(request_id)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.upstream_ended();
        self.blame_for_the_cut();
        let now = self.place.shared.clock.monotonic_ns();
        self.closing.duration_ns = now.saturating_sub(self.birth.started_at_ns);
        self.closing.retries = self.forwards.saturating_sub(1);
        if let Some(counter) = &self.bytes_in {
            self.closing.bytes_in = counter.count();
        }
        let mut closing = frame::closed(&self.closing);
        self.append(State::Closed, closing.bytes(), 0);
    }
}
