//! Keyring, secrets, versions.

#[derive(Clone, Debug)]
pub struct Settings {
    pub kek_max_age_days: u32,
}
