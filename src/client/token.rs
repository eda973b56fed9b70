//! What a short-lived token takes away from the rights of its client key. Both are asked at every
//! call, so that a token is never wider than its key is at that moment, whatever was changed since
//! it was made. Must never hold a right of its own.

use uuid::Uuid;

use super::{Networks, Rights, Scopes, Tier};

/// None anywhere: as the client key itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) id: Uuid,
    pub(crate) tier: Option<Tier>,
    pub(crate) scopes: Option<Scopes>,
    /// The one page that may use it.
    pub(crate) origin: Option<String>,
    /// Where alone it may be used.
    pub(crate) address: Option<Networks>,
}

/// The member of a wish that is wider than what its client key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wider {
    Tier,
    Scopes,
    Origin,
    Address,
}

impl Wider {
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Tier => "The tier of a token is at most that of its client key.",
            Self::Scopes => "The scopes of a token stand within those of its client key.",
            Self::Origin => "The origin of a token is one of those of its client key.",
            Self::Address => "The address of a token lies within the networks of its client key.",
        }
    }
}

impl Token {
    /// Judged when it is made, so that whoever asks for more than there is learns it at once.
    pub(crate) fn check_within(&self, rights: &Rights) -> Result<(), Wider> {
        if self.tier.is_some_and(|tier| tier.rank() > rights.tier.rank()) {
            return Err(Wider::Tier);
        }
        if let (Some(wanted), Some(own)) = (&self.scopes, &rights.scopes)
            && !own.allow_all_that(wanted)
        {
            return Err(Wider::Scopes);
        }
        if let (Some(wanted), Some(own)) = (&self.origin, &rights.allowed_origins)
            && !own.contains(wanted)
        {
            return Err(Wider::Origin);
        }
        if let (Some(wanted), Some(own)) = (&self.address, &rights.allowed_ips)
            && !own.cover(wanted)
        {
            return Err(Wider::Address);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, Role};

    #[test]
    fn a_token_is_no_wider_than_its_client_key() {
        let mut rights = Rights::clone(&Client::of_role(Role::User).rights);
        rights.scopes = Some(Scopes::parse(&["a:GET:/v1/**", "!a:GET:/v1/x"]).unwrap());
        rights.allowed_ips = Some(Networks::parse(&["192.0.2.0/24"]).unwrap());
        rights.allowed_origins = Some(vec![String::from("https://app.example")]);
        let check = |token: Token, expected| assert_eq!(token.check_within(&rights), expected);
        check(Token::default(), Ok(()));
        let tier = |tier| Token { tier: Some(tier), ..Token::default() };
        check(tier(Tier::Limited), Ok(()));
        check(tier(Tier::Standard), Ok(()));
        check(tier(Tier::Premium), Err(Wider::Tier));
        let scopes =
            |text| Token { scopes: Some(Scopes::parse(&[text]).unwrap()), ..Token::default() };
        check(scopes("a:GET:/v1/x"), Ok(()));
        check(scopes("a:GET:/**"), Err(Wider::Scopes));
        check(scopes("a:POST:/v1/x"), Err(Wider::Scopes));
        let origin = |text: &str| Token { origin: Some(text.to_owned()), ..Token::default() };
        check(origin("https://app.example"), Ok(()));
        check(origin("https://other.example"), Err(Wider::Origin));
        let address =
            |text| Token { address: Some(Networks::parse(&[text]).unwrap()), ..Token::default() };
        check(address("192.0.2.7"), Ok(()));
        check(address("192.0.2.128/25"), Ok(()));
        check(address("192.0.0.0/16"), Err(Wider::Address));
        check(address("2001:db8::1"), Err(Wider::Address));
    }
}
