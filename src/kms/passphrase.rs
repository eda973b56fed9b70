//! The kind `passphrase`: a random master key in the database, in an envelope under what Argon2id
//! makes of the passphrase. So a new passphrase, or a costlier Argon2id, replaces one row and
//! nothing below it. Must never keep a passphrase, and never say how nearly it was right.

use std::collections::BTreeSet;

use super::local::{LocalKey, hex};
use super::{Ground, KmsError};
use crate::crypto::{
    self, Aad, CryptoError, Effort, Layer, Parent, SALT_BYTES, label, random_bytes,
};
use crate::secret::{Key, SecretBytes};
use crate::store::{MasterId, MasterKind, PassphraseRow, Store};

/// In characters; Argon2id makes a guess slow, not a short list of guesses long.
const SHORTEST: usize = 12;
/// Fewer different ones make a pattern.
const LEAST_DIFFERENT: usize = 5;
const CLASSICS: [&str; 11] = [
    "password",
    "passphrase",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "1q2w3e4r5t",
    "letmein",
    "iloveyou",
    "administrator",
    "changeme",
    "welcome",
];
/// More rows than killed rotations leave beside those in use; a bound, because each costs a guess.
const MOST_ROWS: usize = 8;

/// The rows on which a passphrase is tried: first those that key-encryption keys name, then the
/// newest others. So nobody hides a master key by laying rows beside it. What can open nothing
/// costs no guess.
async fn candidates(store: &Store) -> Result<Vec<PassphraseRow>, KmsError> {
    let rows = store.master_passphrases().await?.rows;
    let named = named(store).await?;
    let sane = rows.into_iter().filter(is_sane);
    let (first, others): (Vec<_>, Vec<_>) = sane.partition(|row| named.contains(&row.master_id));
    Ok(first.into_iter().chain(others.into_iter().take(MOST_ROWS)).collect())
}

/// The master keys of this kind by which something is wrapped.
async fn named(store: &Store) -> Result<BTreeSet<String>, KmsError> {
    let keks = store.keks().await?.rows.into_iter();
    let keks = keks.filter(|kek| !kek.is_gone() && kek.master.kind == MasterKind::Passphrase);
    Ok(keks.map(|kek| kek.master.id).collect())
}

/// The first master key that this passphrase opens: one that is in use before all others.
pub(super) async fn open(
    ground: &Ground<'_>,
    passphrase: SecretBytes,
) -> Result<LocalKey, KmsError> {
    let rows = candidates(ground.store).await?;
    if rows.is_empty() {
        return Err(lost(ground.store).await?.unwrap_or(KmsError::NotSetUp));
    }
    let opening = move || {
        let mut fault = KmsError::WrongPassphrase;
        for row in rows {
            match unwrapped(&row, &passphrase) {
                Ok(key) => {
                    let raised = raised(&row, &key, &passphrase)?;
                    return Ok((key, row, raised));
                }
                // Another passphrase is at once another key.
                Err(CryptoError::WrongParent) => {}
                Err(other) => fault = KmsError::Crypto(other),
            }
        }
        Err(fault)
    };
    let (key, row, raised) = apart(opening).await?;
    if let Some(raised) = raised {
        let raised = PassphraseRow { updated_at: ground.clock.unix_ms(), ..raised };
        // It opens as it is too; the next time will do.
        match ground.store.replace_master_passphrase(&raised, &row.wrapped).await {
            Ok(_) => tracing::info!("the passphrase costs more per guess from now on"),
            Err(fault) => tracing::warn!(%fault, "the cost of a guess could not be raised"),
        }
    }
    Ok(LocalKey::new(MasterKind::Passphrase, key))
}

/// Every master key that this passphrase opens, one that is in use first: more than one while a
/// rotation is under way, or after one that was killed.
pub(super) async fn open_all(
    ground: &Ground<'_>,
    passphrase: SecretBytes,
) -> Result<Vec<LocalKey>, KmsError> {
    let again = SecretBytes::copy_of(passphrase.expose());
    let first = open(ground, passphrase).await?;
    let id = first.id().id;
    let rows = candidates(ground.store).await?;
    let opening = move || {
        let others = rows.iter().filter(|row| row.master_id != id);
        Ok(others.filter_map(|row| unwrapped(row, &again).ok()).collect::<Vec<Key>>())
    };
    let others = apart(opening).await?.into_iter();
    let others = others.map(|key| LocalKey::new(MasterKind::Passphrase, key));
    Ok(std::iter::once(first).chain(others).collect())
}

/// A new master key that the same passphrase opens, beside the present one. What a rotation that
/// was killed has left is not taken up: nothing tells it from a row that somebody has put back.
/// A passphrase that opens nothing yet is refused: it would be mistyped.
pub(super) async fn stage(
    ground: &Ground<'_>,
    passphrase: SecretBytes,
) -> Result<LocalKey, KmsError> {
    let again = SecretBytes::copy_of(passphrase.expose());
    open(ground, passphrase).await?;
    let now_ms = ground.clock.unix_ms();
    let (key, row) = apart(move || {
        let key = Key::fill_with(crypto::fill_random)?;
        let id = hex(&crypto::key_id(&key, label::MASTER_KEY_ID));
        let row = wrapped(&id, &key, &again, now_ms)?;
        Ok((key, row))
    })
    .await?;
    ground.store.insert_master_passphrase(&row).await?;
    Ok(LocalKey::new(MasterKind::Passphrase, key))
}

/// Only what was opened here goes, and nothing that wraps anything: a row that another node makes
/// at this moment stays.
pub(super) async fn sweep(ground: &Ground<'_>, opened: &[MasterId]) -> Result<(), KmsError> {
    let named = named(ground.store).await?;
    let mut any = false;
    for id in opened {
        if id.kind == MasterKind::Passphrase && !named.contains(&id.id) {
            any |= ground.store.delete_master_passphrase(&id.id).await?;
        }
    }
    // Once for all: while somebody reads, each fold would wait for him.
    if any {
        ground.store.forget_journal().await;
    }
    Ok(())
}

/// Is there a master key that some passphrase opens?
pub(super) async fn stands(ground: &Ground<'_>) -> Result<bool, KmsError> {
    Ok(!ground.store.master_passphrases().await?.rows.is_empty())
}

/// A row that key-encryption keys name, and that is gone or can open nothing, whatever is typed.
pub(super) async fn lost(store: &Store) -> Result<Option<KmsError>, KmsError> {
    let loaded = store.master_passphrases().await?;
    for id in named(store).await? {
        let unread = loaded.contradictions.iter().find(|fault| fault.row() == Some(&id));
        let fault = match (loaded.rows.iter().find(|row| row.master_id == id), unread) {
            (Some(row), _) if is_sane(row) => continue,
            (Some(_), _) => String::from("does not hold what Sealgate left there"),
            (None, Some(fault)) => format!("cannot be read ({fault})"),
            (None, None) => String::from("is gone"),
        };
        return Ok(Some(KmsError::LostRow { id, fault }));
    }
    Ok(None)
}

/// What can be told without the passphrase.
fn is_sane(row: &PassphraseRow) -> bool {
    row.salt.len() == SALT_BYTES
        && effort(row).is_within_bounds()
        && crypto::is_envelope(Layer::MasterKey, &row.wrapped)
}

/// What this row says, for whoever compares it with what it said when it opened.
pub(super) fn digest(row: &PassphraseRow) -> [u8; 32] {
    let aad = aad(&row.master_id, &row.salt, effort(row)).with(&row.wrapped);
    crypto::sha256(aad.as_bytes())
}

/// Makes a master key that this passphrase opens; false if there is one already.
pub(super) async fn create_if_missing(
    ground: &Ground<'_>,
    passphrase: SecretBytes,
) -> Result<bool, KmsError> {
    if stands(ground).await? {
        return Ok(false);
    }
    demand_strength(&passphrase)?;
    let now_ms = ground.clock.unix_ms();
    let row = apart(move || {
        let key = Key::fill_with(crypto::fill_random)?;
        let id = hex(&crypto::key_id(&key, label::MASTER_KEY_ID));
        Ok(wrapped(&id, &key, &passphrase, now_ms)?)
    });
    ground.store.insert_master_passphrase(&row.await?).await?;
    Ok(true)
}

/// One rule for every passphrase that closes something: this master key, a backup.
pub(crate) fn demand_strength(passphrase: &SecretBytes) -> Result<(), KmsError> {
    let characters = passphrase.expose_str().map_or(passphrase.len(), |text| text.chars().count());
    if characters < SHORTEST {
        return Err(KmsError::ShortPassphrase { least: SHORTEST });
    }
    let is_weak = passphrase.expose_str().is_some_and(is_weak);
    if is_weak { Err(KmsError::WeakPassphrase) } else { Ok(()) }
}

/// Long, and still among the first guesses: few different characters, characters in a row, or one
/// of those that everybody takes, whatever stands around it.
fn is_weak(text: &str) -> bool {
    let plain: Vec<char> = text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    let letters: String = plain.iter().filter(|c| c.is_alphabetic()).collect();
    let different: BTreeSet<char> = text.chars().collect();
    let step = |pair: &[char]| match pair {
        [first, second] => u32::from(*second).abs_diff(u32::from(*first)),
        _ => 0,
    };
    let in_a_row = plain.windows(2).filter(|pair| step(pair) <= 1).count();
    let whole: String = plain.iter().collect();
    let is_classic = |classic: &&str| {
        let rest = |text: &str| text.replace(*classic, "").chars().count();
        letters == **classic || rest(&whole) <= 4 && rest(&whole) < whole.chars().count()
    };
    different.len() < LEAST_DIFFERENT
        || in_a_row * 4 >= plain.len() * 3
        || CLASSICS.iter().any(is_classic)
}

/// Argon2id fills memory for a good part of a second.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KmsError> + Send + 'static,
) -> Result<T, KmsError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| KmsError::Crypto(CryptoError::TooLarge))?
}

fn unwrapped(row: &PassphraseRow, passphrase: &SecretBytes) -> Result<Key, CryptoError> {
    let effort = effort(row);
    let stretched = crypto::stretch(passphrase, &row.salt, effort)?;
    let aad = aad(&row.master_id, &row.salt, effort);
    let opened = crypto::open(parent(&stretched), Layer::MasterKey, &aad, &row.wrapped)?;
    let key = Key::from_slice(opened.expose()).ok_or(CryptoError::Malformed)?;
    let is_named_right = hex(&crypto::key_id(&key, label::MASTER_KEY_ID)) == row.master_id;
    if is_named_right { Ok(key) } else { Err(CryptoError::NotAuthentic) }
}

/// The same key under what a guess should cost today; None where it does already.
fn raised(
    row: &PassphraseRow,
    key: &Key,
    passphrase: &SecretBytes,
) -> Result<Option<PassphraseRow>, CryptoError> {
    if !effort(row).is_outdated() {
        return Ok(None);
    }
    wrapped(&row.master_id, key, passphrase, row.created_at).map(Some)
}

fn wrapped(
    master_id: &str,
    key: &Key,
    passphrase: &SecretBytes,
    created_at: i64,
) -> Result<PassphraseRow, CryptoError> {
    let effort = Effort::PRESENT;
    let salt: [u8; SALT_BYTES] = random_bytes()?;
    let stretched = crypto::stretch(passphrase, &salt, effort)?;
    let aad = aad(master_id, &salt, effort);
    Ok(PassphraseRow {
        master_id: master_id.to_owned(),
        wrapped: crypto::seal(parent(&stretched), Layer::MasterKey, &aad, key.expose())?,
        salt: salt.to_vec(),
        memory_kib: effort.memory_kib,
        passes: effort.passes,
        lanes: effort.lanes,
        created_at,
        updated_at: created_at,
    })
}

fn parent(stretched: &Key) -> Parent<'_> {
    Parent { id: crypto::key_id(stretched, label::PASSPHRASE_ID), key: stretched }
}

fn effort(row: &PassphraseRow) -> Effort {
    Effort { memory_kib: row.memory_kib, passes: row.passes, lanes: row.lanes }
}

fn aad(master_id: &str, salt: &[u8], effort: Effort) -> Aad {
    Aad::new("master-key")
        .with(master_id.as_bytes())
        .with(salt)
        .with_number(u64::from(effort.memory_kib))
        .with_number(u64::from(effort.passes))
        .with_number(u64::from(effort.lanes))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Clock;
    use crate::store::{KekRow, KekState, Settings, Target};

    const PASSPHRASE: &[u8] = b"correct horse battery";

    async fn store(folder: &tempfile::TempDir, clock: &Clock) -> Store {
        let target = Target::Sqlite(folder.path().join("test.db"));
        Store::open(&Settings { target }, clock.clone()).await.unwrap()
    }

    async fn opened(ground: &Ground<'_>, passphrase: &[u8]) -> Result<String, KmsError> {
        open(ground, SecretBytes::copy_of(passphrase)).await.map(|key| key.id().id)
    }

    #[tokio::test]
    async fn the_right_passphrase_opens_and_every_other_is_wrong() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::settable(1));
        let store = store(&folder, &clock).await;
        let ground = Ground { store: &store, clock: &clock, installation: Uuid::nil() };
        let none = opened(&ground, PASSPHRASE).await.unwrap_err();
        assert!(matches!(none, KmsError::NotSetUp), "{none}");
        let short = create_if_missing(&ground, SecretBytes::copy_of(b"too short")).await;
        assert!(matches!(short, Err(KmsError::ShortPassphrase { .. })));
        assert!(create_if_missing(&ground, SecretBytes::copy_of(PASSPHRASE)).await.unwrap());
        assert!(
            !create_if_missing(&ground, SecretBytes::copy_of(b"another one, long")).await.unwrap()
        );
        let row = store.master_passphrases().await.unwrap().rows.remove(0);
        assert_eq!(opened(&ground, PASSPHRASE).await.unwrap(), row.master_id);
        for wrong in [&b""[..], b"correct horse batterz", b"correct horse battery "] {
            let fault = opened(&ground, wrong).await.unwrap_err();
            assert!(matches!(fault, KmsError::WrongPassphrase), "{fault}");
        }
    }

    #[tokio::test]
    async fn a_cheap_guess_becomes_dear_at_the_next_opening() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::settable(1));
        let store = store(&folder, &clock).await;
        let ground = Ground { store: &store, clock: &clock, installation: Uuid::nil() };
        let cheap = Effort { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
        let key = Key::copy_of(&[5; 32]);
        let id = hex(&crypto::key_id(&key, label::MASTER_KEY_ID));
        let passphrase = SecretBytes::copy_of(PASSPHRASE);
        let stretched = crypto::stretch(&passphrase, &[9; 16], cheap).unwrap();
        let aad = aad(&id, &[9; 16], cheap);
        let row = PassphraseRow {
            master_id: id.clone(),
            wrapped: crypto::seal(parent(&stretched), Layer::MasterKey, &aad, key.expose())
                .unwrap(),
            salt: vec![9; 16],
            memory_kib: cheap.memory_kib,
            passes: cheap.passes,
            lanes: cheap.lanes,
            created_at: 1,
            updated_at: 1,
        };
        store.insert_master_passphrase(&row).await.unwrap();
        assert_eq!(opened(&ground, PASSPHRASE).await.unwrap(), id);
        let dear = store.master_passphrases().await.unwrap().rows.remove(0);
        assert_eq!(effort(&dear), Effort::PRESENT);
        assert_ne!(dear.salt, row.salt);
        assert_eq!(opened(&ground, PASSPHRASE).await.unwrap(), id);
        let edited = PassphraseRow { passes: 2, ..dear.clone() };
        assert!(store.replace_master_passphrase(&edited, &dear.wrapped).await.unwrap());
        assert!(opened(&ground, PASSPHRASE).await.is_err());
    }

    /// A row as somebody might lay it there: of another passphrase, and the newest.
    fn foreign(at: i64) -> PassphraseRow {
        let effort = Effort { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
        let key = Key::fill_with(crypto::fill_random).unwrap();
        let id = hex(&crypto::key_id(&key, label::MASTER_KEY_ID));
        let other = SecretBytes::copy_of(b"some other passphrase");
        let salt = vec![7; 16];
        let stretched = crypto::stretch(&other, &salt, effort).unwrap();
        let aad = aad(&id, &salt, effort);
        PassphraseRow {
            wrapped: crypto::seal(parent(&stretched), Layer::MasterKey, &aad, key.expose())
                .unwrap(),
            master_id: id,
            salt,
            memory_kib: effort.memory_kib,
            passes: effort.passes,
            lanes: effort.lanes,
            created_at: at,
            updated_at: at,
        }
    }

    async fn name(store: &Store, master_id: &str) {
        let kek = KekRow {
            id: Uuid::now_v7(),
            category: String::from("ai"),
            generation: 1,
            wrapped: vec![1],
            master: MasterId { kind: MasterKind::Passphrase, id: master_id.to_owned() },
            state: KekState::Active,
            wraps: 0,
            wraps_seal: None,
            created_at: 1,
        };
        store.insert_kek(&kek).await.unwrap();
    }

    #[tokio::test]
    async fn rows_that_somebody_lays_beside_it_hide_no_master_key_that_is_in_use() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::settable(1));
        let store = store(&folder, &clock).await;
        let ground = Ground { store: &store, clock: &clock, installation: Uuid::nil() };
        create_if_missing(&ground, SecretBytes::copy_of(PASSPHRASE)).await.unwrap();
        let real = store.master_passphrases().await.unwrap().rows.remove(0).master_id;
        name(&store, &real).await;
        for at in 0..10 {
            store.insert_master_passphrase(&foreign(1000 + at)).await.unwrap();
        }
        assert_eq!(opened(&ground, PASSPHRASE).await.unwrap(), real);
        // Nor do rows that can open nothing, and a guess beside them is a wrong passphrase.
        let torn = PassphraseRow { wrapped: vec![0; 9], ..foreign(5000) };
        store.insert_master_passphrase(&torn).await.unwrap();
        let wrong = opened(&ground, b"correct horse batterz").await.unwrap_err();
        assert!(matches!(wrong, KmsError::WrongPassphrase), "{wrong}");
    }

    #[tokio::test]
    async fn what_killed_rotations_have_left_is_not_taken_up_and_goes_with_the_next_one() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::settable(1));
        let store = store(&folder, &clock).await;
        let ground = Ground { store: &store, clock: &clock, installation: Uuid::nil() };
        let said = || SecretBytes::copy_of(PASSPHRASE);
        create_if_missing(&ground, said()).await.unwrap();
        let first = open(&ground, said()).await.unwrap().id();
        name(&store, &first.id).await;
        clock.advance(std::time::Duration::from_secs(1));
        // Killed before its job began.
        let left = stage(&ground, said()).await.unwrap().id();
        assert_ne!(left, first);
        let all = open_all(&ground, said()).await.unwrap();
        assert_eq!(all.first().unwrap().id(), first, "the one in use wraps on");
        let next = stage(&ground, said()).await.unwrap().id();
        assert!(next != left && next != first);
        store.insert_master_passphrase(&foreign(7)).await.unwrap();
        name_only(&store, &next).await;
        sweep(&ground, &[first.clone(), left.clone(), next.clone()]).await.unwrap();
        let rows = store.master_passphrases().await.unwrap().rows;
        assert_eq!(rows.len(), 2, "the one in use, and what was never opened here");
        assert!(rows.iter().any(|row| row.master_id == next.id));
    }

    async fn name_only(store: &Store, master: &MasterId) {
        let sql = format!("UPDATE keks SET master_id = '{}'", master.id);
        store.tamper(Box::leak(sql.into_boxed_str())).await;
    }

    #[test]
    fn what_everybody_takes_is_no_passphrase() {
        let strength = |text: &str| demand_strength(&SecretBytes::copy_of(text.as_bytes()));
        for weak in [
            "aaaaaaaaaaaa",
            "abababababab",
            "abcabcabcabcabc",
            "123456789012",
            "1234567890123456",
            "abcdefghijklmnop",
            "aaaabbbbccccdddd",
            "passwordpassword",
            "Password1234",
            "P-a-s-s-w-o-r-d-1",
            "qwertyuiop12",
            "administrator",
            "changemechangeme",
        ] {
            assert!(matches!(strength(weak), Err(KmsError::WeakPassphrase)), "{weak}");
        }
        for strong in ["some quite long words", "tr0ub4dor&3-lantern", "a long enough passphrase"] {
            assert!(strength(strong).is_ok(), "{strong}");
        }
    }
}
