//! A limit of which nobody says anything but no: found by what passed between two noes. After a
//! pause the provider's bucket has filled up by an unknown measure: a first flood tells that, and
//! calls that are spaced out and come ever faster tell the rate. Pure.
//! Must never send faster than what was proven, once it has been proven.

use super::Wait;

/// How it goes on after each no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Whatever comes passes, until the next no: how much is there after a pause?
    #[default]
    Flood,
    /// Ever faster in great steps.
    Coarse,
    /// The same in small ones, until nothing new is learnt.
    Fine,
    /// The rate is known.
    Steady,
}

#[derive(Debug)]
pub(super) struct Learnt {
    phase: Phase,
    /// Calls a second that leave at most; without end while it floods.
    rate: f64,
    /// The greatest rate that is proven.
    proven: f64,
    /// What was proven when it was looked for last; noes since have made it less.
    best: f64,
    /// What is kept while the house is down.
    kept: Option<(u32, u32)>,
    /// What passed at once after a pause, and how long that was.
    flood: (f64, f64),
    /// Our own bucket, which holds less than the provider's.
    depth: f64,
    level: f64,
    level_ns: u64,
    /// When the door opened last, after a pause of so many seconds.
    began_ns: u64,
    paused: f64,
    passed: u64,
    stepped_ns: u64,
    /// Somebody wanted more than the rate allowed.
    is_short: bool,
    /// Noes in a row with nothing between them.
    in_vain: u32,
    /// How long a steady rate is kept before a faster one is tried.
    rest_ns: u64,
}

const COARSE: f64 = 1.25;
const FINE: f64 = 1.02;
/// Two rates so near each other are one.
const SAME: f64 = 1.025;
/// Below what is proven: counts are whole numbers.
const STEADY: f64 = 0.98;
/// What of a flood is sent at once while the rate is looked for: the bucket must not stay full.
const DRAIN: f64 = 0.9;
/// A step lasts so long, and so many calls.
const STEP_NS: u64 = 250_000_000;
const STEP_CALLS: f64 = 5.0;
const SECOND_NS: u64 = 1_000_000_000;
const FIRST_REST_NS: u64 = 900 * SECOND_NS;
const LONGEST_REST_NS: u64 = 86_400 * SECOND_NS;
/// As rarely as is asked of whoever says no and nothing else. Few calls in a long time prove no
/// slower rate: there may have been no more of them.
const LEAST: f64 = 1.0 / 60.0;
/// Noes make it no less than this part of what was proven.
const FLOOR: f64 = 1.0 / 16.0;
/// Below this part of it, the way back is in great steps.
const FAR: f64 = 0.9;

impl Default for Learnt {
    fn default() -> Self {
        Self {
            phase: Phase::default(),
            rate: f64::INFINITY,
            proven: LEAST,
            best: LEAST,
            kept: None,
            flood: (0.0, 0.0),
            depth: 1.0,
            level: 1.0,
            level_ns: 0,
            began_ns: 0,
            paused: 0.0,
            passed: 0,
            stepped_ns: 0,
            is_short: false,
            in_vain: 0,
            rest_ns: FIRST_REST_NS,
        }
    }
}

impl Learnt {
    /// A no to a call that left then. How often nothing has passed since the one before.
    pub(super) fn refused(&mut self, left_ns: u64) -> u32 {
        if self.began_ns == 0 {
            // The first of all: nobody counted what passed before it.
            return 0;
        }
        if self.passed == 0 {
            // No rate is slow enough for this: it is closed, or another limit says no.
            self.in_vain = self.in_vain.saturating_add(1).min(16);
            return self.in_vain;
        }
        self.in_vain = 0;
        let passed = as_f64(self.passed);
        let since = seconds(left_ns.saturating_sub(self.began_ns));
        match self.phase {
            Phase::Flood => {
                self.flood = (passed, self.paused);
                self.proven = (passed / (self.paused + since).max(0.001)).max(LEAST);
                self.set_off(Phase::Coarse);
            }
            Phase::Coarse => {
                self.proven = self.estimate(passed, since).max(self.proven);
                self.set_off(Phase::Fine);
            }
            Phase::Fine => {
                let found = self.estimate(passed, since);
                let is_same = found <= self.proven * SAME;
                self.proven = found.max(self.proven);
                self.set_off(if is_same { Phase::Steady } else { Phase::Fine });
            }
            Phase::Steady => self.slow_down(),
        }
        0
    }

    /// What passed came from what had gathered and from what flowed in. Both are measured from
    /// below, so that the greater one is nearer and neither is too great.
    fn estimate(&self, passed: f64, since: f64) -> f64 {
        let (flood, after) = self.flood;
        let all = passed / (self.paused + since).max(0.001);
        let is_comparable = self.paused <= after * 1.5 && since > 0.5;
        let flowed = if is_comparable { (passed - flood) / since } else { 0.0 };
        all.max(flowed).max(LEAST)
    }

    fn set_off(&mut self, phase: Phase) {
        self.phase = phase;
        match phase {
            Phase::Flood => self.rate = f64::INFINITY,
            Phase::Coarse | Phase::Fine => {
                self.rate = self.proven;
                self.depth = (self.flood.0 * DRAIN).max(1.0);
            }
            Phase::Steady => {
                self.rate = self.proven * STEADY;
                self.depth = (self.flood.0 / 2.0).max(1.0);
                self.best = self.proven;
                self.keep();
            }
        }
    }

    fn keep(&mut self) {
        let small = |number: f64| u32::try_from(whole(number.floor())).unwrap_or(u32::MAX);
        self.kept = Some((small(self.rate * 1_000.0), small(self.depth)));
    }

    /// A no where none should be: the plan is another one, or others use the key.
    fn slow_down(&mut self) {
        if self.depth > 1.0 {
            self.depth = (self.depth / 2.0).max(1.0);
        } else {
            self.proven = (self.proven * 0.9).max(self.best * FLOOR).max(LEAST);
            self.rate = self.proven * STEADY;
        }
        self.rest_ns = FIRST_REST_NS;
        self.keep();
    }

    /// Another version of the key: as fast as ever, and a faster rate is tried before long.
    pub(super) fn renew(&mut self) {
        (self.in_vain, self.rest_ns) = (0, FIRST_REST_NS);
        if self.phase == Phase::Steady && self.proven < self.best {
            self.proven = self.best;
            self.rate = self.proven * STEADY;
        }
    }

    /// The door opens then, after such a pause.
    pub(super) fn begin(&mut self, at_ns: u64, paused_ns: u64) {
        self.began_ns = at_ns.max(1);
        self.paused = seconds(paused_ns);
        (self.passed, self.is_short) = (0, false);
        (self.level_ns, self.stepped_ns) = (at_ns, at_ns);
        self.level = match self.phase {
            Phase::Flood => 0.0,
            Phase::Coarse | Phase::Fine => self.depth,
            Phase::Steady => (self.rate * self.paused).clamp(1.0, self.depth),
        };
    }

    /// None where a call may leave.
    pub(super) fn wait(&mut self, now_ns: u64) -> Option<Wait> {
        if self.phase == Phase::Flood {
            return None;
        }
        self.step(now_ns);
        self.fill(now_ns);
        if self.level >= 1.0 {
            return None;
        }
        self.is_short = true;
        let lacks_ns = whole((1.0 - self.level) / self.rate * 1e9);
        Some(Wait { until_ns: now_ns.saturating_add(lacks_ns), is_certain: false })
    }

    pub(super) fn take(&mut self, now_ns: u64) {
        if self.phase != Phase::Flood {
            self.fill(now_ns);
            self.level -= 1.0;
        }
    }

    pub(super) fn give_back(&mut self) {
        self.level = (self.level + 1.0).min(self.depth);
    }

    /// A call that left then was served.
    pub(super) fn passed(&mut self, left_ns: u64) {
        if self.began_ns > 0 && left_ns >= self.began_ns {
            self.passed += 1;
            self.in_vain = 0;
        } else if self.phase == Phase::Coarse && self.passed == 0 && self.level_ns == self.began_ns
        {
            // It was part of the flood, and the no that ended it came before its answer: a flood
            // that is taken for too small makes the rate seem too great.
            self.flood.0 += 1.0;
            self.depth = (self.flood.0 * DRAIN).max(1.0);
            self.level = self.depth;
        }
    }

    pub(super) fn per_minute(&self) -> Option<u64> {
        let is_known = self.phase != Phase::Flood;
        is_known.then(|| whole((self.rate * 60.0).floor()).max(1))
    }

    /// Calls in a thousand seconds, and at once; None where no rate was ever proven. While a
    /// faster one is looked for, the one before it holds.
    pub(super) fn lesson(&self) -> Option<(u32, u32)> {
        self.kept
    }

    pub(super) fn recalled(kept: (u32, u32), now_ns: u64) -> Self {
        let (rate, depth) = kept;
        let (rate, depth) = ((f64::from(rate) / 1_000.0).max(LEAST), f64::from(depth).max(1.0));
        let mut known = Self {
            phase: Phase::Steady,
            rate,
            proven: rate / STEADY,
            best: rate / STEADY,
            kept: Some(kept),
            flood: (depth * 2.0, 1.0),
            depth,
            ..Self::default()
        };
        known.begin(now_ns, 0);
        known
    }

    fn fill(&mut self, now_ns: u64) {
        let since = seconds(now_ns.saturating_sub(self.level_ns));
        self.level = (self.level + since * self.rate).min(self.depth);
        self.level_ns = self.level_ns.max(now_ns);
    }

    /// Faster, where there are more calls than the rate allows.
    fn step(&mut self, now_ns: u64) {
        let lasted_ns = now_ns.saturating_sub(self.stepped_ns);
        let by = match self.phase {
            Phase::Flood => return,
            Phase::Coarse => COARSE,
            Phase::Fine => FINE,
            Phase::Steady => {
                if self.is_short && now_ns.saturating_sub(self.began_ns) >= self.rest_ns {
                    self.rest_ns = self.rest_ns.saturating_mul(2).min(LONGEST_REST_NS);
                    let is_far = self.proven < self.best * FAR;
                    self.phase = if is_far { Phase::Coarse } else { Phase::Fine };
                    self.rate = self.proven;
                    self.stepped_ns = now_ns;
                }
                return;
            }
        };
        let lasts_ns = STEP_NS.max(whole(STEP_CALLS / self.rate * 1e9));
        if lasted_ns < lasts_ns {
            return;
        }
        self.fill(now_ns);
        self.stepped_ns = now_ns;
        if std::mem::take(&mut self.is_short) {
            self.rate *= by;
            // From here on calls are spaced out: a burst would be taken for the rate.
            self.depth = self.depth.min((self.rate * seconds(STEP_NS)).max(1.0));
            self.level = self.level.min(self.depth);
        }
    }
}

fn seconds(ns: u64) -> f64 {
    as_f64(ns) / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "counts of calls, and times that nobody waits for")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it saturates, and what is negative is over"
)]
fn whole(number: f64) -> u64 {
    number.ceil() as u64
}
