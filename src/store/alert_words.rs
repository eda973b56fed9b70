//! The words of alerts, as they stand in rows and are told: what each is about, how grave it is,
//! how it stands.
//! Must never change one that was told: receivers know them by these.

use super::columns::words;

words! {
    AlertKind {
        SecretRefused = "secret_refused",
        RotationRolledBack = "rotation_rolled_back",
        /// A key is not renewed by itself as it should be.
        RotationFailed = "rotation_failed",
        SecretExpiring = "secret_expiring",
        ClientExpiring = "client_expiring",
        QuotaNear = "quota_near",
        UnusualVolume = "unusual_volume",
        NewAddress = "new_address",
        AuthFailures = "auth_failures",
        LedgerDegraded = "ledger_degraded",
        LimiterDegraded = "limiter_degraded",
        BackupOverdue = "backup_overdue",
        BackfillFailed = "backfill_failed",
        KeyEchoed = "key_echoed",
        Integrity = "integrity",
        /// The vault sealed itself, because the holder of the master key is away.
        Sealed = "sealed",
        /// A key-encryption key has wrapped half of what one may.
        KekWear = "kek_wear",
        /// Work on the key hierarchy was broken off.
        KeyJobFailed = "key_job_failed",
    }
}

words! {
    Severity {
        Info = "info",
        Warning = "warning",
        Critical = "critical",
    }
}

words! {
    AlertState {
        Open = "open",
        /// Somebody has seen it; its cause is still there.
        Acknowledged = "acknowledged",
        Resolved = "resolved",
    }
}

impl AlertKind {
    pub(crate) const ALL: [Self; 18] = [
        Self::SecretRefused,
        Self::RotationRolledBack,
        Self::RotationFailed,
        Self::SecretExpiring,
        Self::ClientExpiring,
        Self::QuotaNear,
        Self::UnusualVolume,
        Self::NewAddress,
        Self::AuthFailures,
        Self::LedgerDegraded,
        Self::LimiterDegraded,
        Self::BackupOverdue,
        Self::BackfillFailed,
        Self::KeyEchoed,
        Self::Integrity,
        Self::Sealed,
        Self::KekWear,
        Self::KeyJobFailed,
    ];
}

impl Severity {
    pub(crate) const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];
}

impl AlertState {
    pub(crate) const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Resolved];
}
