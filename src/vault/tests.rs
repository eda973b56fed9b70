//! The vault against a real SQLite database: what is sealed opens for its own meaning and for no
//! other. Every row that could be swapped, moved or edited is.
//! Must never be the only proof of the envelope itself: that is in `crypto`.

mod anchors;
mod hierarchy;
mod interop;
mod inventory;
mod nodes;
mod signing;
mod warden;

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
    house_under(async |_, _| masters(3)).await
}

/// Whose master key is made once there is a database.
async fn house_under(masters: impl AsyncFn(&Store, &Clock) -> Arc<Masters>) -> House {
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
        masters(&store, &clock).await,
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

/// As a call does it: placed, and kept for those that follow.
fn placed(house: &House, now_ns: u64) -> Arc<Placed> {
    let permit = permit(house, "polygon", None);
    let selected = house.vault.select(&permit).ok().unwrap();
    let now = Moment { monotonic_ns: now_ns, ..NOW };
    let opened = house.vault.open(&permit, &selected, now).ok().unwrap();
    let place = |_: &Fresh| {
        let needles = Arc::new(crate::secret::Needles::new(Vec::new()));
        Ok::<_, ()>(Placed { values: Vec::new(), hails: Vec::new(), needles, may_stay: true })
    };
    opened.placed(place).unwrap()
}

#[tokio::test]
async fn a_kept_value_serves_for_its_time_and_then_goes_whether_anybody_asks_or_not() {
    const KEEP_NS: u64 = 60_000_000_000;
    let mut house = house().await;
    let settings = Settings {
        kek_max_age_days: 0,
        keep_opened: Duration::from_nanos(KEEP_NS),
        locked_memory_bytes: 0,
    };
    let (store, clock) = (house.store.clone(), house.clock.clone());
    let catalogue = house.catalogue.clone();
    let vault = Vault::sealed(store, clock, catalogue, house.vault.installation);
    house.vault = Arc::new(vault.keeping_opened(&settings));
    house.vault.unseal(masters(3)).await.unwrap();
    house.vault.add(new("polygon", "default", "polygon-key-0123456789")).await.unwrap();
    let drop_stale = |now_ns| {
        let unsealed = house.vault.opened.load_full().unwrap();
        unsealed.snapshot.drop_stale(now_ns, KEEP_NS);
    };
    let first = placed(&house, 1);
    assert!(Arc::ptr_eq(&first, &placed(&house, KEEP_NS)), "within its time it serves again");
    let kept = Arc::downgrade(&first);
    drop(first);
    drop_stale(KEEP_NS);
    assert!(kept.upgrade().is_some(), "its time is not over");
    drop_stale(KEEP_NS + 1);
    assert!(kept.upgrade().is_none(), "nobody asked, and it is gone");
    // Asked for after its time it is opened anew, though nobody has looked.
    let second = placed(&house, 2 * KEEP_NS);
    let third = placed(&house, 3 * KEEP_NS);
    assert!(!Arc::ptr_eq(&second, &third));
    let (kept, remains) = (Arc::downgrade(&third), house.vault.seal());
    drop((second, third));
    assert!(remains.gone(Duration::from_millis(30)).await && kept.upgrade().is_none());
}

#[tokio::test]
async fn a_kept_value_is_dropped_by_the_house_itself_when_its_time_is_over() {
    let mut house = house().await;
    let keep_opened = Duration::from_millis(200);
    let settings = Settings { kek_max_age_days: 0, keep_opened, locked_memory_bytes: 0 };
    let clock = Clock::system();
    let (store, catalogue) = (house.store.clone(), house.catalogue.clone());
    let vault = Vault::sealed(store, clock.clone(), catalogue, house.vault.installation);
    house.vault = Arc::new(vault.keeping_opened(&settings));
    house.vault.unseal(masters(3)).await.unwrap();
    house.vault.add(new("polygon", "default", "polygon-key-0123456789")).await.unwrap();
    let tending = tokio::spawn(Arc::clone(&house.vault).tend());
    let kept = Arc::downgrade(&placed(&house, clock.monotonic_ns()));
    assert!(kept.upgrade().is_some());
    for _ in 0..500 {
        if kept.upgrade().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tending.abort();
    assert!(kept.upgrade().is_none(), "it is kept for ever");
}

#[tokio::test]
async fn a_fingerprint_is_keyed_so_that_no_other_house_makes_the_same_one() {
    let value = vec![(String::from("api_key"), SecretBytes::copy_of(b"polygon-key-0123456789"))];
    let secret = Uuid::from_u128(7);
    let mut told = Vec::new();
    // Installations of the same master key, so that nothing but their own keys differs.
    for _ in 0..2 {
        let house = house().await;
        house.vault.add(new("polygon", "default", "polygon-key-0123456789")).await.unwrap();
        house.vault.add(new("polygon", "second", "polygon-key-0123456789")).await.unwrap();
        let row = house.store.inventory("market-data").await.unwrap().unwrap();
        let keyring = house.vault.unsealed().unwrap().keyring.share();
        let list = crate::vault::inventory::Inventory::open(&keyring, &row).unwrap();
        let fingerprint = fields::fingerprint(&list.fingerprint_key, secret, &value);
        assert_eq!(fingerprint, fields::fingerprint(&list.fingerprint_key, secret, &value));
        for stored in house.store.secrets().await.unwrap().rows {
            let own = fields::fingerprint(&list.fingerprint_key, stored.secret.id, &value);
            assert_eq!(stored.secret.fingerprint, own, "it is what the list's key makes of it");
            told.push(own);
        }
        told.push(fingerprint);
    }
    let all = told.len();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), all, "equal values show: {told:?}");
}
