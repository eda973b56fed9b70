//! A call that comes to a shared socket: it has walked as any other, and instead of going out it
//! takes a place among those who listen.
//! Must never be given one before it was counted.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode};

use super::super::Opening;
use super::super::parley::Parley;
use super::Key;
use super::dial::Way;
use super::keeper::keep;
use super::mail::Mail;
use super::member::{LONGEST, Member, Passed, Seat};
use crate::corridor::answer::{Answer, AnswerBody};
use crate::corridor::trace::Trace;
use crate::corridor::{Corridor, percent_decoded};
use crate::inject::Head;
use crate::limiter::Admission;
use crate::policy::Permit;
use crate::provider::Codec;
use crate::refusal::Refusal;
use crate::vault::Selected;

/// The one place that is meant, however letters in it are written. What could be read as another
/// one than the client was allowed, segment by segment, is none.
fn place(path: &str) -> Result<String, Refusal> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let segments: Option<Vec<_>> = path.split('/').map(segment).collect();
    let detail = "A path that many share has no empty segments, no slash at its end, and no escapes \
                  of anything but letters, digits and what needs none.";
    let segments =
        segments.filter(|segments| path.is_empty() || !segments.iter().any(String::is_empty));
    let segments = segments.ok_or_else(|| Refusal::bad_request(detail))?;
    Ok(format!("/{}", segments.join("/")))
}

fn segment(text: &str) -> Option<String> {
    let decoded = percent_decoded(text.as_bytes());
    let Some(decoded) = decoded else { return is_plain(text).then(|| text.to_owned()) };
    // Dots that stand for themselves are known to mean nothing; one that was hidden is not.
    let dots = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'.').count();
    let is_open = dots(&decoded) == dots(text.as_bytes());
    String::from_utf8(decoded).ok().filter(|decoded| is_open && is_plain(decoded))
}

/// Nothing that a path would have to escape, nor that ends a segment for anybody.
fn is_plain(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~!$&'()*+,=:@".contains(&byte);
    text.bytes().all(fits)
}

/// How the provider is asked for the socket, whoever is the first or the last to come.
fn opening_parts(path: &str, codec: Codec) -> Result<Parts, Refusal> {
    let kind = match codec {
        Codec::Json => "application/json",
        Codec::Msgpack => "application/msgpack",
    };
    let request = Request::get(path).header(CONTENT_TYPE, kind).body(());
    Ok(request.map_err(|_| Refusal::internal())?.into_parts().0)
}

impl Corridor {
    pub(in crate::corridor) fn joined(
        &self,
        (head, permit): (&Head<'_>, Permit),
        opening: Opening,
        selected: &Selected,
        (trace, admission): (&mut Trace, Admission),
    ) -> Result<Answer, Refusal> {
        let Opening { handshake, berth, ends_ns } = opening;
        let (Some(speaks), Some(own)) = (handshake.speaks(), self.own.upgrade()) else {
            return Err(Refusal::internal());
        };
        let provider = Arc::clone(permit.provider());
        let path = place(head.path())?;
        let parts = opening_parts(&path, speaks.1)?;
        let key = Key { provider: Arc::clone(&provider.id), path, secret: selected.secret_id() };
        let mut headers = HeaderMap::new();
        let way = Way { parts, handshake: handshake.shared()?, permit };
        handshake.answer(&mut headers);
        let mail = Arc::new(Mail::default());
        let comer = (Arc::clone(&mail), Arc::new(way));
        let (trunk, who, is_new) = self.house.fanout.join(&key, speaks, comer)?;
        let seat = Seat { trunk: Arc::clone(&trunk), who };
        if is_new {
            tokio::spawn(keep(trunk, own));
        }
        let bytes_in = trace.bytes_in();
        let status = StatusCode::SWITCHING_PROTOCOLS;
        let record = trace.answered(status.as_u16(), &mut headers);
        let member = Member {
            seat,
            mail,
            out: Bytes::new(),
            is_message: false,
            is_asked: false,
            parley: Parley::with_client(bytes::BytesMut::new()).up_to(LONGEST),
            idle: provider.timeouts.idle,
            ends_ns,
            client: trace.take_caller(),
            record,
            bytes_in,
            passed: Passed::default(),
            _admission: admission,
            _berth: berth,
        };
        let mut answer = Answer::new(AnswerBody::Member(Some(Box::new(member))));
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_one_however_it_is_written_and_never_another_than_was_allowed() {
        for (path, wanted) in [
            ("/v2/sip", Some("/v2/sip")),
            ("/%76%32/s%69p", Some("/v2/sip")),
            ("/v1.5/a:b", Some("/v1.5/a:b")),
            ("/", Some("/")),
            ("", Some("/")),
            ("/v2%2Fsip", None),
            ("/v2%2fsip", None),
            ("/v2%5Csip", None),
            ("/v2\\sip", None),
            ("/v2%252Fsip", None),
            ("/v2/%2E", None),
            ("/v2/s%2Eip", None),
            ("/v2/sip%00", None),
            ("/v2/sip%3Fa", None),
            ("/v2/sip;a", None),
            ("/v2/sip/", None),
            ("/v2//sip", None),
            ("/v2/%zz", None),
        ] {
            assert_eq!(place(path).ok().as_deref(), wanted, "{path}");
        }
    }

    #[test]
    fn the_provider_sees_nothing_of_whoever_opens() {
        let parts = opening_parts("/v2/sip", Codec::Msgpack).unwrap();
        assert_eq!((parts.method.as_str(), parts.uri.to_string().as_str()), ("GET", "/v2/sip"));
        assert_eq!(parts.headers.len(), 1);
        assert_eq!(parts.headers[CONTENT_TYPE], "application/msgpack");
    }
}
