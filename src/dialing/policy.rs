//! Which numbers may be called: those of the allowed countries, and nothing that costs more than a
//! call. Pure: no I/O.

use std::collections::BTreeSet;
use std::sync::Arc;

use phonenumber::Metadata;

use super::Refusal;
use super::emergency;
use super::plan::{self, Dialled, Kind};
use crate::ids::E164;

/// The operator's choice of countries and kinds. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Regions, by their ISO 3166 alpha-2 codes.
    allowed: Arc<BTreeSet<&'static str>>,
    special: bool,
}

/// Why a list of countries cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A code that is no country's, or that of a country without telephone numbers of its own.
    #[error("`{0}` is no country: use ISO 3166 codes of two letters, such as US,CA,GB")]
    UnknownCountry(String),
}

impl Policy {
    /// `countries`: ISO 3166 alpha-2 codes with commas between (`US,CA`); none, or blank: the
    /// country of `caller_id` alone. `special`: numbers that cost more, and those of no country
    /// (satellites), may be called as well.
    pub fn new(
        countries: Option<&str>,
        special: bool,
        caller_id: Option<&E164>,
    ) -> Result<Self, PolicyError> {
        let codes = countries.unwrap_or_default().split(',').map(str::trim);
        let mut allowed = BTreeSet::new();
        for code in codes.filter(|code| !code.is_empty()) {
            let region = plan::region(&code.to_ascii_uppercase());
            let region = region.ok_or_else(|| PolicyError::UnknownCountry(code.to_owned()))?;
            allowed.insert(region.id());
        }
        if allowed.is_empty() {
            let home = caller_id.and_then(plan::region_of);
            allowed.extend(home.map(Metadata::id));
        }
        Ok(Self {
            allowed: Arc::new(allowed),
            special,
        })
    }

    /// The number to call when someone whose caller ID this is dials `to`: an international number,
    /// or one as people of the caller ID's country write it.
    pub fn check(&self, to: &str, caller_id: &E164) -> Result<E164, Refusal> {
        let home = plan::region_of(caller_id);
        let dialled = Dialled::read(to).ok_or(Refusal::BadNumber)?;
        if emergency::is_emergency(&dialled, home, &self.allowed) {
            return Err(Refusal::EmergencyNumber);
        }
        let known = plan::number(&dialled, home).filter(|_| dialled.clean);
        let number = known.ok_or(Refusal::BadNumber)?;
        let country = number.region.id();
        if number.kind != Kind::NoCountry && !self.allowed.contains(country) {
            return Err(Refusal::CountryNotAllowed);
        }
        if number.kind != Kind::Plain && !self.special {
            return Err(Refusal::SpecialNumber);
        }
        Ok(number.e164)
    }
}
