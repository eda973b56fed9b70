//! The attacks: bytes that no polite client sends and answers that no honest provider gives, at
//! every place where a key may stand, over HTTP/1.1 and HTTP/2, plain and under TLS. A case is a
//! line of a table; what must hold after every case is checked after every case (`run.rs`). The
//! house and its searches are those of the integration tests.

#[cfg(test)]
#[expect(clippy::too_many_lines, reason = "a table is as long as it has cases")]
mod answers;
#[cfg(test)]
mod awaited;
#[cfg(test)]
mod case;
#[cfg(test)]
mod certificates;
#[cfg(test)]
#[expect(clippy::too_many_lines, reason = "a table is as long as it has cases")]
mod credentials;
#[cfg(test)]
mod frames;
#[cfg(test)]
#[expect(clippy::too_many_lines, reason = "a table is as long as it has cases")]
mod framing;
#[cfg(test)]
mod hpack;
#[cfg(test)]
#[expect(clippy::too_many_lines, reason = "a table is as long as it has cases")]
mod http2;
#[cfg(test)]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the scaffolding serves other tests, too"
)]
#[path = "../it"]
mod it {
    pub(crate) mod house;
}
#[cfg(test)]
mod operators;
#[cfg(test)]
#[expect(clippy::too_many_lines, reason = "a table is as long as it has cases")]
mod paths;
#[cfg(test)]
mod recorder;
#[cfg(test)]
#[expect(clippy::too_many_lines, reason = "a table is as long as it has cases")]
mod requests;
#[cfg(test)]
mod run;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod wire;

#[cfg(test)]
use self::it::house;
