//! Runs cases, every lane at once and within a lane one after the other, and checks after each what
//! must hold after all of them: no real key at the client, no client key at the provider, one
//! request for each that passed and none for the others, nothing hangs, nobody gets another's
//! answer, and the next good request is answered.

use std::sync::Arc;

use sealgate::clock::Clock;

use crate::case::{Case, PLACEMENTS, Then, What, fetch};
use crate::frames::{Ended, Frames};
use crate::recorder::{Script, Taken};
use crate::scene::{Lane, Scene, Ways};
use crate::wire::{Heard, PATIENCE, Wire};

/// What became of what was sent.
pub(crate) enum Outcome {
    Answered(Heard),
    /// With what came of an answer before.
    Cut(Option<Heard>),
    Hung,
}

/// What a client has seen, and what of it is still usable.
pub(crate) enum Client {
    One(Wire),
    /// With the next free stream.
    Two(Box<Frames>, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    One,
    Two,
}

/// Everything against a house that speaks plainly; in the end the house is searched.
pub(crate) async fn attack(cases: Vec<Case>) {
    attack_at(Scene::plain().await, cases).await;
}

pub(crate) async fn attack_at(scene: Scene, cases: Vec<Case>) {
    let (faults, runs) = faults_of(&scene, cases).await;
    scene.leave().await;
    assert!(faults.is_empty(), "{} of {runs} failed:\n{}", faults.len(), faults.join("\n"));
}

pub(crate) async fn faults_of(scene: &Scene, cases: Vec<Case>) -> (Vec<String>, usize) {
    let cases = Arc::new(cases);
    let mut lanes = tokio::task::JoinSet::new();
    for lane in &scene.lanes {
        let (lane, ways, cases) = (Arc::clone(lane), scene.ways.clone(), Arc::clone(&cases));
        lanes.spawn(async move { lane.run(&ways, &cases).await });
    }
    let (mut faults, mut runs) = (Vec::new(), 0);
    for (mut found, ran) in lanes.join_all().await {
        faults.append(&mut found);
        runs += ran;
    }
    faults.sort_unstable();
    (faults, runs)
}

impl Lane {
    async fn run(&self, ways: &Ways, cases: &[Case]) -> (Vec<String>, usize) {
        let (mut faults, mut runs) = (Vec::new(), 0);
        let own = PLACEMENTS.iter().position(|placement| *placement == self.placement).unwrap();
        let cases = cases.iter().enumerate().filter(|(_, case)| case.is_for(self.placement));
        for (at, case) in cases {
            // Over HTTP/2 the lanes share what is for all of them, three to a case.
            let shares = case.at.is_empty() && (at + own) % PLACEMENTS.len() > 2;
            for protocol in [Protocol::One, Protocol::Two] {
                let fits = match case.what {
                    What::Ask(_) => protocol == Protocol::One || !shares,
                    What::Raw(_) => protocol == Protocol::One,
                    What::Frames(_) => protocol == Protocol::Two && !shares,
                };
                if fits {
                    runs += 1;
                    if let Err(fault) = self.one(ways, case, protocol).await {
                        let (id, name, threat) = (self.id, &case.name, case.threat);
                        faults.push(format!("{threat} {name} ({id}, {protocol:?}): {fault}"));
                        // What is late belongs to this case, not to the next one.
                        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                        self.recorder.take();
                    }
                }
            }
        }
        (faults, runs)
    }

    async fn one(&self, ways: &Ways, case: &Case, protocol: Protocol) -> Result<(), String> {
        let clock = Clock::system();
        let began = clock.monotonic_ns();
        self.recorder.take();
        self.recorder.play(Script::Usual);
        let over_h2 = case.over_h2.as_ref().filter(|_| protocol == Protocol::Two);
        let then = over_h2.unwrap_or(&case.then);
        let turns = match then {
            Then::Turns(turns) => turns.clone(),
            one @ (Then::Passes
            | Then::No(..)
            | Then::Status(_)
            | Then::Half
            | Then::Own(_)
            | Then::Bare(_)
            | Then::Cut
            | Then::Any(_)) => vec![one.clone()],
        };
        let (mut client, outcomes) = self.sent(ways, case, (protocol, turns.len())).await;
        let mut passed = 0;
        for (then, outcome) in turns.iter().zip(&outcomes) {
            passed += usize::from(judge(then, outcome)?);
        }
        let taken = self.recorder.take();
        let mut marks = taken.marks.clone();
        self.check(case, &taken, passed)?;
        let elapsed_ms = (clock.monotonic_ns() - began) / 1_000_000;
        if u128::from(elapsed_ms) > PATIENCE.as_millis() {
            return Err(format!("it took {elapsed_ms} ms"));
        }
        if !case.alone {
            self.good(&mut client, false).await?;
            marks.extend(self.recorder.take().marks);
        }
        self.search(&client, &marks)?;
        let mut fresh = match protocol {
            Protocol::One => Client::One(Wire::open(&ways.http1).await),
            Protocol::Two => Client::Two(Box::new(Frames::open(&ways.http2).await), 1),
        };
        self.good(&mut fresh, true).await?;
        self.search(&fresh, &self.recorder.take().marks)
    }

    async fn sent(
        &self,
        ways: &Ways,
        case: &Case,
        (protocol, turns): (Protocol, usize),
    ) -> (Client, Vec<Outcome>) {
        let words = self.words();
        if protocol == Protocol::Two {
            let mut frames = Frames::open(&ways.http2).await;
            match &case.what {
                What::Ask(ask) => {
                    let ask = ask.for_lane(self);
                    frames.ask(1, &ask.as_http2(), ask.body.as_deref()).await;
                }
                What::Frames(bytes) => {
                    frames.wire.send(&bytes(&words)).await;
                }
                What::Raw(_) => unreachable!("bytes of HTTP/1.1"),
            }
            let outcome = outcome(frames.end_of(1).await);
            return (Client::Two(Box::new(frames), 3), vec![outcome]);
        }
        let (bytes, is_head) = match &case.what {
            What::Ask(ask) => (ask.for_lane(self).as_http1(), ask.method == "HEAD"),
            What::Raw(bytes) => (words.fill(bytes), false),
            What::Frames(_) => unreachable!("frames of HTTP/2"),
        };
        let mut wire = Wire::open(&ways.http1).await;
        wire.send(&bytes).await;
        let mut outcomes = Vec::new();
        for _ in 0..turns {
            outcomes.push(match wire.answer(is_head).await {
                Some(heard) if heard.whole => Outcome::Answered(heard),
                Some(heard) => Outcome::Cut(Some(heard)),
                None if wire.closed => Outcome::Cut(None),
                None => Outcome::Hung,
            });
        }
        (Client::One(wire), outcomes)
    }

    /// What reached the provider: so many requests, each in order, and nothing of a client's key.
    pub(crate) fn check(&self, case: &Case, taken: &Taken, passed: usize) -> Result<(), String> {
        if let Some(odd) = taken.odd.first() {
            return Err(format!("the provider got what can be read in two ways: {odd}"));
        }
        // A call that was whole may have gone on before its connection was ended.
        let ended = case.streams && passed == 0 && taken.seen.len() == 1;
        if taken.seen.len() != passed && !ended && !case.crowd {
            return Err(format!("{passed} passed and the provider saw {:?}", taken.seen));
        }
        if passed == 0 && !case.streams && !taken.bytes.is_empty() {
            return Err(String::from("refused, and yet the provider got something"));
        }
        for key in &self.client_keys {
            if let Some(form) = key.form_in(&taken.bytes) {
                return Err(format!("the provider got a client key ({form})"));
            }
        }
        for seen in &taken.seen {
            if let Some(fault) = self.fault_in(seen) {
                return Err(fault);
            }
            let body = String::from_utf8_lossy(&seen.body);
            let all = format!("{}{body}", seen.head);
            if let Some(text) = case.sees.iter().find(|text| !all.contains(*text)) {
                return Err(format!("the provider did not see {text:?}: {all}"));
            }
            let lower = all.to_ascii_lowercase();
            let missed = case.misses.iter().find(|text| lower.contains(&text.to_ascii_lowercase()));
            if let Some(text) = missed {
                return Err(format!("the provider saw {text:?}"));
            }
        }
        Ok(())
    }

    /// A request that anybody may send: answered with its own mark, and the provider saw it once.
    /// On a used connection it may also find that closed.
    pub(crate) async fn good(&self, client: &mut Client, must: bool) -> Result<(), String> {
        let target = fetch("{p}/usual-answer?a=b").for_lane(self);
        let before = self.recorder.requests();
        let outcome = match client {
            Client::One(wire) => {
                if !wire.send(&target.as_http1()).await && !must {
                    wire.until_closed(PATIENCE).await;
                    return Ok(());
                }
                match wire.answer(false).await {
                    Some(heard) => Outcome::Answered(heard),
                    None if wire.closed => Outcome::Cut(None),
                    None => Outcome::Hung,
                }
            }
            Client::Two(frames, stream) => {
                frames.ask(*stream, &target.as_http2(), target.body.as_deref()).await;
                outcome(frames.end_of(*stream).await)
            }
        };
        match outcome {
            Outcome::Answered(heard) => {
                let (status, body) = (heard.status, String::from_utf8_lossy(&heard.body));
                let seen = self.recorder.requests() - before;
                if (status, seen) != (200, 1) || !body.starts_with("mark-") {
                    return Err(format!("the next good request: {status} {body} ({seen} seen)"));
                }
                Ok(())
            }
            Outcome::Cut(_) if !must => Ok(()),
            Outcome::Cut(_) => Err(String::from("the next good request was cut")),
            Outcome::Hung => Err(String::from("the next good request hangs")),
        }
    }

    /// The real key in nothing that the client got, and no answer that was another one's.
    pub(crate) fn search(&self, client: &Client, marks: &[String]) -> Result<(), String> {
        let (raw, decoded) = match client {
            Client::One(wire) => (&wire.got, without_chunks(&wire.got)),
            Client::Two(frames, _) => (&frames.wire.got, frames.decoded.clone()),
        };
        for hay in [raw, &decoded] {
            if let Some(form) = self.secret.form_in(hay) {
                return Err(format!("the client got the real key ({form})"));
            }
            for at in memchr::memmem::find_iter(hay, b"mark-") {
                let end = memchr::memchr(b'.', &hay[at..]).map_or(hay.len(), |end| at + end + 1);
                let mark = String::from_utf8_lossy(&hay[at..end]);
                if end - at < 40 && !marks.iter().any(|own| *own == mark) {
                    return Err(format!("the client got another one's answer: {mark}"));
                }
            }
        }
        Ok(())
    }
}

/// Chunks' sizes could stand within a key.
fn without_chunks(got: &[u8]) -> Vec<u8> {
    let lines = got.split(|byte| *byte == b'\n');
    let is_size = |line: &[u8]| {
        let line = line.trim_ascii();
        (1..=8).contains(&line.len()) && line.iter().all(u8::is_ascii_hexdigit)
    };
    let mut out: Vec<u8> = Vec::new();
    for line in lines {
        if is_size(line) {
            // The line's end before it belongs to the chunk's framing.
            out.truncate(out.trim_ascii_end().len());
        } else {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
    }
    out
}

pub(crate) fn outcome(ended: Ended) -> Outcome {
    match ended {
        Ended::Answered(heard) => Outcome::Answered(heard),
        Ended::Reset(heard) => Outcome::Cut(heard),
        Ended::Gone => Outcome::Cut(None),
        Ended::Hung => Outcome::Hung,
    }
}

/// Did it pass? An error where it is not what was to happen.
pub(crate) fn judge(then: &Then, outcome: &Outcome) -> Result<bool, String> {
    let told = match outcome {
        Outcome::Answered(heard) => {
            let body = String::from_utf8_lossy(&heard.body);
            format!("{} {}", heard.status, body.chars().take(300).collect::<String>())
        }
        Outcome::Cut(heard) => format!("cut {:?}", heard.as_ref().map(|heard| heard.status)),
        Outcome::Hung => String::from("hung"),
    };
    let wrong = |what: &str| Err(format!("{told}, and not {what}"));
    let code = |heard: &Heard| heard.header("x-sealgate-error").map(str::to_owned);
    match (then, outcome) {
        (Then::Any(some), _) => {
            let fits = some.iter().find_map(|then| judge(then, outcome).ok());
            fits.map_or_else(|| wrong(&format!("{some:?}")), Ok)
        }
        (Then::Passes, Outcome::Answered(heard))
            if heard.status == 200 && code(heard).is_none() =>
        {
            Ok(true)
        }
        (Then::No(status, wanted), Outcome::Answered(heard))
            if heard.status == *status && code(heard).as_deref() == Some(wanted) =>
        {
            let body: Result<serde_json::Value, _> = serde_json::from_slice(&heard.body);
            let whole = body.is_ok_and(|body| {
                body["code"] == *wanted && body["detail"].is_string() && body["error"].is_string()
            });
            if whole { Ok(false) } else { wrong("one of our refusals, whole") }
        }
        (Then::Bare(status), Outcome::Answered(heard))
            if heard.status == *status && code(heard).is_none() && heard.body.is_empty() =>
        {
            Ok(false)
        }
        (Then::Status(status), Outcome::Answered(heard))
            if heard.status == *status && code(heard).is_none() =>
        {
            Ok(true)
        }
        (Then::Half, Outcome::Cut(Some(_))) => Ok(true),
        (Then::Own(status), Outcome::Answered(heard)) if heard.status == *status => Ok(false),
        (Then::Cut, Outcome::Cut(None)) => Ok(false),
        (_, _) => wrong(&format!("{then:?}")),
    }
}
