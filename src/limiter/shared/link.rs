//! One connection to Redis and what is said over it: scripts and their answers, and the feed of
//! what other nodes count, in the order in which Redis did both.
//! Must never put the URL, which may hold a password, into an error.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue,
    IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, Script, ScriptInvocation,
    TlsCertificates, Value,
};

use super::fault::Why;
use super::pace::Pace;
use super::turns::{Patience, Turns};
use super::unheard::Asked;
use super::{Settings, Shared};

pub(super) struct Scripts {
    admit: Script,
    pub(super) tell: Script,
    pub(super) beat: Script,
    unheard: Script,
}

pub(in super::super) struct Link {
    /// No two links of a process have the same.
    pub(super) id: u64,
    pub(super) connection: MultiplexedConnection,
    pub(super) pace: Pace,
    pub(super) asked: Asked,
    turns: Arc<Turns>,
}

/// So many calls may be on their way to the task that sends them.
const ON_THEIR_WAY: usize = 1024;

/// What the script says of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) used: u64,
    pub(super) oldest: u64,
    pub(super) at: u64,
    pub(super) running: u64,
    pub(super) version: u64,
    pub(super) granted: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Counted {
        now_us: u64,
        windows: Vec<Window>,
    },
    Over {
        now_us: u64,
        place: usize,
        window: Window,
    },
    /// Nobody waited for it any more, and nothing was counted.
    Late {
        now_us: u64,
    },
    /// This node knows more of a window than Redis does.
    Behind {
        now_us: u64,
        place: usize,
    },
    /// It lost its data, or its time jumped.
    Forgotten,
}

/// What one line of the feed says: a part of a window holds so many calls at this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told<'a> {
    pub(super) name: &'a str,
    pub(super) part: u64,
    pub(super) calls: u64,
    pub(super) version: u64,
}

impl Default for Scripts {
    fn default() -> Self {
        let script = |own: &str| Script::new(&format!("{}\n{own}", include_str!("common.lua")));
        Self {
            admit: script(include_str!("admit.lua")),
            tell: script(include_str!("tell.lua")),
            beat: script(include_str!("beat.lua")),
            unheard: script(include_str!("unheard.lua")),
        }
    }
}

impl Scripts {
    /// Redis knows them from here on, by their digests.
    pub(super) async fn load(&self, link: &Link, wait: Duration) -> Result<(), Why> {
        for script in [&self.admit, &self.tell, &self.beat, &self.unheard] {
            let mut connection = link.connection.clone();
            link.in_time(wait, script.load_async(&mut connection)).await?;
        }
        Ok(())
    }

    /// The script that counts, to be completed with its keys and arguments.
    pub(super) fn admit(&self, keys: usize) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.admit.get_hash()).arg(keys);
        command
    }

    /// The script that takes back, to be completed with what.
    pub(super) fn unheard(&self, state: String) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.unheard.get_hash()).arg(1).arg(state);
        command
    }
}

impl Link {
    /// Connects, and follows the feed: `hear` is told of each line, `ended` that no more will come.
    pub(super) async fn open(shared: &Arc<Shared>, id: u64, wait: Duration) -> Result<Self, Why> {
        let hearing = Arc::downgrade(shared);
        let push = move |push: PushInfo| -> Result<(), ()> {
            let shared = hearing.upgrade().ok_or(())?;
            if push.kind == PushKind::Message {
                shared.hear(id, &push.data);
            }
            if push.kind == PushKind::Disconnection {
                shared.hung_up(id);
            }
            Ok(())
        };
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(wait))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(ON_THEIR_WAY)
            .set_push_sender(push);
        let mut connection = connect(&shared.settings, settings, wait).await?;
        let subscribed = connection.subscribe(shared.key("feed"));
        in_time(wait, subscribed).await?;
        let asked = Asked::new(format!("asked:{}.{}.{id}", shared.node, shared.process));
        let turns = Arc::clone(&shared.turns);
        Ok(Self { id, connection, pace: Pace::default(), asked, turns })
    }

    /// As long as answers to calls that were heard in time come in, those behind them are waited
    /// for: many callers at once are no sign that Redis is away.
    pub(super) async fn count(&self, command: &Cmd, patience: &Patience) -> Result<Reply, Why> {
        let mut connection = self.connection.clone();
        let answer = command.query_async::<Vec<i64>>(&mut connection);
        match self.turns.hear(patience, || self.pace.heard(), answer).await {
            Some(Ok(numbers)) => Reply::read(&numbers).ok_or(Why::Odd),
            Some(Err(error)) => Err(Why::of(&error)),
            None => Err(Why::Slow),
        }
    }

    pub(super) async fn invoke(
        &self,
        call: &ScriptInvocation<'_>,
        wait: Duration,
    ) -> Result<Reply, Why> {
        let numbers: Vec<i64> = self.run(call, wait).await?;
        Reply::read(&numbers).ok_or(Why::Odd)
    }

    pub(super) async fn run<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
        wait: Duration,
    ) -> Result<T, Why> {
        let mut connection = self.connection.clone();
        self.in_time(wait, call.invoke_async(&mut connection)).await
    }

    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        command: &Cmd,
        wait: Duration,
    ) -> Result<T, Why> {
        let mut connection = self.connection.clone();
        self.in_time(wait, command.query_async(&mut connection)).await
    }

    async fn in_time<T>(
        &self,
        wait: Duration,
        answer: impl Future<Output = redis::RedisResult<T>>,
    ) -> Result<T, Why> {
        match self.turns.within(wait, answer).await {
            Some(answer) => answer.map_err(|error| Why::of(&error)),
            None => Err(Why::Slow),
        }
    }
}

/// Whether this is a URL that Redis can be reached by.
pub(crate) fn is_url(url: &str) -> bool {
    url.into_connection_info().is_ok()
}

pub(super) async fn connect(
    settings: &Settings,
    connecting: AsyncConnectionConfig,
    wait: Duration,
) -> Result<MultiplexedConnection, Why> {
    let url = settings.url.expose_str().unwrap_or_default();
    let info: ConnectionInfo = url.into_connection_info().map_err(|_| Why::Odd)?;
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let info = info.set_redis_settings(redis);
    // Redis's library asks for the process's own.
    crate::net::install_provider();
    let client = match (&info.addr(), &settings.ca_file) {
        (ConnectionAddr::TcpTls { .. }, Some(path)) => {
            let root_cert = Some(tokio::fs::read(path).await.map_err(|_| Why::Tls)?);
            Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
        }
        (_, None | Some(_)) => Client::open(info),
    };
    let client = client.map_err(|_| Why::Odd)?;
    in_time(wait, client.get_multiplexed_async_connection_with_config(&connecting)).await
}

pub(super) async fn in_time<T>(
    wait: Duration,
    answer: impl Future<Output = redis::RedisResult<T>>,
) -> Result<T, Why> {
    match tokio::time::timeout(wait, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Why::of(&error)),
        Err(_) => Err(Why::Slow),
    }
}

impl Reply {
    pub(super) fn read(numbers: &[i64]) -> Option<Self> {
        let mut numbers = numbers.iter().map(|number| u64::try_from(*number).unwrap_or(0));
        let (what, now_us, place) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let place = usize::try_from(place).ok()?;
        match what {
            0 => {
                let mut windows = Vec::new();
                while let Some(window) = Window::read(&mut numbers) {
                    windows.push(window);
                }
                Some(Self::Counted { now_us, windows })
            }
            1 | 2 => Some(Self::Forgotten),
            3 => Some(Self::Late { now_us }),
            4 => Some(Self::Behind { now_us, place }),
            5 => Some(Self::Over { now_us, place, window: Window::read(&mut numbers)? }),
            _ => None,
        }
    }
}

impl Reply {
    /// The time as Redis has it.
    pub(super) fn now_us(&self) -> Option<u64> {
        match self {
            Self::Counted { now_us, .. }
            | Self::Over { now_us, .. }
            | Self::Late { now_us }
            | Self::Behind { now_us, .. } => Some(*now_us),
            Self::Forgotten => None,
        }
    }
}

impl Window {
    fn read(numbers: &mut impl Iterator<Item = u64>) -> Option<Self> {
        Some(Self {
            used: numbers.next()?,
            oldest: numbers.next()?,
            at: numbers.next()?,
            running: numbers.next()?,
            version: numbers.next()?,
            granted: numbers.next()?,
        })
    }
}

/// The text of a message of the feed.
pub(super) fn message(data: &[Value]) -> Option<&str> {
    let Value::BulkString(bytes) = data.get(1)? else { return None };
    std::str::from_utf8(bytes).ok()
}

pub(super) fn told(line: &str) -> Option<Told<'_>> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let mut number = || words.next()?.parse().ok();
    Some(Told { name, part: number()?, calls: number()?, version: number()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let window = Window { used: 3, oldest: 7, at: 9, running: 2, version: 5, granted: 1 };
        let counted = Reply::read(&[0, 42, 0, 3, 7, 9, 2, 5, 1]);
        assert_eq!(counted, Some(Reply::Counted { now_us: 42, windows: vec![window] }));
        assert_eq!(Reply::read(&[4, 42, 1]), Some(Reply::Behind { now_us: 42, place: 1 }));
        assert_eq!(Reply::read(&[5, 42, 1, 3]), None);
        assert_eq!(Reply::read(&[]), None);
    }

    #[test]
    fn a_line_of_the_feed_is_a_part_of_a_window() {
        let line = Told { name: "w60:ab", part: 7, calls: 3, version: 9 };
        assert_eq!(told("w60:ab 7 3 9"), Some(line));
        assert_eq!(told("w60:ab 7 3"), None);
        assert_eq!(told("w60:ab 7 -3 9"), None);
    }
}
