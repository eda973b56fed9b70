//! Signs of life during long work.
//! On standard error and on a terminal alone.
//! Must never mix with what a command prints.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};

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

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
