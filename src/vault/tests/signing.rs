//! The keys that sign tokens: the same on every node, and none but those that the house made.

use super::*;

async fn ids(vault: &Vault) -> Vec<String> {
    vault.published_keys().await.unwrap().iter().map(|key| key.id.clone()).collect()
}

/// What is published is looked up again.
fn a_moment_later(house: &House) {
    house.clock.advance(Duration::from_secs(2));
}

#[tokio::test]
async fn every_node_signs_with_the_same_key_and_makes_it_once() {
    let house = house().await;
    // Before anything of it was made.
    let other = house.another_node().await;
    let (here, there) = tokio::join!(house.vault.signer(), other.signer());
    let id = here.unwrap().id();
    assert_eq!(there.unwrap().id(), id);
    assert_eq!((ids(&house.vault).await, ids(&other).await), (vec![id.clone()], vec![id.clone()]));
    assert_eq!(house.another_node().await.signer().await.unwrap().id(), id);
    // A generation that the other node has not heard of.
    house.vault.rotate_keks(None).await.unwrap();
    a_moment_later(&house);
    assert_eq!(ids(&other).await, [id]);
}

#[tokio::test]
async fn a_row_that_somebody_put_there_is_not_published_and_an_edited_one_neither() {
    let house = house().await;
    let own = house.vault.signer().await.unwrap().id();
    let copied = "INSERT INTO signing_keys (number, kek_id, sealed, created_at)
        SELECT number + 1, kek_id, sealed, created_at FROM signing_keys";
    assert_eq!(house.store.tamper(copied).await, 1);
    a_moment_later(&house);
    assert_eq!(ids(&house.vault).await, std::slice::from_ref(&own));
    assert_eq!(house.vault.signer().await.unwrap().id(), own);
    // Made to look younger, it would never be followed by another one.
    let younger = "UPDATE signing_keys SET created_at = created_at + 1 WHERE number = 1";
    assert_eq!(house.store.tamper(younger).await, 1);
    a_moment_later(&house);
    let now = ids(&house.vault).await;
    assert_eq!(now.len(), 1);
    assert!(now[0] != own, "what was edited is replaced");
}

#[tokio::test]
async fn sealed_the_house_neither_signs_nor_tells_its_keys() {
    let house = house().await;
    house.vault.signer().await.unwrap();
    ids(&house.vault).await;
    house.vault.seal();
    assert!(matches!(house.vault.signer().await, Err(VaultError::Sealed)));
    assert!(matches!(house.vault.published_keys().await, Err(VaultError::Sealed)));
}
