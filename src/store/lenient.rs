//! Rows as they come, one by one: a row of which a cell cannot be read is an error of its own,
//! which names table, row and column, and hides no other row. Somebody with the database's
//! password may have put text where a number belongs, or bytes that are no text.
//! Must never repeat what stands in such a cell: only the row's key is shown.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use sqlx::error::BoxDynError;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, Database, Decode, FromRow, Row, Sqlite, Type, ValueRef};

use super::Error;
use super::columns::Place;

/// A row that cannot be read, with its cells for whoever tells what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unread {
    pub(super) fault: Error,
    cells: Vec<Vec<u8>>,
}

/// The one who reads cells whatever their class is.
pub(super) trait Cells: Row {
    fn bytes(&self, at: usize) -> Vec<u8>;
}

/// A cell without which the rest of its row is as good; none where it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell<T>(Option<T>);

/// What is said of a cell that cannot be read.
pub(super) const UNREADABLE: &str = "holds what such a column cannot hold";
/// Of a key, so much is shown.
const SHOWN: usize = 100;

impl Unread {
    pub(super) fn bytes(&self, at: usize) -> Vec<u8> {
        self.cells.get(at).cloned().unwrap_or_default()
    }

    pub(super) fn text(&self, at: usize) -> String {
        String::from_utf8_lossy(&self.bytes(at)).into_owned()
    }
}

impl From<Unread> for Error {
    fn from(unread: Unread) -> Self {
        unread.fault
    }
}

impl Cells for SqliteRow {
    fn bytes(&self, at: usize) -> Vec<u8> {
        let value = self.try_get_raw(at).ok().filter(|value| !value.is_null());
        // Numbers come as their digits.
        let bytes = value.map(<Vec<u8> as Decode<'_, Sqlite>>::decode);
        bytes.and_then(Result::ok).unwrap_or_default()
    }
}

impl Cells for PgRow {
    fn bytes(&self, at: usize) -> Vec<u8> {
        if let Ok(Some(number)) = self.try_get::<Option<i64>, _>(at) {
            return number.to_string().into_bytes();
        }
        let value = self.try_get_raw(at).ok().filter(|value| !value.is_null());
        value.and_then(|value| value.as_bytes().ok().map(<[u8]>::to_vec)).unwrap_or_default()
    }
}

impl<T> Cell<T> {
    pub(super) fn or(self, instead: T) -> T {
        self.0.unwrap_or(instead)
    }
}

impl<T, D: Database> Type<D> for Cell<T>
where
    T: Type<D>,
{
    fn type_info() -> D::TypeInfo {
        T::type_info()
    }

    fn compatible(_: &D::TypeInfo) -> bool {
        true
    }
}

impl<'r, T, D: Database> Decode<'r, D> for Cell<T>
where
    T: Decode<'r, D> + Type<D>,
{
    fn decode(value: D::ValueRef<'r>) -> Result<Self, BoxDynError> {
        let is_right = value.is_null() || T::compatible(&value.type_info());
        Ok(Self(if is_right { T::decode(value).ok() } else { None }))
    }
}

/// Each row by itself.
pub(super) fn all<T, R>(table: &'static str, rows: &[R]) -> Vec<Result<T, Unread>>
where
    R: Cells,
    T: for<'r> FromRow<'r, R>,
{
    rows.iter().map(|row| read(table, row)).collect()
}

/// The one row, if there is one.
pub(super) fn one<T, R>(table: &'static str, row: Option<&R>) -> Result<Option<T>, Error>
where
    R: Cells,
    T: for<'r> FromRow<'r, R>,
{
    row.map(|row| read(table, row)).transpose().map_err(Error::from)
}

fn read<T, R>(table: &'static str, row: &R) -> Result<T, Unread>
where
    R: Cells,
    T: for<'r> FromRow<'r, R>,
{
    T::from_row(row).map_err(|fault| Unread {
        fault: named(table, row, fault),
        cells: (0..row.columns().len()).map(|at| row.bytes(at)).collect(),
    })
}

fn named<R: Cells>(table: &'static str, row: &R, fault: sqlx::Error) -> Error {
    let sqlx::Error::ColumnDecode { index, .. } = &fault else { return fault.into() };
    let name = index.trim_matches('"');
    // Of a tuple the driver knows the place alone.
    let by_place = name.parse().ok().and_then(|at: usize| row.columns().get(at));
    let column = interned(by_place.map_or(name, |column| column.name()));
    let key: Vec<String> = (0..keys(table)).map(|at| shown(&row.bytes(at))).collect();
    Place { table, row: &key.join(" ") }.contradiction(column, UNREADABLE)
}

/// How many columns at the front of every reading statement name the row.
fn keys(table: &str) -> usize {
    match table {
        "secret_versions" | "record_blocks" | "record_checkpoints" | "record_archives"
        | "record_marks" | "recent_calls" | "market_series" | "backfill_parts"
        | "client_addresses" => 2,
        "client_routes" => 4,
        "repeated_calls" => 5,
        "market_data" => 3,
        _ => 1,
    }
}

/// A key as people may see it, whatever it is.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown: String = text.split(char::is_control).collect::<Vec<_>>().join(" ");
    shown.chars().take(SHOWN).collect()
}

/// Names of columns come from statements alone, of which there are so many and no more.
pub(super) fn interned(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(name);
    name
}
