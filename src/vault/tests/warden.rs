//! Sealed and unsealed beside a database that fails in between, and guesses that are counted.

use super::*;
use crate::kms::{self, Settings as KmsSettings};
use crate::vault::warden::UnsealError;
use crate::vault::{Hooks, Warden};

fn warden(house: &House, settings: KmsSettings) -> Warden {
    let hooks = Hooks { cut: Box::new(|| Box::pin(async { true })), ring: Box::new(|_| {}) };
    let base = (house.store.clone(), house.clock.clone(), house.vault.installation);
    Warden::new(Arc::clone(&house.vault), settings, base, hooks)
}

#[tokio::test]
async fn a_database_that_fails_while_the_vault_opens_leaves_it_sealed_as_it_says() {
    let house = house().await;
    house.vault.add(new("polygon", "default", "polygon-key-0123456789")).await.unwrap();
    let path = house.folder.path().join("master.key");
    std::fs::write(&path, [3; 32]).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).unwrap();
    let warden = warden(&house, KmsSettings::File { path });
    warden.start().await.unwrap();
    warden.seal().await.unwrap();
    // What is looked at last.
    house.store.tamper("ALTER TABLE master_passphrases RENAME TO away").await;
    assert!(matches!(warden.unseal(None).await, Err(UnsealError::Vault(_))));
    assert!(warden.reason().is_some(), "it says sealed");
    assert!(house.vault.is_sealed(), "and is");
    assert_eq!(opened(&house, "polygon", None), Err(Reason::Sealed));
    house.store.tamper("ALTER TABLE away RENAME TO master_passphrases").await;
    assert!(warden.unseal(None).await.unwrap());
    assert!(warden.reason().is_none() && opened(&house, "polygon", None).is_ok());
}

#[tokio::test]
async fn a_guess_is_counted_whatever_rows_lie_beside_the_real_one() {
    let house = house().await;
    let settings = KmsSettings::Passphrase { source: None };
    let typed = |text: &str| Some(SecretBytes::copy_of(text.as_bytes()));
    let ground = kms::Ground {
        store: &house.store,
        clock: &house.clock,
        installation: house.vault.installation,
    };
    let right = "a long enough passphrase";
    kms::create_if_missing(&settings, &ground, typed(right)).await.unwrap();
    house.vault.seal();
    let warden = warden(&house, settings);
    for row in [
        // Malformed, and the real one's bytes under another name.
        "VALUES ('m1', x'00', x'00', 1, 1, 1, 9, 9)",
        "SELECT 'm2', wrapped, salt, memory_kib, passes, lanes, 9, 9 FROM master_passphrases
            WHERE master_id <> 'm1'",
    ] {
        let sql = format!(
            "INSERT INTO master_passphrases (master_id, wrapped, salt, memory_kib, passes, lanes,
            created_at, updated_at) {row}"
        );
        house.store.tamper(Box::leak(sql.into_boxed_str())).await;
    }
    let wrong = warden.unseal(typed("not the right passphrase")).await;
    assert!(matches!(wrong, Err(UnsealError::Vault(_))), "{wrong:?}");
    let soon = warden.unseal(typed(right)).await;
    assert!(matches!(soon, Err(UnsealError::TooSoon { .. })), "{soon:?}");
}
