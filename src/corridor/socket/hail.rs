//! How a socket is begun whose key comes in a message: the provider's own greeting is swallowed
//! where the client has heard it from us, the real key is shown, and what the client said waits for
//! the provider's yes to it. Must never show the key to anybody but the provider, nor pass on what
//! a client said where it said no.

use std::sync::Arc;
use std::task::Poll;

use bytes::BytesMut;
use serde_json::Value;
use tokio::io::AsyncRead;

use super::ahead::beside;
use super::parley::{Lost, Message, Parley};
use super::{End, Side, Socket, WORD_WITHIN, dialect, fallen, frames};
use crate::client::Client;
use crate::inject::Hail;
use crate::net::Deadlines;
use crate::provider::Codec;

/// What a provider may say before it has said yes or no.
const MOST_BEFORE: usize = 64 * 1024;

impl Socket {
    /// After this only the splice is left.
    pub(super) async fn open<L: AsyncRead + Unpin>(
        &mut self,
        line: &mut L,
        deadlines: &Deadlines,
    ) -> Result<(), End> {
        if self.is_torn {
            return Err(End::NoFrames(Side::Client));
        }
        if let Some(hail) = self.hail.take() {
            let (mut said, client) = (BytesMut::new(), self.ends.caller());
            let hailing = Box::pin(beside(line, &mut said, self.hail(hail)));
            let hailed = deadlines.within(WORD_WITHIN, in_standing(client, hailing)).await;
            hailed.unwrap_or(Err(End::Provider))???;
            self.up.feed(&mut said).map_err(|_dry| End::NoFrames(Side::Client))?;
        }
        let mut early = std::mem::take(&mut self.early);
        self.down.feed(&mut early).map_err(|_dry| End::NoFrames(Side::Provider))
    }

    async fn hail(&mut self, hail: Hail) -> Result<(), End> {
        let mut parley = Parley::with_provider(std::mem::take(&mut self.early));
        let is_taken = self.shown(&hail, &mut parley).await?;
        self.is_refused = !is_taken;
        self.early.unsplit(parley.into_rest());
        Ok(())
    }

    /// Did the provider say yes? What it said beside its greeting is early.
    async fn shown(&mut self, hail: &Hail, parley: &mut Parley) -> Result<bool, End> {
        if dialect::greeting(hail.dialect).is_some() {
            let Some(word) = self.heard(parley).await? else { return Ok(false) };
            let said = dialect::understood(hail.codec, &word.bytes);
            match said.as_ref().and_then(|said| dialect::behind_greeting(hail.dialect, said)) {
                // The client has heard it from us.
                Some([]) if self.is_greeted => {}
                Some(rest) if self.is_greeted => {
                    let rest = Value::Array(rest.to_vec()).to_string();
                    let bytes = dialect::worded(hail.codec, &rest);
                    self.pass_on(&Message { is_text: word.is_text, bytes });
                }
                Some(_) => self.pass_on(&word),
                None => {
                    // It takes nobody in: the client hears why, and the key stays here.
                    self.pass_on(&word);
                    return Ok(false);
                }
            }
        }
        let is_shown = match hail.dialect.repeats() {
            // In what the client said first.
            Some(_) => self.up.pass_on(&mut self.provider).await,
            None => {
                let is_text = hail.codec == Codec::Json;
                parley.say(&mut self.provider, is_text, hail.bytes()).await.is_ok()
            }
        };
        if !is_shown {
            return Err(End::Provider);
        }
        while self.early.len() < MOST_BEFORE {
            let Some(word) = self.heard(parley).await? else { return Ok(false) };
            self.pass_on(&word);
            let said = dialect::understood(hail.codec, &word.bytes);
            if let Some(yes) = said.and_then(|said| dialect::takes(hail.dialect, &said)) {
                return Ok(yes);
            }
        }
        Err(End::Provider)
    }

    /// The next message; None where the provider says goodbye, which the client hears.
    async fn heard(&mut self, parley: &mut Parley) -> Result<Option<Message>, End> {
        match parley.hear(&mut self.provider).await {
            Ok(message) => Ok(Some(message)),
            Err(Lost::Malformed) => Err(End::NoFrames(Side::Provider)),
            Err(Lost::Gone) => {
                let farewell = parley.farewell().ok_or(End::Provider)?;
                self.early.extend_from_slice(&frames::whole(frames::CLOSE, farewell, None));
                Ok(None)
            }
        }
    }

    fn pass_on(&mut self, word: &Message) {
        let opcode = if word.is_text { frames::TEXT } else { frames::BINARY };
        self.early.extend_from_slice(&frames::whole(opcode, &word.bytes, None));
    }
}

/// The work, as long as the client may have it done.
async fn in_standing<T>(
    client: Option<Arc<Client>>,
    work: impl Future<Output = T>,
) -> Result<T, End> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| match fallen(client.as_deref()) {
        Some(end) => Poll::Ready(Err(end)),
        None => work.as_mut().poll(context).map(Ok),
    })
    .await
}
