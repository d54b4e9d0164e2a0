//! Writes numbers in one notation, where it is clear which one is meant. Pure: no I/O.
//!
//! Whisper writes the same digits as "4, 1, 5", "4 1 5" and "Four, one, five", and changes its choice from
//! one pass to the next. Here single digits in a row become "4 1 5"; a time of day gets a colon ("2:50 PM"),
//! and an amount names its currency once ("5 dollars"). Words are neither joined nor split, added nor
//! removed: each keeps its time and its position, so that a partial and the final of an utterance can be
//! aligned.

use crate::engine::recognizer::RecognizedWord;

/// Single digits in a row that are a number read out digit by digit. Fewer may be part of a sentence: "one or
/// two, three at most".
const DIGIT_RUN_MIN: usize = 3;

const DIGIT_WORDS: [&str; 10] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
];

/// Words beside which a digit is part of a larger number.
const NUMBER_WORDS: [&str; 12] = [
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred",
    "thousand", "million", "point",
];

/// Rewrites the numbers among `words` in one notation.
pub fn format_numbers(words: &mut [RecognizedWord]) {
    for at in 1..words.len() {
        let (before, rest) = words.split_at_mut(at);
        let (word, next) = (&mut before[at - 1].text, normalized_letters(&rest[0].text));
        match next.as_str() {
            "am" | "pm" => {
                if let Some(time) = format_time(word) {
                    *word = time;
                }
            }
            "dollar" | "dollars" => {
                let amount = word.strip_prefix('$');
                if let Some(amount) =
                    amount.filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
                {
                    *word = amount.to_owned();
                }
            }
            _ => {}
        }
    }
    format_digit_runs(words);
}

/// Returns the digit that a word means: "5", "five", "Five,"; `None` for any other word.
pub fn parse_digit(word: &str) -> Option<char> {
    let word = word.trim_end_matches([',', '.', '?', '!']);
    let mut chars = word.chars();
    if let (Some(digit @ '0'..='9'), None) = (chars.next(), chars.next()) {
        return Some(digit);
    }
    let named = DIGIT_WORDS
        .iter()
        .position(|name| name.eq_ignore_ascii_case(word))?;
    char::from_digit(named as u32, 10)
}

fn format_digit_runs(words: &mut [RecognizedWord]) {
    let mut begin = 0;
    while begin < words.len() {
        let length = digit_run_length(&words[begin..]);
        let end = begin + length;
        let is_number_part =
            |word: Option<&RecognizedWord>| word.is_some_and(|word| is_number_part(&word.text));
        let before = begin.checked_sub(1).and_then(|before| words.get(before));
        if length >= DIGIT_RUN_MIN && !is_number_part(before) && !is_number_part(words.get(end)) {
            for (n, word) in words[begin..end].iter_mut().enumerate() {
                let is_last = n + 1 == length;
                let tail = word
                    .text
                    .trim_start_matches(|c: char| c.is_ascii_alphanumeric());
                let tail = if is_last { tail } else { "" };
                let digit = parse_digit(&word.text).unwrap_or('0');
                word.text = format!("{digit}{tail}");
            }
        }
        begin = end.max(begin + 1);
    }
}

/// Returns how many of the first words are a run of digits. The end of a sentence ends the run; an "oh" is a
/// zero between two digits.
fn digit_run_length(words: &[RecognizedWord]) -> usize {
    let mut digits = 0;
    for (at, word) in words.iter().enumerate() {
        if parse_digit(&word.text).is_some() {
            digits = at + 1;
        } else if digits == 0 || !matches!(normalized_letters(&word.text).as_str(), "oh" | "o") {
            break;
        }
        if word.text.ends_with(['.', '?', '!']) {
            break;
        }
    }
    digits
}

fn is_number_part(word: &str) -> bool {
    let word = normalized_letters(word);
    NUMBER_WORDS.contains(&word.as_str()) || word.ends_with("teen")
}

/// Returns `2.50` as `2:50`; `None` if that is not a time of day.
fn format_time(word: &str) -> Option<String> {
    let (hour, minute) = word.split_once('.')?;
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let is_time = is_number(hour)
        && is_number(minute)
        && minute.len() == 2
        && (1..=12).contains(&hour.parse::<u32>().ok()?)
        && minute.parse::<u32>().ok()? < 60;
    is_time.then(|| format!("{hour}:{minute}"))
}

fn normalized_letters(word: &str) -> String {
    let letters = word.chars().filter(|c| c.is_alphabetic());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::recognizer::join_words;

    fn words(text: &str) -> Vec<RecognizedWord> {
        let word = |text: &str| RecognizedWord {
            text: text.to_owned(),
            start_ms: 0,
            end_ms: 0,
            confidence: 1.0,
        };
        text.split_whitespace().map(word).collect()
    }

    fn written(text: &str) -> String {
        let mut words = words(text);
        format_numbers(&mut words);
        join_words(words.iter().map(|word| word.text.as_str()))
    }

    #[test]
    fn digits_that_are_read_out_are_written_in_one_way() {
        for text in ["4 1 5 5 0", "4, 1, 5, 5, 0", "Four, one, five, five, zero"] {
            assert_eq!(written(text), "4 1 5 5 0", "{text}");
        }
        assert_eq!(written("four one oh five"), "4 1 0 5");
        assert_eq!(
            written("You entered 5, 5, 5, five. If this is correct, press 1."),
            "You entered 5 5 5 5. If this is correct, press 1."
        );
        assert_eq!(
            written("It is 8, 0, 0, 5, please."),
            "It is 8 0 0 5, please."
        );
    }

    #[test]
    fn what_may_be_something_else_stays_as_it_is() {
        for text in [
            "one, two",
            "Take one or two, three at most.",
            "Oh, 7946",
            "Oh, five five",
            "twenty five, five, five, five",
            "two, three, four hundred",
            "415-555-0123",
            "1234 1234 1234",
            "It is 5. 4 came.",
            "I am one. Two, three.",
        ] {
            assert_eq!(written(text), text);
        }
    }

    #[test]
    fn a_time_of_day_has_a_colon() {
        assert_eq!(
            written("at 2.50 PM or 11.15 a.m."),
            "at 2:50 PM or 11:15 a.m."
        );
        for text in ["2.50 dollars", "13.50 pm", "2.5 am", "2.75 PM", "I am 2.50"] {
            assert_eq!(written(text), text);
        }
    }

    #[test]
    fn an_amount_names_its_currency_once() {
        assert_eq!(written("$999999 dollars"), "999999 dollars");
        assert_eq!(written("$2,000 dollars."), "2,000 dollars.");
        assert_eq!(written("$89, and five dollars"), "$89, and five dollars");
    }

    proptest! {
        #[test]
        fn no_digit_comes_or_goes_and_a_second_look_changes_nothing(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "one", "Two,", "3", "4,", "five.", "oh", "Oh,", "twenty", "$5", "dollars", "2.50",
                    "PM", "hello", "6?",
                ]),
                0..12,
            ),
        ) {
            let said = parts.join(" ");
            let once = written(&said);
            prop_assert_eq!(written(&once), once.clone());
            prop_assert_eq!(once.split(' ').count(), said.split(' ').count());
            let value = |word: &str| parse_digit(word);
            for (before, after) in said.split(' ').zip(once.split(' ')) {
                if let Some(digit) = value(before) {
                    prop_assert_eq!(value(after), Some(digit));
                }
            }
        }
    }
}
