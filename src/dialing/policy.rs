//! What may be called, as settings say it, and whether something dialled is that. Pure: no I/O.

use std::collections::BTreeSet;

use super::Refusal;
use super::emergency::is_emergency;
use super::numbers::{Country, Kind, Known};
use crate::ids::E164;
use crate::limits;

/// The longest number that no whole one is: emergency services, directory enquiries.
const SHORT_DIGITS_MAX: usize = 6;

/// What people write between digits: spaces, points, dashes, brackets, strokes, and the marks for
/// the direction of writing that come along from address books.
const BETWEEN: [char; 19] = [
    ' ', '\t', '-', '.', '(', ')', '/', '\u{a0}', '\u{2007}', '\u{2009}', '\u{200e}', '\u{2010}',
    '\u{2011}', '\u{2012}', '\u{2013}', '\u{202a}', '\u{202c}', '\u{202d}', '\u{202f}',
];

/// What may be called. The default: numbers of the caller ID's own country that cost no more than
/// a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The countries; none: the caller ID's own.
    pub countries: BTreeSet<Country>,
    /// Every country, and international numbers.
    pub anywhere: bool,
    /// The kinds of numbers that are allowed besides subscribers'.
    pub kinds: BTreeSet<Kind>,
    /// Numbers that are allowed whatever they are, but for emergencies.
    pub numbers: BTreeSet<E164>,
}

/// A word of the setting that says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// None of the words that there are.
    #[error(
        "`{0}` is no country (two letters such as US), no telephone number (such as \
         +14155550123), no kind of number (premium, shared-cost, personal, pager, company, \
         voicemail, satellite), and not `anywhere`"
    )]
    UnknownWord(String),
    /// More words than [`limits::POLICY_WORDS_MAX`].
    #[error("more than {} words", limits::POLICY_WORDS_MAX)]
    TooLong,
}

impl Policy {
    /// Reads words between commas or spaces: countries, `anywhere`, kinds of numbers, and single
    /// numbers. `US, CA, company, +442079460018`.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut policy = Self::default();
        let words = text
            .split([',', ' ', '\t', '\n'])
            .filter(|word| !word.is_empty());
        for (n, word) in words.enumerate() {
            if n == limits::POLICY_WORDS_MAX {
                return Err(PolicyError::TooLong);
            }
            if word.eq_ignore_ascii_case("anywhere") {
                policy.anywhere = true;
            } else if let Some(kind) = Kind::parse(word) {
                policy.kinds.insert(kind);
            } else if let Some(country) = Country::parse(word) {
                policy.countries.insert(country);
            } else if let Ok(number) = E164::parse(word) {
                policy.numbers.insert(number);
            } else {
                return Err(PolicyError::UnknownWord(word.to_owned()));
            }
        }
        Ok(policy)
    }

    /// Whether `to` may be called from `caller_id`, and the number that it is. `to` is what
    /// somebody typed or pasted: a number in the international form, with a plus, or as it is
    /// dialled in the caller ID's country.
    pub fn check(&self, to: &str, caller_id: &E164) -> Result<E164, Refusal> {
        let (digits, is_international) = digits(to).ok_or(Refusal::NotANumber)?;
        if is_emergency(&digits, is_international) {
            return Err(Refusal::Emergency);
        }
        let home = Known::of(caller_id).and_then(|caller| caller.country);
        let known = if is_international {
            let number = E164::parse(&format!("+{digits}")).map_err(|_| Refusal::NotANumber)?;
            if self.numbers.contains(&number) {
                return Ok(number);
            }
            Known::of(&number)
        } else if digits.len() <= SHORT_DIGITS_MAX {
            return Err(Refusal::ShortNumber);
        } else {
            let home = home.ok_or(Refusal::NotANumber)?;
            Some(Known::dialled_in(home, &digits)?)
        };
        let known = known.ok_or(Refusal::NotANumber)?;
        if known.number == *caller_id {
            return Err(Refusal::OwnNumber);
        }
        if self.numbers.contains(&known.number) {
            return Ok(known.number);
        }
        if let Some(kind) = known.kind
            && !self.kinds.contains(&kind)
        {
            return Err(Refusal::Kind(kind));
        }
        if self.may_reach(&known, home) {
            Ok(known.number)
        } else {
            Err(Refusal::Country)
        }
    }

    fn may_reach(&self, known: &Known, home: Option<Country>) -> bool {
        let is_listed = if self.countries.is_empty() {
            home.is_some_and(|home| known.is_in(home))
        } else {
            self.countries.iter().any(|country| known.is_in(*country))
        };
        // A satellite is in no country, and was allowed by its kind.
        self.anywhere || is_listed || known.kind == Some(Kind::Satellite)
    }
}

/// The digits of what was dialled, and whether a plus came first. `None`: there is something else
/// in it.
fn digits(to: &str) -> Option<(String, bool)> {
    if to.len() > limits::DIALLED_BYTES_MAX {
        return None;
    }
    let to = to.trim().trim_start_matches(BETWEEN);
    let to = to.strip_prefix("tel:").unwrap_or(to);
    let (to, is_international) = match to.strip_prefix('+') {
        Some(rest) => (rest, true),
        None => (to, false),
    };
    let digits: String = to.chars().filter(|c| !BETWEEN.contains(c)).collect();
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some((digits, is_international))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const US: &str = "+14155550123";
    const GB: &str = "+442079460018";
    const DE: &str = "+4930123456";
    const IT: &str = "+390236618300";

    fn e164(text: &str) -> E164 {
        E164::parse(text).unwrap()
    }

    fn check(settings: &str, from: &str, to: &str) -> Result<String, Refusal> {
        let policy = Policy::parse(settings).unwrap();
        let number = policy.check(to, &e164(from))?;
        Ok(number.as_str().to_owned())
    }

    #[track_caller]
    fn assert_calls(from: &str, rows: &[(&str, &str)]) {
        for (to, number) in rows {
            assert_eq!(check("", from, to), Ok((*number).to_owned()), "{to:?}");
        }
    }

    #[track_caller]
    fn assert_refused(settings: &str, from: &str, rows: &[(&str, Refusal)]) {
        for (to, refusal) in rows {
            assert_eq!(check(settings, from, to), Err(*refusal), "{to:?}");
        }
    }

    #[test]
    fn a_number_may_be_dialled_as_people_write_it_at_home() {
        let number = "+12125551234";
        let ways = [
            number,
            "+1 (212) 555-1234",
            " +1.212.555.1234 ",
            "tel:+12125551234",
            "\u{202a}+1\u{a0}212\u{2011}555\u{2011}1234\u{202c}",
            "(212) 555-1234",
            "2125551234",
            "1 212 555 1234",
        ];
        assert_calls(US, &ways.map(|way| (way, number)));
        assert_calls(
            GB,
            &[
                ("020 7946 0999", "+442079460999"),
                ("+44 (0)20 7946 0999", "+442079460999"),
                ("07400 123456", "+447400123456"),
            ],
        );
        assert_calls(DE, &[("030/654321", "+4930654321")]);
        assert_calls(
            IT,
            &[
                ("06 1234 5678", "+390612345678"),
                ("+390612345678", "+390612345678"),
                ("333 123 4567", "+393331234567"),
            ],
        );
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for to in [
            "",
            "+",
            " ",
            "alice",
            "client:alice",
            "sip:alice@example.org",
            "1800FLOWERS",
            "+1 415 555 0123 ext 5",
            "+14155550124,,1234#",
            "++14155550124",
            "+1+4155550124",
            "+14155550124\u{0}",
            "＋14155550124",
            "+١٤١٥٥٥٥٠١٢٤",
            "+10000000000",
            "+1234567890123456789",
            "+999123456789",
            "+141555501",
            "5550123",
            "011442079460018",
            &"1".repeat(1_000),
        ] {
            assert_eq!(
                check("anywhere", US, to),
                Err(Refusal::NotANumber),
                "{to:?}"
            );
        }
    }

    #[test]
    fn help_is_never_dialled_and_always_explained() {
        for settings in ["", "anywhere, premium, company"] {
            let policy = Policy::parse(settings).unwrap();
            for to in [
                "911", "112", "999", "9-1-1", "+1 911", "+44 999", "9911", "110", "15",
            ] {
                let checked = policy.check(to, &e164(US));
                assert_eq!(checked, Err(Refusal::Emergency), "{to}");
            }
        }
    }

    #[test]
    fn short_numbers_are_refused() {
        let short = Refusal::ShortNumber;
        assert_refused(
            "anywhere",
            US,
            &[("411411", short), ("65000", short), ("1", short)],
        );
    }

    #[test]
    fn the_country_is_the_caller_ids_unless_settings_name_others() {
        let abroad = Refusal::Country;
        // Jamaica and Canada share the calling code of the United States.
        let rows = [
            ("+442079460018", abroad),
            ("+18765551234", abroad),
            ("+14165551234", abroad),
            ("+23222123456", Refusal::NotANumber),
            ("+80012345678", abroad),
        ];
        assert_refused("", US, &rows);
        assert!(check("us ca", US, "+14165551234").is_ok());
        assert_refused("us ca", US, &rows[..2]);
        assert_refused("CA", US, &[("+12125551234", abroad)]);
        for (to, _) in rows.iter().filter(|row| row.1 == abroad) {
            assert!(check("anywhere", US, to).is_ok(), "{to}");
        }
    }

    #[test]
    fn free_numbers_are_shared_by_those_behind_a_calling_code() {
        assert!(check("", US, "+18005551234").is_ok());
        assert!(check("", "+14165551234", "+18005551234").is_ok());
        assert_eq!(check("", GB, "+18005551234"), Err(Refusal::Country));
    }

    #[test]
    fn numbers_that_cost_more_are_refused_unless_their_kind_is_allowed() {
        for (from, to, kind, word) in [
            (US, "+19005551234", Kind::Premium, "premium"),
            (GB, "+449012345678", Kind::Premium, "premium"),
            (DE, "+499001234567", Kind::Premium, "premium"),
            (IT, "+39892424", Kind::Premium, "premium"),
            (DE, "+491801234567", Kind::SharedCost, "shared-cost"),
            (GB, "+447012345678", Kind::Personal, "personal"),
            (DE, "+4916412345678", Kind::Pager, "pager"),
            (GB, "+443001234567", Kind::Company, "company"),
            (US, "+881612345678", Kind::Satellite, "satellite"),
            (US, "+870773112345", Kind::Satellite, "satellite"),
            (US, "+883510012345", Kind::Satellite, "satellite"),
        ] {
            assert_eq!(check("", from, to), Err(Refusal::Kind(kind)), "{to}");
            assert_eq!(
                check("anywhere", from, to),
                Err(Refusal::Kind(kind)),
                "{to}"
            );
            assert_eq!(check(word, from, to).as_deref(), Ok(to));
        }
        assert_eq!(check("premium", US, "+449012345678"), Err(Refusal::Country));
        let world = Refusal::Kind(Kind::Premium);
        assert_eq!(check("anywhere", US, "+979123456789"), Err(world));
        assert_eq!(check("premium", US, "+979123456789"), Err(Refusal::Country));
    }

    #[test]
    fn premium_numbers_are_premium_however_they_are_dialled() {
        let premium = Refusal::Kind(Kind::Premium);
        for to in ["1-900-555-1234", "(900) 555-1234", "+1 900 555 1234"] {
            assert_eq!(check("", US, to), Err(premium), "{to}");
        }
        assert_eq!(check("", GB, "09012 345678"), Err(premium));
    }

    #[test]
    fn a_number_that_is_listed_may_be_called_whatever_it_is() {
        for to in ["+449012345678", "+881612345678", "+442079460018"] {
            assert_eq!(check(to, US, to).as_deref(), Ok(to));
        }
        assert_eq!(
            check("+19005551234", US, "900 555 1234").as_deref(),
            Ok("+19005551234")
        );
    }

    #[test]
    fn nobody_calls_himself() {
        assert_refused(
            "",
            US,
            &[(US, Refusal::OwnNumber), ("4155550123", Refusal::OwnNumber)],
        );
    }

    #[test]
    fn settings_are_words_in_any_order_and_a_wrong_one_is_named() {
        let policy = Policy::parse("us, GB\n premium +442079460018,,shared-cost").unwrap();
        let countries = ["GB", "US"].map(|text| Country::parse(text).unwrap());
        assert_eq!(policy.countries, BTreeSet::from(countries));
        assert_eq!(
            policy.kinds,
            BTreeSet::from([Kind::Premium, Kind::SharedCost])
        );
        assert_eq!(policy.numbers, BTreeSet::from([e164(GB)]));
        assert!(!policy.anywhere);
        assert_eq!(Policy::parse(" "), Ok(Policy::default()));
        let wrong = Policy::parse("US, Atlantis").unwrap_err();
        assert_eq!(wrong, PolicyError::UnknownWord("Atlantis".to_owned()));
        let many = "US ".repeat(limits::POLICY_WORDS_MAX + 1);
        assert_eq!(Policy::parse(&many), Err(PolicyError::TooLong));
    }

    proptest! {
        #[test]
        fn whatever_is_dialled_is_a_number_or_a_refusal(
            to in "\\PC{0,40}|[+0-9 ()-]{0,24}",
            from in prop::sample::select(vec![US, GB, DE, IT, "+999123456789"]),
        ) {
            if let Ok(number) = check("", from, &to) {
                let again = check("", from, &number);
                prop_assert_eq!(again.as_deref(), Ok(number.as_str()));
            }
        }
    }
}
