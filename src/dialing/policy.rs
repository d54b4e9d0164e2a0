//! Numbers that may be called: those of the allowed countries, without special numbers that cost more than a
//! normal call. Pure: no I/O.

use std::collections::BTreeSet;
use std::sync::Arc;

use phonenumber::Metadata;

use super::DialError;
use super::emergency;
use super::numbering_plan::{self, DialledNumber, NumberKind};
use crate::ids::E164;

/// Configured countries and kinds of number. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DialingPolicy {
    /// ISO 3166 alpha-2 codes.
    allowed_regions: Arc<BTreeSet<&'static str>>,
    allow_special: bool,
}

/// Error in a list of countries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A code that is not a country's, or that of a country without telephone numbers of its own.
    #[error("`{0}` is not a country: use ISO 3166 codes of two letters, such as US,CA,GB")]
    UnknownCountry(String),
}

impl DialingPolicy {
    /// Creates a policy. `countries`: ISO 3166 alpha-2 codes, separated by commas (`US,CA`); `None` or blank:
    /// only the country of `caller_id`. `allow_special`: numbers that cost more, and those of no country
    /// (satellites), may be called as well.
    pub fn new(
        countries: Option<&str>,
        allow_special: bool,
        caller_id: Option<&E164>,
    ) -> Result<Self, PolicyError> {
        let codes = countries.unwrap_or_default().split(',').map(str::trim);
        let mut allowed_regions = BTreeSet::new();
        for code in codes.filter(|code| !code.is_empty()) {
            let region = numbering_plan::find_region(&code.to_ascii_uppercase());
            let region = region.ok_or_else(|| PolicyError::UnknownCountry(code.to_owned()))?;
            allowed_regions.insert(region.id());
        }
        if allowed_regions.is_empty() {
            let home = caller_id.and_then(numbering_plan::region_of_number);
            allowed_regions.extend(home.map(Metadata::id));
        }
        Ok(Self {
            allowed_regions: Arc::new(allowed_regions),
            allow_special,
        })
    }

    /// Returns the allowed countries as ISO 3166 alpha-2 codes in alphabetical order.
    pub fn countries(&self) -> impl Iterator<Item = &'static str> {
        self.allowed_regions.iter().copied()
    }

    /// Returns the number to call when a person with this caller ID dials `to`: an international number, or
    /// one as people in the caller ID's country write it.
    pub fn check_number(&self, to: &str, caller_id: &E164) -> Result<E164, DialError> {
        let home = numbering_plan::region_of_number(caller_id);
        let dialled = DialledNumber::parse(to).ok_or(DialError::BadNumber)?;
        if emergency::is_emergency(&dialled, home, &self.allowed_regions) {
            return Err(DialError::EmergencyNumber);
        }
        let known = numbering_plan::parse_number(&dialled, home).filter(|_| dialled.is_clean);
        let number = known.ok_or(DialError::BadNumber)?;
        let country = number.region.id();
        if number.kind != NumberKind::NonGeographic && !self.allowed_regions.contains(country) {
            return Err(DialError::CountryNotAllowed);
        }
        if number.kind != NumberKind::Standard && !self.allow_special {
            return Err(DialError::SpecialNumber);
        }
        Ok(number.e164)
    }
}

#[cfg(test)]
mod tests {
    use phonenumber::metadata::DATABASE;
    use phonenumber::{Mode, Type};
    use proptest::prelude::*;

    use super::*;

    const US: &str = "+14155550123";
    const GB: &str = "+442079460000";
    const DE: &str = "+4930901820";
    const FR: &str = "+33142685300";
    const IT: &str = "+390236618300";

    fn e164(text: &str) -> E164 {
        E164::parse(text).unwrap()
    }

    fn policy(countries: &str, allow_special: bool) -> DialingPolicy {
        DialingPolicy::new(Some(countries), allow_special, None).unwrap()
    }

    /// Returns the number that is called, or the code of the refusal.
    fn outcome(policy: &DialingPolicy, caller_id: &str, to: &str) -> String {
        match policy.check_number(to, &e164(caller_id)) {
            Ok(number) => number.as_str().to_owned(),
            Err(refusal) => refusal.code().to_owned(),
        }
    }

    #[test]
    fn a_number_is_read_as_people_write_it() {
        let policy = policy("US,CA,GB,DE,FR,IT,AR,BR,RU,AG", false);
        for (caller_id, to, number) in [
            (US, "+14155550199", "+14155550199"),
            (US, "(415) 555-0199", "+14155550199"),
            (US, "1-415-555-0199", "+14155550199"),
            (US, "415.555.0199", "+14155550199"),
            (US, "416 555 0199", "+14165550199"),
            (US, "011 44 20 7946 0958", "+442079460958"),
            // In Britain, the US trunk prefix is an ordinary digit.
            (US, "011 44 1223 456789", "+441223456789"),
            (US, "+44 1223 456789", "+441223456789"),
            (GB, "020 7946 0958", "+442079460958"),
            (GB, "+44 (0)20 7946 0958", "+442079460958"),
            (GB, "tel:+44-20-7946-0958", "+442079460958"),
            (GB, "TEL:020-7946-0958", "+442079460958"),
            (GB, "00 1 415 555 0199", "+14155550199"),
            (GB, "442079460958", "+442079460958"),
            (
                GB,
                "\u{202a}+44\u{a0}20\u{a0}7946\u{2011}0958\u{202c}",
                "+442079460958",
            ),
            (DE, " 030/901820 ", "+4930901820"),
            (DE, "0151 23456789", "+4915123456789"),
            (FR, "06 12 34 56 78", "+33612345678"),
            // The zero of an Italian number belongs to it.
            (IT, "02 3661 8300", "+390236618300"),
            (US, "+39 02 3661 8300", "+390236618300"),
            // A Russian area code that starts with the trunk prefix.
            (US, "+7 812 333 44 55", "+78123334455"),
            // The 15 and 0 of Argentine mobile phones become a 9, as on the wire.
            (US, "+54 9 11 2345 6789", "+5491123456789"),
        ] {
            assert_eq!(outcome(&policy, caller_id, to), number, "{to:?}");
        }
    }

    #[test]
    fn what_may_not_be_called_is_refused_by_name() {
        let policy = policy("US,GB,DE", false);
        for (caller_id, to, code) in [
            (US, "", "bad_number"),
            (US, "+", "bad_number"),
            (US, "tel:", "bad_number"),
            (US, "alice", "bad_number"),
            (US, "client:alice", "bad_number"),
            (US, "555 0199", "bad_number"),
            (US, "411", "bad_number"),
            (US, "+1 415 555 019", "bad_number"),
            (US, "+1 415 555 01999", "bad_number"),
            (US, "+1 000 555 0199", "bad_number"),
            (US, "+999 12345678", "bad_number"),
            (US, "+1 415 555 0199 ext. 5", "bad_number"),
            (US, "+1 415 555 0199 x5", "bad_number"),
            (US, "+1 415 555 0199;ext=5", "bad_number"),
            (US, "+1 415 555 0199,,5", "bad_number"),
            (US, "1 800 FLOWERS", "bad_number"),
            (US, "*67 415 555 0199", "bad_number"),
            (US, "#31#4155550199", "bad_number"),
            (US, "+1+4155550199", "bad_number"),
            (US, "+44 20 7946 0958\n+1 900 555 0199", "bad_number"),
            (US, "+１４１５５５５０１９９", "bad_number"),
            (US, "+1 416 555 0199", "country_not_allowed"),
            (US, "416 555 0199", "country_not_allowed"),
            // Caribbean numbers look domestic, and are a common target of fraud.
            (US, "876 555 0199", "country_not_allowed"),
            (US, "+1 268 464 1234", "country_not_allowed"),
            (US, "011 53 7 866 1234", "country_not_allowed"),
            (GB, "+44 1481 256789", "country_not_allowed"),
            (DE, "00371 67 123456", "country_not_allowed"),
            (US, "900 555 0199", "special_number"),
            (US, "+1 212 976 1234", "special_number"),
            (US, "415-976-0199", "special_number"),
            (US, "+1 900 555 0199", "special_number"),
            (GB, "0909 879 0000", "special_number"),
            (GB, "0845 464 0000", "special_number"),
            (GB, "070 1234 5678", "special_number"),
            (GB, "076 4012 3456", "special_number"),
            (DE, "0900 1 123456", "special_number"),
            (US, "+870 773 111 632", "special_number"),
            (US, "+881 6 1234 5678", "special_number"),
            (US, "+882 34 21234", "special_number"),
            (US, "+883 5100 12345678", "special_number"),
            (US, "+979 1 2345 6789", "special_number"),
            (US, "+878 10 123456789 0", "special_number"),
            (US, "+808 1234 5678", "special_number"),
        ] {
            assert_eq!(outcome(&policy, caller_id, to), code, "{to:?}");
        }
    }

    #[test]
    fn special_numbers_of_allowed_countries_may_be_allowed() {
        let policy = policy("US", true);
        for (to, expected) in [
            ("+1 900 555 0199", "+19005550199"),
            ("+881 6 1234 5678", "+881612345678"),
            ("+44 909 879 0000", "country_not_allowed"),
            ("911", "emergency_number"),
            ("411", "bad_number"),
        ] {
            assert_eq!(outcome(&policy, US, to), expected, "{to:?}");
        }
    }

    #[test]
    fn without_a_list_the_caller_ids_country_is_allowed() {
        for blank in [None, Some(""), Some(" , ")] {
            let policy = DialingPolicy::new(blank, false, Some(&e164("+14165550123"))).unwrap();
            let call = |to: &str| outcome(&policy, "+14165550123", to);
            assert_eq!(call("604 555 0199"), "+16045550199");
            assert_eq!(call("415 555 0199"), "country_not_allowed");
        }
        let nobody = DialingPolicy::new(None, true, None).unwrap();
        assert_eq!(outcome(&nobody, US, US), "country_not_allowed");
    }

    #[test]
    fn a_wrong_country_is_named() {
        for wrong in ["UK", "USA", "1", "001", "Germany", "ÄÖ", "EU", "AQ"] {
            let list = format!("us, {wrong} ,DE");
            let error = DialingPolicy::new(Some(&list), false, None).unwrap_err();
            assert_eq!(error, PolicyError::UnknownCountry(wrong.to_owned()));
            assert!(error.to_string().contains(wrong), "{error}");
        }
        assert_eq!(policy(" us ,de,", false).allowed_regions.len(), 2);
    }

    /// libphonenumber's own examples, in its own spellings. Regions that share a country code share
    /// some of their ranges too, so they are allowed together.
    #[test]
    fn every_countrys_numbers_are_read_and_told_apart() {
        let mut read = 0;
        for region in DATABASE.iter().filter(|region| region.id() != "001") {
            let code = region.country_code();
            let ids: Vec<&str> = numbering_plan::regions_of_code(code)
                .into_iter()
                .map(Metadata::id)
                .collect();
            let policy = policy(&ids.join(","), false);
            for (kind, usual) in [
                (Type::FixedLine, true),
                (Type::Mobile, true),
                (Type::PremiumRate, false),
                (Type::SharedCost, false),
            ] {
                let example = region
                    .descriptors()
                    .get(kind)
                    .and_then(|kind| kind.example());
                let text = format!("+{code}{}", example.unwrap_or_default());
                let Ok(number) = E164::parse(&text) else {
                    continue;
                };
                read += 1;
                if !usual {
                    assert_eq!(outcome(&policy, US, &text), "special_number", "{text}");
                    continue;
                }
                let known = phonenumber::parse(None, &text).unwrap();
                for mode in [
                    Mode::E164,
                    Mode::International,
                    Mode::National,
                    Mode::Rfc3966,
                ] {
                    let spelling = known.format().mode(mode).to_string();
                    assert_eq!(
                        outcome(&policy, number.as_str(), &spelling),
                        text,
                        "{spelling}"
                    );
                }
            }
        }
        assert!(read > 600, "only {read} examples");
    }

    proptest! {
        #[test]
        fn whatever_comes_only_numbers_of_allowed_countries_get_through(
            to in "\\PC{0,24}|[+]?[0-9 ().-]{0,20}|[+](1|44|49|870|882|979)[0-9]{4,12}|(0|00|011|1)[1-9][0-9]{5,12}",
            caller_id in "[+][1-9][0-9]{6,14}",
        ) {
            let policy = policy("US,DE", false);
            match policy.check_number(&to, &e164(&caller_id)) {
                Ok(number) => {
                    prop_assert!(E164::parse(number.as_str()).is_ok());
                    let known = phonenumber::parse(None, number.as_str()).unwrap();
                    let country = known.country().id().map(|id| format!("{id:?}"));
                    prop_assert!(matches!(country.as_deref(), Some("US" | "DE")), "{country:?}");
                    prop_assert!(known.is_valid());
                    // An accepted number is accepted again.
                    prop_assert_eq!(policy.check_number(number.as_str(), &e164(US)), Ok(number.clone()));
                }
                Err(refusal) => {
                    let digits: String = to.chars().filter(char::is_ascii_digit).collect();
                    let said = format!("{refusal} {}", refusal.spoken_message());
                    prop_assert!(digits.is_empty() || !said.contains(&digits));
                }
            }
        }

        #[test]
        fn any_line_of_an_allowed_country_can_be_called(
            area in prop::sample::select(vec!["415", "212", "907", "808"]),
            line in "[2-9]((0[0-9])|([2-9][0-9]))[0-9]{4}",
        ) {
            // The exchange 976 costs more.
            prop_assume!(!line.starts_with("976"));
            let policy = policy("US", false);
            let number = format!("+1{area}{line}");
            prop_assert_eq!(outcome(&policy, US, &number), number.clone());
            prop_assert_eq!(outcome(&policy, US, &number[2..]), number.clone());
            prop_assert_eq!(outcome(&policy, DE, &format!("001{}", &number[2..])), number);
        }
    }
}
