//! The vault against a real SQLite database: what is sealed opens for its own meaning and for no
//! other. Every row that could be swapped, moved or edited is.
//! Must never be the only proof of the envelope itself: that is in `crypto`.

mod anchors;
mod hierarchy;
mod interop;
mod inventory;
mod signing;

use super::*;
use crate::client::{Client, Role};
use crate::kms::Master;
use crate::policy;
use crate::provider::Catalogue;
use crate::secret::Key;
use crate::secret::SecretBytes;
use crate::store::{MasterKind, RowKey, Settings as StoreSettings, Target};

struct House {
    vault: Arc<Vault>,
    store: Store,
    clock: Clock,
    catalogue: Arc<Catalogue>,
    folder: tempfile::TempDir,
}

const NOW: Moment = Moment { unix_ms: 1_800_000_000_000, monotonic_ns: 1 };

fn masters(byte: u8) -> Arc<Masters> {
    let master = Master::local(MasterKind::File, Key::copy_of(&[byte; 32]));
    Arc::new(Masters::of(master))
}

async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::settable(1_800_000_000_000);
    let target = Target::Sqlite(folder.path().join("test.db"));
    let store = Store::open(&StoreSettings { target }, clock.clone()).await.unwrap();
    let catalogue = Arc::new(Catalogue::build(&[]).unwrap());
    let installation = Uuid::now_v7();
    let vault = Vault::open_house(
        store.clone(),
        clock.clone(),
        catalogue.clone(),
        masters(3),
        installation,
    );
    let vault = Arc::new(vault.await.unwrap());
    // By which a house that has begun judges its rows.
    store.seal_rows_by(RowKey::Here(Key::copy_of(&[9; 32])));
    House { vault, store, clock, catalogue, folder }
}

impl House {
    /// The same house as another process sees it.
    async fn another_node(&self) -> Vault {
        let catalogue = Catalogue::build(&[]).unwrap();
        self.node_with(catalogue).await
    }

    async fn node_with(&self, catalogue: Catalogue) -> Vault {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let installation = self.vault.installation;
        let opened = Vault::open_house(store, clock, Arc::new(catalogue), masters(3), installation);
        opened.await.unwrap()
    }
}

fn permit(house: &House, provider: &str, secret: Option<&str>) -> Permit {
    permit_of(&house.catalogue, provider, secret)
}

fn permit_of(catalogue: &Catalogue, provider: &str, secret: Option<&str>) -> Permit {
    let client = Arc::new(Client::of_role(Role::User));
    let provider = catalogue.get(provider).unwrap();
    let from = policy::Whence { address: [127, 0, 0, 1].into(), origin: None };
    let request = policy::Request { provider, method: "GET", segments: &["v1"], secret, from };
    policy::authorize(&client, &request).ok().unwrap()
}

fn new(provider: &str, name: &str, value: &str) -> NewSecret {
    NewSecret {
        provider: provider.to_owned(),
        name: name.to_owned(),
        fields: vec![(String::from("api_key"), SecretBytes::copy_of(value.as_bytes()))],
        expires_at_ms: None,
        owner: None,
        labels: Vec::new(),
        created_by: String::from("test"),
    }
}

fn opened(house: &House, provider: &str, secret: Option<&str>) -> Result<Vec<u8>, Reason> {
    opened_by(&house.vault, &permit(house, provider, secret))
}

fn opened_by(vault: &Vault, permit: &Permit) -> Result<Vec<u8>, Reason> {
    let selected = vault.select(permit).map_err(|refusal| refusal.reason)?;
    let opened = vault.open(permit, &selected, NOW).map_err(|refusal| refusal.reason)?;
    let mut value = Vec::new();
    let looked_at = opened.placed(|fields| {
        value = fields.field("api_key").unwrap().to_vec();
        Err(())
    });
    assert!(looked_at.is_err());
    Ok(value)
}

#[tokio::test]
async fn a_secret_opens_for_a_permit_of_its_provider() {
    let house = house().await;
    assert_eq!(opened(&house, "polygon", None), Err(Reason::NoSecret));
    house.vault.add(new("polygon", "default", "polygon-key-0123456789")).await.unwrap();
    assert_eq!(opened(&house, "polygon", None).unwrap(), b"polygon-key-0123456789");
    assert_eq!(opened(&house, "massive", None), Err(Reason::NoSecret));
    assert_eq!(opened(&house, "polygon", Some("other")), Err(Reason::NotFound));
    let twice = house.vault.add(new("polygon", "default", "polygon-key-0123456789")).await;
    assert!(matches!(twice, Err(VaultError::Duplicate)));
}

#[tokio::test]
async fn a_wrong_shape_is_refused_before_anything_is_stored() {
    let house = house().await;
    let refused = house.vault.add(new("openai", "default", "not-an-openai-key-0123")).await;
    let Err(VaultError::BadFields(faults)) = refused else { panic!("accepted") };
    assert_eq!(faults[0].field, "fields.api_key");
    assert!(house.vault.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_disabled_or_destroyed_secret_serves_no_call() {
    let house = house().await;
    let view = house.vault.add(new("polygon", "default", "polygon-key-0123456789")).await.unwrap();
    let off = SecretPatch { active: Some(false), ..SecretPatch::default() };
    house.vault.set(view.id, off).await.unwrap();
    assert_eq!(opened(&house, "polygon", None), Err(Reason::NoSecret));
    let on = SecretPatch { active: Some(true), ..SecretPatch::default() };
    house.vault.set(view.id, on).await.unwrap();
    assert!(opened(&house, "polygon", None).is_ok());
    assert!(house.vault.destroy(view.id).await.unwrap());
    assert_eq!(opened(&house, "polygon", None), Err(Reason::NoSecret));
    assert!(!house.vault.destroy(view.id).await.unwrap());
}

#[tokio::test]
async fn a_replaced_value_takes_over_and_the_old_one_is_gone() {
    let house = house().await;
    let view = house.vault.add(new("polygon", "default", "polygon-key-0123456789")).await.unwrap();
    let fields = vec![(String::from("api_key"), SecretBytes::copy_of(b"polygon-key-new-9876543"))];
    let after = house.vault.replace(view.id, fields, "test").await.unwrap().unwrap();
    assert_eq!(opened(&house, "polygon", None).unwrap(), b"polygon-key-new-9876543");
    let states: Vec<_> = after.versions.iter().map(|version| version.state).collect();
    assert_eq!(states, ["destroyed", "active"]);
    assert_ne!(view.fingerprint, after.fingerprint);
}

#[tokio::test]
async fn envelopes_that_change_places_do_not_open() {
    let house = house().await;
    let one = house.vault.add(new("polygon", "one", "polygon-key-one-012345")).await.unwrap();
    let two = house.vault.add(new("polygon", "two", "polygon-key-two-012345")).await.unwrap();
    let envelope = |stored: &StoredSecret| stored.versions[0].envelope.clone().unwrap();
    let first = house.store.secret(one.id).await.unwrap().unwrap();
    let second = house.store.secret(two.id).await.unwrap().unwrap();
    let digest = first.versions[0].destinations;
    house.store.replace_envelope(one.id, 1, &envelope(&second), &digest).await.unwrap();
    house.store.replace_envelope(two.id, 1, &envelope(&first), &digest).await.unwrap();
    let changing = house.vault.changing.lock().await;
    house.vault.reload_locked(&changing).await.unwrap();
    assert_eq!(opened(&house, "polygon", Some("one")), Err(Reason::NoSecret));
    assert_eq!(opened(&house, "polygon", Some("two")), Err(Reason::NoSecret));
}

#[tokio::test]
async fn a_provider_that_was_pointed_at_another_host_opens_nothing() {
    let house = house().await;
    house.vault.add(new("polygon", "default", "polygon-key-0123456789")).await.unwrap();
    let elsewhere = "base_url = \"https://elsewhere.example\"".parse().unwrap();
    let moved = Catalogue::build(&[(String::from("polygon"), elsewhere)]).unwrap();
    let vault = Vault::open_house(
        house.store.clone(),
        Clock::settable(1_800_000_000_000),
        Arc::new(moved),
        masters(3),
        house.vault.installation,
    );
    let vault = vault.await.unwrap();
    let refusal = vault.select(&permit(&house, "polygon", None)).err().unwrap();
    assert_eq!(refusal.reason, Reason::NoSecret);
    assert!(refusal.detail.contains("secret reseal"), "{}", refusal.detail);
}

#[tokio::test]
async fn another_master_key_opens_no_house() {
    let house = house().await;
    house.vault.add(new("polygon", "default", "polygon-key-0123456789")).await.unwrap();
    let opened = Vault::open_house(
        house.store.clone(),
        Clock::settable(1_800_000_000_000),
        house.catalogue.clone(),
        masters(4),
        house.vault.installation,
    );
    assert!(matches!(opened.await, Err(VaultError::OtherMasterKey)));
}

#[tokio::test]
async fn a_change_under_way_does_not_open_a_vault_that_was_sealed_meanwhile() {
    let house = house().await;
    house.vault.add(new("polygon", "default", "polygon-key-0123456789")).await.unwrap();
    let changing = house.vault.changing.lock().await;
    let mut reloading = Box::pin(house.vault.reload_locked(&changing));
    let is_under_way = std::future::poll_fn(|context| {
        std::task::Poll::Ready(reloading.as_mut().poll(context).is_pending())
    });
    assert!(is_under_way.await);
    let remains = house.vault.seal();
    reloading.await.unwrap();
    assert!(house.vault.is_sealed());
    assert!(remains.gone(Duration::from_millis(30)).await);
    drop(changing);
    let refused = house.vault.add(new("massive", "default", "massive-key-0123456789")).await;
    assert!(matches!(refused, Err(VaultError::Sealed)));
    assert_eq!(opened(&house, "polygon", None), Err(Reason::Sealed));
    house.vault.unseal(masters(3)).await.unwrap();
    assert!(opened(&house, "polygon", None).is_ok());
}

#[tokio::test]
async fn what_a_call_under_way_holds_is_seen_until_it_lets_go() {
    const SHORT: Duration = Duration::from_millis(30);
    let house = house().await;
    house.vault.add(new("polygon", "default", "polygon-key-0123456789")).await.unwrap();
    let permit = permit(&house, "polygon", None);
    let selected = house.vault.select(&permit).ok().unwrap();
    let remains = house.vault.seal();
    assert!(!remains.gone(SHORT).await);
    drop(selected);
    assert!(remains.gone(SHORT).await);
    assert!(house.vault.seal().gone(SHORT).await, "sealed already, nothing is held");
}
