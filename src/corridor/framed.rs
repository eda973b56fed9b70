//! One look at an answer's head before anything is made of it: is it in the protocol that was asked
//! for, and does it say once how long it is?
//! Rejects, never repairs.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, StatusCode};

use crate::refusal::{Reason, Refusal};
use crate::upstream::Reply;

/// In our protocol, and of one length: what follows any other answer is none that a client could
/// read.
pub(in crate::corridor) fn framed(reply: Reply, asked: bool) -> Result<Reply, Refusal> {
    if reply.head.status == StatusCode::SWITCHING_PROTOCOLS && !asked {
        let detail = "The provider changed the protocol though nobody had asked it to.";
        return Err(Refusal::new(Reason::UpstreamInvalid, detail));
    }
    let headers = &reply.head.headers;
    let is_number = |value: &HeaderValue| value.as_bytes().iter().all(u8::is_ascii_digit);
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let one_length = lengths.next().is_none_or(is_number) && lengths.next().is_none();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let coded = codings.next();
    let chunked = coded.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    let both = coded.is_some() && headers.contains_key(CONTENT_LENGTH);
    if !one_length || !chunked || codings.next().is_some() || both {
        let detail = "The provider's answer says two things about its length, or is packed on the \
                      way in a manner that cannot be looked through.";
        return Err(Refusal::new(Reason::UpstreamInvalid, detail));
    }
    Ok(reply)
}
