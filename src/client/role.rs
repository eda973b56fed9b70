//! Roles and tiers as closed sets with columns.
//! The table of rights in the documentation is this one.
//! Must never hold a default that grants more than `user` and `standard`.

/// What a client key, or an operator of the console, may do at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Admin,
    Operator,
    Auditor,
    User,
    Guest,
}

/// One row of the table of rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Right {
    /// Use the proxy with any method.
    Proxy,
    /// Use the proxy with GET and HEAD.
    ProxyRead,
    /// Read metadata, usage and alerts.
    ReadMetadata,
    /// Read the records of proxied calls.
    ReadUsageTrail,
    /// Read the whole audit trail.
    ReadTrail,
    VerifyTrail,
    ExplainPolicy,
    /// Providers, secrets, rotation, user and guest keys, symbols, backfill, alerts.
    Operate,
    /// Keys of the other roles, operators, seal, key hierarchy, backup and restore, destroy.
    Administer,
}

/// How much a client key may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tier {
    Unlimited,
    Premium,
    Standard,
    Limited,
}

impl Role {
    pub(crate) const ALL: [Self; 5] =
        [Self::Admin, Self::Operator, Self::Auditor, Self::User, Self::Guest];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::User => "user",
            Self::Guest => "guest",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    pub(crate) fn may(self, right: Right) -> bool {
        match self {
            Self::Admin => true,
            Self::Operator => match right {
                Right::Proxy
                | Right::ProxyRead
                | Right::ReadMetadata
                | Right::ReadUsageTrail
                | Right::ExplainPolicy
                | Right::Operate => true,
                Right::ReadTrail | Right::VerifyTrail | Right::Administer => false,
            },
            Self::Auditor => match right {
                Right::ReadMetadata
                | Right::ReadUsageTrail
                | Right::ReadTrail
                | Right::VerifyTrail
                | Right::ExplainPolicy => true,
                Right::Proxy | Right::ProxyRead | Right::Operate | Right::Administer => false,
            },
            Self::User => matches!(right, Right::Proxy | Right::ProxyRead),
            Self::Guest => matches!(right, Right::ProxyRead),
        }
    }

    /// May a holder of this role make or change a key of the other role? An operator makes user and
    /// guest keys; everything else is an admin's.
    pub(crate) fn may_grant(self, other: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::Operator => matches!(other, Self::User | Self::Guest),
            Self::Auditor | Self::User | Self::Guest => false,
        }
    }
}

impl Tier {
    pub(crate) const ALL: [Self; 4] =
        [Self::Unlimited, Self::Premium, Self::Standard, Self::Limited];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unlimited => "unlimited",
            Self::Premium => "premium",
            Self::Standard => "standard",
            Self::Limited => "limited",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text)
    }

    /// Higher tiers may call more.
    pub(crate) fn rank(self) -> u8 {
        match self {
            Self::Unlimited => 3,
            Self::Premium => 2,
            Self::Standard => 1,
            Self::Limited => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_but_an_admin_grants_what_administers() {
        for role in Role::ALL {
            for other in [Role::Admin, Role::Operator, Role::Auditor] {
                assert_eq!(role.may_grant(other), role == Role::Admin);
            }
        }
    }

    /// The row of the documentation's table that this code means.
    fn row(name: &str, cell: impl Fn(Role) -> &'static str) -> String {
        let cells = Role::ALL.map(|role| format!(" {} |", cell(role)));
        format!("| {name} |{}\n", cells.concat())
    }

    #[test]
    fn the_documentation_has_the_same_table_of_rights() {
        let page = include_str!("../../docs/client-keys.md");
        let yes = |right: Right| move |role: Role| if role.may(right) { "yes" } else { "no" };
        let proxy = |role: Role| match (role.may(Right::Proxy), role.may(Right::ProxyRead)) {
            (true, _) => "yes",
            (false, true) => "GET and HEAD",
            (false, false) => "no",
        };
        let trail = |role: Role| match (role.may(Right::ReadTrail), role.may(Right::ReadUsageTrail))
        {
            (true, _) => "yes",
            (false, true) => "proxied calls",
            (false, false) => "no",
        };
        let operate =
            "providers, secrets, rotation, user and guest keys, symbols, backfill, alerts";
        let administer = "keys of the other roles, operators, seal, key hierarchy, backup and \
                          restore, destroy";
        for row in [
            row("use the proxy", proxy),
            row("read metadata, usage, alerts", yes(Right::ReadMetadata)),
            row("read the audit trail", trail),
            row("verify the trail", yes(Right::VerifyTrail)),
            row("`policy/explain`", yes(Right::ExplainPolicy)),
            row(operate, yes(Right::Operate)),
            row(administer, yes(Right::Administer)),
        ] {
            assert!(page.contains(&row), "docs/client-keys.md lacks: {row}");
        }
    }

    #[test]
    fn names_go_there_and_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        for tier in Tier::ALL {
            assert_eq!(Tier::parse(tier.as_str()), Some(tier));
        }
        assert_eq!(Role::parse("Admin"), None);
    }
}
