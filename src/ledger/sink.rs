//! Where blocks go: the store and nothing else.
//! A place of its own so that a test can let it fail before a commit, or after one, when nobody
//! knows whether it happened.

use crate::store::{Along, Error, RecordBlock, Store};

pub(super) struct Sink {
    store: Store,
    #[cfg(test)]
    pub(super) faults: std::sync::Mutex<std::collections::VecDeque<Fault>>,
}

/// What happens to one append.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    BeforeCommit,
    AfterCommit,
    /// The answer never comes.
    Silence {
        committed: bool,
    },
}

impl Sink {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            #[cfg(test)]
            faults: std::sync::Mutex::default(),
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) async fn append(&self, block: &RecordBlock, along: &Along<'_>) -> Result<(), Error> {
        #[cfg(test)]
        {
            let fault = self.faults.lock().unwrap().pop_front();
            let failed = Error::Unreachable { fault: "as the test wants it".to_owned() };
            match fault {
                None => {}
                Some(Fault::BeforeCommit) => return Err(failed),
                Some(Fault::AfterCommit) => {
                    self.store.append_record_block(block, along).await?;
                    return Err(failed);
                }
                Some(Fault::Silence { committed }) => {
                    if committed {
                        self.store.append_record_block(block, along).await?;
                    }
                    std::future::pending::<()>().await;
                }
            }
        }
        self.store.append_record_block(block, along).await
    }
}
