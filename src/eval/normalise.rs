//! Whisper's English text normalisation, so that word error rates can be compared with published ones. Pure:
//! no I/O, no state.
//!
//! The algorithm is that of appendix C of "Robust Speech Recognition via Large-Scale Weak Supervision"
//! (Radford et al. 2022, <https://arxiv.org/abs/2212.04356>), with its oddities: "one second" becomes `12nd`
//! and "oh" becomes `0`, but on both sides, so neither counts as an error. `fixtures/normalise.tsv` has cases
//! with results from the reference program.

use crate::eval::numbers;
use crate::eval::spelling;

/// Returns the words of `text` in the form in which they are compared: lower case, no punctuation, no
/// fillers, expanded contractions, numbers as digits, American spelling, separated by single spaces.
///
/// Letters outside the Latin script are unchanged; Whisper's own normaliser strips their accents too.
pub fn normalise_english(text: &str) -> String {
    let text = text.to_lowercase();
    let text = remove_asides(&text);
    let text = map_words(&text, |word| FILLERS.contains(&word).then_some(""));
    let text = remove_space_before_apostrophe(&text);
    let text = expand_contractions(&text);
    let text = remove_commas_in_numbers(&text);
    let text = remove_full_stops(&text);
    let text = keep_letters_and_signs(&text);
    let text = numbers::as_digits(&text);
    let text = spelling::americanise(&text);
    let text = remove_stray_signs(&text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Sounds that are not words.
const FILLERS: [&str; 6] = ["hmm", "mm", "mhm", "mmm", "uh", "um"];

/// Whole words and their expansions. A title is also separated from text that directly follows it (`mr.5`).
const WHOLE_WORDS: [(&str, &str); 39] = [
    ("won't", "will not"),
    ("can't", "can not"),
    ("let's", "let us"),
    ("ain't", "aint"),
    ("y'all", "you all"),
    ("wanna", "want to"),
    ("gotta", "got to"),
    ("gonna", "going to"),
    ("i'ma", "i am going to"),
    ("imma", "i am going to"),
    ("woulda", "would have"),
    ("coulda", "could have"),
    ("shoulda", "should have"),
    ("ma'am", "madam"),
    ("cause", "because"),
    ("dunno", "do not know"),
    ("kinda", "kind of"),
    ("sorta", "sort of"),
    ("mr", "mister "),
    ("mrs", "missus "),
    ("st", "saint "),
    ("dr", "doctor "),
    ("prof", "professor "),
    ("capt", "captain "),
    ("gov", "governor "),
    ("ald", "alderman "),
    ("gen", "general "),
    ("sen", "senator "),
    ("rep", "representative "),
    ("pres", "president "),
    ("rev", "reverend "),
    ("hon", "honorable "),
    ("asst", "assistant "),
    ("assoc", "associate "),
    ("lt", "lieutenant "),
    ("col", "colonel "),
    ("jr", "junior "),
    ("sr", "senior "),
    ("esq", "esquire "),
];

/// Endings of words and their expansions; perfect tenses first, because any other `'s` means "is".
const WORD_ENDINGS: [(&str, &str); 14] = [
    ("'d been", " had been"),
    ("'s been", " has been"),
    ("'d gone", " had gone"),
    ("'s gone", " has gone"),
    ("'d done", " had done"),
    ("'s got", " has got"),
    ("n't", " not"),
    ("'re", " are"),
    ("'s", " is"),
    ("'d", " would"),
    ("'ll", " will"),
    ("'t", " not"),
    ("'ve", " have"),
    ("'m", " am"),
];

/// Signs with a meaning beside a digit, which are kept when other symbols are removed.
const SIGNS: [char; 6] = ['.', '%', '$', '¢', '€', '£'];

/// Variants of Latin letters and digits, and their plain forms (Unicode's compatibility decomposition without
/// its marks, and the few letters without a decomposition).
const LETTER_FOLDS: [(&str, &str); 43] = [
    ("àáâãäåāăąǎªạả", "a"),
    ("æǽ", "ae"),
    ("çćĉċč", "c"),
    ("ďđð", "d"),
    ("èéêëēĕėęěẹẽ", "e"),
    ("ﬀ", "ff"),
    ("ﬁ", "fi"),
    ("ﬂ", "fl"),
    ("ĝğġģǧ", "g"),
    ("ĥ", "h"),
    ("ìíîïĩīĭįǐị", "i"),
    ("ĳ", "ij"),
    ("ĵ", "j"),
    ("ķ", "k"),
    ("ĺļľł", "l"),
    ("ñńņňǹ", "n"),
    ("òóôõöōŏőǒøºọ", "o"),
    ("œ", "oe"),
    ("ŕŗř", "r"),
    ("śŝşšș", "s"),
    ("ſ", "s"),
    ("ß", "ss"),
    ("ţťț", "t"),
    ("þ", "th"),
    ("ùúûüũūŭůűųǔụ", "u"),
    ("ŵẁẃẅ", "w"),
    ("ýÿŷỳ", "y"),
    ("źżž", "z"),
    ("⁰₀", "0"),
    ("¹₁", "1"),
    ("²₂", "2"),
    ("³₃", "3"),
    ("⁴₄", "4"),
    ("⁵₅", "5"),
    ("⁶₆", "6"),
    ("⁷₇", "7"),
    ("⁸₈", "8"),
    ("⁹₉", "9"),
    ("½", "1 2"),
    ("¼", "1 4"),
    ("¾", "3 4"),
    ("™", "TM"),
    ("…", "..."),
];

/// Whether a character matches Python's `\w`, approximately.
pub(super) fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Replaces whole words (runs of letters, digits and underscores) for which `swap` returns a replacement.
pub(super) fn map_words<'s>(text: &str, swap: impl Fn(&str) -> Option<&'s str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let in_word = is_word_char(first);
        let end = rest
            .find(|c| is_word_char(c) != in_word)
            .unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        match swap(run) {
            Some(other) if in_word => out.push_str(other),
            _ => out.push_str(run),
        }
        rest = tail;
    }
    out
}

/// Removes `[…]` and `<…>` (a bracket of either kind closes either kind), and `(…)` that is not empty: notes
/// that transcribers write beside the words.
fn remove_asides(text: &str) -> String {
    let text = drop_enclosed(text, &['[', '<'], &[']', '>'], 0);
    drop_enclosed(&text, &['('], &[')'], 1)
}

fn drop_enclosed(text: &str, open: &[char], close: &[char], inside_min: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(open) {
        let inside = start + 1; // every opening bracket is one byte
        out.push_str(&rest[..start]);
        match rest[inside..].find(close) {
            Some(length) if length >= inside_min => rest = &rest[inside + length + 1..],
            Some(_) => {
                out.push_str(&rest[start..inside]);
                rest = &rest[inside..];
            }
            None => {
                rest = &rest[start..];
                break;
            }
        }
    }
    out + rest
}

fn remove_space_before_apostrophe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\'' {
            out.truncate(out.trim_end().len());
        }
        out.push(c);
    }
    out
}

fn expand_contractions(text: &str) -> String {
    let text = WHOLE_WORDS
        .iter()
        .filter(|(short, _)| text.contains(short))
        .fold(text.to_owned(), |text, (short, long)| {
            replace_at_end(&text, short, long, true)
        });
    WORD_ENDINGS.iter().fold(text, |text, (short, long)| {
        if text.contains(short) {
            replace_at_end(&text, short, long, false)
        } else {
            text
        }
    })
}

/// Replaces `short` at the end of a word; with `whole`, only if it is the whole word.
fn replace_at_end(text: &str, short: &str, long: &str, whole: bool) -> String {
    let mut out = String::with_capacity(text.len() + long.len());
    let mut from = 0;
    let mut before = None;
    while let Some(found) = text[from..].find(short) {
        let (start, end) = (from + found, from + found + short.len());
        before = text[from..start].chars().next_back().or(before);
        let ends = !text[end..].starts_with(is_word_char);
        let begins = !whole || !before.is_some_and(is_word_char);
        out.push_str(&text[from..start]);
        if ends && begins {
            out.push_str(long);
            from = end;
            before = short.chars().next_back();
        } else {
            let first = short.chars().next().map_or(1, char::len_utf8);
            out.push_str(&text[start..start + first]);
            before = short.chars().next();
            from = start + first;
        }
    }
    out + &text[from..]
}

/// Removes commas in numbers: `1,000` to `1000`. A digit belongs to one pair only, so `1,2,3` keeps its
/// second comma.
fn remove_commas_in_numbers(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        out.push(chars[at]);
        if digit(at) && chars.get(at + 1) == Some(&',') && digit(at + 2) {
            out.push(chars[at + 2]);
            at += 2;
        }
        at += 1;
    }
    out
}

/// Replaces full stops by spaces, and keeps decimal points. A full stop consumes the character after it, so
/// the second of two in a row is kept until [`remove_stray_signs`].
fn remove_full_stops(text: &str) -> String {
    replace_with_space(text, |c| c == '.', true)
}

/// Replaces signs without a digit after them, and percent signs without a digit before them, by spaces.
fn remove_stray_signs(text: &str) -> String {
    let text = replace_with_space(text, |c| SIGNS.contains(&c) && c != '%', false);
    let mut out = String::with_capacity(text.len());
    let mut free = None; // the last character, unless a percent sign has used it
    for c in text.chars() {
        if c == '%' && free.is_some_and(|last: char| !last.is_ascii_digit()) {
            out.push(' ');
            free = None;
        } else {
            out.push(c);
            free = Some(c);
        }
    }
    out
}

/// Replaces each `sign` that a character other than a digit follows by a space, and copies that character;
/// with `at_end`, also a sign at the end of the text.
fn replace_with_space(text: &str, sign: impl Fn(char) -> bool, at_end: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match next {
            _ if !sign(c) => out.push(c),
            Some(next) if !next.is_ascii_digit() => {
                out.push(' ');
                out.push(next);
                chars.next();
            }
            None if at_end => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

/// Strips accents, and replaces other marks, symbols and punctuation by spaces, except [`SIGNS`].
fn keep_letters_and_signs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || SIGNS.contains(&c) {
            out.push(c);
        } else if ('\u{300}'..='\u{36f}').contains(&c) {
            // A combining accent: its letter is written already.
        } else if let Some((_, plain)) = LETTER_FOLDS
            .iter()
            .find(|(accented, _)| accented.contains(c))
        {
            out.push_str(plain);
        } else {
            out.push(if c.is_alphanumeric() { c } else { ' ' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_golden_case_comes_out_as_from_the_reference_program() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/normalise.tsv");
        let golden = fs::read_to_string(golden).unwrap();
        let cases: Vec<_> = golden
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        assert!(cases.len() >= 150, "{} cases", cases.len());
        let wrong: Vec<_> = cases
            .iter()
            .filter_map(|case| {
                let (text, expected) = case.split_once('\t').unwrap();
                let got = normalise_english(text);
                (got != expected).then(|| format!("{text:?}: {expected:?}, not {got:?}"))
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn a_number_of_any_length_is_read() {
        let nines = "9".repeat(80);
        let product = normalise_english(&format!("{nines} thousand and one"));
        // Only the part below a thousand is multiplied: 99…9000 + 999000 + 1.
        assert_eq!(product, format!("1{}998001", "0".repeat(74)));
        assert_eq!(normalise_english(&"nine ".repeat(500)), "9".repeat(500));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it_and_words_stay_one_space_apart(text in "\\PC*") {
            let out = normalise_english(&text);
            prop_assert_eq!(out.split_whitespace().collect::<Vec<_>>().join(" "), out);
        }

        #[test]
        fn no_mixture_of_words_and_signs_breaks_it(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "one", "twenty", "hundred", "thousandth", "point", "and", "a half", "double",
                    "minus", "dollars", "percent", "per", "cent", "0", "$", "¢5", "5.", ".5",
                    "1,0", "%", "'s", "won't", "st", "(", ")", "[", ">", "\u{301}", "½", "ß",
                ]),
                0..12,
            ),
            glue in prop::sample::select(vec!["", " "]),
        ) {
            let out = normalise_english(&parts.join(glue));
            prop_assert!(!out.contains(char::is_uppercase), "{}", out);
            prop_assert!(!out.contains(['(', ')', '[', '>', ',', '\'']), "{}", out);
        }
    }
}
