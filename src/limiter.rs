//! Admission by count.

#[derive(Clone, Debug)]
pub struct Settings {
    pub enabled: bool,
    pub window_seconds: u64,
    pub unlimited: u64,
    pub premium: u64,
    pub standard: u64,
    pub limited: u64,
}
