//! Scopes that no call can ever match, told apart when somebody writes them: such a scope is a slip
//! of the pen, and one that denies would give a false sense of safety. What is stored already is
//! not judged. Must never refuse what some call may match.

use super::canonical::decoded_once;
use super::{Rule, Scopes, parse_rule};

/// Registered methods, and what well-known servers use beside them.
const METHODS: [&str; 20] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "QUERY",
    "SEARCH",
    "REPORT",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "LIST",
    "PURGE",
    "LINK",
];
const NEVER_FORWARDED: [&str; 3] = ["TRACE", "TRACK", "CONNECT"];

impl Scopes {
    /// Why this text is no scope that a call could match; None where it is one.
    pub(crate) fn fault_of(text: &str) -> Option<String> {
        match parse_rule(text) {
            Err(bad) => Some(bad.fault.to_owned()),
            Ok(rule) => fault_of_methods(&rule).or_else(|| fault_of_path(text)),
        }
    }

    /// The providers that these texts name, with the place of each.
    pub(crate) fn providers_of<T: AsRef<str>>(texts: &[T]) -> impl Iterator<Item = (usize, &str)> {
        texts.iter().enumerate().filter_map(|(index, text)| {
            let text = text.as_ref();
            let (provider, _) = text.strip_prefix('!').unwrap_or(text).split_once(':')?;
            (provider != "*").then_some((index, provider))
        })
    }

    /// Which of these methods may some call of these scopes have?
    pub(crate) fn methods_among<'m>(&self, methods: &[&'m str]) -> Vec<&'m str> {
        let allowing =
            |method: &str| self.rules.iter().any(|rule| !rule.denies && rule.method_fits(method));
        methods.iter().copied().filter(|method| allowing(method)).collect()
    }
}

fn fault_of_methods(rule: &Rule) -> Option<String> {
    let methods = rule.methods.as_deref().unwrap_or_default();
    if let Some(method) = methods.iter().find(|name| NEVER_FORWARDED.contains(&name.as_str())) {
        return Some(format!("matches nothing: {method} is never forwarded"));
    }
    let unknown = methods.iter().find(|name| !METHODS.contains(&name.as_str()))?;
    Some(format!("matches nothing: {unknown} is no method; write GET, POST and the like, or *"))
}

fn fault_of_path(text: &str) -> Option<String> {
    let (_, path) = text.split_once('/')?;
    let fault = path.split('/').find_map(fault_of_segment)?;
    Some(format!("matches nothing: {fault}"))
}

fn fault_of_segment(written: &str) -> Option<&'static str> {
    let decoded = decoded_once(written);
    if matches!(decoded.as_str(), "." | "..") {
        return Some("no call with a dot segment is forwarded");
    }
    if written.contains(['?', '#']) {
        return Some("a scope ends with the path; what follows ? is not compared");
    }
    if written.contains('*') && !matches!(written, "*" | "**") {
        return Some("* and ** stand for whole segments; in a segment's name write %2A");
    }
    if decoded.contains('/') {
        return Some("the name of a segment has no slash; for one that is encoded in it write *");
    }
    decoded.contains('\0').then_some("no call with %00 is forwarded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_that_nothing_can_match_is_no_scope() {
        for (text, why) in [
            ("acme:FOO:/v1", "FOO is no method"),
            ("acme:GET,FOO:/v1", "FOO is no method"),
            ("acme:TRACE:/v1", "never forwarded"),
            ("acme:GET:/v1/../x", "dot segment"),
            ("acme:GET:/v1/%2e%2E/x", "dot segment"),
            ("!acme:GET:/.", "dot segment"),
            ("acme:GET:/v1?x=y", "what follows ?"),
            ("acme:GET:/v1#x", "what follows ?"),
            ("acme:GET:/v1/a*", "whole segments"),
            ("acme:GET:/v1/***", "whole segments"),
            ("acme:GET:/v1%2Fx", "no slash"),
            ("!acme:GET:/v1%2fx", "no slash"),
            ("acme:GET:/v1/%00", "%00"),
            ("acme:GET:v1", "begins with /"),
        ] {
            let fault = Scopes::fault_of(text).unwrap_or_default();
            assert!(fault.contains(why), "{text}: {fault:?}");
        }
        for text in [
            "*:*:/**",
            "acme:GET,POST:/v1/*/x",
            "!acme:PROPFIND:/**",
            "acme:GET:/a%20b/%2A",
            "acme:GET:/",
            "acme:GET:/v1/",
            "acme:GET:/v1/...",
            "acme:GET:/v1/X%3ABTCUSD",
        ] {
            assert_eq!(Scopes::fault_of(text), None, "{text}");
        }
    }

    #[test]
    fn what_scopes_name_is_told() {
        let texts = ["*:GET:/**", "!acme:*:/x", "quill:POST:/y"];
        let named: Vec<_> = Scopes::providers_of(&texts).collect();
        assert_eq!(named, [(1, "acme"), (2, "quill")]);
        let scopes = Scopes::parse(&texts).unwrap();
        assert_eq!(scopes.methods_among(&["GET", "HEAD", "PUT", "POST"]), ["GET", "HEAD", "POST"]);
    }
}
