//! Randomness from the operating system, and the only place that asks for it.
//! A repeat of the last draw means a broken source and is refused: sealing with it would reuse a
//! key. Must never fall back to a weaker source.

use std::sync::Mutex;

use rand::TryRng;
use rand::rngs::SysRng;

use super::fault::CryptoError;

static LAST_DRAW: Mutex<[u8; 32]> = Mutex::new([0; 32]);

/// Fills the buffer with fresh random bytes.
pub(crate) fn fill_random(buffer: &mut [u8]) -> Result<(), CryptoError> {
    SysRng.try_fill_bytes(buffer).map_err(|_| CryptoError::NoRandomness)
}

/// N fresh random bytes; refuses a source that repeats itself.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], CryptoError> {
    let mut bytes = [0; N];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

/// A salt, compared with the one drawn before.
pub(super) fn fresh_salt() -> Result<[u8; 32], CryptoError> {
    differing(random_bytes()?, &LAST_DRAW)
}

fn differing(salt: [u8; 32], last: &Mutex<[u8; 32]>) -> Result<[u8; 32], CryptoError> {
    let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if *last == salt {
        return Err(CryptoError::NoRandomness);
    }
    *last = salt;
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_that_repeats_the_last_one_is_refused() {
        let last = Mutex::new([0; 32]);
        // A source that gives nothing but zeros repeats what was there before the first draw.
        assert_eq!(differing([0; 32], &last), Err(CryptoError::NoRandomness));
        assert_eq!(differing([1; 32], &last), Ok([1; 32]));
        assert_eq!(differing([1; 32], &last), Err(CryptoError::NoRandomness));
        assert_eq!(differing([2; 32], &last), Ok([2; 32]));
    }

    #[test]
    fn what_is_sealed_with_goes_through_that_check() {
        fresh_salt().unwrap();
        // Which salt it is cannot be told: another test may have drawn since.
        assert!(*LAST_DRAW.lock().unwrap() != [0; 32]);
    }
}
