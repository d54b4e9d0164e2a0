//! Extracts the digits, spelled letters and amounts of money of a text, each as its own symbol. Pure: no I/O.
//!
//! [`normalise`] makes one word of "four one five" and three of "4 1 5", so that a word error rate does not
//! measure a telephone number well. Here every digit of a number counts, in any notation: "415", "4 1 5" and
//! "four one five" are the same three symbols, and the hypothesis "4 1" lacks one of three.

use crate::eval::normalise;

/// Currency signs: a word that starts with one is an amount, which counts as one symbol.
const CURRENCY_SIGNS: [char; 4] = ['$', '¢', '€', '£'];

/// Returns the symbols of `text` in order: digits, amounts ("$89") and single letters. "a" and "i" count as
/// letters only beside a letter or a digit, because they are words as well.
pub fn extract_symbols(text: &str) -> Vec<String> {
    // The normaliser removes text in brackets, and so an area code.
    let text = normalise::normalise_english(&split_leading_zeros(&text.replace(['(', ')'], " ")));
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut symbols = Vec::new();
    for (at, &word) in words.iter().enumerate() {
        if word.starts_with(CURRENCY_SIGNS) {
            symbols.push(word.to_owned());
        } else if let Some(digit) = digit_of_word(word) {
            symbols.push(digit.to_owned());
        } else if word.contains(|c: char| c.is_ascii_digit()) {
            let digits = word.chars().filter(char::is_ascii_digit);
            symbols.extend(digits.map(String::from));
        } else if is_letter(word) {
            let before = at.checked_sub(1).and_then(|before| words.get(before));
            let beside = [before, words.get(at + 1)].into_iter().flatten();
            let is_spelled = |beside: &&str| is_letter(beside) || is_number(beside);
            if !matches!(word, "a" | "i") || beside.copied().any(|word| is_spelled(&word)) {
                symbols.push(word.to_owned());
            }
        }
    }
    symbols
}

/// Returns `text` with spaces between the digits of numbers that start with zero: the normaliser would read
/// them as numbers and drop the zero.
fn split_leading_zeros(text: &str) -> String {
    let mut apart = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, digits) = rest.split_at(begin);
        let end = digits.find(|c: char| !c.is_ascii_digit());
        let (digits, after) = digits.split_at(end.unwrap_or(digits.len()));
        apart.push_str(before);
        for (n, digit) in digits.chars().enumerate() {
            if n > 0 && digits.starts_with('0') {
                apart.push(' ');
            }
            apart.push(digit);
        }
        rest = after;
    }
    apart + rest
}

/// Returns the digit for "one", the only digit that the normaliser writes as a word.
fn digit_of_word(word: &str) -> Option<&'static str> {
    (word == "one").then_some("1")
}

fn is_number(word: &str) -> bool {
    digit_of_word(word).is_some() || word.chars().all(|c| c.is_ascii_digit())
}

fn is_letter(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|c| c.is_ascii_lowercase()) && chars.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        extract_symbols(text).join(" ")
    }

    #[test]
    fn a_number_has_the_same_symbols_however_it_is_written() {
        for text in [
            "four one five, five five five, oh one two three",
            "4 1 5 5 5 5 0 1 2 3",
            "415-555-0123",
            "4, 1, 5, 5, 5, 5, 0, 1, 2, 3.",
            "(415) 555 0123",
        ] {
            let text = format!("call {text} please");
            assert_eq!(of(&text), "4 1 5 5 5 5 0 1 2 3", "{text}");
        }
    }

    #[test]
    fn an_amount_is_one_symbol() {
        assert_eq!(of("your balance is eighty nine dollars"), "$89");
        assert_eq!(of("your balance is $89"), "$89");
        assert_eq!(of("twenty five minutes"), "2 5");
    }

    #[test]
    fn letters_count_where_they_are_spelled() {
        assert_eq!(of("I have a dog"), "");
        assert_eq!(of("A B C"), "a b c");
        assert_eq!(of("flight b a 2 4 5"), "b a 2 4 5");
        assert_eq!(of("b r u n k"), "b r u n k");
    }
}
