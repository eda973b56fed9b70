//! As much of WebSocket frames as a load needs: whole ones, of text, masked or not.
//! Made once and sent again and again.
//! Must never be read for correctness: that is what the tests are for.

/// What market data looks like.
const TRADE: &str = "{\"ev\":\"T\",\"sym\":\"AAPL\",\"p\":213.07,\"s\":100,\"t\":1763600000000},";
/// Of frames that are sent in one write.
const BLOCK: usize = 256 * 1024;

pub(crate) fn frame(payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![0x81];
    match payload.len() {
        length @ 0..126 => frame.push(bit | u8::try_from(length).unwrap_or_default()),
        length => {
            frame.push(bit | 126);
            frame.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    let mask = mask.inspect(|mask| frame.extend(mask)).unwrap_or_default();
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// As many frames of this size as fit into one write.
pub(crate) fn block(size: usize, mask: Option<[u8; 4]>) -> Vec<u8> {
    let text: Vec<u8> = TRADE.bytes().cycle().take(size.clamp(1, 60_000)).collect();
    let frame = frame(&text, mask);
    frame.repeat((BLOCK / frame.len()).max(1))
}
