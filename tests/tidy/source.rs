//! A source file, read once for all rules: its syntax, its tokens, the paths in it, and which of
//! its lines are tests. A file that only `#[cfg(test)] mod name;` declares is a test whole. Must
//! never judge what it reads.

use std::collections::BTreeSet;

use proc_macro2::{LineColumn, TokenStream};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::paths::{self, Head};
use crate::tree::Tree;

/// One path in a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) line: usize,
    /// It stands in an item that is compiled for tests only.
    pub(crate) test: bool,
    pub(crate) head: Head,
}

/// A file under `src/`.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    /// The top-level module: `vault` for `src/vault/keyring.rs`; `lib` and `main` for the two
    /// roots.
    pub(crate) room: String,
    pub(crate) syntax: syn::File,
    pub(crate) tokens: TokenStream,
    pub(crate) mentions: Vec<Mention>,
    /// Only `#[cfg(test)] mod name;` leads here.
    pub(crate) wholly_test: bool,
    tests: Vec<(LineColumn, LineColumn)>,
}

impl Source {
    pub(crate) fn is_test(&self, at: LineColumn) -> bool {
        self.wholly_test || self.tests.iter().any(|(start, end)| *start <= at && at < *end)
    }

    /// Lines that are no tests.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(line, _)| {
            let inside =
                |(start, end): &(LineColumn, LineColumn)| start.line <= *line && *line <= end.line;
            !self.wholly_test && !self.tests.iter().any(inside)
        })
    }
}

impl Tree {
    /// Every file under `src/`, parsed.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let rust = self.under("src/").filter(|(path, _)| path.ends_with(".rs"));
        let mut sources: Vec<Source> = rust.map(|(path, text)| parse(path, text)).collect();
        let test_folders: BTreeSet<String> = sources.iter().flat_map(test_modules).collect();
        for source in &mut sources {
            let stem = source.path.trim_end_matches(".rs");
            let below = |folder: &String| stem == folder || stem.starts_with(&format!("{folder}/"));
            source.wholly_test = test_folders.iter().any(below);
            let wholly_test = source.wholly_test;
            source.mentions.iter_mut().for_each(|mention| mention.test |= wholly_test);
        }
        sources
    }
}

fn parse(path: &str, text: &str) -> Source {
    let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut finder = TestItems(Vec::new());
    finder.visit_file(&syntax);
    let mut source = Source {
        path: path.to_owned(),
        text: text.to_owned(),
        room: room_of(path),
        syntax,
        tokens,
        mentions: Vec::new(),
        tests: finder.0,
        wholly_test: false,
    };
    let heads = paths::read(path, source.tokens.clone()).into_iter();
    source.mentions =
        heads.map(|(at, head)| Mention { line: at.line, test: source.is_test(at), head }).collect();
    source
}

fn room_of(path: &str) -> String {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.split('/').next().unwrap_or_default().to_owned()
}

/// The files that `#[cfg(test)] mod name;` names, without their ending.
fn test_modules(source: &Source) -> Vec<String> {
    let folder = match source.path.as_str() {
        "src/lib.rs" | "src/main.rs" => "src",
        path => path.trim_end_matches(".rs"),
    };
    let mut modules = Vec::new();
    for item in &source.syntax.items {
        if let syn::Item::Mod(module) = item
            && module.content.is_none()
            && is_test_only(&module.attrs)
        {
            modules.push(format!("{folder}/{}", module.ident));
        }
    }
    modules
}

/// `#[cfg(test)]`, `#[cfg(all(test, …))]` and `#[…test]`. `any(test, …)` is compiled without tests
/// too.
fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        if path.segments.last().is_some_and(|segment| segment.ident == "test") {
            return true;
        }
        let Ok(list) = attribute.meta.require_list() else { return false };
        if !path.is_ident("cfg") {
            return false;
        }
        let tokens = list.tokens.to_string();
        let inner = tokens.strip_prefix("all").unwrap_or(&tokens);
        let mut words =
            inner.split(|letter: char| !letter.is_alphanumeric()).filter(|w| !w.is_empty());
        words.next() == Some("test")
    })
}

struct TestItems(Vec<(LineColumn, LineColumn)>);

impl TestItems {
    fn note(&mut self, attributes: &[syn::Attribute], node: &impl Spanned) -> bool {
        let test = is_test_only(attributes);
        if test {
            self.0.push((node.span().start(), node.span().end()));
        }
        test
    }
}

/// An item that is a test is noted; any other is looked into.
macro_rules! noted {
    ($($visit:ident $kind:ident)*) => {$(
        fn $visit(&mut self, item: &'ast syn::$kind) {
            if !self.note(&item.attrs, item) {
                visit::$visit(self, item);
            }
        }
    )*};
}

impl<'ast> Visit<'ast> for TestItems {
    noted! {
        visit_item_const ItemConst
        visit_item_enum ItemEnum
        visit_item_fn ItemFn
        visit_item_impl ItemImpl
        visit_item_macro ItemMacro
        visit_item_mod ItemMod
        visit_item_static ItemStatic
        visit_item_struct ItemStruct
        visit_item_trait ItemTrait
        visit_item_type ItemType
        visit_item_use ItemUse
        visit_impl_item_fn ImplItemFn
        visit_impl_item_const ImplItemConst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_from_the_product() {
        let text = "use a::b;\n#[cfg(test)]\nmod tests {\n use c::d;\n}\nimpl X {\n #[cfg(test)]\n \
                    fn f() { e::f(); }\n fn g() { h::i(); }\n}\n#[cfg(any(test, unix))]\nuse j::k;\n";
        let source = parse("src/store.rs", text);
        let product: Vec<_> = source
            .mentions
            .iter()
            .filter(|mention| !mention.test)
            .map(|m| m.head.clone())
            .collect();
        let expected = ["a", "h", "j"].map(|name| Head::Name(name.to_owned()));
        assert_eq!(product, expected);
        assert_eq!(source.product_lines().count(), 6);
    }

    #[test]
    fn a_file_that_only_tests_declare_is_a_test_whole() {
        let tree = Tree::default()
            .with("src/store.rs", "#[cfg(test)]\nmod fixtures;")
            .with("src/store/fixtures.rs", "use sqlx::Row;");
        let sources = tree.sources();
        let fixtures = sources.iter().find(|source| source.path.ends_with("fixtures.rs")).unwrap();
        assert!(fixtures.mentions.iter().all(|mention| mention.test));
        assert_eq!(fixtures.product_lines().count(), 0);
    }
}
