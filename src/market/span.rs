//! How long one candle lasts: the five lengths that there are, as callers write them, as they are
//! stored, and as the provider is asked for them. Pure.
//! Must never grow a length that the calendar does not know.

/// The length of a candle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Span {
    Minute,
    FiveMinutes,
    Quarter,
    Hour,
    Day,
}

impl Span {
    pub(crate) const ALL: [Self; 5] =
        [Self::Minute, Self::FiveMinutes, Self::Quarter, Self::Hour, Self::Day];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::Quarter => "15m",
            Self::Hour => "1h",
            Self::Day => "1d",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|span| span.as_str() == text)
    }

    pub(crate) fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::Quarter => 900,
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }

    pub(crate) fn of_seconds(seconds: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|span| span.seconds() == seconds)
    }

    pub(crate) fn ns(self) -> i64 {
        self.seconds() * 1_000_000_000
    }

    /// As the path of a provider has it.
    pub(crate) fn asked(self) -> &'static str {
        match self {
            Self::Minute => "1/minute",
            Self::FiveMinutes => "5/minute",
            Self::Quarter => "15/minute",
            Self::Hour => "1/hour",
            Self::Day => "1/day",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_found_again() {
        for span in Span::ALL {
            assert_eq!(Span::parse(span.as_str()), Some(span));
            assert_eq!(Span::of_seconds(span.seconds()), Some(span));
        }
        assert_eq!((Span::parse("2m"), Span::of_seconds(0)), (None, None));
    }
}
