//! What the real binary leaves in its memory and on the disk when calls have ended: nothing of the
//! planted secret, in no encoding.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::house::{Canary, Ground, Outpost, Server, Speaks, files_below};

const CALLS: usize = 200;
/// How much is added to the heads of calls.
const HEADS: [usize; 5] = [0, 3_000, 6_000, 13_000, 30_000];

#[derive(Clone, Copy)]
enum Answers {
    SomeHoldTheKey,
    NoneHoldsTheKey,
}

/// A stretch of a process's memory.
#[derive(Debug, PartialEq)]
struct Region {
    start: u64,
    end: u64,
    name: String,
    flags: String,
}

#[test]
fn a_secret_that_was_used_is_nowhere_when_its_calls_have_ended() {
    is_nowhere_after(Answers::SomeHoldTheKey);
}

/// No key that came back has told the threads that carry traffic to spare nothing: what their
/// connections held is wiped when these free it, and when they close.
#[test]
fn a_secret_that_never_came_back_is_nowhere_when_its_calls_have_ended() {
    is_nowhere_after(Answers::NoneHoldsTheKey);
}

fn is_nowhere_after(answers: Answers) {
    let site = Site::open();
    site.near.block_on(calls(&site.server, &site.key, answers));
    let seen = site.provider.seen();
    let with_key = seen.iter().filter(|seen| site.canary.form_in(&seen.bytes()).is_some());
    assert!(with_key.count() >= CALLS);
    let Site { ground, server, canary, provider, near, far, .. } = site;
    // Both sides hang up: what is left now is what the process has kept.
    drop(near);
    drop(provider);
    drop(far);
    settle();
    let passed_over = search(&ground, &server, &canary, Region::is_kept_out_of_dumps);
    assert!(passed_over > 0, "no memory is kept out of dumps");
    search_core(&ground, &server, &canary);
    for (path, bytes) in files_below(ground.path()) {
        canary.is_nowhere_in(&path.display().to_string(), &bytes);
    }
    for line in server.stop() {
        canary.is_nowhere_in("the log", line.as_bytes());
    }
    for (path, bytes) in files_below(ground.path()) {
        canary.is_nowhere_in(&path.display().to_string(), &bytes);
    }
}

#[test]
fn sealed_it_holds_nothing_anywhere_and_unsealed_it_serves_again() {
    let site = Site::open();
    site.near.block_on(calls(&site.server, &site.key, Answers::SomeHoldTheKey));
    // Nobody hangs up: a seal does that.
    let sealed = site.ground.run(&["seal"]);
    assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
    settle();
    search(&site.ground, &site.server, &site.canary, |_| false);
    let unsealed = site.ground.run(&["unseal"]);
    assert!(unsealed.status.success(), "{}", String::from_utf8_lossy(&unsealed.stderr));
    site.near.block_on(calls(&site.server, &site.key, Answers::SomeHoldTheKey));
}

/// The real binary with the canary in it, a provider and a caller.
struct Site {
    ground: Ground,
    server: Server,
    canary: Canary,
    key: String,
    provider: Outpost,
    near: Runtime,
    far: Runtime,
}

impl Site {
    fn open() -> Self {
        let near = Runtime::new().unwrap();
        let far = Runtime::new().unwrap();
        let provider = far.block_on(Outpost::open(Speaks::Both));
        let ground = ground(&provider);
        let canary = Canary::hatch();
        ground.json(&["init", "--json"]);
        let made = ground.json(&["client", "create", "caller", "--tier", "unlimited", "--json"]);
        let key = made["key"].as_str().unwrap().to_owned();
        let server = ground.serve_telling_all();
        // Through the running server, so that its own way from the socket to the vault is searched
        // too.
        for provider in ["acme", "quill"] {
            let add = ["secret", "add", provider, "--no-validate", "--json"];
            let added = ground.run_with_input(&add, &format!("{}\n", canary.plain()));
            assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        }
        Self { ground, server, canary, key, provider, near, far }
    }
}

/// Looks for the canary and for the master key in everything that is mapped, but for what is passed
/// over; yields how many regions that were. What cannot be read is a failure and no empty place.
fn search(
    ground: &Ground,
    server: &Server,
    canary: &Canary,
    pass_over: fn(&Region) -> bool,
) -> usize {
    let memory = File::open(format!("/proc/{}/mem", server.process()));
    assert!(
        nix::unistd::geteuid().is_root(),
        "only root may look into the server's memory ({:?}), so nothing was shown: run this test as \
         root, as CI does",
        memory.err()
    );
    let memory = memory.unwrap();
    let master = std::fs::read(ground.path().join("keys/master.key")).unwrap();
    let (passed_over, regions): (Vec<_>, Vec<_>) =
        regions(server.process()).into_iter().partition(pass_over);
    let (mut searched, mut mapped) = (0, 0);
    for region in &regions {
        let bytes = match read(&memory, region) {
            Ok(bytes) => bytes,
            Err(_) if region.is_of_the_kernel() || !region.stands(server.process()) => continue,
            Err(fault) => panic!("{region:?} cannot be searched: {fault}"),
        };
        mapped += region.end - region.start;
        searched += bytes.len() as u64;
        let place = format!("memory at {:x} to {:x}", region.start, region.end);
        canary.is_nowhere_in(&place, &bytes);
        assert!(memchr::memmem::find(&bytes, &master).is_none(), "the master key is in {place}");
    }
    assert_eq!(searched, mapped, "some memory was not read");
    assert!(searched > 16 << 20, "only {searched} bytes were mapped");
    passed_over.len()
}

/// A core file as root takes it of a process that runs, and none where the kernel would write one.
fn search_core(ground: &Ground, server: &Server, canary: &Canary) {
    let (core, process) = (ground.path().join("core-file"), server.process().to_string());
    let taken = Command::new("gcore").arg("-o").arg(&core).arg(&process).output();
    let taken = taken.expect("gcore is missing: `.ci/install test` installs it, with gdb");
    let file = core.with_extension(&process);
    let bytes = std::fs::read(&file).unwrap_or_else(|fault| panic!("{fault}: {taken:?}"));
    std::fs::remove_file(file).unwrap();
    assert!(bytes.starts_with(b"\x7fELF") && bytes.len() > 16 << 20, "{} bytes", bytes.len());
    // It is of this process, and whole: what nobody hides stands in it.
    let program = env!("CARGO_BIN_EXE_sealgate");
    assert!(memchr::memmem::find(&bytes, program.as_bytes()).is_some(), "{program} is not in it");
    canary.is_nowhere_in("a core file", &bytes);
    let master = std::fs::read(ground.path().join("keys/master.key")).unwrap();
    assert!(memchr::memmem::find(&bytes, &master).is_none(), "the master key is in a core file");
}

/// Whoever may raise the limit has the kernel write no core all the same.
#[test]
fn aborted_with_no_limit_on_cores_it_leaves_none() {
    use std::os::unix::process::ExitStatusExt as _;
    let mut site = Site::open();
    site.near.block_on(calls(&site.server, &site.key, Answers::SomeHoldTheKey));
    let process = site.server.process().to_string();
    // Where not even root may raise it any more, it is the limit that is shown to hold.
    let raise = ["--pid", &process, "--core=unlimited"];
    let raised = Command::new("prlimit").args(raise).output().expect("prlimit, of util-linux");
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let limit = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(raised.status.success(), limit.contains("unlimited"), "{limit}: {raised:?}");
    site.server.signal("ABRT");
    let status = site.server.wait();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false), "{status}");
    for (path, bytes) in files_below(site.ground.path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.starts_with("core"), "{name}");
        site.canary.is_nowhere_in(&path.display().to_string(), &bytes);
    }
}

/// Two providers, one with the key in a header, one in the query and a header.
fn ground(provider: &Outpost) -> Ground {
    let ca = std::path::Path::new("outpost.pem");
    let bearer = "[{ at = \"header\", name = \"Authorization\", value = \"Bearer {api_key}\" }]";
    let query = "[{ at = \"query\", name = \"apikey\" }, \
                 { at = \"header\", name = \"X-Quill-Key\", value = \"{api_key}\" }]";
    let settings = [provider.settings("acme", ca, bearer), provider.settings("quill", ca, query)];
    let ground = Ground::new(&settings.concat());
    std::fs::write(ground.path().join(ca), &provider.ca_pem).unwrap();
    ground
}

/// Calls with and without bodies, so over HTTP/1.1 and HTTP/2, answers that send the key back among
/// them where that is wanted, eight at a time.
async fn calls(server: &Server, key: &str, answers: Answers) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for round in 0..CALLS / 8 {
        let mut running = Vec::new();
        for caller in 0..8 {
            let provider = if (round + caller) % 2 == 0 { "acme" } else { "quill" };
            let path = match (answers, caller < 4) {
                // Any other repeats the query, where the key may stand.
                (Answers::NoneHoldsTheKey, _) => "status/200",
                (Answers::SomeHoldTheKey, true) => "x",
                (Answers::SomeHoldTheKey, false) => "echo",
            };
            let url = format!("{}/{provider}/{path}?round={round}", server.proxy);
            let call = if caller % 3 == 0 { http.post(url).body("{}") } else { http.get(url) };
            // Heads, and answers that repeat them, beyond what is wiped on every thread.
            let filling = "x".repeat(HEADS[(round + caller) % HEADS.len()]);
            let call = call.header("x-filling", filling).header("x-api-key", key);
            running.push(tokio::spawn(call.send()));
        }
        for call in running {
            let answer = call.await.unwrap().unwrap();
            assert_eq!(answer.status(), 200);
            answer.bytes().await.unwrap();
        }
    }
}

/// Until the server has seen that both sides hung up.
fn settle() {
    #[expect(clippy::disallowed_methods, reason = "another process has no future to await")]
    std::thread::sleep(Duration::from_secs(1));
}

impl Region {
    /// `dd`: the kernel leaves it out of core files. The files of the journal and of libraries are
    /// no such thing.
    fn is_kept_out_of_dumps(&self) -> bool {
        self.flags.split(' ').any(|flag| flag == "dd")
    }

    /// What the kernel shows to the process itself and to nobody else, root included: its clocks,
    /// and memory that was asked for as secret.
    fn is_of_the_kernel(&self) -> bool {
        ["[vvar]", "[vvar_vclock]", "[vsyscall]"].contains(&&*self.name)
            || self.name.starts_with("/secretmem")
    }

    /// Is it still mapped as it was listed?
    fn stands(&self, process: u32) -> bool {
        regions(process).contains(self)
    }
}

/// Everything that can be read, as the kernel lists it.
fn regions(process: u32) -> Vec<Region> {
    let listed = std::fs::read_to_string(format!("/proc/{process}/smaps")).unwrap();
    let mut regions: Vec<Region> = Vec::new();
    for line in listed.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags: ") {
            regions.last_mut().unwrap().flags = flags.to_owned();
            continue;
        }
        let mut words = line.split_whitespace();
        let Some((start, end)) = words.next().and_then(|range| range.split_once('-')) else {
            continue;
        };
        let hex = |text| u64::from_str_radix(text, 16);
        if let (Ok(start), Ok(end)) = (hex(start), hex(end)) {
            // Behind permissions, offset, device and inode.
            let name = words.skip(4).collect::<Vec<_>>().join(" ");
            regions.push(Region { start, end, name, flags: String::new() });
        }
    }
    regions.retain(|region| region.flags.starts_with("rd"));
    regions
}

/// All of it, or why not.
fn read(memory: &File, region: &Region) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(region.end - region.start).unwrap()];
    memory.read_exact_at(&mut bytes, region.start)?;
    Ok(bytes)
}
