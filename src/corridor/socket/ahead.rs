//! Work for which a client waits, with an ear on its line: what it says meanwhile is kept, and goes
//! on later in its order; when it goes, the work ends at once. Must never keep more than fits in a
//! bounded room: beyond it the line is not read, and the client is held up.

use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

use super::End;

/// Beyond this a client has to wait.
const MOST_AHEAD: usize = 64 * 1024;
const PIECE: usize = 4 * 1024;

/// The work, unless the client goes meanwhile.
pub(super) async fn beside<L: AsyncRead + Unpin, T>(
    line: &mut L,
    said: &mut BytesMut,
    work: impl Future<Output = T>,
) -> Result<T, End> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => poll_gone(line, said, context).map(|()| Err(End::Client)),
    })
    .await
}

/// Ready when the client is gone.
fn poll_gone<L: AsyncRead + Unpin>(
    line: &mut L,
    said: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<()> {
    let mut room = [const { MaybeUninit::<u8>::uninit() }; PIECE];
    while said.len() < MOST_AHEAD {
        let mut piece = ReadBuf::uninit(&mut room);
        match Pin::new(&mut *line).poll_read(context, &mut piece) {
            Poll::Ready(Ok(())) if !piece.filled().is_empty() => {
                said.extend_from_slice(piece.filled());
            }
            Poll::Ready(Ok(()) | Err(_)) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn whoever_goes_ends_the_work_and_what_was_said_is_kept_within_bounds() {
        let (mut ours, mut theirs) = duplex(8);
        let mut said = BytesMut::new();
        let talking = tokio::spawn(async move {
            theirs.write_all(b"before").await.unwrap();
            theirs
        });
        let slow = tokio::time::sleep(std::time::Duration::from_millis(50));
        assert_eq!(beside(&mut ours, &mut said, slow).await, Ok(()));
        assert_eq!(said, b"before"[..]);
        drop(talking.await.unwrap());
        let never = std::future::pending::<()>();
        assert_eq!(beside(&mut ours, &mut said, never).await, Err(End::Client));
        let mut flood = tokio::io::repeat(7);
        let short = tokio::time::sleep(std::time::Duration::from_millis(50));
        assert_eq!(beside(&mut flood, &mut said, short).await, Ok(()));
        assert!(said.len() <= MOST_AHEAD + PIECE);
    }
}
