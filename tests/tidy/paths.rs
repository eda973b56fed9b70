//! Every path in a file that begins at the root of the crate or at an outside crate. Read from the
//! tokens, not from the syntax, so that macros, attributes and visibilities hide none; `super` is
//! followed to where it leads. Must never judge what it finds.

use proc_macro2::{Delimiter, Ident, LineColumn, Spacing, TokenStream, TokenTree};

/// Where a path begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// `crate::name`, also where it was reached by `super`.
    Room(String),
    /// The root as a whole: a glob of it or another name for it.
    Root,
    /// `name::…` with no `crate` before it: an outside crate, or something in scope.
    Name(String),
}

/// The heads of all paths in the file at `path`, and where they stand.
pub(crate) fn read(path: &str, tokens: TokenStream) -> Vec<(LineColumn, Head)> {
    let mut walk = Walk { in_binary: path == "src/main.rs", found: Vec::new() };
    walk.stream(tokens, depth_of(path), Place::Code);
    walk.found
}

/// How many `super` lead from a file to the root of its crate.
fn depth_of(path: &str) -> usize {
    match path {
        "src/lib.rs" | "src/main.rs" => 0,
        _ => path.matches('/').count(),
    }
}

/// Where a stream of tokens stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Code,
    /// `path::{…}`: heads in it are continuations, not beginnings.
    UseGroup,
    /// `#[…]`: texts in it may hold paths.
    Attribute,
}

struct Walk {
    /// The binary reaches the root under the crate's name.
    in_binary: bool,
    found: Vec<(LineColumn, Head)>,
}

impl Walk {
    fn note(&mut self, at: LineColumn, head: Head) {
        self.found.push((at, head));
    }

    /// `depth` is how many `super` lead from here to the root.
    fn stream(&mut self, stream: TokenStream, depth: usize, place: Place) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut index = 0;
        while index < tokens.len() {
            index = match &tokens[index] {
                TokenTree::Ident(ident) => self.ident(&tokens, index, ident, (depth, place)),
                TokenTree::Group(group) => {
                    let inner = place_within(&tokens, index, place);
                    let deeper = is_inline_module(&tokens, index);
                    let documentation = inner == Place::Attribute && is_doc(group.stream());
                    if !documentation {
                        self.stream(group.stream(), depth + usize::from(deeper), inner);
                    }
                    index + 1
                }
                TokenTree::Literal(literal) => {
                    if place == Place::Attribute {
                        self.text_in_attribute(&literal.to_string(), literal.span().start());
                    }
                    index + 1
                }
                TokenTree::Punct(_) => index + 1,
            };
        }
    }

    /// Reads the path that may begin at `index`; returns where to go on.
    fn ident(
        &mut self,
        tokens: &[TokenTree],
        index: usize,
        ident: &Ident,
        (depth, place): (usize, Place),
    ) -> usize {
        let at = ident.span().start();
        if ident == "crate" {
            self.after_root(tokens, index + 1, at);
        } else if ident == "super" {
            let (ups, next) = count_ups(tokens, index);
            if ups == depth {
                self.after_root(tokens, next, at);
            }
            return next;
        } else if ident == "sealgate" && self.in_binary {
            self.after_root(tokens, index + 1, at);
        } else if place != Place::UseGroup && begins_path(tokens, index) {
            self.note(at, Head::Name(ident.to_string()));
        }
        index + 1
    }

    /// What follows `crate`, or the `super` that reached the root.
    fn after_root(&mut self, tokens: &[TokenTree], next: usize, at: LineColumn) {
        if !is_path_separator(tokens, next) {
            if matches!(tokens.get(next), Some(TokenTree::Ident(word)) if word == "as") {
                self.note(at, Head::Root);
            }
            return;
        }
        match tokens.get(next + 2) {
            Some(TokenTree::Ident(room)) => self.note(room.span().start(), room_or_root(room)),
            Some(TokenTree::Group(group)) => {
                for (place, head) in heads(group.stream()) {
                    self.note(place, head);
                }
            }
            Some(TokenTree::Punct(star)) if star.as_char() == '*' => self.note(at, Head::Root),
            _ => {}
        }
    }

    fn text_in_attribute(&mut self, text: &str, at: LineColumn) {
        for (found, _) in text.match_indices("crate::") {
            let rest = text[found + "crate::".len()..].chars();
            let name: String = rest.take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            self.note(at, Head::Room(name));
        }
    }
}

/// The heads of `{a::b, c as d, self}`, and where they stand.
fn heads(stream: TokenStream) -> Vec<(LineColumn, Head)> {
    let mut heads = Vec::new();
    let mut fresh = true;
    for token in stream {
        let at = token.span().start();
        match &token {
            TokenTree::Punct(comma) if comma.as_char() == ',' => {
                fresh = true;
                continue;
            }
            TokenTree::Ident(ident) if fresh => heads.push((at, room_or_root(ident))),
            TokenTree::Punct(star) if fresh && star.as_char() == '*' => {
                heads.push((at, Head::Root))
            }
            TokenTree::Ident(_)
            | TokenTree::Punct(_)
            | TokenTree::Group(_)
            | TokenTree::Literal(_) => {}
        }
        fresh = false;
    }
    heads
}

fn room_or_root(ident: &Ident) -> Head {
    match ident.to_string().as_str() {
        "self" => Head::Root,
        name => Head::Room(name.trim_start_matches("r#").to_owned()),
    }
}

/// Counts `super::super::…` and says where the first other token stands, its separator before it.
fn count_ups(tokens: &[TokenTree], mut index: usize) -> (usize, usize) {
    let mut ups = 0;
    while matches!(tokens.get(index), Some(TokenTree::Ident(word)) if word == "super") {
        ups += 1;
        index += 1;
        let again =
            matches!(tokens.get(index + 2), Some(TokenTree::Ident(word)) if word == "super");
        if is_path_separator(tokens, index) && again {
            index += 2;
        }
    }
    (ups, index)
}

/// Whether a path begins with the name at `index`: `name::…`, `use name`, `extern crate name`.
fn begins_path(tokens: &[TokenTree], index: usize) -> bool {
    let before = |back: usize| index.checked_sub(back).and_then(|at| tokens.get(at));
    let word = |token: Option<&TokenTree>| match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    };
    if index >= 2 && is_path_separator(tokens, index - 2) {
        // `a::name` goes on with a path; `::name` and `use ::name` begin one.
        let earlier = word(before(3));
        return earlier.is_none_or(|earlier| earlier == "use") && !closes_generics(before(3));
    }
    let imported = match word(before(1)).as_deref() {
        Some("use") => true,
        Some("crate") => word(before(2)).as_deref() == Some("extern"),
        Some(_) | None => false,
    };
    imported || is_path_separator(tokens, index + 1)
}

fn closes_generics(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == '>')
}

fn is_path_separator(tokens: &[TokenTree], index: usize) -> bool {
    let colon = |token: Option<&TokenTree>, spacing: Option<Spacing>| match token {
        Some(TokenTree::Punct(punct)) => {
            punct.as_char() == ':' && spacing.is_none_or(|spacing| punct.spacing() == spacing)
        }
        _ => false,
    };
    colon(tokens.get(index), Some(Spacing::Joint)) && colon(tokens.get(index + 1), None)
}

fn is_inline_module(tokens: &[TokenTree], index: usize) -> bool {
    let keyword = index.checked_sub(2).and_then(|at| tokens.get(at));
    matches!(keyword, Some(TokenTree::Ident(word)) if word == "mod")
}

fn is_doc(stream: TokenStream) -> bool {
    matches!(stream.into_iter().next(), Some(TokenTree::Ident(word)) if word == "doc")
}

fn place_within(tokens: &[TokenTree], index: usize, place: Place) -> Place {
    let TokenTree::Group(group) = &tokens[index] else { return place };
    let before = |back: usize| match index.checked_sub(back).and_then(|at| tokens.get(at)) {
        Some(TokenTree::Punct(punct)) => Some(punct.as_char()),
        _ => None,
    };
    let separated = index >= 2 && is_path_separator(tokens, index - 2);
    match group.delimiter() {
        Delimiter::Brace if separated || place == Place::UseGroup => Place::UseGroup,
        Delimiter::Bracket
            if matches!((before(1), before(2)), (Some('#'), _) | (Some('!'), Some('#'))) =>
        {
            Place::Attribute
        }
        _ if place == Place::Attribute => Place::Attribute,
        Delimiter::Brace | Delimiter::Bracket | Delimiter::Parenthesis | Delimiter::None => {
            Place::Code
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[Head]) {
        let found = read(path, text.parse().unwrap());
        let heads: Vec<Head> = found.into_iter().map(|(_, head)| head).collect();
        assert_eq!(heads, expected, "{text}");
    }

    fn room(name: &str) -> Head {
        Head::Room(name.to_owned())
    }

    fn name(name: &str) -> Head {
        Head::Name(name.to_owned())
    }

    #[test]
    fn paths_from_the_root_are_seen_wherever_they_stand() {
        let file = "src/vault/keyring.rs";
        check(file, "use crate::kms::Settings;", &[room("kms")]);
        check(
            file,
            "use crate::{kms::Settings, store::{Row, Key}, clock};",
            &[room("kms"), room("store"), room("clock")],
        );
        check(
            file,
            "fn f() { let x: crate::kms::Key = crate::store::x(); }",
            &[room("kms"), room("store")],
        );
        check(file, "fn f() { log!(\"{}\", crate::kms::x()); }", &[room("kms")]);
        check(file, "macro_rules! m { () => { $crate::kms::x() } }", &[room("kms")]);
        check(file, "#[x(with = \"crate::kms::text\")] struct S;", &[room("kms")]);
        check(file, "pub(in crate::vault) struct S;", &[room("vault")]);
        check(file, "use super::super::kms;", &[room("kms")]);
        check(file, "use super::super::{kms, store::Row};", &[room("kms"), room("store")]);
        check(file, "mod inner { use super::super::super::kms::X; }", &[room("kms")]);
        check(file, "use super::other; mod inner { use super::*; }", &[]);
        check(file, "/// See [`crate::app`].\npub(crate) struct S;", &[]);
    }

    #[test]
    fn the_root_under_another_name_is_seen() {
        check("src/vault.rs", "use crate as root;", &[Head::Root]);
        check("src/vault.rs", "use crate::*;", &[Head::Root]);
        check("src/vault.rs", "use crate::{self as root, kms};", &[Head::Root, room("kms")]);
        check("src/vault.rs", "use super::*;", &[Head::Root]);
        check("src/vault.rs", "use super::kms;", &[room("kms")]);
    }

    #[test]
    fn names_that_begin_a_path_are_told_from_those_within_one() {
        let file = "src/store.rs";
        check(file, "use sqlx::{Row, query::rand};", &[name("sqlx")]);
        check(file, "use a::b::{sqlx::Row, hyper};", &[name("a")]);
        check(
            file,
            "fn f() { ::sqlx::query(); <X as y::Z>::sqlx::w(); }",
            &[name("sqlx"), name("y")],
        );
        check(file, "use sqlx as db; extern crate rand;", &[name("sqlx"), name("rand")]);
        check(file, "#[tokio::test] fn f() {}", &[name("tokio")]);
    }
}
