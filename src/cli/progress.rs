//! Signs of life during long work.
//! On standard error and on a terminal alone.
//! Must never mix with what a command prints.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Turns while the work goes on; vanishes when dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn of(text: &'static str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(text);
        if std::io::stderr().is_terminal() {
            bar.enable_steady_tick(Duration::from_millis(120));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self(bar)
    }
}

impl Progress {
    pub(super) fn say(&self, text: &'static str) {
        self.0.set_message(text);
    }
}

/// How much of something countable is done; vanishes when dropped.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new(0);
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self(bar)
    }

    pub(super) fn show(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Counts bytes whose end nobody knows.
pub(super) struct Transfer(ProgressBar);

impl Transfer {
    pub(super) fn of(text: &'static str) -> Self {
        let bar = ProgressBar::no_length().with_message(text);
        let style =
            ProgressStyle::with_template("{spinner} {msg}  {bytes}  {bytes_per_sec}  {elapsed}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        if std::io::stderr().is_terminal() {
            bar.enable_steady_tick(Duration::from_millis(120));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self(bar)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.inc(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
