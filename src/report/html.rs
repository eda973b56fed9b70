//! A report as one page that stands by itself and prints well: no script, nothing from elsewhere,
//! one style whose digest the page's policy names.
//! Must never write a text that somebody chose without escaping it.

use super::document::{Cell, Document, Fact, Section};
use crate::clock::rfc3339;

/// What the policy of an answer with a page names by its digest.
pub(crate) const STYLE: &str = include_str!("html/style.css");

pub(super) fn written(document: &Document) -> String {
    let mut page = Page(String::new());
    page.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    page.text(document.title);
    page.raw("</title>\n<style>");
    page.raw(STYLE);
    page.raw("</style>\n</head>\n<body>\n<header>\n<h1>");
    page.text(document.title);
    page.raw("</h1>\n<p>");
    let asked = &document.asked;
    page.text(&format!(
        "{} to {}, made at {} by Sealgate {}",
        rfc3339(asked.from_ms),
        rfc3339(asked.to_ms),
        rfc3339(document.made_at_ms),
        env!("CARGO_PKG_VERSION")
    ));
    page.raw("</p>\n");
    for (what, which) in [("Client key", &asked.client), ("Provider", &asked.provider)] {
        if let Some(which) = which {
            page.element("p", &format!("{what}: {which}"));
        }
    }
    page.raw("</header>\n");
    page.facts("summary", &document.summary);
    document.sections.iter().for_each(|section| page.section(section));
    page.facts("settings", &document.settings);
    page.raw("</body>\n</html>\n");
    page.0
}

struct Page(String);

impl Page {
    /// What stands in the sources alone.
    fn raw(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    fn text(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other if other.is_control() => self.0.push(' '),
                other => self.0.push(other),
            }
        }
    }

    fn element(&mut self, name: &'static str, text: &str) {
        self.raw("<");
        self.raw(name);
        self.raw(">");
        self.text(text);
        self.raw("</");
        self.raw(name);
        self.raw(">\n");
    }

    fn facts(&mut self, class: &'static str, facts: &[Fact]) {
        if facts.is_empty() {
            return;
        }
        self.raw("<dl class=\"");
        self.raw(class);
        self.raw("\">\n");
        for (_, title, cell) in facts {
            self.raw("<div>");
            self.element("dt", title);
            self.raw("<dd>");
            self.cell(cell);
            self.raw("</dd></div>\n");
        }
        self.raw("</dl>\n");
    }

    fn section(&mut self, section: &Section) {
        self.raw("<section>\n");
        self.element("h2", section.title);
        if section.rows.is_empty() {
            self.element("p", section.none);
            return self.raw("</section>\n");
        }
        self.raw("<table>\n<thead><tr>");
        for (_, title) in section.columns.iter().filter(|(_, title)| !title.is_empty()) {
            self.raw("<th scope=\"col\">");
            self.text(title);
            self.raw("</th>");
        }
        self.raw("</tr></thead>\n<tbody>\n");
        for row in &section.rows {
            self.raw("<tr>");
            for ((_, title), cell) in section.columns.iter().zip(row) {
                if title.is_empty() {
                    continue;
                }
                self.raw(match cell {
                    Cell::Count(_) | Cell::Cost(_) => "<td class=\"number\" data-head=\"",
                    Cell::Nothing | Cell::Text(_) | Cell::Time(_) | Cell::Told(..) => {
                        "<td data-head=\""
                    }
                });
                // A narrow screen has no room for a head above each column.
                self.text(title);
                self.raw("\">");
                self.cell(cell);
                self.raw("</td>");
            }
            self.raw("</tr>\n");
        }
        self.raw("</tbody>\n</table>\n</section>\n");
    }

    fn cell(&mut self, cell: &Cell) {
        for (place, line) in cell.lines().iter().enumerate() {
            if place > 0 {
                self.raw("<br>");
            }
            self.text(line);
        }
    }
}
