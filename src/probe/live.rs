//! The steps that ask the provider: the call that proves the key, what it may do, which account it
//! is, which limits it has, when it ends. Told apart are a key that is good, one that is refused,
//! and an answer that says nothing of it. Must never take an outage for a bad key.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::Prober;
use super::call::{Answer, Question, WITHIN};
use super::reading;
use super::report::{Live, Run, Step};
use crate::clock::rfc3339;
use crate::policy::{self, Permit, Purpose};
use crate::provider::{Permission, Probe, Provider};
use crate::refusal::Refusal;
use crate::vault::Candidate;

/// Whoever waits for a check has not much more patience.
const ALTOGETHER: Duration = Duration::from_secs(20);
const A_DAY_MS: i64 = 86_400_000;
/// So near the end a key is not as it should be.
const NEAR_DAYS: i64 = 7;
/// The provider says that the key may not, or is not paid for.
const NOES: [u16; 3] = [401, 402, 403];

/// What is asked, and with what.
struct Asking<'a> {
    prober: &'a Prober,
    permit: Permit,
    probe: &'a Probe,
    candidate: &'a Candidate,
    began_ns: u64,
}

pub(super) async fn steps(
    prober: &Prober,
    provider: &Arc<Provider>,
    (candidate, expires_at_ms): (&Candidate, Option<i64>),
    run: &mut Run<'_, '_>,
) {
    let Some(probe) = &provider.probe else {
        run.end(Step::new("live", None, UNKNOWN_CALL).with_remedy(
            "Name a cheap call under `probe` in the provider's entry; `sealgate provider set` does \
             it.",
        ));
        end(run, (None, expires_at_ms), prober.clock.unix_ms());
        return;
    };
    let permit = policy::house(Purpose::Probe, provider);
    let began_ns = prober.clock.monotonic_ns();
    let asking = Asking { prober, permit, probe, candidate, began_ns };
    let answer = asking.ask((&probe.method, &probe.path)).await;
    let (live, step) = judged(provider, probe, &answer);
    run.report.live = live.clone();
    run.end(step);
    if live == Live::Good {
        candidate.proved(&prober.clock);
    }
    let (Live::Good | Live::AnyString, Ok(answer)) = (live, answer) else { return };
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let told = (&answer.headers, body.as_ref());
    asking.permissions(run).await;
    account(provider, probe, body.as_ref(), run);
    run.report.limits = reading::limits(probe, told);
    if !run.report.limits.is_empty() {
        let figures = run.report.limits.iter().map(|(name, number)| format!("{name} {number}"));
        let line = figures.collect::<Vec<_>>().join(", ");
        run.end(Step::new("limits", Some(true), format!("The answer tells: {line}.")));
    }
    run.report.told_end_ms = reading::end_ms(probe, told);
    end(run, (run.report.told_end_ms, expires_at_ms), prober.clock.unix_ms());
}

impl Asking<'_> {
    async fn ask(&self, (method, path): (&http::Method, &str)) -> Result<Answer, Refusal> {
        let waited = self.prober.clock.monotonic_ns().saturating_sub(self.began_ns);
        let within = ALTOGETHER.saturating_sub(Duration::from_nanos(waited)).min(WITHIN);
        let headers = &self.probe.headers;
        let question = Question { method, path, headers, json: None, within };
        self.prober.unsealed()?;
        let opened = self.candidate.open(&self.permit);
        let clock = &self.prober.clock;
        let ticket = self.candidate.counted(clock);
        let asked = self.prober.caller.ask((&self.permit, opened), question);
        let answered = tokio::select! {
            answered = asked => answered,
            refusal = self.prober.until_sealed() => Err(refusal),
        };
        if let Some(ticket) = ticket {
            let limits = &self.permit.provider().limits;
            let now_ms = || clock.unix_ms();
            match &answered {
                Ok(answer) => {
                    // What a check is told is of its own route.
                    ticket.failed(limits.notice(answer.status, &answer.headers, now_ms));
                }
                Err(refusal) if refusal.is_unsent() => ticket.stays(),
                Err(_) => {}
            }
        }
        answered
    }

    async fn permissions(&self, run: &mut Run<'_, '_>) {
        let (mut has, mut lacks, mut untold) = (Vec::new(), Vec::new(), Vec::new());
        let (mut is_short, mut is_open) = (false, false);
        for permission in &self.probe.permissions {
            let name = permission.name.as_str();
            match self.may(permission).await {
                Some(true) => has.push(name),
                Some(false) => {
                    is_short |= permission.needed;
                    lacks.push(name);
                }
                None => {
                    is_open |= permission.needed;
                    untold.push(name);
                }
            }
        }
        if self.probe.permissions.is_empty() {
            return;
        }
        let granted = has.iter().map(|name| ((*name).to_owned(), true));
        let denied = lacks.iter().map(|name| ((*name).to_owned(), false));
        run.report.permissions = granted.chain(denied).collect();
        let parts = [("may", has), ("may not", lacks), ("cannot be told", untold)];
        let told = parts.iter().filter(|(_, names)| !names.is_empty());
        let line: Vec<String> =
            told.map(|(word, names)| format!("{word}: {}", names.join(", "))).collect();
        let is_met = if is_short { Some(false) } else { (!is_open).then_some(true) };
        let step = Step::new("permissions", is_met, line.join("; "));
        run.end(match is_met {
            Some(false) => step.with_remedy(
                "Give the key these permissions at the provider, or set `needed = false` for them \
                 in its entry.",
            ),
            None => step.with_remedy(LATER),
            Some(true) => step,
        });
    }

    async fn may(&self, permission: &Permission) -> Option<bool> {
        let answer = self.ask((&permission.method, &permission.path)).await.ok()?;
        if refuses(self.probe, &answer) {
            return Some(false);
        }
        (200..300).contains(&answer.status).then_some(true)
    }
}

fn refuses(probe: &Probe, answer: &Answer) -> bool {
    let says_so = probe
        .bad_body
        .as_ref()
        .is_some_and(|text| memchr::memmem::find(&answer.body, text.as_bytes()).is_some());
    let by_status = probe.bad.contains(&answer.status)
        || NOES.contains(&answer.status) && !probe.ok.contains(&answer.status);
    says_so || by_status
}

fn judged(provider: &Provider, probe: &Probe, answer: &Result<Answer, Refusal>) -> (Live, Step) {
    let title = &provider.title;
    let answer = match answer {
        Ok(answer) => answer,
        Err(refusal) => {
            let step =
                Step::new("live", None, format!("{title} was not reached: {}", refusal.detail));
            return (Live::Unreached, step.with_remedy(REACH));
        }
    };
    let status = answer.status;
    if refuses(probe, answer) {
        let how = match (200..300).contains(&status) {
            true => String::from("in the body of a 200"),
            false => format!("with {status}"),
        };
        let step = Step::new("live", Some(false), format!("{title} refuses the key, {how}."));
        return (Live::Refused, step.with_remedy(NEW_KEY));
    }
    if probe.ok.contains(&status) && probe.bad_body.is_some() && !answer.is_whole {
        let detail = format!(
            "{title} answered {status}, but not all that it says could be read, and a bad key is \
             told there."
        );
        return (Live::Untold, Step::new("live", None, detail).with_remedy(LATER));
    }
    if probe.ok.contains(&status) {
        if probe.accepts_any {
            let detail = format!(
                "{title} answered {status}, but it accepts any text for a key: this proves nothing."
            );
            return (Live::AnyString, Step::new("live", None, detail).with_remedy(COMPARE));
        }
        let detail = format!("{title} accepts the key: it answered {status}.");
        return (Live::Good, Step::new("live", Some(true), detail));
    }
    let (detail, remedy) = match status {
        429 => (format!("{title} answers 429: its limit is used up, and it says no more."), LATER),
        500.. => {
            (format!("{title} answers {status}: it fails, and says nothing of the key."), LATER)
        }
        _ => (format!("{title} answers {status}, which its entry does not explain."), ENTRY),
    };
    (Live::Untold, Step::new("live", None, detail).with_remedy(remedy))
}

fn account(provider: &Provider, probe: &Probe, body: Option<&Value>, run: &mut Run<'_, '_>) {
    let Some(wanted) = &probe.account else { return };
    let found = reading::account(wanted, body);
    run.report.account = found;
    run.end(match found {
        Some(found) if found == wanted.is => {
            let detail = format!("It is a {} account, as {} is for.", found.as_str(), provider.id);
            Step::new("account", Some(true), detail)
        }
        Some(found) => {
            let (is, meant) = (found.as_str(), wanted.is.as_str());
            let detail =
                format!("It is a {is} account, and {} is for {meant} accounts.", provider.id);
            Step::new("account", Some(false), detail)
                .with_remedy(format!("Store it with the provider that is for {is} accounts."))
        }
        None => Step::new("account", None, "The answer does not tell paper from live."),
    });
}

/// When the key ends, as the provider tells, else as it was entered.
fn end(run: &mut Run<'_, '_>, (told, entered): (Option<i64>, Option<i64>), now_ms: i64) {
    let Some(end_ms) = told.or(entered) else {
        let step = Step::new("expiry", None, "Nobody has said when this key ends.");
        run.end(step.with_remedy("`sealgate secret set --expires-at TIME` says it."));
        return;
    };
    let by = if told.is_some() { "the provider says" } else { "as was entered" };
    let at = rfc3339(end_ms);
    let left_ms = end_ms.saturating_sub(now_ms);
    run.end(match left_ms {
        ..=0 => Step::new("expiry", Some(false), format!("It ended at {at}, {by}."))
            .with_remedy(NEW_KEY),
        left_ms if left_ms <= NEAR_DAYS * A_DAY_MS => {
            Step::new("expiry", Some(false), format!("It ends at {at}, {by}."))
                .with_remedy("Get a new key from the provider before that, and enter it.")
        }
        _ => Step::new("expiry", Some(true), format!("It ends at {at}, {by}.")),
    });
}

const UNKNOWN_CALL: &str = "The entry of this provider names no call that proves a key.";
const REACH: &str = "See whether the network leads there: `sealgate doctor` tries it.";
const NEW_KEY: &str = "Get a new key from the provider, and look whether the account is in order.";
const COMPARE: &str = "Compare it with what the provider shows.";
const LATER: &str = "Try again in a moment.";
const ENTRY: &str =
    "Set `probe.ok` and `probe.bad` in the provider's entry, if that is a yes or a no.";
