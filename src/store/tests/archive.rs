//! What a backup takes along, and that it is the same in both dialects.

use super::{Bed, Pools};
use crate::store::archive::{ARCHIVED, LEFT_OUT};

#[tokio::test]
async fn every_table_is_archived_or_left_out_on_purpose() {
    const TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table'
        AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_sqlx%' ORDER BY name";
    let bed = Bed::sqlite().await;
    let Pools::Sqlite { readers, .. } = &bed.store.pools else { panic!("not SQLite") };
    let found: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(readers).await.unwrap();
    let archived = ARCHIVED.iter().map(|table| table.name);
    let mut listed: Vec<&str> = archived.chain(LEFT_OUT.iter().copied()).collect();
    listed.sort_unstable();
    assert_eq!(
        found, listed,
        "a new table belongs into the backup, or on the list of those \
        that do not"
    );
}
