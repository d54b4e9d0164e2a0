//! Numbering plans: parses the text that a person typed into a number with its region and kind. Pure: no I/O.
//!
//! The data is libphonenumber's metadata, from the crate `phonenumber`
//! (<https://github.com/google/libphonenumber>). The crate's parser is not used: it strips the caller's trunk
//! prefix from other countries' numbers, and accepts letters and extensions.
//!
//! The crate matches a plan's pattern at the start of a number, and the number's length separately, so a few
//! unassigned numbers count as valid; Twilio refuses those.

use phonenumber::Metadata;
use phonenumber::metadata::{DATABASE, Descriptor};

use crate::ids::E164;
use crate::limits;

/// Metadata of one region's numbering plan. Several regions may share a country code.
pub(super) type RegionMetadata = &'static Metadata;

/// libphonenumber's region ID of networks that belong to no country: satellites, worldwide freephone and
/// premium numbers.
const NO_COUNTRY: &str = "001";

/// Maximum length of a country code.
const CODE_DIGITS_MAX: usize = 3;

/// Typed number without decoration.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct DialledNumber {
    /// Whether it starts with `+`, and so with a country code.
    pub(super) has_plus: bool,
    /// ASCII digits.
    pub(super) digits: String,
    /// Whether the text contained only digits and usual separators.
    pub(super) is_clean: bool,
}

/// Price class of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberKind {
    /// A person's or a company's line, or a free one.
    Standard,
    /// Premium rate, shared cost, personal, company-wide, pager or voicemail.
    Special,
    /// Of a network that belongs to no country.
    NonGeographic,
}

/// A number that its region's numbering plan contains.
pub(super) struct ParsedNumber {
    pub(super) e164: E164,
    pub(super) region: RegionMetadata,
    pub(super) kind: NumberKind,
}

impl DialledNumber {
    /// Parses a number as people write it, or from a `tel:` link. `None` if it contains letters, or is longer
    /// than any number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > limits::DIALED_NUMBER_BYTES_MAX {
            return None;
        }
        let text = text.trim();
        let link = text.get(..4).filter(|s| s.eq_ignore_ascii_case("tel:"));
        let text = &text[link.map_or(0, str::len)..];
        let mut dialled = Self {
            has_plus: false,
            digits: String::new(),
            is_clean: true,
        };
        for character in text.chars() {
            match character {
                '0'..='9' => dialled.digits.push(character),
                '+' if !dialled.has_plus && dialled.digits.is_empty() => dialled.has_plus = true,
                _ if character.is_alphanumeric() => return None,
                _ if is_decoration(character) => {}
                _ => dialled.is_clean = false,
            }
        }
        Some(dialled)
    }
}

/// Whether people, or programs that display numbers, put this character between digits.
fn is_decoration(character: char) -> bool {
    let between = matches!(
        character,
        '-' | '.' | '/' | '(' | ')' | '[' | ']' | '\u{2010}'..='\u{2015}' | '\u{2212}'
    );
    // Marks of writing direction are included when a number is copied.
    let direction = matches!(
        character,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    between || direction || character.is_whitespace()
}

/// Returns the region with this ISO 3166 alpha-2 code, in capitals.
pub(super) fn find_region(id: &str) -> Option<RegionMetadata> {
    DATABASE
        .by_id(id)
        .filter(|region| region.id() != NO_COUNTRY)
}

/// Returns a number's region; for a number outside any plan, the main region of its country code.
pub(super) fn region_of_number(number: &E164) -> Option<RegionMetadata> {
    let digits = number.as_str().trim_start_matches('+');
    let (code, national) = split_country_code(digits)?;
    let known = resolve_number(code, national).map(|number| number.region);
    known
        .or_else(|| regions_of_code(code).into_iter().next())
        .filter(|region| region.id() != NO_COUNTRY)
}

/// Returns the regions of a country code, the main one first.
pub(super) fn regions_of_code(code: u16) -> Vec<RegionMetadata> {
    DATABASE.by_code(&code).unwrap_or_default()
}

/// Splits digits into a country code and the rest; `None` without a known country code.
pub(super) fn split_country_code(digits: &str) -> Option<(u16, &str)> {
    // No code is a prefix of another.
    (1..=CODE_DIGITS_MAX).find_map(|length| {
        let (code, rest) = digits.split_at_checked(length)?;
        let code = code.parse().ok().filter(|_| !code.starts_with('0'))?;
        (!regions_of_code(code).is_empty()).then_some((code, rest))
    })
}

/// Strips the exit code, such as `00` or `011`; `None` if the digits do not start with it.
pub(super) fn strip_exit_code(home: RegionMetadata, digits: &str) -> Option<&str> {
    let exit = home.international_prefix()?.find(digits)?;
    let rest = &digits[exit.end()..];
    (exit.start() == 0 && !rest.starts_with('0')).then_some(rest)
}

/// Returns the national number without the trunk prefix (`0`, in North America `1`), or completed with digits
/// that people leave out; `None` if there is nothing to strip or complete.
pub(super) fn strip_trunk_prefix(home: RegionMetadata, digits: &str) -> Option<String> {
    let Some(pattern) = home.national_prefix_for_parsing() else {
        let rest = digits.strip_prefix(home.national_prefix()?)?;
        return Some(rest.to_owned());
    };
    let found = pattern.captures(digits)?;
    let prefix = found.get(0).filter(|prefix| prefix.start() == 0)?;
    let completed = found.get(found.len() - 1).is_some() && found.len() > 1;
    match home.national_prefix_transform_rule() {
        Some(rule) if completed => Some(pattern.replace(digits, rule).into_owned()),
        Some(_) | None => Some(digits[prefix.end()..].to_owned()),
    }
}

/// Resolves a number dialled at `home`.
pub(super) fn parse_number(
    dialled: &DialledNumber,
    home: Option<RegionMetadata>,
) -> Option<ParsedNumber> {
    let digits = dialled.digits.as_str();
    if dialled.has_plus {
        return parse_international(digits);
    }
    let home = home?;
    let abroad = strip_exit_code(home, digits).and_then(parse_international);
    abroad.or_else(|| parse_national(home, digits)).or_else(|| {
        let (code, _) = split_country_code(digits)?;
        (code == home.country_code()).then(|| parse_international(digits))?
    })
}

/// Parses a number that starts with its country code; removes a trunk prefix that was written nevertheless,
/// as in `+44 (0)20`.
fn parse_international(digits: &str) -> Option<ParsedNumber> {
    let (code, national) = split_country_code(digits)?;
    resolve_number(code, national).or_else(|| {
        let main = regions_of_code(code).into_iter().next()?;
        resolve_number(code, &strip_trunk_prefix(main, national)?)
    })
}

fn parse_national(home: RegionMetadata, digits: &str) -> Option<ParsedNumber> {
    let code = home.country_code();
    let stripped = strip_trunk_prefix(home, digits);
    let stripped = stripped.and_then(|national| resolve_number(code, &national));
    stripped.or_else(|| resolve_number(code, digits))
}

/// Finds the region, among those that share a country code, with a plan that contains this number.
fn resolve_number(code: u16, national: &str) -> Option<ParsedNumber> {
    let e164 = E164::parse(&format!("+{code}{national}")).ok()?;
    let regions = regions_of_code(code);
    let alone = regions.len() == 1;
    let region = regions.into_iter().find(|region| {
        let leading = region.leading_digits().filter(|_| !alone);
        leading.map_or_else(
            || classify_number(region, national).is_some(),
            |digits| digits.find(national).is_some_and(|m| m.start() == 0),
        )
    })?;
    let kind = classify_number(region, national)?;
    Some(ParsedNumber { e164, region, kind })
}

/// Whether it is a legacy premium number: in North America, those of the exchange 976 of any area cost more,
/// which libphonenumber's metadata does not include (<https://en.wikipedia.org/wiki/Pay-per-call>).
fn is_legacy_premium(region: RegionMetadata, national: &str) -> bool {
    region.country_code() == 1 && national.get(3..6) == Some("976")
}

/// Classifies a number by its region's plan; `None` if the plan does not contain it.
fn classify_number(region: RegionMetadata, national: &str) -> Option<NumberKind> {
    let plan = region.descriptors();
    let is = |kind: Option<&Descriptor>| kind.is_some_and(|kind| kind.is_match(national));
    if !plan.general().is_match(national) {
        return None;
    }
    let costly = [
        plan.premium_rate(),
        plan.shared_cost(),
        plan.personal_number(),
        plan.pager(),
        plan.uan(),
        plan.voicemail(),
    ];
    let usual = [
        plan.toll_free(),
        plan.fixed_line(),
        plan.mobile(),
        plan.voip(),
    ];
    let is_costly = costly.into_iter().any(is) || is_legacy_premium(region, national);
    let is_known = is_costly || usual.into_iter().any(is);
    is_known.then_some(match region.id() {
        NO_COUNTRY => NumberKind::NonGeographic,
        _ if is_costly => NumberKind::Special,
        _ => NumberKind::Standard,
    })
}
