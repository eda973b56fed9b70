//! The closed sets of the contract as the API's description knows them. A test holds them against
//! the house's own, which carry no serde on purpose. Must never know a word that the house does
//! not.

use utoipa::ToSchema;

macro_rules! described {
    ($(#[$about:meta])* $name:ident { $($member:ident),+ $(,)? }) => {
        $(#[$about])*
        #[derive(ToSchema)]
        #[schema(rename_all = "snake_case")]
        #[expect(dead_code, reason = "stands in the description alone")]
        pub(super) enum $name { $($member),+ }
    };
}

described! {
    /// What a client key may do at all.
    Role { Admin, Operator, Auditor, User, Guest }
}
described! {
    /// What an operator may do.
    RoleOfOperator { Admin, Operator, Auditor }
}
described! {
    /// Whether anybody can sign in by it: `expired` is an invitation that nobody accepted.
    OperatorState { Active, Invited, Expired }
}
described! {
    /// How much a client key may call in a window.
    Tier { Unlimited, Premium, Standard, Limited }
}
described! {
    /// What a client key is now.
    KeyState { Active, Revoked, Expired }
}
described! {
    /// Is the provider content with the secret?
    Health { Healthy, Degraded, Refused, Unknown }
}
described! {
    /// What the provider said of a key.
    Outcome { Good, Refused, Unknown }
}
described! {
    /// Where a version of a secret stands.
    VersionState { Pending, Active, Retiring, Retired, Destroyed }
}
described! {
    /// Where a generation of a key-encryption key stands.
    GenerationState { Active, Retired, Destroyed }
}
described! {
    /// Work on the key hierarchy.
    JobKind { Rewrap, Rekey, MasterKey }
}
described! {
    /// How far a job is.
    JobState { Running, Done, Failed }
}
described! {
    /// What a record is about.
    RecordKind { Usage, Access, Change, Security }
}
described! {
    /// What sort of somebody acts.
    ActorType { Key, Token, Operator, Guest, Local, House }
}
described! {
    /// Whose fault a failed call is.
    Fault { Client, Provider, Us }
}
described! {
    /// What a symbol stands for.
    AssetClass { Stock, Crypto, Etf }
}
described! {
    /// How far the history of a symbol is.
    BackfillStatus { Pending, InProgress, Completed, Failed }
}

described! {
    /// Why a run was made.
    BackfillCause { Asked, Schedule }
}

described! {
    /// What an alert is about.
    AlertKind {
        SecretRefused,
        RotationRolledBack,
        RotationFailed,
        SecretExpiring,
        ClientExpiring,
        QuotaNear,
        UnusualVolume,
        NewAddress,
        AuthFailures,
        LedgerDegraded,
        LimiterDegraded,
        BackupOverdue,
        BackfillFailed,
        KeyEchoed,
        Integrity,
        Sealed,
        KekWear,
        KeyJobFailed,
    }
}
described! {
    /// How grave an alert is.
    Severity { Info, Warning, Critical }
}
described! {
    /// Acknowledged: somebody has seen it; resolved: its cause is gone.
    AlertState { Open, Acknowledged, Resolved }
}
described! {
    /// By which way somebody is told.
    DestinationKind { Webhook, Email, Syslog }
}
described! {
    /// What is told of an alert.
    AlertEvent { Raised, Resolved, Test, Report }
}
described! {
    /// Dead: nobody tries any more until somebody sends it again.
    DeliveryState { Waiting, Delivered, Dead }
}

/// How long a candle lasts.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands in the description alone")]
pub(super) enum Interval {
    #[schema(rename = "1m")]
    Minute,
    #[schema(rename = "5m")]
    FiveMinutes,
    #[schema(rename = "15m")]
    Quarter,
    #[schema(rename = "1h")]
    Hour,
    #[schema(rename = "1d")]
    Day,
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;
    use crate::{client, store};

    fn described<T: PartialSchema>() -> Vec<String> {
        let schema = serde_json::to_value(T::schema()).unwrap();
        let words = schema["enum"].as_array().unwrap().iter();
        let mut words: Vec<String> = words.map(|word| word.as_str().unwrap().to_owned()).collect();
        words.sort_unstable();
        words
    }

    fn sorted(words: impl IntoIterator<Item = &'static str>) -> Vec<String> {
        let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        words.sort_unstable();
        words
    }

    #[test]
    fn the_description_knows_the_houses_own_words() {
        assert_eq!(described::<Role>(), sorted(client::Role::ALL.map(client::Role::as_str)));
        assert_eq!(described::<Tier>(), sorted(client::Tier::ALL.map(client::Tier::as_str)));
        let states = [client::State::Active, client::State::Revoked, client::State::Expired];
        assert_eq!(described::<KeyState>(), sorted(states.map(client::State::as_str)));
        for word in described::<Health>() {
            assert!(store::Health::parse(&word).is_some(), "{word}");
        }
        for word in described::<Outcome>() {
            assert!(store::Outcome::parse(&word).is_some(), "{word}");
        }
        for word in described::<AlertKind>() {
            assert!(store::AlertKind::parse(&word).is_some(), "{word}");
        }
        for word in described::<DeliveryState>() {
            assert!(store::DeliveryState::parse(&word).is_some(), "{word}");
        }
    }
}
