//! Deliveries on their way: each destination is told one thing after the other, none waits for
//! another one. What was not confirmed comes again, as it was, until it is or is given up; then it
//! lies in the list of the dead until somebody sends it again.
//! Must never take for confirmed what was not, nor send again what was.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use uuid::Uuid;

use super::silence::Silence;
use super::{Alerts, Destination, Posted, Way, backoff, letter};
use crate::failpoint::{self, place};
use crate::store::{self, DeliveryClaim, DeliveryRow, DestinationRow, Event, Tried};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What nodes of the release before take a claim for; longer than any try takes.
const CLAIMED_MS: i64 = 60_000;
/// So many looks at another node's claim that does not move: longer than a try takes, and as long
/// again as its end takes to be written once the database can be read. A node that died is followed
/// by another one.
const SILENT_LOOKS: u32 = 150;
/// Of whoever waits for the answer to a test.
const TRIES_OF_A_TEST: u32 = 40;
/// How long what nobody can be told waits for somebody to mend that.
const BURIED_AFTER_MS: i64 = 7 * 86_400_000;
const EDITED: &str = "its destination is not as Sealgate left it";
const LONGEST_TRY: Duration = Duration::from_secs(40);
/// Tries at once; a seat for each.
pub(super) const SEATS: u32 = 64;
const SETTLES_WITHIN: Duration = Duration::from_secs(10);
const GONE: u16 = 410;

/// Why a try was none.
pub(super) struct Fault {
    pub(super) text: String,
    /// Another try would end alike.
    pub(super) is_final: bool,
    pub(super) wait_seconds: Option<u64>,
}

/// Which of several recipients have confirmed, by their marks; kept over a try that is cut.
#[derive(Default)]
pub(super) struct Told(Mutex<Vec<String>>);

impl Told {
    fn of(row: &DeliveryRow) -> Self {
        Self(Mutex::new(row.told.clone()))
    }

    pub(super) fn has(&self, mark: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|held| held == mark)
    }

    pub(super) fn add(&self, mark: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// By delivery.
type Claims = Silence<Uuid, DeliveryClaim>;

/// What came of a test.
pub(crate) struct Tested {
    pub(crate) delivery: Uuid,
    /// None: it was confirmed.
    pub(crate) fault: Option<String>,
}

impl Fault {
    pub(super) fn passing(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_final: false, wait_seconds: None }
    }
}

impl Alerts {
    pub(super) async fn deliver(self: Arc<Self>) {
        let mut busy: HashSet<Uuid> = HashSet::new();
        let mut under_way: JoinSet<Uuid> = JoinSet::new();
        let mut claims = None;
        let mut is_told = false;
        loop {
            while let Some(ended) = under_way.try_join_next() {
                match ended {
                    Ok(id) => drop(busy.remove(&id)),
                    // Nobody knows whose it was; a claim keeps two from one delivery anyway.
                    Err(_) => busy.clear(),
                }
            }
            match self.next_due(&mut claims, under_way.is_empty()).await {
                Ok(due) => {
                    is_told = false;
                    for row in due {
                        if busy.insert(row.id) {
                            under_way.spawn(Arc::clone(&self).serve(row));
                        }
                    }
                }
                Err(fault) if !std::mem::replace(&mut is_told, true) => {
                    tracing::warn!(%fault, "deliveries of alerts wait");
                }
                Err(_) => {}
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Claims first: nothing is tried by two.
    async fn next_due(
        &self,
        claims: &mut Option<Claims>,
        is_idle: bool,
    ) -> Result<Vec<DestinationRow>, store::Error> {
        let (store, node) = (&self.parts.store, self.parts.node.as_str());
        if claims.is_none() {
            // Whoever had them under this name is gone: one process at a time has it.
            store.free_claims_of(node).await?;
        }
        let held = claims.get_or_insert_with(Claims::new);
        let found = store.delivery_claims().await.inspect_err(|_| held.forget())?;
        // Those of this node are given back by whoever has them; nobody has any where it is idle.
        let others = found.into_iter().filter(|claim| is_idle || claim.node != node);
        held.look(others.map(|claim| (claim.delivery, claim)));
        for (_, claim) in held.silent(SILENT_LOOKS) {
            if store.free_claim(claim).await? {
                let (id, node) = (claim.delivery, claim.node.as_str());
                tracing::warn!(%id, node, "a delivery of an alert was left; it follows");
            }
        }
        self.destinations_due().await
    }

    /// Nothing new is begun; what is under way may be confirmed yet, and is written down as that.
    pub(crate) async fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
        let all = self.seats.acquire_many(SEATS);
        if tokio::time::timeout(SETTLES_WITHIN, all).await.is_err() {
            tracing::warn!("a delivery of an alert was cut; it comes again, under the same id");
        }
    }

    async fn destinations_due(&self) -> Result<Vec<DestinationRow>, store::Error> {
        // Sealed, nobody knows where they are.
        if self.leaving.load(Ordering::Acquire) || !self.parts.store.judges_operators() {
            return Ok(Vec::new());
        }
        let due = self.parts.store.destinations_due(self.now_ms()).await?;
        let mut rows = Vec::with_capacity(due.len());
        for id in due {
            match self.parts.store.destination(id).await {
                Ok(row) => rows.extend(row),
                Err(store::Error::Contradiction { .. }) => self.bury(id).await?,
                Err(fault) => return Err(fault),
            }
        }
        Ok(rows)
    }

    /// Until there is nothing left for it, or a try failed.
    async fn serve(self: Arc<Self>, row: DestinationRow) -> Uuid {
        let served = match self.open_destination(&row) {
            Ok(Some(destination)) => self.serve_all(row.id, &destination).await,
            // What opens no more is told by the vault; what comes waits for somebody to mend it,
            // and not for ever.
            Ok(None) => self.bury(row.id).await,
            // Sealed meanwhile.
            Err(_) => Ok(()),
        };
        if let Err(fault) = served {
            tracing::warn!(%fault, "a delivery of an alert waits");
        }
        row.id
    }

    async fn serve_all(&self, id: Uuid, destination: &Destination) -> Result<(), store::Error> {
        while !self.leaving.load(Ordering::Acquire) {
            if !self.serve_one(id, destination).await? {
                break;
            }
        }
        Ok(())
    }

    async fn bury(&self, destination: Uuid) -> Result<(), store::Error> {
        let now_ms = self.now_ms();
        let old = (EDITED, now_ms.saturating_sub(BURIED_AFTER_MS));
        self.parts.store.bury_deliveries(destination, old, now_ms).await
    }

    /// False where there is nothing to be done for now.
    async fn serve_one(&self, id: Uuid, destination: &Destination) -> Result<bool, store::Error> {
        let Ok(_seat) = self.seats.acquire().await else { return Ok(false) };
        let (store, node) = (&self.parts.store, self.parts.node.as_str());
        let now_ms = self.now_ms();
        let Some(mut row) = store.due_delivery(id, now_ms).await? else { return Ok(false) };
        if !store.claim_delivery(row.id, node, now_ms.saturating_add(CLAIMED_MS)).await? {
            // Another node has it.
            return Ok(false);
        }
        row.attempts = row.attempts.saturating_add(1);
        let told = Told::of(&row);
        let tried = if destination.wants(row.event, &row.body) {
            let sent = self.send(destination, (&row, &told)).await;
            self.came_of(&row, sent)
        } else {
            Tried::Unwanted
        };
        failpoint::pass(place::ALERT_SENT);
        self.note((id, &row), (&tried, &told), None).await?;
        Ok(matches!(tried, Tried::Delivered | Tried::Unwanted))
    }

    /// As soon as the database takes it: what was confirmed must not come again, however long that
    /// takes. Meanwhile the claim stands, and nobody else tries.
    async fn note(
        &self,
        (destination, row): (Uuid, &DeliveryRow),
        (tried, told): (&Tried, &Told),
        most_tries: Option<u32>,
    ) -> Result<(), store::Error> {
        let metrics = self.parts.metrics.alerts();
        match tried {
            Tried::Delivered => metrics.delivered(),
            Tried::Again { fault, .. } => {
                metrics.put_off();
                let id = letter::message_id(row);
                tracing::warn!(%destination, id, fault, "an alert was not delivered; it follows");
            }
            Tried::Dead { fault } => {
                metrics.given_up();
                let id = letter::message_id(row);
                tracing::error!(%destination, id, fault, "an alert is given up; send it again");
            }
            Tried::Unwanted => {}
        }
        let (told, mut tries) = (told.all(), 0_u32);
        loop {
            let (store, now_ms) = (&self.parts.store, self.now_ms());
            let said = (tried, told.as_slice());
            match store.end_delivery(row.id, &self.parts.node, said, now_ms).await {
                Ok(_) => return Ok(()),
                Err(fault) if most_tries.is_some_and(|most| tries >= most) => return Err(fault),
                Err(_) => tries = tries.saturating_add(1),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn came_of(&self, row: &DeliveryRow, sent: Result<(), Fault>) -> Tried {
        let Err(fault) = sent else { return Tried::Delivered };
        let text = super::rule::plain(&fault.text);
        let next = backoff::next_at(self.now_ms(), row.attempts, fault.wait_seconds);
        match next.filter(|_| !fault.is_final) {
            Some(at) => Tried::Again { at, fault: text },
            None => Tried::Dead { fault: text },
        }
    }

    async fn send(
        &self,
        destination: &Destination,
        (row, told): (&DeliveryRow, &Told),
    ) -> Result<(), Fault> {
        let sending = async {
            match &destination.way {
                Way::Webhook { url, key } => {
                    let url = url.expose_str().unwrap_or_default().to_owned();
                    let letter = letter::webhook(url, key, row, self.now_ms());
                    judged((self.parts.post)(letter).await)
                }
                Way::Email { to } => self.mail(to, row, told).await,
                Way::Syslog => self.log(row).await,
            }
        };
        match tokio::time::timeout(LONGEST_TRY, sending).await {
            Ok(sent) => sent,
            Err(_) => Err(Fault::passing("it did not answer in time")),
        }
    }

    /// One try, now, whatever came of others. None: there is no such destination.
    pub(crate) async fn test(
        &self,
        row: &DestinationRow,
        destination: &Destination,
    ) -> Result<Tested, store::Error> {
        let (id, now_ms) = (Uuid::now_v7(), self.now_ms());
        let body = letter::test_body(&row.name, now_ms);
        let (store, node) = (&self.parts.store, self.parts.node.as_str());
        let until_ms = now_ms.saturating_add(CLAIMED_MS);
        store.add_test_delivery(row.id, (id, &body), node, (now_ms, until_ms)).await?;
        let delivery = DeliveryRow {
            id,
            destination_id: row.id,
            alert_id: None,
            event: Event::Test,
            state: store::DeliveryState::Waiting,
            body,
            attempts: 1,
            next_at: now_ms,
            fault: None,
            created_at: now_ms,
            ended_at: None,
            told: Vec::new(),
        };
        let told = Told::default();
        let fault = self.send(destination, (&delivery, &told)).await.err();
        let fault = fault.map(|fault| super::rule::plain(&fault.text));
        let tried = match &fault {
            None => Tried::Delivered,
            Some(fault) => Tried::Dead { fault: fault.clone() },
        };
        let came_of = (&tried, &told);
        self.note((row.id, &delivery), came_of, Some(TRIES_OF_A_TEST)).await?;
        Ok(Tested { delivery: id, fault })
    }
}

fn judged(posted: Result<Posted, String>) -> Result<(), Fault> {
    match posted {
        Ok(Posted { status: 200..300, .. }) => Ok(()),
        Ok(Posted { status, retry_after_seconds }) => Err(Fault {
            text: format!("it answered {status}"),
            is_final: status == GONE,
            wait_seconds: retry_after_seconds,
        }),
        Err(fault) => Err(Fault::passing(fault)),
    }
}
