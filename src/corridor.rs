//! A REQUEST'S WHOLE LIFE, read from top to bottom in `walk`: clean, authenticate, authorise,
//! select, admit, open, inject, send, scrub; the record closes when the answer's body is dropped.
//! Each step returns what only it can make and the next one demands. No middleware on the path.

mod answer;
mod browser;
mod clean;
mod codings;
mod cookies;
mod credential;
mod document;
mod framed;
mod meter;
mod names;
mod overrides;
mod own;
mod path;
mod pool;
mod repeats;
mod rewrite;
mod scrub;
mod socket;
mod trace;
mod trailers;
mod trial;
mod turn;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use http::header::UPGRADE;
use http::request::Parts;
use hyper::body::{Body as _, Incoming};

pub(crate) use self::answer::{Answer, AnswerBody};
pub(crate) use self::browser::{PageSettings, Pages, dress, vary};
use self::clean::Inbound;
pub(crate) use self::own::{Identified, OwnCall};
pub(crate) use self::path::{addressed, decoded_segments, percent_decoded};
pub(crate) use self::repeats::Repeats;
use self::rewrite::Place as Whereabouts;
pub(crate) use self::socket::{
    Berths as SocketBerths, Fanout, Greeting, No, Parley, Socket, codec_of, greeting, refusal,
    understood, welcome, worded,
};
use self::trace::Trace;
use crate::catalogue::InForce;
use crate::client::{Client, Standing};
use crate::clock::Clock;
use crate::ledger::{Kept, Lane};
use crate::limiter::Limiter;
use crate::net;
use crate::policy::{self, Permit};
use crate::refusal::{Reason, Refusal};
use crate::roster::{Place, Roster};
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::upstream::Upstream;
use crate::vault::Vault;

/// What all threads of the proxy share.
pub(crate) struct House {
    pub(crate) catalogue: InForce,
    pub(crate) roster: Arc<Roster>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) sockets: Arc<SocketBerths>,
    /// Of those of whom nobody knows yet who they are.
    pub(crate) strangers: Arc<SocketBerths>,
    /// Sockets that many share.
    pub(crate) fanout: Fanout,
    /// What client keys were told, and until when it holds.
    pub(crate) repeats: Arc<Repeats>,
    pub(crate) pages: Pages,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    /// For what callers may read of the house itself; no call to a provider looks into it.
    pub(crate) store: Store,
    pub(crate) settings: Settings,
}

/// What a request may be, and how clients reach us.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Without a trailing slash.
    pub(crate) public_url: String,
    /// Empty: path addressing alone.
    pub(crate) domain: String,
    /// 0: no limit.
    pub(crate) max_body_bytes: u64,
    /// Networks whose word on who called is believed.
    pub(crate) trusted_proxies: Vec<(IpAddr, u8)>,
    /// How long a candle lasts where nobody says.
    pub(crate) candle_seconds: i64,
}

/// One thread's corridor.
pub(crate) struct Corridor {
    house: Arc<House>,
    /// The lock is only ever taken by its own thread, so nobody waits for it.
    lane: Mutex<Lane>,
    upstream: Upstream,
    /// For what outlives the call that began it.
    own: Weak<Self>,
}

/// A request as it came in, and from whom.
pub(crate) struct Raw {
    pub(crate) parts: Parts,
    /// None where the request has no body.
    pub(crate) body: Option<Incoming>,
    pub(crate) address: IpAddr,
}

impl Raw {
    pub(crate) fn new(request: http::Request<Incoming>, address: IpAddr) -> Self {
        let (parts, body) = request.into_parts();
        Self { parts, body: (!body.is_end_stream()).then_some(body), address }
    }
}

impl Corridor {
    pub(crate) fn new(house: Arc<House>, lane: Lane, upstream: Upstream) -> Arc<Self> {
        let lane = Mutex::new(lane);
        Arc::new_cyclic(|own| Self { house, lane, upstream, own: Weak::clone(own) })
    }

    /// The domain under which providers are addressed by host; empty where they are not.
    pub(crate) fn domain(&self) -> &str {
        &self.house.settings.domain
    }

    /// Closes the connections to providers that no call uses.
    pub(crate) fn forget_connections(&self) {
        self.upstream.forget_connections();
    }

    /// What is still under way will be cut, and that is not its callers' doing.
    pub(crate) fn leave(&self) {
        lane(&self.lane).leave();
    }

    pub(crate) fn pages(&self) -> &Pages {
        &self.house.pages
    }

    /// Neither forwarded nor authenticated. None where the origin is not listed.
    pub(crate) fn preflight(&self, parts: &Parts) -> Option<Answer> {
        let House { pages, catalogue, .. } = &*self.house;
        pages.preflight(&parts.headers, credential::is_announced(parts, &catalogue.now()))
    }

    /// Who called, where what connected to us is a proxy of ours.
    pub(crate) fn caller(&self, peer: IpAddr, headers: &http::HeaderMap) -> IpAddr {
        net::caller(peer, headers, &self.house.settings.trusted_proxies)
    }

    /// Answers every request: with the provider's answer, or with a refusal that says why.
    pub(crate) async fn answer(&self, mut raw: Raw) -> Answer {
        let asks_for_socket = raw.parts.headers.contains_key(UPGRADE);
        if asks_for_socket && let Some(greeting) = self.greeted(&raw) {
            return greeting;
        }
        let mut trace = Trace::new(&raw);
        let walked = self.walk(&mut raw, &mut trace).await;
        // Whoever was refused before a seat was taken has no record that could be lost.
        let is_recorded = walked.is_ok() || trace.is_recorded();
        let answer = match walked {
            Ok(answer) => answer,
            Err(mut refusal) => {
                self.house.metrics.refused(refusal.reason.code());
                // What was sent behind it was meant for a socket, and is no request.
                refusal.close |= asks_for_socket;
                trace.refuse(&refusal, &raw.parts, &self.lane)
            }
        };
        let kept = is_recorded.then(|| lane(&self.lane).kept()).flatten();
        match kept {
            None => answer,
            // Boxed: only where every answer waits for the disk.
            Some(kept) => Box::pin(self.once_kept(kept, answer)).await,
        }
    }

    /// The answer, once its record is on disk; else nobody gets it.
    async fn once_kept(&self, kept: Kept, mut answer: Answer) -> Answer {
        if kept.on_disk().await {
            return answer;
        }
        let refusal = trace::unwritten();
        self.house.metrics.refused(refusal.reason.code());
        answer.body_mut().refuse(refusal.reason);
        trace::unrecorded(&refusal)
    }

    /// An answer of our own to a call that was written down, once that is on disk, where that is
    /// waited for.
    pub(crate) async fn once_on_disk(&self, answer: Answer) -> Answer {
        let kept = lane(&self.lane).kept();
        match kept {
            None => answer,
            Some(kept) => self.once_kept(kept, answer).await,
        }
    }

    async fn walk(&self, raw: &mut Raw, trace: &mut Trace) -> Result<Answer, Refusal> {
        let house = &*self.house;
        let Raw { parts, body, address } = raw;
        let mut inbound = clean::clean(parts, body.as_ref(), house)?;
        inbound.demand_introduction()?;
        let document = match inbound.has_key_in_body() {
            // Boxed, so that ordinary calls do not carry the room for it.
            true => Box::pin(document::read(&mut inbound, body, house)).await?,
            false => None,
        };
        let client = self.authenticate(&inbound, *address, trace).await?;
        let permit = self.authorize(&inbound, &client, *address)?;
        let (mut head, onward) = inbound.into_head();
        let moment = trace.seat(&self.lane, &permit, &mut head)?;
        let is_socket = onward.handshake.is_some();
        if !is_socket && body.is_none() {
            trace.asks(&house.repeats, &permit, &head, moment);
        }
        let keeps = || trial::twice(body.as_ref(), document.is_some() || is_socket);
        let mut sides = trial::select((house, &permit), &onward, keeps, None)?;
        trace.secret(&sides.0);
        let admission = match self.admit_at_once((&permit, *address), moment, &sides)? {
            Some(admission) => admission,
            None => {
                let (call, kept) = ((house, &permit), keeps());
                let anew = |dealt| trial::select(call, &onward, || kept, Some(dealt));
                let admission = self.admit_in_turn((&permit, *address), &mut sides, anew).await?;
                // Another one may serve it by now.
                trace.secret(&sides.0);
                admission
            }
        };
        trace.counted(&admission);
        let opening = onward.handshake.map(|asked| self.opening(asked, &client)).transpose()?;
        let opening = match opening {
            Some(shared) if shared.is_shared() => {
                return self.joined((&head, permit), shared, &sides.0, (trace, admission));
            }
            other => other,
        };
        let call = (&permit, &client, moment);
        let sent = (head, (document, body.take()), opening.is_some());
        let (reply, carried) = self.send_out(sent, call, &sides, trace).await?;
        let place = Whereabouts {
            provider: permit.provider(),
            public_url: &house.settings.public_url,
            host_form: onward.host_form.as_deref(),
        };
        match opening {
            None => {
                trace.hears(&house.repeats, place.provider, &reply.head);
                scrub::scrub(reply, carried.needles, &place, (trace, admission)).await
            }
            // Boxed, so that ordinary calls do not carry the room for it.
            Some(opening) => {
                let call = (trace, admission);
                Box::pin(socket::answered(reply, carried, (opening, &place), call)).await
            }
        }
    }

    async fn authenticate(
        &self,
        inbound: &Inbound<'_>,
        address: IpAddr,
        trace: &mut Trace,
    ) -> Result<Arc<Client>, Refusal> {
        let found = match (inbound.open_credentials(), inbound.credential()) {
            ([], Some(presented)) => self.known(presented, Place::Own).await?,
            ([], None) => {
                let guest = inbound.guest(&self.house)?;
                if guest.is_none() {
                    self.house.roster.missing();
                }
                guest
            }
            // Boxed, so that ordinary calls do not carry the room for it.
            (_, _) => Box::pin(self.authenticate_open(inbound)).await?,
        };
        let Some(client) = found else {
            Box::pin(self.house.roster.slow_down(address)).await;
            return Err(Refusal::unauthorized());
        };
        trace.caller(&client);
        Ok(client)
    }

    /// Keys of older systems have any shape, so each value in an open place may be one.
    async fn authenticate_open(
        &self,
        inbound: &Inbound<'_>,
    ) -> Result<Option<Arc<Client>>, Refusal> {
        let mut found: Option<Arc<Client>> = None;
        for presented in inbound.open_credentials() {
            let Some(client) = self.known(presented, Place::Open).await? else { continue };
            if found.as_ref().is_some_and(|other| other.id != client.id) {
                return Err(credential::ambiguous());
            }
            inbound.check_misplaced(presented, &self.house.catalogue.now())?;
            found = Some(client);
        }
        Ok(found)
    }

    async fn known(&self, presented: &[u8], place: Place) -> Result<Option<Arc<Client>>, Refusal> {
        self.house.roster.authenticate(presented, place).await.map_err(|fault| {
            tracing::error!(%fault, "a client key could not be looked up");
            let detail =
                "The database does not answer, so no client key can be looked up; try again.";
            Refusal::new(Reason::Overloaded, detail)
        })
    }

    fn authorize(
        &self,
        inbound: &Inbound<'_>,
        client: &Arc<Client>,
        address: IpAddr,
    ) -> Result<Permit, Refusal> {
        let Some(provider) = inbound.provider() else {
            let detail =
                "No provider of this name is configured; the first segment of the path names it.";
            return Err(Refusal::new(Reason::UnknownProvider, detail));
        };
        let decoded = inbound.decoded_segments(client.scopes().next().is_some());
        let segments: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
        let asks = |method: &str| {
            let origin = if client.asks_for_origin() { inbound.origin() } else { None };
            let (segments, secret) = (segments.as_slice(), inbound.wanted_secret());
            let from = policy::Whence { address, origin };
            let request = policy::Request { provider, method, segments, secret, from };
            policy::authorize(client, &request)
                .map_err(|denied| Refusal::new(Reason::Forbidden, denied.sentence_for(client)))
        };
        // Some providers do what a header or the query names instead of the method: that must be
        // allowed, too.
        if client.is_narrow() {
            inbound.other_methods().try_for_each(|method| asks(&method).map(drop))?;
            if client.scopes().next().is_some() && inbound.names_another_path() {
                let detail = "A header names another path, and this caller may not go everywhere; \
                              leave X-Original-URL and its like out.";
                return Err(Refusal::new(Reason::Forbidden, detail));
            }
            // A handshake is a GET, and what is said behind it may be more than reading.
            if inbound.wants_a_say() {
                asks("POST").map_err(|_| Refusal::new(Reason::Forbidden, NO_SAY))?;
            }
        }
        asks(inbound.method())
    }
}

const NO_SAY: &str = "On this socket more can be asked for than what is to be read, and this \
                      caller may only read there; a key that may POST to this path may open it.";

fn check_standing(standing: Standing) -> Result<(), Refusal> {
    match standing {
        Standing::Good => Ok(()),
        Standing::Altered => {
            let detail = "The rights of this client key were changed while this call was on its \
                          way; send it again.";
            Err(Refusal::new(Reason::Overloaded, detail))
        }
        Standing::Ended => Err(Refusal::unauthorized()),
    }
}

/// A no that needs no walk: what is asked for is no provider.
pub(crate) fn refused(refusal: &Refusal) -> Answer {
    trace::unrecorded(refusal)
}

/// The lane's lock is uncontended and nothing panics while it is held.
fn lane(lane: &Mutex<Lane>) -> std::sync::MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}
