//! One call of the house for candles, the way that every call takes: permit, place in the line,
//! record, secret, injection, the one way out. What comes back is searched for the key before
//! anybody reads it. Must never go around a limit, nor leave unrecorded.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt;
use uuid::Uuid;

use crate::clock::{Clock, rfc3339};
use crate::inject::{Carried, Head, OutboundBody, inject};
use crate::ledger::{ActorRef, Begin, Kind, Ledger, Record};
use crate::limiter::{Asking, Granted, Limiter};
use crate::policy::{self, Permit, Purpose};
use crate::provider::Provider;
use crate::refusal::{Exceeded, LimitKind, Reason, Refusal};
use crate::upstream::{Reply, Upstream};
use crate::vault::{Vault, Wanted};

/// One call has no more, once it has left.
const WITHIN: Duration = Duration::from_secs(120);
/// Fifty thousand candles have seven mebibytes; several calls are under way at once.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Whoever is closed for longer holds no run.
pub(super) const MOST_CLOSED_MS: u64 = 900_000;
const LOOK_EVERY: Duration = Duration::from_millis(500);
const SEALED_WITHIN: Duration = Duration::from_millis(50);
const AGENT: &str = concat!("sealgate/", env!("CARGO_PKG_VERSION"));
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What was answered, without any key.
pub(super) struct Answer {
    pub(super) status: u16,
    /// How long to wait, where the provider says so.
    pub(super) retry_in_ms: Option<u64>,
    pub(super) body: Vec<u8>,
}

/// None where no limit is known.
type MayCall = Option<Granted>;

pub(super) struct Caller {
    pub(super) vault: Arc<Vault>,
    pub(super) ledger: Ledger,
    pub(super) limiter: Arc<Limiter>,
    pub(super) upstream: Upstream,
    pub(super) clock: Clock,
}

impl Caller {
    /// Waits for its turn, however long that takes.
    pub(super) async fn ask(
        &self,
        provider: &Arc<Provider>,
        path: &str,
    ) -> Result<Answer, Refusal> {
        let permit = policy::house(Purpose::Backfill, provider);
        // Nobody waits for a turn of which nothing can come.
        let ticket = self.turn(&permit).await?;
        let admission = self.limiter.admit_house(&permit).await?;
        let request_id = Uuid::now_v7().to_string();
        let mut record = self.record(&permit, path, &request_id)?;
        let answered = tokio::select! {
            answered = self.send((&permit, ticket), path, (&mut record, &request_id)) => answered,
            refusal = self.until_sealed() => Err(refusal),
        };
        match &answered {
            Ok(answer) => {
                record.bytes_out(u64::try_from(answer.body.len()).unwrap_or(u64::MAX));
                record.answered(answer.status, &request_id, None);
            }
            Err(no) => record.answered(no.reason.status(), &request_id, Some(no.reason)),
        }
        record.complete();
        drop(admission);
        answered
    }

    /// Behind the calls of clients, where the provider's limit is known.
    async fn turn(&self, permit: &Permit) -> Result<MayCall, Refusal> {
        let selected = self.vault.select(permit)?;
        if !selected.is_bound() {
            return Ok(None);
        }
        let (secret, supply) = selected.supply();
        let sources = self.vault.sources(permit.provider(), (secret, supply));
        let asking = Asking { secret, supply: Arc::clone(supply), sources };
        let turn = self.limiter.ticket_of_the_house(permit, &asking);
        tokio::select! {
            turn = turn => Ok(turn),
            refusal = self.until_left_alone(permit.provider(), &asking) => Err(refusal),
        }
    }

    /// Ends when every secret that may serve is closed for longer than anybody waits.
    async fn until_left_alone(&self, provider: &Provider, asking: &Asking) -> Refusal {
        loop {
            let now = self.clock.now();
            let sources = (asking.sources)();
            let closed_ns = sources.iter().map(|source| {
                let standing = source.supply.standing(now.monotonic_ns);
                standing.closed_until_ns.map_or(0, |ns| ns.saturating_sub(now.monotonic_ns))
            });
            let closed_ms = closed_ns.min().unwrap_or(0) / 1_000_000;
            if closed_ms > MOST_CLOSED_MS {
                let free_at_ms = now.unix_ms.saturating_add_unsigned(closed_ms);
                let exceeded = Exceeded::at(LimitKind::Provider, (0, 0), (free_at_ms, now.unix_ms));
                let (title, until) = (&provider.title, rfc3339(free_at_ms));
                let detail = format!(
                    "{title} wants to be left alone until {until}. The next run goes on from there."
                );
                return Refusal::rate_limited(exceeded, detail);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// In the journal before it leaves.
    fn record(&self, permit: &Permit, path: &str, request_id: &str) -> Result<Record, Refusal> {
        let begun = self.ledger.begin_call(&Begin {
            kind: Kind::Usage,
            actor: ActorRef::house(Purpose::Backfill.as_str()),
            address: None,
            provider: &permit.provider().id,
            method: "GET",
            path: path.split('?').next().unwrap_or_default(),
            request_id,
        });
        begun.map_err(|full| Refusal::new(Reason::AuditUnavailable, full.to_string()))
    }

    async fn send(
        &self,
        (permit, ticket): (&Permit, MayCall),
        path: &str,
        (record, request_id): (&mut Record, &str),
    ) -> Result<Answer, Refusal> {
        let wanted = ticket.as_ref().map_or(Wanted::Any, |(secret, _)| Wanted::Same(*secret));
        let mut selected = self.vault.select_for(permit, wanted)?;
        if let Some((secret, ticket)) = ticket
            && secret == selected.secret_id()
        {
            selected.hold(ticket);
        }
        record.secret(selected.secret_id(), selected.version());
        let opened = self.vault.open(permit, &selected, self.clock.now())?;
        let request = Request::builder().method(Method::GET).uri(path).body(());
        let request = request.map_err(|_| {
            Refusal::new(Reason::UpstreamInvalid, "The address of the next page is none.")
        })?;
        let mut parts = request.into_parts().0;
        let id = HeaderValue::from_str(request_id).map_err(|_| Refusal::internal())?;
        let headers = [
            (USER_AGENT, HeaderValue::from_static(AGENT)),
            (ACCEPT, HeaderValue::from_static("application/json")),
            (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
            (X_REQUEST_ID, id),
        ];
        parts.headers.extend(headers);
        let query = parts.uri.query().map(str::to_owned);
        let head = Head::new(&mut parts, 0, query);
        let (outbound, carried) = inject(head, OutboundBody::Empty, permit, opened)?;
        record.forwarded(request_id);
        let now_ns = record.upstream_began();
        let sending = async {
            let leave = selected.leaves(&self.clock);
            let sent = self.upstream.send(outbound, now_ns, &mut |_| Ok(())).await;
            let reply = match sent {
                Ok(reply) => reply,
                Err(refusal) => {
                    leave.got_lost(&refusal);
                    selected.was_silent(self.clock.now());
                    return Err(refusal);
                }
            };
            leave.answered(permit.provider(), &reply.head, &self.clock);
            let status = reply.head.status.as_u16();
            selected.answered(status, self.clock.now());
            let (headers, now_ms) = (&reply.head.headers, || self.clock.unix_ms());
            let notice = permit.provider().limits.notice(status, headers, now_ms);
            let retry_in_ns = notice.and_then(|notice| notice.retry_in_ns);
            let body = read(reply, &carried, record).await?;
            Ok(Answer { status, retry_in_ms: retry_in_ns.map(|ns| ns / 1_000_000), body })
        };
        let answered = tokio::time::timeout(WITHIN, sending).await;
        answered.unwrap_or_else(|_| {
            let seconds = WITHIN.as_secs();
            let title = &permit.provider().title;
            let detail = format!("{title} did not answer in full within {seconds} seconds.");
            Err(Refusal::new(Reason::UpstreamTimeout, detail))
        })
    }

    async fn until_sealed(&self) -> Refusal {
        loop {
            tokio::time::sleep(SEALED_WITHIN).await;
            if self.vault.is_sealed() {
                self.upstream.forget_connections();
                return Refusal::new(Reason::Sealed, "The vault was sealed meanwhile.");
            }
        }
    }
}

/// All of it, or nothing.
async fn read(reply: Reply, carried: &Carried, record: &mut Record) -> Result<Vec<u8>, Refusal> {
    let Reply { head, mut body } = reply;
    let broken = |detail: &'static str| Refusal::new(Reason::UpstreamInvalid, detail);
    let is_plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !head.headers.get_all(CONTENT_ENCODING).iter().all(is_plain) {
        return Err(broken("The provider packed its answer, which nobody had asked for."));
    }
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| broken("The provider's answer broke off."))?;
        let piece = frame.into_data().unwrap_or_default();
        if text.len() + piece.len() > MOST_BYTES {
            return Err(broken("The provider's answer is longer than any page is."));
        }
        text.extend_from_slice(&piece);
    }
    record.upstream_ended();
    let (_, blanked) = carried.needles.blank(&mut text, false);
    record.scrub_hits(blanked);
    Ok(text)
}
