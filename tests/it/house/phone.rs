//! An operator's phone: shows the one-time codes of a secret, by the house's clock (RFC 6238).
//! Written anew here, so that the house's own way with codes is not its own judge.

use aws_lc_rs::hmac;
use sealgate::clock::Clock;

pub(crate) struct Phone {
    secret: Vec<u8>,
    clock: Clock,
}

impl Phone {
    /// The secret as the house offers it, in base 32.
    pub(crate) fn of(secret: &str, clock: &Clock) -> Self {
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut bits = String::new();
        for character in secret.chars() {
            let number = alphabet.find(character).expect("a character of base 32");
            bits.push_str(&format!("{number:05b}"));
        }
        let bytes = bits
            .as_bytes()
            .chunks_exact(8)
            .map(|eight| u8::from_str_radix(std::str::from_utf8(eight).unwrap(), 2).unwrap());
        Self { secret: bytes.collect(), clock: clock.clone() }
    }

    pub(crate) fn code(&self) -> String {
        self.code_at(0)
    }

    /// So many steps from now.
    pub(crate) fn code_at(&self, steps: i64) -> String {
        let step = self.clock.unix_ms() / 30_000 + steps;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.secret);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag[19] & 15);
        let four: [u8; 4] = tag[offset..offset + 4].try_into().unwrap();
        format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000)
    }
}
