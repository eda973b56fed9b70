//! A report on its way to a destination: to a webhook as JSON in the form of every message, by
//! e-mail as a page that hangs on it. It is delivered as alerts are, until it is confirmed.
//! Must never be sent to a destination that nobody named.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Alerts, DestinationError, Way};
use crate::clock::rfc3339;

/// What is sent.
pub(crate) struct Parcel {
    pub(crate) kind: &'static str,
    pub(crate) title: &'static str,
    pub(crate) from_ms: i64,
    /// Before this moment.
    pub(crate) to_ms: i64,
    pub(crate) report: Value,
    pub(crate) page: String,
    /// Of a file, but for its ending.
    pub(crate) name: String,
}

/// What became of handing it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandedOver {
    Waiting,
    /// There is no destination of this name, or it is not as it was left.
    Nobody,
    /// A line of syslog holds no report.
    Syslog,
}

impl Alerts {
    /// Handed over twice under one id it is sent once.
    pub(crate) async fn hand_over(
        &self,
        to: &str,
        id: Uuid,
        parcel: &Parcel,
    ) -> Result<HandedOver, DestinationError> {
        let store = &self.parts.store;
        let all = store.destinations().await?;
        let Some(row) = all.into_iter().find(|row| row.name == to) else {
            return Ok(HandedOver::Nobody);
        };
        let Some(destination) = self.open_destination(&row)? else {
            return Ok(HandedOver::Nobody);
        };
        let body = match destination.way {
            Way::Webhook { .. } => parcel.body(("report", parcel.report.clone())),
            Way::Email { .. } => parcel.body(("page", json!(parcel.page))),
            Way::Syslog => return Ok(HandedOver::Syslog),
        };
        store.add_report_delivery(row.id, (id, &body), self.now_ms()).await?;
        Ok(HandedOver::Waiting)
    }
}

impl Parcel {
    fn body(&self, (member, content): (&str, Value)) -> String {
        json!({
            "type": "report.made",
            "timestamp": rfc3339(self.to_ms),
            "data": {
                "kind": self.kind, "title": self.title, "name": self.name,
                "from": rfc3339(self.from_ms), "to": rfc3339(self.to_ms), member: content,
            },
        })
        .to_string()
    }
}
