//! What is known of a call while it walks: its id, who calls, its record. Turns a refusal into an
//! answer, the one place where that happens. Must never write down a path that may hold a
//! credential.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use http::header::{ACCEPT, CACHE_CONTROL};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, response};
use uuid::Uuid;

use super::answer::{self, Answer, AnswerBody};
use super::meter::Toll;
use super::repeats::{Asked, Repeats, Told, Wanted};
use super::{Raw, lane, path};
use crate::client::{Client, Shows};
use crate::clock::Moment;
use crate::inject::Head;
use crate::ledger::{ActorKind, ActorRef, Begin, BytesIn, Kind, Lane, Record};
use crate::limiter::{Admission, Figures};
use crate::policy::Permit;
use crate::provider::{Provider, RESERVED_NAMES, is_provider_id};
use crate::refusal::{Reason, Refusal};
use crate::vault::{Off, Selected};

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) struct Trace {
    address: IpAddr,
    /// The caller's own, if it has the shape of one; else a new one, made when it is needed.
    request_id: Option<HeaderValue>,
    client: Option<Arc<Client>>,
    record: Option<Record>,
    off: Option<Arc<Off>>,
    figures: Option<Figures>,
    toll: Toll,
    /// Of a call that may be the same as an earlier one.
    asked: Option<Asked>,
    told: Option<Told>,
}

/// What ends an answer before its end: its client key is revoked, or the provider's taken away.
#[derive(Default)]
pub(super) struct Ends {
    client: Option<Arc<Client>>,
    off: Option<Arc<Off>>,
}

impl Ends {
    pub(super) fn have_come(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.fate.has_ended()) || self.lack_a_key()
    }

    pub(super) fn client(&self) -> Option<&Client> {
        self.client.as_deref()
    }

    pub(super) fn caller(&self) -> Option<Arc<Client>> {
        self.client.clone()
    }

    /// The provider's was taken away.
    pub(super) fn lack_a_key(&self) -> bool {
        self.off.as_ref().is_some_and(|off| off.is_off())
    }
}

impl Trace {
    pub(super) fn new(raw: &Raw) -> Self {
        let given = raw.parts.headers.get(&X_REQUEST_ID);
        Self {
            address: raw.address,
            request_id: given.filter(|value| is_request_id(value.as_bytes())).cloned(),
            client: None,
            record: None,
            off: None,
            figures: None,
            toll: Toll::default(),
            asked: None,
            told: None,
        }
    }

    pub(super) fn caller(&mut self, client: &Arc<Client>) {
        self.client = Some(Arc::clone(client));
    }

    /// Goes on with the answer.
    pub(super) fn take_caller(&mut self) -> Option<Arc<Client>> {
        self.client.take()
    }

    /// They go on with the answer.
    pub(super) fn take_ends(&mut self) -> Ends {
        Ends { client: self.client.take(), off: self.off.take() }
    }

    pub(super) fn is_recorded(&self) -> bool {
        self.record.is_some()
    }

    /// What it may cost; goes on with the answer, too.
    pub(super) fn take_toll(&mut self) -> Toll {
        std::mem::take(&mut self.toll)
    }

    /// Takes the call's place in the journal and gives it its id; both go with it from here on.
    pub(super) fn seat(
        &mut self,
        journal: &Mutex<Lane>,
        permit: &Permit,
        head: &mut Head<'_>,
    ) -> Result<Moment, Refusal> {
        let seat = lane(journal).seat().ok_or_else(full)?;
        let moment = seat.moment();
        let id = self.request_id.get_or_insert_with(|| id_header(seat.id()));
        head.put(X_REQUEST_ID, id.clone());
        let client = permit.client();
        self.toll = Toll::of(permit.provider(), head.method(), head.path());
        self.record = Some(seat.open(&Begin {
            kind: Kind::Usage,
            actor: actor(client),
            address: Some(self.address),
            provider: &permit.provider().id,
            method: head.method(),
            path: head.path(),
            request_id: text(id),
        }));
        Ok(moment)
    }

    /// What it asks for, if that is a plain look at something.
    pub(super) fn asks(&mut self, repeats: &Repeats, permit: &Permit, head: &Head<'_>, at: Moment) {
        let wants_anew = |value: &HeaderValue| {
            let value = value.as_bytes();
            value.eq_ignore_ascii_case(b"no-cache") || value.eq_ignore_ascii_case(b"no-store")
        };
        // A cache would have asked for it, too.
        let is_anew = head.header(&CACHE_CONTROL).is_some_and(wants_anew);
        if is_anew || head.method() != Method::GET.as_str() {
            return;
        }
        let wanted = Wanted {
            client: &permit.client().id,
            provider: &permit.provider().id,
            path: head.path(),
            query: head.query(),
            accept: head.header(&ACCEPT).map(HeaderValue::as_bytes),
        };
        self.asked = Some(repeats.ask(&wanted, at));
    }

    /// The answer came: what its client key will know by it. An answer that holds still is not
    /// renewed by another, as no cache would have asked for that one.
    pub(super) fn hears(
        &mut self,
        repeats: &Arc<Repeats>,
        provider: &Provider,
        head: &response::Parts,
    ) {
        let is_plain = head.status == StatusCode::OK;
        let Some(asked) = self.asked.take().filter(|_| is_plain) else { return };
        match asked.again {
            Some(seconds) => self.record.iter_mut().for_each(|record| record.again(seconds)),
            None => {
                let seconds = provider.fresh_for(&head.headers, asked.at.unix_ms);
                self.told = seconds.map(|seconds| Told::new(repeats, asked, seconds));
            }
        }
    }

    /// It goes on with the answer.
    pub(super) fn take_told(&mut self) -> Option<Told> {
        self.told.take()
    }

    pub(super) fn secret(&mut self, selected: &Selected) {
        self.off = Some(selected.off());
        if let Some(record) = &mut self.record {
            record.secret(selected.secret_id(), selected.version());
        }
    }

    pub(super) fn counted(&mut self, admission: &Admission) {
        self.figures = admission.figures();
    }

    pub(super) fn bytes_in(&mut self) -> Arc<BytesIn> {
        self.record.as_mut().map(Record::bytes_in_counter).unwrap_or_default()
    }

    /// The call is about to leave; answers with the moment.
    pub(super) fn forwarded(&mut self) -> u64 {
        let (Some(record), Some(id)) = (&mut self.record, &self.request_id) else { return 0 };
        record.forwarded(text(id));
        record.upstream_began()
    }

    /// It is sent a second time.
    pub(super) fn forwarded_again(&mut self) {
        if let (Some(record), Some(id)) = (&mut self.record, &self.request_id) {
            record.forwarded(text(id));
        }
    }

    /// The answer that was refused held the real key.
    pub(super) fn scrub_hits(&mut self, count: usize) {
        if let Some(record) = &mut self.record {
            record.scrub_hits(count);
        }
    }

    pub(super) fn upstream_ended(&mut self) {
        if let Some(record) = &mut self.record {
            record.upstream_ended();
        }
    }

    /// A call for the house itself that makes something.
    pub(super) fn begin_own(
        &mut self,
        journal: &Mutex<Lane>,
        parts: &Parts,
    ) -> Result<(), Refusal> {
        let seat = lane(journal).seat().ok_or_else(full)?;
        let id = self.request_id.get_or_insert_with(|| id_header(seat.id()));
        self.record = Some(seat.open(&Begin {
            kind: Kind::Access,
            actor: self.client.as_deref().map_or(STRANGER, actor),
            address: Some(self.address),
            provider: "",
            method: parts.method.as_str(),
            path: parts.uri.path(),
            request_id: text(id),
        }));
        Ok(())
    }

    /// Its answer goes out.
    pub(super) fn end_own(mut self, answer: &mut Answer) {
        let id = self.take_request_id();
        if let Some(mut record) = self.record.take() {
            record.answered(answer.status().as_u16(), text(&id), None);
            record.complete();
        }
        answer.headers_mut().insert(X_REQUEST_ID, id);
    }

    /// The answer's head is complete: it is written down before it goes out. The provider's own
    /// request id stands, where it sent one.
    pub(super) fn answered(&mut self, status: u16, headers: &mut HeaderMap) -> Option<Record> {
        if let Some(figures) = self.figures {
            answer::put_figures(headers, figures);
        }
        let mut record = self.record.take();
        match headers.get(&X_REQUEST_ID) {
            Some(theirs) => {
                if let Some(record) = &mut record {
                    record.answered(status, text(theirs), None);
                }
            }
            None => {
                let ours = self.take_request_id();
                if let Some(record) = &mut record {
                    record.answered(status, text(&ours), None);
                }
                headers.insert(X_REQUEST_ID, ours);
            }
        }
        record
    }

    /// A no becomes an answer, and is written down.
    pub(super) fn refuse(
        mut self,
        refusal: &Refusal,
        parts: &Parts,
        journal: &Mutex<Lane>,
    ) -> Answer {
        let id = self.take_request_id();
        let mut record = self.record.take();
        match &mut record {
            Some(record) => {
                record.answered(refusal.reason.status(), text(&id), Some(refusal.reason));
                record.complete();
            }
            None => self.note_refusal((refusal.reason, text(&id)), parts, journal),
        }
        dressed(refusal, id, self.figures)
    }

    /// Nothing was taken out of the head yet: that happens behind the seat.
    fn note_refusal(
        &self,
        (reason, request_id): (Reason, &str),
        parts: &Parts,
        journal: &Mutex<Lane>,
    ) {
        let actor = self.client.as_deref().map_or(STRANGER, actor);
        // A malformed request may carry a key in its path: then only the refusal is written down.
        let spoken = if reason == Reason::BadRequest { "" } else { parts.uri.path() };
        let (provider, rest) = match path::split_provider(spoken).unwrap_or_default() {
            // A path of our own, which is no provider's.
            (name, _) if RESERVED_NAMES.contains(&name) => ("", spoken),
            split => split,
        };
        // Somebody may have put a key where the provider's name belongs; no name has that shape.
        let provider = if is_provider_id(provider) { provider } else { "" };
        lane(journal).refused(
            reason,
            &Begin {
                kind: Kind::Access,
                actor,
                address: Some(self.address),
                provider,
                method: parts.method.as_str(),
                path: if reason == Reason::Unauthorized { "" } else { rest },
                request_id,
            },
        );
    }

    fn take_request_id(&mut self) -> HeaderValue {
        self.request_id.take().unwrap_or_else(|| id_header(Uuid::now_v7()))
    }
}

const STRANGER: ActorRef<'static> = ActorRef { kind: ActorKind::Guest, id: None, name: "" };

fn full() -> Refusal {
    let detail = "The audit journal has no room, and nothing is forwarded unrecorded; see the log.";
    Refusal::new(Reason::AuditUnavailable, detail)
}

/// The record stands in the journal, and the disk did not take it.
pub(super) fn unwritten() -> Refusal {
    let detail = "The audit journal does not reach its disk, and nothing is answered before it does; \
                  what was sent to the provider was sent. See the log.";
    Refusal::new(Reason::AuditUnavailable, detail)
}

fn actor(client: &Client) -> ActorRef<'_> {
    // A token is its client key's: what it did stands under that one's id.
    let (kind, id) = match &client.shows {
        Shows::Page => (ActorKind::Guest, None),
        Shows::Key => (ActorKind::Key, Some(client.id)),
        Shows::Token(_) => (ActorKind::Token, Some(client.id)),
    };
    ActorRef { kind, id, name: &client.name }
}

/// A refusal of which nobody keeps a record.
pub(super) fn unrecorded(refusal: &Refusal) -> Answer {
    dressed(refusal, id_header(Uuid::now_v7()), None)
}

fn dressed(refusal: &Refusal, id: HeaderValue, figures: Option<Figures>) -> Answer {
    let mut answer = Answer::new(AnswerBody::own(refusal.body(text(&id))));
    answer::dress_refusal(&mut answer, refusal, figures);
    answer.headers_mut().insert(X_REQUEST_ID, id);
    answer
}

fn id_header(id: Uuid) -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    let text = id.hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// The caller's own, if it has the shape of one; else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(&X_REQUEST_ID).filter(|value| is_request_id(value.as_bytes()));
    given.cloned().unwrap_or_else(|| id_header(Uuid::now_v7()))
}

/// `^[A-Za-z0-9._:-]{1,128}$`
fn is_request_id(bytes: &[u8]) -> bool {
    // A client key has that shape too, and must be neither answered, forwarded nor recorded.
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:-".contains(byte);
    (1..=128).contains(&bytes.len())
        && bytes.iter().all(plain)
        && memchr::memmem::find(bytes, b"mdw_").is_none()
        && memchr::memmem::find(bytes, b"mdt_").is_none()
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}
