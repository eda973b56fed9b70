//! Signs of life during long work.
//! On standard error and on a terminal alone.
//! Must never mix with what a command prints.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

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
    /// Something is printed while it turns.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }

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

/// Bytes that come, whose end nobody knows; and, once the server has said it, how many of all rows
/// they hold.
pub(super) struct Transfer {
    bar: ProgressBar,
    text: &'static str,
    bytes: Cell<u64>,
}

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
        Self { bar, text, bytes: Cell::new(0) }
    }

    pub(super) fn add(&self, bytes: usize) {
        let bytes = self.bytes.get() + u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes.set(bytes);
        if self.bar.length().is_none() {
            self.bar.set_position(bytes);
        } else {
            self.bar.set_message(format!("{}  {}", self.text, HumanBytes(bytes)));
        }
    }

    /// So many rows of all.
    pub(super) fn show(&self, rows: u64, total: u64) {
        if total == 0 {
            return;
        }
        if self.bar.length().is_none() {
            let style = "{spinner} {msg}  {bar:30}  {pos}/{len} rows  {elapsed}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                self.bar.set_style(style);
            }
            self.bar.set_length(total);
        }
        self.bar.set_position(rows);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_becomes_a_bar_once_its_end_is_known() {
        let transfer = Transfer::of("backing up");
        transfer.add(700);
        transfer.show(0, 0);
        assert_eq!((transfer.bar.length(), transfer.bar.position()), (None, 700));
        transfer.show(30, 90);
        transfer.add(500);
        assert_eq!((transfer.bar.length(), transfer.bar.position()), (Some(90), 30));
        transfer.show(90, 90);
        assert_eq!(transfer.bar.position(), 90);
    }
}
