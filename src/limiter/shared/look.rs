//! What `doctor` sees of Redis: whether it takes what is written, and soon enough; what it does
//! when its memory is full; which nodes count there, and which keys somebody else had written.
//! Must never change anything there but a key of its own, which expires at once.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use uuid::Uuid;

use super::fault::Why;
use super::learning::printable;
use super::link::{connect, in_time};
use super::{Settings, pace, prefix};

const WAIT: Duration = Duration::from_secs(3);
const MOST_NAMES: usize = 10;
const TRIES: usize = 3;

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// `maxmemory-policy`.
    pub(crate) policy: String,
    /// By name, in order; the first few.
    pub(crate) nodes: Vec<String>,
    /// Keys that were thrown away within a day.
    pub(crate) healed: Vec<String>,
}

/// As slow as it would be given up for, again and again, or refused: as the nodes find it.
async fn write(
    connection: &mut MultiplexedConnection,
    settings: &Settings,
    of: Option<Uuid>,
) -> Result<(), Why> {
    let key = format!("{}probe", prefix(of.unwrap_or_default()));
    let mut set = redis::cmd("SET");
    set.arg(key).arg(1).arg("PX").arg(1000);
    let bar = pace::slow(settings.timeout);
    for _ in 0..TRIES {
        let tried = tokio::time::timeout(bar, set.query_async::<String>(connection)).await;
        match tried {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => return Err(Why::of(&error)),
            Err(_late) => {}
        }
    }
    Err(Why::Slow)
}

/// None: an installation that nobody knows, of which nothing is looked for.
pub(crate) async fn look_at(settings: &Settings, of: Option<Uuid>) -> Result<Look, Why> {
    let mut connection = connect(settings, AsyncConnectionConfig::new(), WAIT).await?;
    write(&mut connection, settings, of).await?;
    let mut info = redis::cmd("INFO");
    info.arg("memory");
    let memory: String = in_time(WAIT, info.query_async(&mut connection)).await.unwrap_or_default();
    let policy = memory.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
    let policy = policy.unwrap_or("unknown").trim().to_owned();
    let mut look = Look { policy, nodes: Vec::new(), healed: Vec::new() };
    let Some(prefix) = of.map(prefix) else { return Ok(look) };
    let mut names = async |key: &str| {
        let mut all = redis::cmd("HGETALL");
        all.arg(format!("{prefix}{key}"));
        let asked = in_time(WAIT, all.query_async(&mut connection)).await;
        // One that is no hash, or may not be read, has none.
        let found: BTreeMap<String, String> = asked.unwrap_or_default();
        found.into_keys().map(|name| printable(&name)).take(MOST_NAMES).collect::<Vec<_>>()
    };
    look.nodes = names("nodes").await;
    let healed = names("healed").await;
    look.healed = healed.into_iter().map(|name| format!("{prefix}{name}")).collect();
    Ok(look)
}
