//! How a socket is begun whose key comes in a message: the provider's own greeting is swallowed
//! where the client has heard it from us, the real key is shown, and what the client said waits for
//! the provider's word on it. Must never show the key to anybody but the provider.

use bytes::BytesMut;

use super::parley::{Lost, Parley};
use super::{End, Side, Socket, WORD_WITHIN, dialect, frames};
use crate::inject::Hail;
use crate::net::Deadlines;
use crate::provider::Codec;

impl Socket {
    /// After this only the splice is left.
    pub(super) async fn open(&mut self, deadlines: &Deadlines) -> Result<(), End> {
        if self.is_torn {
            return Err(End::NoFrames(Side::Client));
        }
        if let Some(hail) = self.hail.take() {
            let hailing = Box::pin(self.hail(hail));
            deadlines.within(WORD_WITHIN, hailing).await.unwrap_or(Err(End::Provider))?;
        }
        let mut early = std::mem::take(&mut self.early);
        self.down.feed(&mut early).map_err(|_dry| End::NoFrames(Side::Provider))
    }

    async fn hail(&mut self, hail: Hail) -> Result<(), End> {
        let mut parley = Parley::with_provider(std::mem::take(&mut self.early));
        if dialect::greeting(hail.dialect).is_some() {
            let heard = parley.hear(&mut self.provider).await;
            let word = heard.map_err(|lost| match lost {
                Lost::Gone => End::Provider,
                Lost::Malformed => End::NoFrames(Side::Provider),
            })?;
            let said = dialect::understood(hail.codec, &word.bytes);
            let is_usual = said.is_some_and(|said| dialect::is_greeting(hail.dialect, &said));
            if !(is_usual && self.is_greeted) {
                let opcode = if word.is_text { frames::TEXT } else { frames::BINARY };
                self.early = BytesMut::from(&frames::whole(opcode, &word.bytes, None)[..]);
            }
            if !is_usual {
                // It takes nobody in: the client hears why, and the key stays here.
                self.early.unsplit(parley.into_rest());
                self.is_held = false;
                return Ok(());
            }
        }
        let is_text = hail.codec == Codec::Json;
        let shown = parley.say(&mut self.provider, is_text, hail.bytes()).await;
        shown.map_err(|_gone| End::Provider)?;
        self.early.unsplit(parley.into_rest());
        Ok(())
    }
}
