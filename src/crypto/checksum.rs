//! CRC-32 (IEEE): finds torn writes and typing errors, nothing else. Whoever holds the bytes can
//! make them fit it. Must never stand where somebody could gain by forging it: that is what hashes
//! are for.

/// The checksum of what was summed into `so_far` (0: nothing) followed by `bytes`.
pub(crate) fn crc32(so_far: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(so_far);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_goes_on_where_it_was_left() {
        assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(crc32(0, b"12345"), b"6789"), 0xcbf4_3926);
    }
}
