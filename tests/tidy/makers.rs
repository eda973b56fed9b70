//! What the corridor's order rests on: a permit, an admission, an opened secret and an outbound
//! request are each made in one room alone, with fields that nobody else can fill in; and the two
//! side doors that the house keeps for its own calls have known callers. Must never trust
//! visibility alone.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::source::Source;
use crate::tree::Violation;

const RULE: &str = "maker";

/// A type whose values one room makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) name: &'static str,
    pub(crate) maker: &'static str,
}

/// A function that makes one of them without the corridor, and the rooms that may call it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    pub(crate) owner: &'static str,
    pub(crate) name: &'static str,
    pub(crate) callers: &'static [&'static str],
}

pub(crate) fn check(sources: &[Source], tokens: &[Token], doors: &[Door]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources {
        let mut makers = Makers { source, tokens, owner: None, violations: Vec::new() };
        makers.visit_file(&source.syntax);
        violations.extend(makers.violations);
        for door in doors {
            let known = source.room == door.owner || door.callers.contains(&source.room.as_str());
            if !known {
                violations.extend(calls(source, door));
            }
        }
    }
    violations
}

struct Makers<'a> {
    source: &'a Source,
    tokens: &'a [Token],
    /// The type of the `impl` that is being read, which `Self` stands for.
    owner: Option<String>,
    violations: Vec<Violation>,
}

impl Makers<'_> {
    fn token(&self, path: &syn::Path) -> Option<Token> {
        let mut name = path.segments.last()?.ident.to_string();
        if name == "Self" {
            name = self.owner.clone()?;
        }
        self.tokens.iter().find(|token| token.name == name).copied()
    }

    /// A token is made or declared here: right only in its maker's room.
    fn judge(&mut self, token: Option<Token>, node: &impl Spanned) {
        let Some(token) = token.filter(|token| token.maker != self.source.room) else { return };
        self.complain(
            node,
            format!("{} makes a {}; only {} may", self.source.room, token.name, token.maker),
        );
    }

    fn complain(&mut self, node: &impl Spanned, what: String) {
        let at = node.span().start();
        if !self.source.is_test(at) {
            let file = self.source.path.clone();
            self.violations.push(Violation { rule: RULE, file, line: at.line, what });
        }
    }
}

impl<'ast> Visit<'ast> for Makers<'_> {
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let before = self.owner.take();
        if let syn::Type::Path(path) = &*item.self_ty {
            self.owner = path.path.segments.last().map(|segment| segment.ident.to_string());
        }
        visit::visit_item_impl(self, item);
        self.owner = before;
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        let token = self.tokens.iter().find(|token| item.ident == token.name).copied();
        self.judge(token, &item.ident);
        let open = |field: &syn::Field| !matches!(field.vis, syn::Visibility::Inherited);
        if token.is_some() && item.fields.iter().any(open) {
            let what = format!(
                "{} has a field that others can fill in; keep them all private",
                item.ident
            );
            self.complain(&item.ident, what);
        }
        visit::visit_item_struct(self, item);
    }

    fn visit_expr_struct(&mut self, expression: &'ast syn::ExprStruct) {
        self.judge(self.token(&expression.path), expression);
        visit::visit_expr_struct(self, expression);
    }

    /// A tuple struct is made by a call, or by its name handed over as a function.
    fn visit_expr_path(&mut self, expression: &'ast syn::ExprPath) {
        self.judge(self.token(&expression.path), expression);
        visit::visit_expr_path(self, expression);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        for name in literals(mac.tokens.clone()) {
            let token = self.tokens.iter().find(|token| token.name == name).copied();
            self.judge(token, mac);
        }
        visit::visit_macro(self, mac);
    }
}

/// Names that stand before a brace in a macro's tokens, where no syntax tells what they are.
fn literals(stream: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut names = Vec::new();
    for pair in tokens.windows(2) {
        if let [TokenTree::Ident(name), TokenTree::Group(group)] = pair
            && group.delimiter() == Delimiter::Brace
        {
            names.push(name.to_string());
        }
    }
    for token in tokens {
        if let TokenTree::Group(group) = token {
            names.extend(literals(group.stream()));
        }
    }
    names
}

/// `owner::name`, `owner::{…, name}` and `.name(` outside tests.
fn calls(source: &Source, door: &Door) -> Vec<Violation> {
    let mut lines = Vec::new();
    find_calls(source, source.tokens.clone(), door, &mut lines);
    let violation = |line| Violation {
        rule: RULE,
        file: source.path.clone(),
        line,
        what: format!(
            "{} calls {}::{}, which is for {} alone",
            source.room,
            door.owner,
            door.name,
            door.callers.join(", ")
        ),
    };
    lines.into_iter().map(violation).collect()
}

fn find_calls(source: &Source, stream: TokenStream, door: &Door, lines: &mut Vec<usize>) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let text = |index: Option<usize>| match index.and_then(|index| tokens.get(index)) {
        Some(TokenTree::Ident(word)) => word.to_string(),
        Some(TokenTree::Punct(punct)) => punct.as_char().to_string(),
        Some(TokenTree::Group(_) | TokenTree::Literal(_)) | None => String::new(),
    };
    for (index, token) in tokens.iter().enumerate() {
        let at = token.span().start();
        let owned = index >= 3
            && text(index.checked_sub(1)) == ":"
            && text(index.checked_sub(3)).eq_ignore_ascii_case(door.owner);
        match token {
            TokenTree::Ident(word) if word == door.name => {
                let method = text(index.checked_sub(1)) == "."
                    && matches!(tokens.get(index + 1), Some(TokenTree::Group(group))
                        if group.delimiter() == Delimiter::Parenthesis);
                if (owned || method) && !source.is_test(at) {
                    lines.push(at.line);
                }
            }
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let named = inner
                    .iter()
                    .any(|token| matches!(token, TokenTree::Ident(word) if word == door.name));
                if owned && named && !source.is_test(at) {
                    lines.push(at.line);
                }
                find_calls(source, group.stream(), door, lines);
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    const TOKENS: &[Token] = &[Token { name: "Permit", maker: "policy" }];
    const DOORS: &[Door] = &[
        Door { owner: "policy", name: "house", callers: &["admin"] },
        Door { owner: "vault", name: "candidate", callers: &["admin"] },
    ];

    fn found(file: &str, text: &str) -> usize {
        let tree = Tree::lawful().grown(file, text);
        check(&tree.sources(), TOKENS, DOORS).len()
    }

    #[test]
    fn a_permit_made_outside_policy_is_found() {
        for text in [
            "fn f() { g(Permit { rule: 1 }) }",
            "fn f() -> P { crate::policy::Permit { rule: 1 } }",
            "fn f() { g(Permit(1)) }",
            "fn f() { x.map(Permit) }",
            "fn f() { vec![Permit { rule: 1 }] }",
            "impl Permit { fn new() -> Self { Self { rule: 1 } } }",
            "struct Permit;",
        ] {
            assert_eq!(found("src/vault.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn a_permit_that_is_only_read_or_made_at_home_is_left_alone() {
        for text in [
            "fn f(permit: &Permit) -> Permit { permit.clone() }",
            "fn f(permit: Permit) { let Permit { rule, .. } = permit; }",
            "impl Shown for Permit { fn show(&self) {} }",
            "#[cfg(test)] mod tests { fn f() { g(Permit { rule: 1 }) } }",
        ] {
            assert_eq!(found("src/vault.rs", text), 0, "{text}");
        }
        assert_eq!(found("src/policy.rs", "fn f() { g(Permit { rule: 1 }) }"), 0);
    }

    #[test]
    fn a_permit_with_an_open_field_is_found() {
        let text = "//! x\npub(crate) struct Permit { pub(crate) rule: u8 }";
        let tree = Tree::lawful().with("src/policy.rs", text);
        assert_eq!(check(&tree.sources(), TOKENS, DOORS).len(), 1);
    }

    #[test]
    fn an_unlisted_caller_of_a_side_door_is_found() {
        for text in [
            "fn f() { crate::policy::house(1); }",
            "fn f() { policy::house(1); }",
            "use crate::policy::{Permit, house};",
            "fn f() { vault.candidate(1); }",
            "fn f() { Vault::candidate(&vault); }",
            "fn f() { log!(vault.candidate(1)); }",
        ] {
            assert_eq!(found("src/proxy.rs", text), 1, "{text}");
            assert_eq!(found("src/admin.rs", text), 0, "{text}");
        }
        assert_eq!(found("src/proxy.rs", "fn f() { x.house; let candidate = 1; }"), 0);
    }
}
