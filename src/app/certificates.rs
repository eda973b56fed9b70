//! Certificate files that change while the house stands: they are taken over without a restart.
//! Looks at them every other second, which works on every file system.
//! Must never leave a door without a certificate: one that is not usable changes nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::net::ServerTls;

/// Changed certificate files are in force after this at most.
const REFRESH_EVERY: Duration = Duration::from_secs(2);

/// Takes over changed certificate files; a fault is said once, the former certificate stays.
pub(super) async fn refresh(certificates: Vec<Arc<ServerTls>>) {
    let mut said = String::new();
    loop {
        tokio::time::sleep(REFRESH_EVERY).await;
        for fault in certificates.iter().filter_map(|certificate| certificate.refresh()) {
            let line = fault.to_string();
            if line != said {
                tracing::error!(fault = line, "a changed certificate is not usable");
                said = line;
            }
        }
    }
}
