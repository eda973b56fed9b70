//! What is left of an unsealed vault after it was sealed: keys and prepared versions that calls
//! under way still hold. Counts them without holding any: whoever asks must not be who keeps
//! them alive.

use std::sync::Arc;
use std::time::Duration;

use super::Unsealed;

/// Looks at what is left, until nothing is.
#[derive(Default)]
pub(crate) struct Remains(Vec<Box<dyn Fn() -> bool + Send + Sync>>);

const LOOK_EVERY: Duration = Duration::from_millis(5);

impl Remains {
    pub(super) fn of(unsealed: &Arc<Unsealed>) -> Self {
        let whole = Arc::downgrade(unsealed);
        Self(vec![
            Box::new(move || whole.strong_count() > 0),
            Box::new(unsealed.keyring.watch()),
            Box::new(unsealed.snapshot.watch()),
        ])
    }

    /// True once the last holder has let go; false if the time was over before.
    pub(crate) async fn gone(&self, within: Duration) -> bool {
        let looking = async {
            while self.0.iter().any(|is_held| is_held()) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(within, looking).await.is_ok()
    }
}
