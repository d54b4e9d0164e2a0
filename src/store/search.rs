//! Translates a user's search into queries of the full-text index, and the index's output into pieces of
//! text. Pure: no I/O.
//!
//! A user's input is never parsed as the index's syntax: every term is passed as a quoted string, whatever it
//! contains (<https://www.sqlite.org/fts5.html#fts5_strings>).

use super::error::StoreError;
use crate::limits;

/// Marks the start of a match in the index's output: a control character, which no recognizer writes.
pub(super) const HIT_START: char = '\u{2}';

/// Marks the end of a match.
pub(super) const HIT_END: char = '\u{3}';

/// A query; all of its terms must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SearchQuery {
    /// FTS5 expressions. The last one matches prefixes.
    pub(super) terms: Vec<String>,
}

impl SearchQuery {
    /// Parses a user's input; `None` if it contains only whitespace. Input without a letter or digit results
    /// in no terms, because the index cannot contain it.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, StoreError> {
        let max = limits::SEARCH_BYTES_MAX;
        if text.len() > max {
            let what = "the search text";
            return Err(StoreError::TooLong { what, max });
        }
        if text.trim().is_empty() {
            return Ok(None);
        }
        let words = text.split_whitespace();
        let words = words.filter(|word| word.contains(char::is_alphanumeric));
        let mut terms: Vec<String> = words
            .map(quote_term)
            .take(limits::SEARCH_TERMS_MAX)
            .collect();
        if let Some(last) = terms.last_mut() {
            last.push('*');
        }
        Ok(Some(Self { terms }))
    }

    /// Returns an FTS5 expression that matches any of the terms.
    pub(super) fn any_term(&self) -> String {
        self.terms.join(" OR ")
    }
}

fn quote_term(word: &str) -> String {
    let plain = word.replace('\0', "").replace('"', "\"\"");
    format!("\"{plain}\"")
}

/// Splits a text at its marks: every second piece, starting with the second, was marked.
pub(super) fn split_at_marks(marked: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for c in marked.chars() {
        let inside = pieces.len() % 2 == 0;
        match c {
            HIT_START if !inside => pieces.push(String::new()),
            HIT_END if inside => pieces.push(String::new()),
            HIT_START | HIT_END => {}
            _ => {
                if let Some(piece) = pieces.last_mut() {
                    piece.push(c);
                }
            }
        }
    }
    if pieces.last().is_some_and(String::is_empty) {
        pieces.pop();
    }
    pieces
}

/// Normalises a search for a party: a telephone number in any notation is reduced to its digits and plus
/// signs.
pub(super) fn normalize_party_query(text: &str) -> String {
    let text = text.trim();
    let is_number = text
        .chars()
        .all(|c| c.is_ascii_digit() || c.is_whitespace() || "+()-./".contains(c));
    let keep = |c: &char| !is_number || c.is_ascii_digit() || *c == '+';
    text.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<String> {
        SearchQuery::parse(text).unwrap().unwrap().terms
    }

    #[test]
    fn words_are_quoted_and_the_last_may_be_a_beginning() {
        assert_eq!(terms("invoice number"), ["\"invoice\"", "\"number\"*"]);
        assert_eq!(terms(" o'brien "), ["\"o'brien\"*"]);
    }

    #[test]
    fn syntax_is_only_text() {
        assert_eq!(terms("a AND b*"), ["\"a\"", "\"AND\"", "\"b*\"*"]);
        assert_eq!(terms("say \"hi\""), ["\"say\"", "\"\"\"hi\"\"\"*"]);
        assert_eq!(terms("a\0b"), ["\"ab\"*"]);
    }

    #[test]
    fn space_is_no_search_and_signs_alone_find_nothing() {
        assert_eq!(SearchQuery::parse(" \t").unwrap(), None);
        assert_eq!(terms("— ??"), Vec::<String>::new());
        assert_eq!(terms("cat — dog").len(), 2);
    }

    #[test]
    fn a_search_is_bounded() {
        let long = "a".repeat(limits::SEARCH_BYTES_MAX + 1);
        assert!(matches!(
            SearchQuery::parse(&long),
            Err(StoreError::TooLong { .. })
        ));
        assert_eq!(terms(&"a ".repeat(100)).len(), limits::SEARCH_TERMS_MAX);
    }

    #[test]
    fn a_marked_text_is_cut_at_its_marks() {
        assert_eq!(
            split_at_marks("the \u{2}cat\u{3} sat"),
            ["the ", "cat", " sat"]
        );
        assert_eq!(split_at_marks("\u{2}cat\u{3}"), ["", "cat"]);
        assert_eq!(
            split_at_marks("\u{2}a\u{3} \u{2}b\u{3}"),
            ["", "a", " ", "b"]
        );
        assert_eq!(split_at_marks("no marks"), ["no marks"]);
        // Marks in the text itself are harmless.
        assert_eq!(
            split_at_marks("\u{3}a\u{2}\u{2}b\u{3}c\u{3}"),
            ["a", "b", "c"]
        );
    }

    #[test]
    fn a_number_is_looked_for_by_its_digits() {
        assert_eq!(normalize_party_query("(415) 555-01"), "41555501");
        assert_eq!(normalize_party_query("+1 415"), "+1415");
        assert_eq!(normalize_party_query(" alice b "), "alice b");
    }
}
