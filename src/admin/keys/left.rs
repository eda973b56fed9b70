//! What is left to a client key, of the calls through the proxy and of those of the admin face.
//! Looking counts nothing. Must never stop a client key from being shown: where a quota cannot be
//! read, it is null.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::call::Call;
use super::super::refused::Refused;
use super::view::ClientKey;
use crate::clock::rfc3339;
use crate::limiter::Figures;
use crate::roster::compiled;
use crate::store::ClientKeyRow;

/// A client key, and what is left to it.
#[derive(Serialize, ToSchema)]
#[schema(title = "ClientKeyWithLimits")]
pub(super) struct WithLimits {
    #[serde(flatten)]
    key: ClientKey,
    limits: Limits,
}

#[derive(Serialize, ToSchema)]
struct Limits {
    /// Null where limits are switched off, and for a key that cannot be used as it stands.
    proxy: Option<Proxy>,
    /// Of one minute, whatever the role.
    admin: Bound,
}

#[derive(Serialize, ToSchema)]
struct Proxy {
    #[serde(flatten)]
    window: Bound,
    window_seconds: u64,
    /// Null where there is no monthly quota.
    month: Option<Bound>,
}

#[derive(Serialize, ToSchema)]
struct Bound {
    limit: u64,
    used: u64,
    remaining: u64,
    #[schema(format = DateTime)]
    reset_at: String,
}

impl WithLimits {
    pub(super) async fn of(
        call: &Call,
        row: &ClientKeyRow,
        key: ClientKey,
    ) -> Result<Self, Refused> {
        let house = &call.house;
        let left = house.rate.look(row.id);
        let admin = Bound {
            limit: left.quota,
            used: left.used,
            remaining: left.quota.saturating_sub(left.used),
            reset_at: rfc3339(left.reset_at_ms),
        };
        let Ok(client) = compiled(row) else {
            return Ok(Self { key, limits: Limits { proxy: None, admin } });
        };
        let proxy = house.limiter.left_to_key(&client).await.map_err(|e| Refused::of_store(&e))?;
        let proxy = proxy.map(|left| Proxy {
            window: bound(left.window),
            window_seconds: house.limiter.window_seconds(),
            month: left.month.map(bound),
        });
        Ok(Self { key, limits: Limits { proxy, admin } })
    }
}

fn bound(figures: Figures) -> Bound {
    Bound {
        limit: figures.quota,
        used: figures.used,
        remaining: figures.remaining,
        reset_at: rfc3339(figures.reset_unix_seconds.saturating_mul(1000)),
    }
}
