//! What a telephone number is: whose country's, and of which kind. Pure: no I/O. The only file
//! that names the crate `phonenumber`, which is Google's libphonenumber with its metadata
//! (<https://github.com/google/libphonenumber>).
//!
//! The crate's own verdict is not used: it looks numbers up without their leading zeros, and so
//! does not know Italian landlines. Here they are looked up as they are dialled.

use std::fmt;

use phonenumber::country::{Id, Source};
use phonenumber::metadata::DATABASE;
use phonenumber::{Metadata, Mode, PhoneNumber, Type};

use super::Refusal;
use crate::ids::E164;

/// A country, by its ISO 3166 code; calls between two islands may be calls abroad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Country(Id);

/// What sets a number apart from a subscriber's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The caller pays for what is said.
    Premium,
    /// The caller pays a part of it.
    SharedCost,
    /// It follows a person, at the caller's cost.
    Personal,
    /// It pages somebody.
    Pager,
    /// One number for a whole company.
    Company,
    /// It answers with a voice mailbox.
    Voicemail,
    /// It is on a satellite, or a network that belongs to no country.
    Satellite,
}

/// Every kind, with the word for it in settings, how a log says it, and how it is spoken.
const KINDS: [(Kind, &str, &str, &str); 7] = [
    (
        Kind::Premium,
        "premium",
        "premium_number",
        "Premium numbers",
    ),
    (
        Kind::SharedCost,
        "shared-cost",
        "shared_cost_number",
        "Shared cost numbers",
    ),
    (
        Kind::Personal,
        "personal",
        "personal_number",
        "Personal numbers",
    ),
    (Kind::Pager, "pager", "pager_number", "Pagers"),
    (
        Kind::Company,
        "company",
        "company_number",
        "Company numbers",
    ),
    (
        Kind::Voicemail,
        "voicemail",
        "voicemail_number",
        "Voice mailboxes",
    ),
    (
        Kind::Satellite,
        "satellite",
        "satellite_number",
        "Satellite phones",
    ),
];

/// Calling codes of satellites and of networks without a country: Inmarsat, the global mobile
/// satellite system, international networks
/// (<https://www.itu.int/pub/T-SP-E.164D>).
const SATELLITES: [u16; 4] = [870, 881, 882, 883];

/// In the order in which libphonenumber asks: the first that fits is the number's type.
const TYPES: [Type; 10] = [
    Type::PremiumRate,
    Type::TollFree,
    Type::SharedCost,
    Type::Voip,
    Type::PersonalNumber,
    Type::Pager,
    Type::Uan,
    Type::Voicemail,
    Type::FixedLine,
    Type::Mobile,
];

/// The types that are no subscriber's.
const SPECIAL: [(Type, Kind); 6] = [
    (Type::PremiumRate, Kind::Premium),
    (Type::SharedCost, Kind::SharedCost),
    (Type::PersonalNumber, Kind::Personal),
    (Type::Pager, Kind::Pager),
    (Type::Uan, Kind::Company),
    (Type::Voicemail, Kind::Voicemail),
];

/// What libphonenumber calls the region of an international calling code: the world.
const NO_COUNTRY: &str = "001";

/// A number that can be called, and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// The number.
    pub(super) number: E164,
    /// Its country; none: it is international.
    pub(super) country: Option<Country>,
    /// Its kind; none: a subscriber's, or free of charge.
    pub(super) kind: Option<Kind>,
    /// Whether it is free of charge, for callers anywhere behind its calling code.
    pub(super) is_toll_free: bool,
    calling_code: u16,
}

impl Country {
    /// Reads two letters such as `US`, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        text.to_ascii_uppercase().parse().ok().map(Self)
    }

    /// The two letters.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    fn metadata(self) -> Option<&'static Metadata> {
        DATABASE.by_id(self.0.as_ref())
    }
}

impl PartialOrd for Country {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Country {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Premium,
        Self::SharedCost,
        Self::Personal,
        Self::Pager,
        Self::Company,
        Self::Voicemail,
        Self::Satellite,
    ];

    /// Reads the word for it in settings.
    pub fn parse(text: &str) -> Option<Self> {
        let found = KINDS.iter().find(|row| row.1.eq_ignore_ascii_case(text));
        found.map(|row| row.0)
    }

    pub(super) fn refusal_code(self) -> &'static str {
        self.row().2
    }

    pub(super) fn spoken(self) -> &'static str {
        self.row().3
    }

    fn row(self) -> &'static (Self, &'static str, &'static str, &'static str) {
        let row = KINDS.iter().find(|row| row.0 == self);
        row.expect("every kind has its row")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.row().1)
    }
}

impl Known {
    /// What is known about a number in its international form; `None`: nobody can have it.
    pub(super) fn of(number: &E164) -> Option<Self> {
        let parsed = phonenumber::parse(None, number.as_str()).ok()?;
        Self::of_parsed(&parsed)
    }

    /// Reads `digits` as they are dialled in `country`: with or without the digit for long
    /// distance, or behind the country's own calling code.
    pub(super) fn dialled_in(country: Country, digits: &str) -> Result<Self, Refusal> {
        let parsed = phonenumber::parse(Some(country.0), digits);
        let parsed = parsed.map_err(|_| Refusal::NotANumber)?;
        // Behind the digits for a call abroad: people say plus, or are asked to.
        if parsed.code().source() == Source::Idd {
            return Err(Refusal::NotANumber);
        }
        Self::of_parsed(&parsed).ok_or(Refusal::NotANumber)
    }

    /// Whether somebody in `country` may call it as one of its own, free numbers being shared by
    /// the countries behind one calling code.
    pub(super) fn is_in(&self, country: Country) -> bool {
        let shares = || {
            let metadata = country.metadata();
            self.is_toll_free && metadata.is_some_and(|of| of.country_code() == self.calling_code)
        };
        self.country == Some(country) || (self.country.is_some() && shares())
    }

    fn of_parsed(parsed: &PhoneNumber) -> Option<Self> {
        let number = parsed.format().mode(Mode::E164).to_string();
        let calling_code = parsed.country().code();
        let national = number
            .strip_prefix('+')?
            .strip_prefix(&calling_code.to_string())?;
        let (metadata, of_type) = owner(calling_code, national)?;
        Some(Self {
            country: metadata.id().parse().ok().map(Country),
            kind: kind(calling_code, of_type),
            is_toll_free: of_type == Type::TollFree,
            calling_code,
            number: E164::parse(&number).ok()?,
        })
    }
}

/// The region that a national number belongs to, of those that share a calling code, and its type
/// there. `None`: the number is in no plan.
fn owner(calling_code: u16, national: &str) -> Option<(&'static Metadata, Type)> {
    let regions = DATABASE.region(&calling_code)?;
    let plans: Vec<&Metadata> = if regions == [NO_COUNTRY] {
        DATABASE.by_code(&calling_code)?
    } else {
        let plan = |region: &str| DATABASE.by_id(region);
        regions.into_iter().filter_map(plan).collect()
    };
    plans.into_iter().find_map(|plan| {
        if let Some(leading) = plan.leading_digits() {
            let begins = leading.find(national).is_some_and(|at| at.start() == 0);
            begins.then_some(())?;
        }
        Some((plan, type_in(plan, national)?))
    })
}

fn type_in(metadata: &Metadata, national: &str) -> Option<Type> {
    let plan = metadata.descriptors();
    if !plan.general().is_match(national) {
        return None;
    }
    let fits = |of: &Type| plan.get(*of).is_some_and(|plan| plan.is_match(national));
    TYPES.into_iter().find(fits)
}

fn kind(calling_code: u16, of_type: Type) -> Option<Kind> {
    let special = SPECIAL.iter().find(|row| row.0 == of_type);
    let satellite = SATELLITES
        .contains(&calling_code)
        .then_some(Kind::Satellite);
    special.map(|row| row.1).or(satellite)
}
