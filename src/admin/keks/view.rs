//! Generations and jobs as they are shown.
//! Must never show a key, not even wrapped: whoever has the wrapped one and, later, the master key
//! would have it.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::words::{GenerationState, JobKind, JobState};
use crate::clock::rfc3339;
use crate::vault::{JobRow, KekView};

#[derive(Serialize, ToSchema)]
pub(super) struct Generation {
    id: String,
    #[schema(example = "market-data")]
    category: String,
    generation: u32,
    #[schema(value_type = GenerationState)]
    state: &'static str,
    /// How many data keys it has wrapped so far; it stops at 2147483648.
    wraps: u64,
    /// How many secrets hang on it now.
    secrets: u64,
    /// The kind of the master key that wraps it.
    master_kind: &'static str,
    age_days: i64,
    #[schema(format = DateTime)]
    created_at: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Job {
    id: String,
    #[schema(value_type = JobKind)]
    kind: &'static str,
    #[schema(value_type = JobState)]
    state: &'static str,
    total: u64,
    done: u64,
    /// The node that works on it.
    node: Option<String>,
    /// How it ended, in a sentence.
    outcome: Option<String>,
    created_by: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    finished_at: Option<String>,
}

const DAY_MS: i64 = 86_400_000;

impl Generation {
    pub(super) fn of(kek: &KekView, now_ms: i64) -> Self {
        Self {
            id: kek.id.to_string(),
            category: kek.category.clone(),
            generation: kek.generation,
            state: kek.state.as_str(),
            wraps: kek.wraps,
            secrets: kek.secrets,
            master_kind: kek.master.kind.as_str(),
            age_days: now_ms.saturating_sub(kek.created_at_ms).max(0) / DAY_MS,
            created_at: rfc3339(kek.created_at_ms),
        }
    }
}

impl Job {
    pub(super) fn of(job: &JobRow) -> Self {
        Self {
            id: job.id.to_string(),
            kind: job.kind.as_str(),
            state: job.state.as_str(),
            total: job.total,
            done: job.done,
            node: job.holder.clone(),
            outcome: job.outcome.clone(),
            created_by: job.created_by.clone(),
            created_at: rfc3339(job.created_at),
            finished_at: job.finished_at.map(rfc3339),
        }
    }
}

/// For the trail.
pub(super) fn named(keks: &[KekView]) -> Vec<String> {
    keks.iter().map(|kek| format!("{} generation {}", kek.category, kek.generation)).collect()
}
