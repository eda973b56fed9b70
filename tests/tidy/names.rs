//! Words that say nothing are banned from the names of files and items: what is called a manager or
//! a helper has not been understood yet. Must never judge names of others: methods that a trait
//! demands, names that are used but not given, and the sentences that name tests.

use proc_macro2::Ident;
use syn::visit::{self, Visit};

use crate::source::Source;
use crate::tree::{Tree, Violation};

const RULE: &str = "name";
const BANNED: &[&str] = &["manager", "service", "handler", "util", "common", "misc", "helper"];

pub(crate) fn check(tree: &Tree, sources: &[Source]) -> Vec<Violation> {
    let files = tree.rust().filter_map(|(path, _)| {
        let banned = path.trim_end_matches(".rs").split('/').find_map(banned_word)?;
        let what = format!("a file named {banned} says nothing; name what it owns");
        Some(Violation { rule: RULE, file: path.to_owned(), line: 0, what })
    });
    let mut violations: Vec<Violation> = files.collect();
    for source in sources {
        let mut items = Items { source, violations: Vec::new() };
        items.visit_file(&source.syntax);
        violations.extend(items.violations);
    }
    violations
}

/// The banned word in a name, read in words whatever its case.
fn banned_word(name: &str) -> Option<String> {
    let words = words(name);
    if words.len() > 1 && words.first().is_some_and(|word| word == "get") {
        return Some(String::from("get_"));
    }
    let singular = |word: &String| word.strip_suffix('s').unwrap_or(word).to_owned();
    words.iter().map(singular).find(|word| BANNED.contains(&word.as_str()))
}

fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous_lower = false;
    for letter in name.chars() {
        let boundary = letter == '_' || letter == '-' || (letter.is_uppercase() && previous_lower);
        if boundary {
            words.push(String::new());
        }
        if letter.is_alphanumeric() {
            words.last_mut().expect("never empty").extend(letter.to_lowercase());
        }
        previous_lower = letter.is_lowercase() || letter.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

struct Items<'a> {
    source: &'a Source,
    violations: Vec<Violation>,
}

impl Items<'_> {
    fn judge(&mut self, ident: &Ident) {
        let at = ident.span().start();
        let Some(banned) = banned_word(&ident.to_string()) else { return };
        if self.source.is_test(at) {
            return;
        }
        let what =
            format!("{ident} holds the word {banned}, which says nothing; name what it does");
        let file = self.source.path.clone();
        self.violations.push(Violation { rule: RULE, file, line: at.line, what });
    }
}

/// The name of an item is judged, then what is inside.
macro_rules! judged {
    ($($visit:ident $kind:ident)*) => {$(
        fn $visit(&mut self, item: &'ast syn::$kind) {
            self.judge(&item.ident);
            visit::$visit(self, item);
        }
    )*};
}

impl<'ast> Visit<'ast> for Items<'_> {
    judged! {
        visit_item_const ItemConst
        visit_item_enum ItemEnum
        visit_item_mod ItemMod
        visit_item_static ItemStatic
        visit_item_struct ItemStruct
        visit_item_trait ItemTrait
        visit_item_type ItemType
        visit_item_union ItemUnion
        visit_impl_item_const ImplItemConst
        visit_trait_item_const TraitItemConst
        visit_trait_item_type TraitItemType
        visit_signature Signature
        visit_variant Variant
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        item.ident.iter().for_each(|ident| self.judge(ident));
        visit::visit_item_macro(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if item.trait_.is_none() {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        field.ident.iter().for_each(|ident| self.judge(ident));
        visit::visit_field(self, field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> usize {
        let tree = Tree::lawful().grown(file, text);
        check(&tree, &tree.sources()).len()
    }

    #[test]
    fn a_banned_name_is_found_in_every_kind_of_item() {
        for item in [
            "struct KeyManager;",
            "enum E { HttpHandler }",
            "trait AuthService {}",
            "type Helper = u8;",
            "const COMMON: u8 = 1;",
            "mod utils {}",
            "fn get_key() {}",
            "struct S { misc: u8 }",
            "impl S { fn get_key(&self) {} }",
            "trait T { fn key_helper(); }",
            "macro_rules! helper { () => {} }",
        ] {
            assert_eq!(found("src/vault.rs", item), 1, "{item}");
        }
    }

    #[test]
    fn a_banned_file_name_is_found() {
        let header = "//! x\n//! x\n//! x\n";
        for path in ["src/vault/helpers.rs", "tests/it/common.rs", "src/util/x.rs"] {
            let tree = Tree::lawful().with(path, header);
            assert_eq!(check(&tree, &tree.sources()).len(), 1, "{path}");
        }
    }

    #[test]
    fn names_of_others_longer_words_and_tests_are_left_alone() {
        for item in [
            "use tower::Service;",
            "impl Service for S { fn get_key(&self) {} }",
            "fn get() {}",
            "fn budget_left() {}",
            "fn uncommon() {}",
            "#[cfg(test)] mod tests { fn helper() {} }",
        ] {
            assert_eq!(found("src/vault.rs", item), 0, "{item}");
        }
    }
}
