//! What the process does to itself before anything else: no core files and no reading of its memory
//! by others of the same user, because key material will lie in it. Must run before a secret is
//! read.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

use super::failure::Failure;

pub(super) fn keep_out_of_core_files() -> Result<(), Failure> {
    let fault = |what: &str, errno: nix::Error| {
        Failure::new(format!("cannot keep key material out of core files: {what}: {errno}"))
    };
    prctl::set_dumpable(false).map_err(|errno| fault("PR_SET_DUMPABLE", errno))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(|errno| fault("RLIMIT_CORE", errno))
}

/// Where this process is to be killed, if a test has asked for it: as by `kill -9`, with nothing
/// flushed and nothing dropped.
#[cfg(feature = "failpoints")]
pub(super) fn arm(place: Option<&str>) {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    fn die() {
        // It cannot fail, and nothing comes after it.
        let _sent = kill(Pid::this(), Signal::SIGKILL);
        loop {
            std::thread::park();
        }
    }
    if let Some(place) = place {
        crate::failpoint::arm(place, die);
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::resource::getrlimit;

    use super::*;

    // In a process of its own: what it changes cannot be changed back.
    #[test]
    #[ignore = "run by the test below in a process of its own"]
    fn protected_child() {
        keep_out_of_core_files().ok().unwrap();
        assert!(!prctl::get_dumpable().unwrap());
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
    }

    #[test]
    fn no_core_file_is_ever_written() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cli::process::tests::protected_child", "--ignored"])
            .output()
            .unwrap()
            .status;
        assert!(status.success());
    }
}
