//! Why Redis did not answer as it should, as a closed set: the label of a figure and a sentence.
//! Must never repeat what a server or a URL said: either may hold a
//! password.

use redis::{ErrorKind, RedisError};

use crate::net;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nobody answers at the address, or the connection ended.
    Unreachable,
    /// Its certificate is not trusted, or it speaks no TLS.
    Tls,
    /// No answer in time.
    Slow,
    /// It has no memory left for our windows.
    Full,
    /// It is a replica, after a failover say.
    ReadOnly,
    Loading,
    /// It does not accept our name and password, or forbids a command.
    Denied,
    /// It is part of a cluster and does not hold our keys.
    Cluster,
    /// It lost what it knew, or its time jumped: the nodes tell it anew.
    Forgot,
    /// Anything else, and answers that cannot be read.
    Odd,
}

impl Why {
    pub(crate) const ALL: [Self; 10] = [
        Self::Unreachable,
        Self::Tls,
        Self::Slow,
        Self::Full,
        Self::ReadOnly,
        Self::Loading,
        Self::Denied,
        Self::Cluster,
        Self::Forgot,
        Self::Odd,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Slow => "slow",
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Loading => "loading",
            Self::Denied => "denied",
            Self::Cluster => "cluster",
            Self::Forgot => "forgot",
            Self::Odd => "odd",
        }
    }

    /// What it is, and what to do.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "nobody answers there; start Redis, or see limits.redis_url and the network"
            }
            Self::Tls => {
                "its certificate is not trusted for this host, or it speaks no TLS; see \
                 limits.redis_ca_file, and the scheme and host of limits.redis_url"
            }
            Self::Slow => {
                "it does not answer within limits.redis_timeout_ms, or again and again not within \
                 a quarter of it; see its load, this machine's, the network, and with rediss:// \
                 that its port speaks TLS"
            }
            Self::Full => "it has no memory left; raise its maxmemory",
            Self::ReadOnly => {
                "it is a replica that takes no writes; point limits.redis_url at the master"
            }
            Self::Loading => "it still loads its data; wait",
            Self::Denied => {
                "it refuses our name, password or commands; see limits.redis_url and its ACL"
            }
            Self::Cluster => {
                "it is part of a cluster and does not hold our keys; use a Redis of its own"
            }
            Self::Forgot => {
                "it lost its data or its clock jumped; the nodes tell it what they know"
            }
            Self::Odd => "its answer makes no sense; it must be Redis 6 or newer",
        }
    }

    pub(super) fn of(error: &RedisError) -> Self {
        // Both sets grow with the library: what is new there is odd here.
        if net::is_tls_fault(error) {
            return Self::Tls;
        }
        let kind = error.kind();
        if kind == ErrorKind::AuthenticationFailed {
            return Self::Denied;
        }
        if kind == ErrorKind::Io {
            return if error.is_timeout() { Self::Slow } else { Self::Unreachable };
        }
        Self::of_code(error.code().unwrap_or_default())
    }

    fn of_code(code: &str) -> Self {
        match code {
            "OOM" | "MISCONF" => Self::Full,
            "READONLY" => Self::ReadOnly,
            "LOADING" => Self::Loading,
            "NOAUTH" | "WRONGPASS" | "NOPERM" => Self::Denied,
            "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" | "MASTERDOWN" => Self::Cluster,
            // Its scripts are gone, and all else may be.
            "NOSCRIPT" => Self::Forgot,
            "BUSY" => Self::Slow,
            _ => Self::Odd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_label_of_its_own_and_says_what_to_do() {
        let mut labels: Vec<&str> = Why::ALL.iter().map(|why| why.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Why::ALL.len());
        assert!(Why::ALL.iter().all(|why| !why.sentence().is_empty()));
        assert_eq!(Why::of_code("OOM"), Why::Full);
        assert_eq!(Why::of_code("never heard of"), Why::Odd);
    }
}
