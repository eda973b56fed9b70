//! A call that comes to a shared socket: it has walked as any other, and instead of going out it
//! takes a place among those who listen.
//! Must never be given one before it was counted.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

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
use crate::refusal::Refusal;
use crate::vault::Selected;

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
        // However it is written, it is one place.
        let decoded = percent_decoded(head.path().as_bytes());
        let path = decoded.unwrap_or_else(|| head.path().as_bytes().to_vec());
        let path = String::from_utf8_lossy(&path).trim_end_matches('/').to_owned();
        let key = Key { provider: Arc::clone(&provider.id), path, secret: selected.secret_id() };
        let (parts, rest_at, query) = head.copied();
        let mut headers = HeaderMap::new();
        let way = Way { parts, rest_at, query, handshake: handshake.afresh()?, permit };
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
