//! Frames of RFC 6455 as the tests write and read them, with nothing of the product's in it.

use base64::Engine as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub is_last: bool,
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// What a server answers to a handshake's key.
pub(crate) fn accept_of(key: &str) -> String {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    let whole = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, whole.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest)
}

pub(crate) fn written(is_last: bool, opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![opcode | if is_last { 0x80 } else { 0 }];
    match payload.len() {
        short @ ..126 => frame.push(bit | u8::try_from(short).unwrap()),
        middle @ ..65_536 => {
            frame.push(bit | 126);
            frame.extend(u16::try_from(middle).unwrap().to_be_bytes());
        }
        long => {
            frame.push(bit | 127);
            frame.extend(u64::try_from(long).unwrap().to_be_bytes());
        }
    }
    match mask {
        None => frame.extend(payload),
        Some(mask) => {
            frame.extend(mask);
            frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        }
    }
    frame
}

pub(crate) async fn write<W: AsyncWrite + Unpin>(
    to: &mut W,
    is_last: bool,
    opcode: u8,
    payload: &[u8],
    mask: Option<[u8; 4]>,
) -> std::io::Result<()> {
    to.write_all(&written(is_last, opcode, payload, mask)).await?;
    to.flush().await
}

/// The next frame, its payload without its mask.
pub(crate) async fn read<R: AsyncRead + Unpin>(from: &mut R) -> std::io::Result<Frame> {
    let (first, second) = (from.read_u8().await?, from.read_u8().await?);
    assert_eq!(first & 0x70, 0, "a reserved bit is set");
    let length = match second & 0x7f {
        126 => u64::from(from.read_u16().await?),
        127 => from.read_u64().await?,
        short => u64::from(short),
    };
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        from.read_exact(&mut mask).await?;
    }
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    from.read_exact(&mut payload).await?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok(Frame { is_last: first & 0x80 != 0, opcode: first & 0x0f, payload })
}
