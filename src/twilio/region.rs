//! The region that handles an account's calls, and the edge for reaching it. Pure: no I/O.
//!
//! Each region has its own credentials, applications, calls and recordings: a region refuses an auth token or
//! an API key of another. This module is the only source of all region-dependent values, under the names that
//! Twilio's own libraries use: the host of the REST API
//! (<https://www.twilio.com/docs/global-infrastructure/using-the-twilio-rest-api-in-a-non-us-region>), the
//! region in the browsers' tokens and the edge that browsers connect to
//! (<https://www.twilio.com/docs/global-infrastructure/use-the-programmable-voice-javascript-sdk-with-a-non-us-twilio-region>).

/// Regions and their edges. Twilio has retired `api.<region>.twilio.com`, the form without an edge
/// (<https://www.twilio.com/docs/global-infrastructure/api-domain-migration-guide>).
const EDGES: [(&str, &str); 4] = [
    ("us1", "ashburn"),
    ("ie1", "dublin"),
    ("au1", "sydney"),
    ("jp1", "tokyo"),
];

/// The region of an account that names none.
const DEFAULT: &str = "us1";

/// The part of a host name after the region.
const DOMAIN: &str = ".twilio.com";

/// A region and the edge for reaching it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwilioRegion {
    name: String,
    edge: String,
}

/// Error of [`TwilioRegion::parse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TwilioRegionError {
    /// The region's name has characters that no region's name has.
    #[error("expected a region such as ie1 or au1")]
    Name,
    /// The edge's name has characters that no edge's name has.
    #[error("expected an edge such as dublin or sydney")]
    Edge,
    /// The region's edge is not in the table.
    #[error("this program does not know the edge of this region: set TWILIO_EDGE too")]
    NoEdge,
}

impl TwilioRegion {
    /// Parses `TWILIO_REGION` and `TWILIO_EDGE`; `None` if both are unset, which means Twilio's default. An
    /// edge without a region belongs to the default region.
    pub fn parse(
        name: Option<&str>,
        edge: Option<&str>,
    ) -> Result<Option<Self>, TwilioRegionError> {
        if name.is_none() && edge.is_none() {
            return Ok(None);
        }
        let name = name.unwrap_or(DEFAULT).to_ascii_lowercase();
        let edge = edge.map(str::to_ascii_lowercase);
        let is_word = |text: &str| {
            let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            text.bytes().all(is_part) && (2..=16).contains(&text.len())
        };
        if !is_word(&name) {
            return Err(TwilioRegionError::Name);
        }
        // Hyphens are allowed: `dublin`, `ashburn-ix`.
        if edge
            .as_deref()
            .is_some_and(|edge| !edge.split('-').all(is_word))
        {
            return Err(TwilioRegionError::Edge);
        }
        let known = EDGES.iter().find(|(region, _)| *region == name);
        let known = known.map(|(_, edge)| (*edge).to_owned());
        let edge = edge.or(known).ok_or(TwilioRegionError::NoEdge)?;
        Ok(Some(Self { name, edge }))
    }

    /// Returns the region in the host name of a REST URL, such as `ie1` in `api.dublin.ie1.twilio.com`.
    pub fn of_host(host: &str) -> Option<&str> {
        let labels = host.strip_suffix(DOMAIN)?.strip_prefix("api.")?;
        labels.rsplit('.').next().filter(|name| !name.is_empty())
    }

    /// Returns the region's name, such as `ie1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the edge that browsers connect to, such as `dublin`.
    pub fn edge(&self) -> &str {
        &self.edge
    }

    /// Returns the base URL of the region's REST API.
    pub fn api_url(&self) -> String {
        format!("https://api.{}.{}{DOMAIN}", self.edge, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_a_host_and_an_edge_of_its_own() {
        for (name, edge, host, by) in [
            (Some("ie1"), None, "api.dublin.ie1.twilio.com", "dublin"),
            (Some("AU1"), None, "api.sydney.au1.twilio.com", "sydney"),
            (Some("us1"), None, "api.ashburn.us1.twilio.com", "ashburn"),
            (None, Some("tokyo"), "api.tokyo.us1.twilio.com", "tokyo"),
            (
                Some("xx9"),
                Some("far-ix"),
                "api.far-ix.xx9.twilio.com",
                "far-ix",
            ),
        ] {
            let region = TwilioRegion::parse(name, edge).unwrap().unwrap();
            assert_eq!(region.api_url(), format!("https://{host}"));
            assert_eq!(
                (region.edge(), TwilioRegion::of_host(host)),
                (by, Some(region.name()))
            );
        }
        assert_eq!(TwilioRegion::parse(None, None), Ok(None));
    }

    #[test]
    fn what_is_no_region_is_refused_and_leads_nowhere_else() {
        for (name, edge, error) in [
            (Some("Ireland!"), None, TwilioRegionError::Name),
            (Some("ie1.example.org/"), None, TwilioRegionError::Name),
            (Some("x"), None, TwilioRegionError::Name),
            (Some("ie1"), Some("dub.lin"), TwilioRegionError::Edge),
            (Some("ie1"), Some("-"), TwilioRegionError::Edge),
            (Some("br1"), None, TwilioRegionError::NoEdge),
        ] {
            assert_eq!(
                TwilioRegion::parse(name, edge),
                Err(error),
                "{name:?} {edge:?}"
            );
        }
    }

    #[test]
    fn a_host_without_a_region_has_none() {
        assert_eq!(TwilioRegion::of_host("api.ie1.twilio.com"), Some("ie1"));
        for host in ["api.twilio.com", "127.0.0.1", "api.ie1.example.org"] {
            assert_eq!(TwilioRegion::of_host(host), None, "{host}");
        }
    }
}
