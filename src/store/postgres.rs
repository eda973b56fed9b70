//! Opens a PostgreSQL database: reads the URL, migrates on a connection of its own, makes
//! the pool. Must never let the URL, or any part of it that could be the password, into a
//! text.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection};

use super::dialect::Pools;
use super::{Error, migrate};
use crate::secret::SecretBytes;

const CONNECTIONS: u32 = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The parameters that the driver knows. It would log any other with its value.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

const REACH: &str = "Check host and port in database.url, and that the server runs and lets us in.";
const SIGN_IN: &str = "Check user and password in database.url, and the server's pg_hba.conf.";

pub(super) async fn open(url: &SecretBytes) -> Result<(Pools, String), Error> {
    let options = read_url(url).map_err(|fault| Error::Open {
        place: String::from("PostgreSQL"),
        fault: fault.to_owned(),
        remedy: "Write postgres://user:password@host:5432/name, with / ? # @ : % in the password \
                 percent-encoded.",
    })?;
    let place = describe(&options);
    let refused = |fault, remedy| Error::Open { place: place.clone(), fault, remedy };

    let connecting = PgConnection::connect_with(&options);
    let mut first = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            let (fault, remedy) = explain(&error);
            return Err(refused(fault, remedy));
        }
        Err(_) => {
            let fault = format!("no answer within {} seconds", CONNECT_TIMEOUT.as_secs());
            return Err(refused(fault, REACH));
        }
    };
    migrate::postgres(&mut first, &place).await?;
    first.close().await?;

    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_lazy_with(options);
    Ok((Pools::Postgres(pool), place))
}

/// Stricter than the driver: an unescaped `/ ? # @` in a password would move its tail into the
/// host, the database's name or a parameter, and from there into logs.
fn read_url(url: &SecretBytes) -> Result<PgConnectOptions, &'static str> {
    let text = url.expose_str().ok_or("its URL is not UTF-8")?;
    let rest = text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"))
        .ok_or("its URL begins with neither postgres:// nor postgresql://")?;
    let (location, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = location.split_once('/').unwrap_or((location, ""));
    if authority.matches('@').count() > 1
        || database.contains(['@', '/', ':'])
        || rest.contains('#')
    {
        return Err("its URL cannot be read without doubt");
    }
    let mut names = parameters.split('&').filter_map(|parameter| parameter.split('=').next());
    let is_known =
        |name: &str| name.is_empty() || PARAMETERS.contains(&name) || name.starts_with("options[");
    if !names.all(is_known) {
        return Err("its URL has a parameter that is not known");
    }
    let options: PgConnectOptions = text.parse().map_err(|_| "its URL cannot be read")?;
    Ok(match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("sealgate"),
    })
}

fn describe(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or("(the user's own)");
    match (options.get_socket(), options.get_port()) {
        (Some(socket), _) => format!("PostgreSQL at {}/{database}", socket.display()),
        (None, 5432) => format!("PostgreSQL at {}/{database}", options.get_host()),
        (None, port) => format!("PostgreSQL at {}:{port}/{database}", options.get_host()),
    }
}

fn explain(error: &sqlx::Error) -> (String, &'static str) {
    let Some(refused) = error.as_database_error() else { return (error.to_string(), REACH) };
    match refused.code().as_deref() {
        // The server's own sentence repeats what stands in the URL where the user is expected.
        Some("28P01" | "28000") => {
            (String::from("the server refused the user name or the password"), SIGN_IN)
        }
        Some("3D000") => (
            String::from("the server has no such database"),
            "Create it (createdb), or correct its name in database.url.",
        ),
        Some(_) | None => (refused.message().to_owned(), REACH),
    }
}
