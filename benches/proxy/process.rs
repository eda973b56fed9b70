//! Processes as Linux shows them: CPU time and memory of a whole tree, pinning, starting and
//! ending.
//! Must never end a process that this bench did not start.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// A process that ends with this value.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(mut command: Command, log: &std::path::Path) -> Outcome<Self> {
        let open = || fs::File::create(log).map_err(|cause| format!("{}: {cause}", log.display()));
        let out = open()?;
        let twin = out.try_clone().map_err(|cause| cause.to_string())?;
        command.stdin(Stdio::null()).stdout(out).stderr(twin);
        let child = command.spawn().map_err(|cause| format!("{command:?}: {cause}"))?;
        Ok(Self(child))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits until somebody listens there.
    pub(crate) fn wait_for(&mut self, port: u16, log: &std::path::Path) -> Outcome<()> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(());
            }
            if self.0.try_wait().is_ok_and(|status| status.is_some()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let said = fs::read_to_string(log).unwrap_or_default();
        Err(format!("nothing listens on port {port}; it said:\n{said}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        // nginx's master ends its worker on SIGTERM.
        let _told = Command::new("kill").arg(self.pid().to_string()).status();
        let _ended = self.0.wait();
    }
}

/// Says how to install what is missing.
pub(crate) fn demand(programs: &[&str]) -> Outcome<()> {
    let missing: Vec<&str> = programs.iter().copied().filter(|name| find(name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ").replace("taskset", "util-linux");
    Err(format!("{} not found; install with: apt-get install {packages}", missing.join(", ")))
}

/// Debian keeps servers off the path of users.
pub(crate) fn find(program: &str) -> Option<String> {
    let folders = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];
    let paths = folders.iter().map(|folder| format!("{folder}/{program}"));
    paths.into_iter().find(|path| fs::metadata(path).is_ok())
}

/// This process with all its threads to come. A machine with one CPU has no second one: said.
pub(crate) fn pin_self(cpu: u32) -> Outcome<()> {
    let pid = std::process::id().to_string();
    let pinned = Command::new("taskset")
        .args(["-a", "-p", "-c", &cpu.to_string(), &pid])
        .stdout(Stdio::null())
        .status();
    match pinned {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(format!("cannot pin to CPU {cpu}; two CPUs are needed")),
    }
}

pub(crate) fn pinned(cpu: u32, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string(), program]);
    command
}

/// User and system time of the process and all its children, in microseconds.
pub(crate) fn cpu_us(pid: u32) -> Outcome<f64> {
    const TICK_US: f64 = 10_000.0;
    let mut total = 0.0;
    for pid in tree(pid) {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).map_err(|cause| format!("{path}: {cause}"))?;
        // The name in brackets may hold spaces; what follows it does not.
        let rest = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks = rest.split(' ').skip(11).take(2).filter_map(|word| word.parse::<f64>().ok());
        total += ticks.sum::<f64>() * TICK_US;
    }
    Ok(total)
}

pub(crate) fn rss_kib(pid: u32) -> Outcome<f64> {
    let mut total = 0.0;
    for pid in tree(pid) {
        let path = format!("/proc/{pid}/status");
        let text = fs::read_to_string(&path).map_err(|cause| format!("{path}: {cause}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let word = line.and_then(|line| line.split_whitespace().next());
        total += word.and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok(total)
}

fn tree(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    for child in children.unwrap_or_default().split_whitespace() {
        all.extend(child.parse().map(tree).unwrap_or_default());
    }
    all
}
