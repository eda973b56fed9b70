//! The socket in the data folder, through which whoever runs the machine speaks to the server. It
//! stands with mode 0600 before anybody can see it, and the kernel says who is at the other end.
//! Must never hand on a connection whose peer is somebody else.

use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The listening socket; its name goes when this does.
pub(crate) struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Which file it was, so that a successor's is not taken away.
    inode: u64,
}

/// Why there is no local socket.
#[derive(Debug)]
pub(crate) enum LocalError {
    /// The kernel takes 107 bytes at most.
    PathTooLong(PathBuf),
    Io {
        path: PathBuf,
        fault: io::Error,
    },
}

const LONGEST_PATH: usize = 107;
const ROOT: u32 = 0;

impl LocalSocket {
    /// Bound inside a folder that only its owner may enter, given its mode there, then moved to its
    /// place in one step: at no moment can anybody else connect. A stale socket is replaced; that
    /// no other server runs is what the data folder's lock is for.
    pub(crate) fn bind(path: &Path) -> Result<Self, LocalError> {
        let fault = |fault| LocalError::Io { path: path.to_owned(), fault };
        let folder = path.with_extension("new");
        let unseen = folder.join("s");
        if unseen.as_os_str().len() > LONGEST_PATH || path.as_os_str().len() > LONGEST_PATH {
            return Err(LocalError::PathTooLong(path.to_owned()));
        }
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault(error)),
            Ok(()) | Err(_) => {}
        }
        std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(fault)?;
        let bound = Self::bind_unseen(&unseen, path);
        // Empty by now, or of no use to anybody.
        let _ = std::fs::remove_dir_all(&folder);
        bound.map_err(fault)
    }

    fn bind_unseen(unseen: &Path, path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(unseen)?;
        std::fs::set_permissions(unseen, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(unseen, path)?;
        let inode = std::fs::symlink_metadata(path)?.ino();
        Ok(Self { listener, path: path.to_owned(), inode })
    }

    /// The next connection of ourselves or of root; others are closed unheard.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let uid = stream.peer_cred()?.uid();
            if is_trusted(uid, nix::unistd::geteuid().as_raw()) {
                return Ok(stream);
            }
            tracing::warn!(
                name: "admin.local_refused",
                uid,
                "somebody else's process connected to the local socket and was refused"
            );
        }
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| metadata.ino() == self.inode);
        if is_ours {
            // A name that stays behind is replaced at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn is_trusted(peer: u32, ourselves: u32) -> bool {
    peer == ourselves || peer == ROOT
}

impl fmt::Display for LocalError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PathTooLong(path) => write!(
                formatter,
                "the local socket {} cannot be made: its path has more than {LONGEST_PATH} bytes \
                 (with a temporary name beside it); choose a shorter data_dir",
                path.display()
            ),
            Self::Io { path, fault } => write!(
                formatter,
                "the local socket {} cannot be made: {fault}; check that the data folder can be \
                 written to",
                path.display()
            ),
        }
    }
}

impl std::error::Error for LocalError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ourselves_and_root_are_trusted() {
        assert!(is_trusted(1000, 1000));
        assert!(is_trusted(0, 1000));
        assert!(!is_trusted(1001, 1000));
        assert!(!is_trusted(65534, 0));
    }

    #[tokio::test]
    async fn the_socket_is_private_replaces_a_stale_one_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealgate.sock");
        std::fs::write(&path, "stale").unwrap();
        let first = LocalSocket::bind(&path).unwrap();
        let mode = std::fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (connected, accepted) = tokio::join!(UnixStream::connect(&path), first.accept());
        assert!(connected.is_ok() && accepted.is_ok());

        let second = LocalSocket::bind(&path).unwrap();
        drop(first);
        assert!(path.exists(), "a successor's socket stays");
        drop(second);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_path_that_the_kernel_would_not_take_is_refused_in_words() {
        let error = LocalSocket::bind(Path::new(&"x/".repeat(70))).err().unwrap();
        assert!(error.to_string().contains("shorter data_dir"), "{error}");
    }
}
