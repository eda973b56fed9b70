//! A call for the house itself, beside the providers: who makes it, from where, what it sends, and
//! its answer. Credentials are found where calls to providers have them, and judged the same. Must
//! never forward anything.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Limited};

use super::answer::{Answer, AnswerBody};
use super::browser::own_hosts;
use super::credential::{self, Presented};
use super::trace::Trace;
use super::{Corridor, House, Raw};
use crate::client::Client;
use crate::crypto::token;
use crate::policy;
use crate::refusal::{Reason, Refusal};
use crate::roster::Place;
use crate::secret::SecretBytes;

/// No call of ours needs more.
const MOST_BODY_BYTES: usize = 64 * 1024;
const BODY_WITHIN: Duration = Duration::from_secs(10);

pub(crate) struct OwnCall<'c> {
    corridor: &'c Corridor,
    raw: Raw,
    trace: Trace,
}

/// Who calls, and what has proved it.
pub(crate) struct Identified {
    pub(crate) client: Arc<Client>,
    /// The digest of his key or token; None for a page with no key.
    pub(crate) proof: Option<[u8; 32]>,
}

impl<'c> OwnCall<'c> {
    pub(crate) fn new(corridor: &'c Corridor, raw: Raw) -> Self {
        Self { corridor, trace: Trace::new(&raw), raw }
    }

    pub(crate) fn rooms(&self) -> &'c House {
        &self.corridor.house
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.raw.parts
    }

    /// Whoever calls, from where he may: a client key, a token, or a listed page. None where there
    /// is no credential at all; a wrong one is a 401.
    pub(crate) async fn caller(&mut self) -> Result<Option<Identified>, Refusal> {
        let mut presented = Presented::default();
        self.gather(&mut presented)?;
        let own = presented.as_bytes().map(|bytes| (bytes, Place::Own));
        let open = presented.open();
        // As for providers: a key of our own shape comes before what may be one of another.
        let own = own.filter(|_| open.is_empty());
        let mut found: Option<Identified> = None;
        let mut any = false;
        for (bytes, place) in own.into_iter().chain(open.iter().map(|one| (&one[..], Place::Open)))
        {
            any = true;
            let Some(client) = self.corridor.known(bytes, place).await? else { continue };
            if found.as_ref().is_some_and(|other| other.client.id != client.id) {
                return Err(credential::ambiguous());
            }
            found = Some(Identified { client, proof: Some(token::digest(bytes)) });
        }
        if !any {
            let House { pages, settings, .. } = self.rooms();
            let hosts = own_hosts(&self.raw.parts, &settings.public_url);
            let guest = pages.guest(&self.raw.parts.headers, &hosts)?;
            found = guest.map(|client| Identified { client, proof: None });
        }
        match found {
            Some(found) => self.admitted(found).map(Some),
            None if any => Err(self.stranger().await),
            None => Ok(None),
        }
    }

    /// The same, where the call brings its client key in its body or in Basic authentication. None
    /// where it is wrong.
    pub(crate) async fn known(&mut self, key: &[u8]) -> Result<Option<Identified>, Refusal> {
        let Some(client) = self.corridor.known(key, Place::Open).await? else { return Ok(None) };
        let found = Identified { client, proof: Some(token::digest(key)) };
        self.admitted(found).map(Some)
    }

    /// A failed authentication, answered later where this address has had too many.
    pub(crate) async fn stranger(&self) -> Refusal {
        self.rooms().roster.slow_down(self.raw.address).await;
        Refusal::unauthorized()
    }

    /// No credential where one is needed.
    pub(crate) async fn nobody(&self) -> Refusal {
        self.rooms().roster.missing();
        self.stranger().await
    }

    /// The whole body, in memory that wipes itself: there may be a key in it.
    pub(crate) async fn body(&mut self) -> Result<SecretBytes, Refusal> {
        let Some(body) = self.raw.body.take() else { return Ok(SecretBytes::new(Vec::new())) };
        let whole =
            tokio::time::timeout(BODY_WITHIN, Limited::new(body, MOST_BODY_BYTES).collect());
        match whole.await {
            Ok(Ok(whole)) => Ok(taken(whole.to_bytes())),
            Ok(Err(fault)) if fault.is::<http_body_util::LengthLimitError>() => {
                let detail = "The body is larger than any call of this face needs.";
                Err(Refusal::new(Reason::TooLarge, detail).closing())
            }
            Ok(Err(_)) => Err(Refusal::bad_request("The body broke off.").closing()),
            Err(_late) => {
                let detail = "The body did not arrive in time.";
                Err(Refusal::new(Reason::Timeout, detail).closing())
            }
        }
    }

    /// Before something is made: nothing is made unrecorded.
    pub(crate) fn begin_record(&mut self) -> Result<(), Refusal> {
        self.trace.begin_own(&self.corridor.lane, &self.raw.parts)
    }

    /// An answer that nobody may keep.
    pub(crate) fn answered(self, status: StatusCode, body: Vec<u8>) -> Answer {
        let mut answer = Answer::new(AnswerBody::own(body));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.trace.end_own(&mut answer);
        answer
    }

    pub(crate) fn refused(self, refusal: &Refusal) -> Answer {
        self.corridor.house.metrics.refused(refusal.reason.code());
        self.trace.refuse(refusal, &self.raw.parts, &self.corridor.lane)
    }

    fn admitted(&mut self, found: Identified) -> Result<Identified, Refusal> {
        self.trace.caller(&found.client);
        let mut origins = self.raw.parts.headers.get_all(ORIGIN).iter();
        let origin = origins.next().filter(|_| origins.next().is_none());
        let from =
            policy::Whence { address: self.address(), origin: origin.map(HeaderValue::as_bytes) };
        match policy::admits(&found.client, &from) {
            Ok(()) => Ok(found),
            Err(denied) => Err(Refusal::new(Reason::Forbidden, denied.sentence_for(&found.client))),
        }
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.raw.address
    }

    fn gather(&self, presented: &mut Presented) -> Result<(), Refusal> {
        let House { catalogue, roster, .. } = self.rooms();
        let (any_shape, catalogue) = (roster.takes_any_shape(), catalogue.now());
        for (name, value) in &self.raw.parts.headers {
            if catalogue.header_slot(name.as_str()).is_some() {
                presented.note_header(value.as_bytes())?;
                presented.note_open(name.as_str(), value.as_bytes(), any_shape);
            }
        }
        if let Some(query) = self.raw.parts.uri.query() {
            let is_slot = |name: &str| catalogue.is_query_slot(name);
            credential::clean_query(query, is_slot, |_| false, presented)?;
        }
        Ok(())
    }
}

/// Takes over what a body was collected into.
fn taken(bytes: Bytes) -> SecretBytes {
    match bytes.try_into_mut() {
        Ok(own) => SecretBytes::new(own.into()),
        Err(shared) => SecretBytes::copy_of(&shared),
    }
}
