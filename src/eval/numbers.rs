//! Converts spelled numbers to digits, the number part of [`super::normalise`]: "twenty one hundred and five
//! dollars" to `$2105`. Pure: no I/O, no state.
//!
//! A reader takes the words in order and holds at most one number that can grow. Its state is either a whole
//! number ([`NumberValue::Whole`]), which "hundred" multiplies and units are added to, or a row of digits
//! ([`NumberValue::Digits`]), which only gets longer ("one oh one", "three point five").

use crate::eval::normalise;

/// Returns `text` (lower case, no punctuation except `.%$¢€£`) with its numbers as digits.
pub(super) fn as_digits(text: &str) -> String {
    let text = halves_to_decimals(text);
    let text = separate_digits_from_letters(&text);
    let text = join_suffixes(&text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = NumberReader::new(&words).into_words().join(" ");
    let text = join_cents(&text);
    let text = format_lone_cents(&text);
    normalise::map_words(&text, |word| match word {
        "1" => Some("one"),
        "1s" => Some("ones"),
        _ => None,
    })
}

/// Effect of a word on a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NumberWord {
    /// "oh", "o", "zero": a digit in a row.
    Zero,
    /// One to nineteen.
    Unit(u32),
    /// Twenty to ninety.
    Ten(u32),
    /// Ten to the power of this.
    Scale(u32),
    /// "third", "sixes": a unit that ends its number.
    EndingUnit(u32, &'static str),
    /// "fiftieth", "nineties".
    EndingTen(u32, &'static str),
    /// "hundredth", "millions".
    EndingScale(u32, &'static str),
    /// "minus": the sign of the number that follows.
    SignBefore(&'static str),
    /// "dollars": the sign of the number before it, written in front.
    SignAfter(&'static str),
    /// "percent".
    Percent,
    /// "per": with "cent" after it, "percent".
    Per,
    /// "and": ignored within a number.
    And,
    /// "double", "triple": this many of the digit that follows.
    Repeat(usize),
    /// "point".
    Point,
}

const UNITS: [&str; 19] = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];

const TENS: [&str; 8] = [
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];

const SCALES: [(&str, u32); 12] = [
    ("hundred", 2),
    ("thousand", 3),
    ("million", 6),
    ("billion", 9),
    ("trillion", 12),
    ("quadrillion", 15),
    ("quintillion", 18),
    ("sextillion", 21),
    ("septillion", 24),
    ("octillion", 27),
    ("nonillion", 30),
    ("decillion", 33),
];

/// Signs that are written before a number.
const SIGNS_BEFORE: [char; 6] = ['-', '+', '£', '€', '$', '¢'];

fn number_word(word: &str) -> Option<NumberWord> {
    let fixed = match word {
        "o" | "oh" | "zero" => NumberWord::Zero,
        "zeroth" => NumberWord::EndingUnit(0, "th"),
        "first" => NumberWord::EndingUnit(1, "st"),
        "second" => NumberWord::EndingUnit(2, "nd"),
        "third" => NumberWord::EndingUnit(3, "rd"),
        "fifth" => NumberWord::EndingUnit(5, "th"),
        "twelfth" => NumberWord::EndingUnit(12, "th"),
        "sixes" => NumberWord::EndingUnit(6, "s"),
        "minus" | "negative" => NumberWord::SignBefore("-"),
        "plus" | "positive" => NumberWord::SignBefore("+"),
        "pound" | "pounds" => NumberWord::SignAfter("£"),
        "euro" | "euros" => NumberWord::SignAfter("€"),
        "dollar" | "dollars" => NumberWord::SignAfter("$"),
        "cent" | "cents" => NumberWord::SignAfter("¢"),
        "percent" => NumberWord::Percent,
        "per" => NumberWord::Per,
        "and" => NumberWord::And,
        "double" => NumberWord::Repeat(2),
        "triple" => NumberWord::Repeat(3),
        "point" => NumberWord::Point,
        _ => return regular_number_word(word),
    };
    Some(fixed)
}

/// Parses units, tens and scales with their regular endings. "nineth" and "eighth" are the results of the
/// regular ending for nine and eight; "ninth" is not a number to Whisper's normaliser, and so not here.
fn regular_number_word(word: &str) -> Option<NumberWord> {
    for (unit, name) in (1..).zip(UNITS) {
        match word.strip_prefix(name) {
            Some("") => return Some(NumberWord::Unit(unit)),
            Some("s") if unit != 6 => return Some(NumberWord::EndingUnit(unit, "s")),
            Some("th") if unit > 3 && ![5, 8, 12].contains(&unit) => {
                return Some(NumberWord::EndingUnit(unit, "th"));
            }
            Some("h") if unit == 8 => return Some(NumberWord::EndingUnit(unit, "th")),
            _ => {}
        }
    }
    for (ten, name) in (20..).step_by(10).zip(TENS) {
        match word.strip_prefix(&name[..name.len() - 1]) {
            Some("y") => return Some(NumberWord::Ten(ten)),
            Some("ies") => return Some(NumberWord::EndingTen(ten, "s")),
            Some("ieth") => return Some(NumberWord::EndingTen(ten, "th")),
            _ => {}
        }
    }
    for (name, power) in SCALES {
        match word.strip_prefix(name) {
            Some("") => return Some(NumberWord::Scale(power)),
            Some("s") => return Some(NumberWord::EndingScale(power, "s")),
            Some("th") => return Some(NumberWord::EndingScale(power, "th")),
            _ => {}
        }
    }
    None
}

/// A number that can grow. It is decimal text rather than an integer: the words of a transcript have no
/// largest number, and nothing here may overflow.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NumberValue {
    /// No leading zeros, no point.
    Whole(String),
    /// Digits in a row, points allowed.
    Digits(String),
}

impl NumberValue {
    fn text(&self) -> &str {
        match self {
            Self::Whole(text) | Self::Digits(text) => text,
        }
    }

    /// Multiplies by ten to the power of `power`; `None` if the result is not a whole number.
    fn scaled(&self, power: u32) -> Option<String> {
        let (whole, decimals) = self.text().split_once('.').unwrap_or((self.text(), ""));
        let decimals = decimals.trim_end_matches('0');
        let power = power as usize;
        if decimals.contains('.') || decimals.len() > power {
            return None;
        }
        let zeros = "0".repeat(power - decimals.len());
        Some(strip_leading_zeros(&format!("{whole}{decimals}{zeros}")))
    }
}

/// Removes leading zeros, except that of zero itself.
fn strip_leading_zeros(digits: &str) -> String {
    let trimmed = digits.trim_start_matches('0');
    if trimmed.is_empty() {
        "0".to_owned()
    } else {
        trimmed.to_owned()
    }
}

/// Adds two whole numbers.
fn add_digits(a: &str, b: &str) -> String {
    let (mut a, mut b) = (a.bytes().rev(), b.bytes().rev());
    let mut digits = Vec::new();
    let mut carry = 0;
    loop {
        let (x, y) = (a.next(), b.next());
        if x.is_none() && y.is_none() && carry == 0 {
            break;
        }
        let total = x.map_or(0, |d| d - b'0') + y.map_or(0, |d| d - b'0') + carry;
        digits.push(char::from(b'0' + total % 10));
        carry = total / 10;
    }
    strip_leading_zeros(&digits.into_iter().rev().collect::<String>())
}

/// Whether a word is a number such as `12` or `12.5`.
fn is_numeric(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match word.split_once('.') {
        Some((whole, decimals)) => digits(whole) && digits(decimals),
        None => digits(word),
    }
}

struct NumberReader<'w> {
    words: &'w [&'w str],
    position: usize,
    value: Option<NumberValue>,
    sign: Option<String>,
    out: Vec<String>,
}

impl<'w> NumberReader<'w> {
    fn new(words: &'w [&'w str]) -> Self {
        Self {
            words,
            position: 0,
            value: None,
            sign: None,
            out: Vec::with_capacity(words.len()),
        }
    }

    fn into_words(mut self) -> Vec<String> {
        while self.position < self.words.len() {
            self.take_word();
            self.position += 1;
        }
        self.finish_number();
        self.out
    }

    fn current_word(&self) -> &'w str {
        self.words[self.position]
    }

    fn previous_word(&self) -> Option<NumberWord> {
        self.position
            .checked_sub(1)
            .and_then(|position| number_word(self.words[position]))
    }

    fn next_word(&self) -> Option<NumberWord> {
        self.words
            .get(self.position + 1)
            .and_then(|word| number_word(word))
    }

    fn is_next_numeric(&self) -> bool {
        self.words
            .get(self.position + 1)
            .is_some_and(|word| is_numeric(word))
    }

    /// Whether the next word is a number or can be a part of one.
    fn is_next_number_part(&self) -> bool {
        self.next_word().is_some() || self.is_next_numeric()
    }

    /// Writes `text` with the pending sign, and ends the number.
    fn emit(&mut self, text: &str) {
        let sign = self.sign.take().unwrap_or_default();
        self.value = None;
        self.out.push(sign + text);
    }

    /// Writes `value` with an ending such as `th`, and ends the number.
    fn emit_ending(&mut self, value: &NumberValue, suffix: &str) {
        self.emit(&format!("{}{suffix}", value.text()));
    }

    fn finish_number(&mut self) {
        if let Some(value) = self.value.take() {
            self.emit(value.text());
        }
    }

    /// Ends the number if there is one, and copies the word unchanged.
    fn pass_word(&mut self) {
        self.finish_number();
        self.emit(self.current_word());
    }

    fn take_word(&mut self) {
        let word = self.current_word();
        let sign = word.chars().next().filter(|c| SIGNS_BEFORE.contains(c));
        let bare = &word[sign.map_or(0, char::len_utf8)..];
        if is_numeric(bare) {
            return self.take_numeric(sign, bare);
        }
        match number_word(word) {
            Some(NumberWord::Zero) => self.append_digits("0"),
            Some(NumberWord::Unit(unit)) => self.value = Some(self.with_unit(unit)),
            Some(NumberWord::Ten(ten)) => self.value = Some(self.with_ten(ten)),
            Some(NumberWord::Scale(power)) => self.take_scale(power),
            Some(NumberWord::EndingUnit(unit, suffix)) => {
                let value = self.with_unit(unit);
                self.emit_ending(&value, suffix);
            }
            Some(NumberWord::EndingTen(ten, suffix)) => {
                let value = self.with_ten(ten);
                self.emit_ending(&value, suffix);
            }
            Some(NumberWord::EndingScale(power, suffix)) => self.take_ending_scale(power, suffix),
            Some(NumberWord::SignBefore(sign)) => self.take_sign_before(sign),
            Some(NumberWord::SignAfter(sign)) => self.take_sign_after(sign),
            Some(NumberWord::Percent) => self.take_percent(0),
            Some(NumberWord::Per) if self.words.get(self.position + 1) == Some(&"cent") => {
                self.take_percent(1);
            }
            None | Some(NumberWord::Per) => self.pass_word(),
            Some(NumberWord::And | NumberWord::Repeat(_) | NumberWord::Point)
                if !self.is_next_number_part() =>
            {
                self.pass_word();
            }
            Some(NumberWord::And) => self.take_and(),
            Some(NumberWord::Repeat(times)) => self.take_repeat(times),
            Some(NumberWord::Point) => self.take_point(),
        }
    }

    fn take_numeric(&mut self, sign: Option<char>, bare: &str) {
        if let Some(NumberValue::Digits(digits)) = &mut self.value
            && digits.ends_with('.')
        {
            digits.push_str(self.words[self.position]);
            return;
        }
        self.finish_number();
        if let Some(sign) = sign {
            self.sign = Some(sign.to_string());
        }
        let digits = NumberValue::Digits(bare.to_owned());
        self.value = Some(digits.scaled(0).map_or(digits, NumberValue::Whole));
    }

    /// Appends a digit or a point to the number. It replaces a whole zero.
    fn append_digits(&mut self, tail: &str) {
        let head = match &self.value {
            Some(NumberValue::Whole(zero)) if zero == "0" => "",
            Some(value) => value.text(),
            None => "",
        };
        self.value = Some(NumberValue::Digits(format!("{head}{tail}")));
    }

    fn with_unit(&self, unit: u32) -> NumberValue {
        let unit_text = unit.to_string();
        let after_unit = matches!(self.previous_word(), Some(NumberWord::Unit(_)));
        let after_ten = matches!(self.previous_word(), Some(NumberWord::Ten(_)));
        match &self.value {
            None => NumberValue::Whole(unit_text),
            Some(NumberValue::Digits(digits))
                if after_ten && unit < 10 && digits.ends_with('0') =>
            {
                NumberValue::Digits(format!("{}{unit}", &digits[..digits.len() - 1]))
            }
            Some(NumberValue::Digits(digits)) => NumberValue::Digits(digits.clone() + &unit_text),
            Some(NumberValue::Whole(whole)) if after_unit => {
                NumberValue::Digits(whole.clone() + &unit_text)
            }
            Some(NumberValue::Whole(whole)) => add_part(whole, unit, if unit < 10 { 1 } else { 2 }),
        }
    }

    fn with_ten(&self, ten: u32) -> NumberValue {
        match &self.value {
            None => NumberValue::Whole(ten.to_string()),
            Some(NumberValue::Digits(digits)) => NumberValue::Digits(format!("{digits}{ten}")),
            Some(NumberValue::Whole(whole)) => add_part(whole, ten, 2),
        }
    }

    fn take_scale(&mut self, power: u32) {
        let scale = NumberValue::Whole(format!("1{}", "0".repeat(power as usize)));
        self.value = Some(match self.value.take() {
            None => scale,
            Some(NumberValue::Whole(whole)) if whole != "0" => {
                NumberValue::Whole(multiply_below_thousand(&whole, power))
            }
            Some(value) => {
                if let Some(product) = value.scaled(power) {
                    NumberValue::Whole(product)
                } else {
                    self.emit(value.text());
                    scale
                }
            }
        });
    }

    fn take_ending_scale(&mut self, power: u32, suffix: &str) {
        let scale = format!("1{}", "0".repeat(power as usize));
        let product = match self.value.take() {
            None => scale,
            Some(NumberValue::Whole(whole)) => multiply_below_thousand(&whole, power),
            Some(value) => value.scaled(power).unwrap_or_else(|| {
                self.emit(value.text());
                scale
            }),
        };
        self.emit(&format!("{product}{suffix}"));
    }

    /// Takes "minus": the sign of the number that follows, if one does.
    fn take_sign_before(&mut self, sign: &str) {
        self.finish_number();
        if self.is_next_number_part() {
            self.sign = Some(sign.to_owned());
        } else {
            self.emit(self.current_word());
        }
    }

    /// Takes "dollars": the sign of the number before it, if there is one.
    fn take_sign_after(&mut self, sign: &str) {
        if self.value.is_some() {
            self.sign = Some(sign.to_owned());
            self.finish_number();
        } else {
            self.emit(self.current_word());
        }
    }

    /// Takes "and", which is ignored after a scale such as "hundred".
    fn take_and(&mut self) {
        if !matches!(self.previous_word(), Some(NumberWord::Scale(_))) {
            self.pass_word();
        }
    }

    /// Takes "point", which is ignored unless digits follow.
    fn take_point(&mut self) {
        let goes_on = matches!(
            self.next_word(),
            Some(NumberWord::Zero | NumberWord::Unit(_) | NumberWord::Ten(_))
        );
        if goes_on || self.is_next_numeric() {
            self.append_digits(".");
        }
    }

    /// Ends the number with `%`. `more` is the number of words after this one that belong to "percent".
    fn take_percent(&mut self, more: usize) {
        if let Some(value) = self.value.take() {
            self.emit(&format!("{}%", value.text()));
            self.position += more;
        } else {
            self.emit(self.current_word());
        }
    }

    fn take_repeat(&mut self, times: usize) {
        let digit = match self.next_word() {
            Some(NumberWord::Zero) => 0,
            Some(NumberWord::Unit(unit)) => unit,
            _ => return self.pass_word(),
        };
        self.append_digits(&digit.to_string().repeat(times));
        self.position += 1;
    }
}

/// Adds `part` to `whole` if `whole` ends in `places` zeros; otherwise joins the digits of both.
fn add_part(whole: &str, part: u32, places: usize) -> NumberValue {
    let head = whole.len().saturating_sub(places);
    if whole[head..].bytes().all(|b| b == b'0') {
        NumberValue::Whole(add_digits(whole, &part.to_string()))
    } else {
        NumberValue::Digits(format!("{whole}{part}"))
    }
}

/// Multiplies the part below the thousands: 2300 by ten to the power of 6 is 2000 + 300,000,000.
fn multiply_below_thousand(whole: &str, power: u32) -> String {
    let (thousands, rest) = whole.split_at(whole.len().saturating_sub(3));
    add_digits(
        &format!("{thousands}000"),
        &format!("{rest}{}", "0".repeat(power as usize)),
    )
}

/// Replaces "two and a half" by "two point five", for any number word. A half at the very start disappears,
/// as in the original.
fn halves_to_decimals(text: &str) -> String {
    let mut parts = vec![""];
    let mut rest = text;
    while let Some((before, after)) = split_at_half(rest) {
        parts.pop();
        if !before.trim().is_empty() {
            let number = before.split_whitespace().next_back().and_then(number_word);
            let is_number = matches!(
                number,
                Some(
                    NumberWord::Zero
                        | NumberWord::Unit(_)
                        | NumberWord::Ten(_)
                        | NumberWord::Scale(_)
                )
            );
            parts.extend([
                before,
                if is_number {
                    "point five"
                } else {
                    "and a half"
                },
            ]);
        }
        parts.push("");
        rest = after;
    }
    parts.pop();
    parts.push(rest);
    parts.join(" ")
}

/// Returns the text before and after the first "and a half"; `None` if there is no half.
fn split_at_half(text: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    while let Some(found) = text[from..].find("and") {
        let start = from + found;
        from = start + "and".len();
        let begins = !text[..start].ends_with(normalise::is_word_char);
        let tail = strip_leading_space(&text[from..])
            .and_then(|t| strip_leading_space(t.strip_prefix('a')?));
        if let Some(after) = tail.and_then(|t| t.strip_prefix("half"))
            && begins
            && !after.starts_with(normalise::is_word_char)
        {
            return Some((&text[..start], after));
        }
    }
    None
}

/// Returns `text` without its leading white space; `None` if it has no such space.
fn strip_leading_space(text: &str) -> Option<&str> {
    text.starts_with(char::is_whitespace)
        .then(|| text.trim_start())
}

/// Separates digits from letters: `3pm` to `3 pm`, `a1` to `a 1`.
fn separate_digits_from_letters(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut last = ' ';
    for c in text.chars() {
        let border = (last.is_ascii_lowercase() && c.is_ascii_digit())
            || (last.is_ascii_digit() && c.is_ascii_lowercase());
        if border {
            out.push(' ');
        }
        out.push(c);
        last = c;
    }
    out
}

/// Joins suffixes to their digits: `4 th` to `4th`, `1920 s` to `1920s`.
fn join_suffixes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, c) in text.char_indices() {
        if !c.is_whitespace() && out.ends_with(char::is_whitespace) {
            let rest = &text[index..];
            let word = &rest[..rest
                .find(|c| !normalise::is_word_char(c))
                .unwrap_or(rest.len())];
            let before = out.trim_end();
            if ["st", "nd", "rd", "th", "s"].contains(&word)
                && before.ends_with(|c: char| c.is_ascii_digit())
            {
                out.truncate(before.len());
            }
        }
        out.push(c);
    }
    out
}

/// Joins amounts and their cents: `$2 and ¢5` to `$2.05`.
fn join_cents(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let mut out: Vec<String> = Vec::with_capacity(words.len());
    let mut position = 0;
    while position < words.len() {
        let after_and = usize::from(words.get(position + 1) == Some(&"and"));
        let cents = words
            .get(position + 1 + after_and)
            .and_then(|word| word.strip_prefix('¢'));
        let whole = currency_amount(words[position]);
        if let (Some(whole), Some((cents, tail))) = (whole, cents.and_then(two_digits)) {
            out.push(format!("{whole}.{cents:02}{tail}"));
            position += 2 + after_and;
        } else {
            out.push(words[position].to_owned());
            position += 1;
        }
    }
    out.join(" ")
}

/// Returns `word` if it ends with a currency sign that only digits follow.
fn currency_amount(word: &str) -> Option<&str> {
    let digits = &word[word.rfind(['€', '£', '$'])?..];
    let digits = &digits[digits.chars().next()?.len_utf8()..];
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(word)
}

/// Parses the one or two digits at the start of `text`; also returns the rest. `None` if there are other
/// numbers of digits, or if the rest continues the word.
fn two_digits(text: &str) -> Option<(u32, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let tail = &text[length..];
    if !(1..=2).contains(&length) || tail.starts_with(normalise::is_word_char) {
        return None;
    }
    text[..length].parse().ok().map(|cents| (cents, tail))
}

/// Converts amounts below one: `$0.50` to `¢50`. Any character may be in place of the point, as in the
/// original.
fn format_lone_cents(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(['€', '£', '$']) {
        let sign = rest[start..].chars().next().map_or(1, char::len_utf8);
        let (before, after) = rest.split_at(start + sign);
        let cents = after.strip_prefix('0').and_then(|t| {
            let mut chars = t.chars();
            chars.next()?;
            two_digits(chars.as_str())
        });
        if let Some((cents, tail)) = cents {
            out.push_str(&before[..start]);
            out.push('¢');
            out.push_str(&cents.to_string());
            rest = tail;
        } else {
            out.push_str(before);
            rest = after;
        }
    }
    out + rest
}
