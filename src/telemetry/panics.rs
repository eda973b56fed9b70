//! The panic hook: where and in which thread, never the payload, because a payload is formatted
//! from whatever values were at hand, key material among them. Must never print a backtrace's
//! arguments.

use std::io::Write;
use std::panic::PanicHookInfo;

/// Replaces the standard hook, which prints the payload.
pub(crate) fn log_panics_without_payload() {
    std::panic::set_hook(Box::new(report));
}

fn report(info: &PanicHookInfo<'_>) {
    let place = match info.location() {
        Some(location) => format!("{}:{}", location.file(), location.line()),
        None => String::from("an unknown place"),
    };
    let current = std::thread::current();
    let thread = current.name().unwrap_or("unnamed");
    if tracing::dispatcher::has_been_set() {
        tracing::error!(
            place,
            thread,
            "a bug was met and its work was ended; please report the place"
        );
    } else {
        // Nothing sensible is left to do where even standard error is closed.
        let line =
            format!("sealgate: a bug was met at {place} (thread {thread}); please report it\n");
        std::io::stderr().write_all(line.as_bytes()).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    const CHILD: &str = "telemetry::panics::tests::panicking_child";

    // Run by the test below in a process of its own, because the hook belongs to the process.
    #[test]
    #[ignore = "run by the test below in a process of its own"]
    fn panicking_child() {
        super::log_panics_without_payload();
        panic!("{}", ["canary", "-", "payload"].concat());
    }

    #[test]
    fn a_panic_tells_its_place_and_keeps_its_payload() {
        let binary = std::env::current_exe().unwrap();
        let output = Command::new(binary)
            .args(["--exact", CHILD, "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("src/telemetry/panics.rs:"), "{said}");
        assert!(!said.contains("canary-payload"), "{said}");
    }
}
