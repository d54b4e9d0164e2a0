//! What `callburner setup` has to do: what is wanted, against what was found at Twilio, as steps.
//! Pure: no I/O.

use std::fmt;

use crate::ids::{ApiKeySid, ApplicationSid, E164};
use crate::twilio::rest::account::{ApiKey, Application, ApplicationSettings, IncomingNumber};

/// Where Twilio points numbers that nobody has pointed yet.
const DEMO_URL: &str = "https://demo.twilio.com/";

/// How things should be.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// What the TwiML application should have.
    pub(crate) application: ApplicationSettings,
    /// The application that the settings name; none: the one of that name, or a new one.
    pub(crate) application_sid: Option<ApplicationSid>,
    /// The number that people call back.
    pub(crate) number: Option<E164>,
    /// What is to become of it.
    pub(crate) number_wish: NumberWish,
    /// Whether the settings have an API key.
    pub(crate) has_key: bool,
    /// Whether a new one is to be made though there is one of that name.
    pub(crate) new_key: bool,
}

/// What is to become of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberWish {
    /// Nothing; its owner is told where it points.
    Look,
    /// Its calls come here, unless they go somewhere else now.
    Point,
    /// Its calls come here, wherever they go now.
    Take,
}

/// How things are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// The application that the settings name, or all of the wanted name.
    pub(crate) applications: Vec<Application>,
    /// The number, if the account owns it.
    pub(crate) number: Option<IncomingNumber>,
    /// The account's API keys.
    pub(crate) keys: Vec<ApiKey>,
}

/// A setting that is to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Its name, for people.
    name: &'static str,
    /// Empty: it is not set.
    from: String,
    to: String,
}

/// One thing to do, to leave, or to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make the application.
    CreateApplication(ApplicationSettings, Vec<Change>),
    /// Change what is not as wanted.
    UpdateApplication(ApplicationSid, ApplicationSettings, Vec<Change>),
    /// It is as wanted.
    KeepApplication(ApplicationSid),
    /// Send the number's calls to the application, instead of where they go now.
    PointNumber(IncomingNumber, Option<String>),
    /// They go there already.
    KeepNumber(E164),
    /// They could, if the owner wanted.
    OfferNumber(IncomingNumber),
    /// Make an API key of this name.
    CreateKey(String),
    /// The settings have one.
    KeepKey,
    /// Something that only a person can decide.
    Leave(Obstacle),
}

/// Why something is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Obstacle {
    /// Which one is meant cannot be told.
    #[error(
        "Application: there are several named {name:?}; set TWILIO_TWIML_APP_SID to the one that is \
         meant: {}",
        list(sids.iter().map(ApplicationSid::as_str))
    )]
    SeveralApplications {
        /// The name.
        name: String,
        /// Those of that name.
        sids: Vec<ApplicationSid>,
    },
    /// The settings name one that is not there.
    #[error(
        "Application: TWILIO_TWIML_APP_SID={} is not in this account; correct it, or remove it to \
         have one made", .0.as_str()
    )]
    NoSuchApplication(ApplicationSid),
    /// There is no number to point.
    #[error("Number: set TWILIO_CALLER_ID to the number that is to be pointed here")]
    NoNumber,
    /// The number is someone else's.
    #[error(
        "Number: this account does not own {}; calls can come from it, if it is a verified caller \
         ID, but not to it", .0.as_str()
    )]
    NotOwned(E164),
    /// Its calls are someone else's.
    #[error(
        "Number: calls to {} go to {to} now, and are left there; --take-number takes them over",
        number.as_str()
    )]
    PointsElsewhere {
        /// The number.
        number: E164,
        /// Where to.
        to: String,
    },
    /// There is a key, but its secret is not in the settings.
    #[error(
        "API key: there is one named {name:?} already ({}), but the settings do not have it: set \
         TWILIO_API_KEY and TWILIO_API_SECRET, or have another one made by --new-key",
        list(sids.iter().map(ApiKeySid::as_str))
    )]
    KeyExists {
        /// The name.
        name: String,
        /// Those of that name.
        sids: Vec<ApiKeySid>,
    },
}

impl Step {
    /// Whether something changes by it.
    pub(crate) fn is_change(&self) -> bool {
        match self {
            Self::CreateApplication(..)
            | Self::UpdateApplication(..)
            | Self::PointNumber(..)
            | Self::CreateKey(_) => true,
            Self::KeepApplication(_)
            | Self::KeepNumber(_)
            | Self::OfferNumber(_)
            | Self::KeepKey
            | Self::Leave(_) => false,
        }
    }
}

/// The steps from what was found to what is wanted, in the order in which they are to be taken.
pub(crate) fn plan(wanted: &Wanted, found: &Found) -> Vec<Step> {
    let application = plan_application(wanted, found);
    let number = plan_number(wanted, found, &application);
    let key = plan_key(wanted, found);
    std::iter::once(application)
        .chain(number)
        .chain([key])
        .collect()
}

fn plan_application(wanted: &Wanted, found: &Found) -> Step {
    let settings = &wanted.application;
    match (found.applications.as_slice(), &wanted.application_sid) {
        ([], Some(sid)) => Step::Leave(Obstacle::NoSuchApplication(sid.clone())),
        ([], None) => {
            let changes = changes(&ApplicationSettings::default(), settings);
            Step::CreateApplication(settings.clone(), changes)
        }
        ([application], named) => {
            let mut settings = settings.clone();
            if named.is_some() {
                // Its owner may call it what he likes.
                settings.friendly_name.clear();
            }
            let changes = changes(&application.settings, &settings);
            let sid = application.sid.clone();
            if changes.is_empty() {
                Step::KeepApplication(sid)
            } else {
                Step::UpdateApplication(sid, settings, changes)
            }
        }
        (several, _) => Step::Leave(Obstacle::SeveralApplications {
            name: settings.friendly_name.clone(),
            sids: several
                .iter()
                .map(|application| application.sid.clone())
                .collect(),
        }),
    }
}

/// What is wanted and not so; what is wanted empty stays as it is.
fn changes(is: &ApplicationSettings, wanted: &ApplicationSettings) -> Vec<Change> {
    let all = [
        ("name", &is.friendly_name, &wanted.friendly_name),
        ("voice URL", &is.voice_url, &wanted.voice_url),
        ("voice method", &is.voice_method, &wanted.voice_method),
        (
            "fallback URL",
            &is.voice_fallback_url,
            &wanted.voice_fallback_url,
        ),
        (
            "fallback method",
            &is.voice_fallback_method,
            &wanted.voice_fallback_method,
        ),
        (
            "status callback",
            &is.status_callback,
            &wanted.status_callback,
        ),
        (
            "status method",
            &is.status_callback_method,
            &wanted.status_callback_method,
        ),
    ];
    let differ = all
        .into_iter()
        .filter(|(_, is, wanted)| !wanted.is_empty() && is != wanted);
    let change = |(name, is, wanted): (&'static str, &String, &String)| Change {
        name,
        from: is.clone(),
        to: wanted.clone(),
    };
    differ.map(change).collect()
}

fn plan_number(wanted: &Wanted, found: &Found, application: &Step) -> Option<Step> {
    // Where calls would go: known, or about to be made.
    let sid = match application {
        Step::KeepApplication(sid) | Step::UpdateApplication(sid, ..) => Some(sid),
        Step::CreateApplication(..) => None,
        Step::PointNumber(..)
        | Step::KeepNumber(_)
        | Step::OfferNumber(_)
        | Step::CreateKey(_)
        | Step::KeepKey
        | Step::Leave(_) => return None,
    };
    let wish = wanted.number_wish;
    let Some(number) = &wanted.number else {
        return (wish != NumberWish::Look).then_some(Step::Leave(Obstacle::NoNumber));
    };
    let Some(owned) = &found.number else {
        let obstacle = Obstacle::NotOwned(number.clone());
        return (wish != NumberWish::Look).then_some(Step::Leave(obstacle));
    };
    let is_ours = sid.is_some_and(|sid| owned.voice_application_sid == sid.as_str());
    if is_ours && owned.trunk_sid.is_empty() {
        return Some(Step::KeepNumber(number.clone()));
    }
    let elsewhere = elsewhere(owned, is_ours, &wanted.application.voice_url);
    Some(match (wish, elsewhere) {
        (NumberWish::Look, None) => Step::OfferNumber(owned.clone()),
        (NumberWish::Look | NumberWish::Point, Some(to)) => {
            let number = number.clone();
            Step::Leave(Obstacle::PointsElsewhere { number, to })
        }
        (NumberWish::Point | NumberWish::Take, to) => Step::PointNumber(owned.clone(), to),
    })
}

/// Where a number's calls go now, if that is anyone else's.
fn elsewhere(number: &IncomingNumber, is_ours: bool, voice_url: &str) -> Option<String> {
    if !number.trunk_sid.is_empty() {
        return Some(format!("the SIP trunk {}", number.trunk_sid));
    }
    if !number.voice_application_sid.is_empty() {
        return (!is_ours).then(|| format!("the application {}", number.voice_application_sid));
    }
    let url = &number.voice_url;
    // What is said of repetitions does not make it another's.
    let address = |url: &str| url.split('#').next().map(str::to_owned);
    let is_ours = address(url) == address(voice_url);
    let is_free = url.is_empty() || url.starts_with(DEMO_URL) || is_ours;
    (!is_free).then(|| url.clone())
}

fn plan_key(wanted: &Wanted, found: &Found) -> Step {
    if wanted.has_key {
        return Step::KeepKey;
    }
    let name = wanted.application.friendly_name.clone();
    let of_name = found.keys.iter().filter(|key| key.friendly_name == name);
    let sids: Vec<ApiKeySid> = of_name.map(|key| key.sid.clone()).collect();
    if sids.is_empty() || wanted.new_key {
        Step::CreateKey(name)
    } else {
        Step::Leave(Obstacle::KeyExists { name, sids })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateApplication(_, changes) => {
                f.write_str("Application: make one")?;
                changes
                    .iter()
                    .try_for_each(|change| write!(f, "\n{change}"))
            }
            Self::UpdateApplication(sid, _, changes) => {
                write!(f, "Application: change {}", sid.as_str())?;
                changes
                    .iter()
                    .try_for_each(|change| write!(f, "\n{change}"))
            }
            Self::KeepApplication(sid) => {
                write!(f, "Application: {} is as it should be", sid.as_str())
            }
            Self::PointNumber(number, from) => {
                write!(
                    f,
                    "Number: send calls to {} here",
                    number.phone_number.as_str()
                )?;
                match from {
                    Some(from) => write!(f, ", no longer to {from}"),
                    None => Ok(()),
                }
            }
            Self::KeepNumber(number) => {
                write!(f, "Number: calls to {} come here", number.as_str())
            }
            Self::OfferNumber(number) => write!(
                f,
                "Number: calls to {} go nowhere yet; --number has them come here",
                number.phone_number.as_str()
            ),
            Self::CreateKey(name) => write!(f, "API key: make one named {name:?}"),
            Self::KeepKey => f.write_str("API key: the settings have one"),
            Self::Leave(obstacle) => write!(f, "{obstacle}"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "    {:<16} {}", self.name, self.to)?;
        if self.from.is_empty() {
            Ok(())
        } else {
            write!(f, "  (was {})", self.from)
        }
    }
}

fn list<'a>(sids: impl Iterator<Item = &'a str>) -> String {
    sids.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PhoneNumberSid;

    const NUMBER: &str = "+14155550123";

    fn application_sid(last: char) -> ApplicationSid {
        ApplicationSid::parse(&format!("AP{}{last}", "0".repeat(31))).unwrap()
    }

    fn wanted() -> Wanted {
        Wanted {
            application: ApplicationSettings {
                friendly_name: "CallBurner".to_owned(),
                voice_url: "https://x/voice".to_owned(),
                voice_method: "POST".to_owned(),
                ..ApplicationSettings::default()
            },
            application_sid: None,
            number: Some(E164::parse(NUMBER).unwrap()),
            number_wish: NumberWish::Point,
            has_key: true,
            new_key: false,
        }
    }

    fn application(last: char) -> Application {
        Application {
            sid: application_sid(last),
            settings: wanted().application,
        }
    }

    fn number(application: &str, voice_url: &str, trunk: &str) -> IncomingNumber {
        IncomingNumber {
            sid: PhoneNumberSid::parse("PN00000000000000000000000000000001").unwrap(),
            phone_number: E164::parse(NUMBER).unwrap(),
            voice_application_sid: application.to_owned(),
            voice_url: voice_url.to_owned(),
            trunk_sid: trunk.to_owned(),
        }
    }

    fn found(applications: &[Application], number: Option<IncomingNumber>) -> Found {
        Found {
            applications: applications.to_vec(),
            number,
            keys: Vec::new(),
        }
    }

    fn words(wanted: &Wanted, found: &Found) -> Vec<String> {
        plan(wanted, found)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn from_nothing_everything_is_made() {
        let wanted = Wanted {
            has_key: false,
            ..wanted()
        };
        assert_eq!(
            words(&wanted, &found(&[], Some(number("", "", "")))),
            [
                "Application: make one\n    name             CallBurner\n    \
                 voice URL        https://x/voice\n    voice method     POST",
                "Number: send calls to +14155550123 here",
                "API key: make one named \"CallBurner\"",
            ]
        );
    }

    #[test]
    fn what_is_as_wanted_is_kept() {
        let ours = application('1');
        let owned = number(ours.sid.as_str(), "", "");
        let steps = plan(&wanted(), &found(&[ours], Some(owned)));
        assert!(!steps.iter().any(Step::is_change), "{steps:?}");
        assert_eq!(steps.len(), 3);
    }

    #[test]
    fn only_what_differs_changes_and_nothing_is_emptied() {
        let mut old = application('1');
        old.settings.voice_url = "https://old/voice".to_owned();
        old.settings.voice_fallback_url = "https://f/voice".to_owned();
        old.settings.friendly_name = "of the owner".to_owned();
        let named = Wanted {
            application_sid: Some(old.sid.clone()),
            ..wanted()
        };
        let sid = old.sid.as_str().to_owned();
        let steps = words(&named, &found(&[old], None));
        let change = "\n    voice URL        https://x/voice  (was https://old/voice)";
        assert_eq!(steps[0], format!("Application: change {sid}{change}"));
    }

    #[test]
    fn what_only_a_person_can_decide_is_left() {
        let two = found(
            &[application('1'), application('2')],
            Some(number("", "", "")),
        );
        let steps = plan(&wanted(), &two);
        let several = Step::Leave(Obstacle::SeveralApplications {
            name: "CallBurner".to_owned(),
            sids: vec![application_sid('1'), application_sid('2')],
        });
        assert_eq!(steps, [several, Step::KeepKey]);

        let named = Wanted {
            application_sid: Some(application_sid('3')),
            ..wanted()
        };
        let missing = Step::Leave(Obstacle::NoSuchApplication(application_sid('3')));
        assert_eq!(plan(&named, &found(&[], None)), [missing, Step::KeepKey]);
    }

    #[test]
    fn a_number_is_taken_from_nobody_who_was_not_named() {
        let ours = [application('1')];
        let other = application_sid('9').as_str().to_owned();
        // Its application, address and trunk; whether someone else has it.
        for (application, url, trunk, is_elsewhere) in [
            ("", "", "", false),
            ("", "https://demo.twilio.com/welcome/voice/", "", false),
            ("", "https://x/voice", "", false),
            ("", "https://x/voice#rc=1", "", false),
            ("", "https://y/voice", "", true),
            (other.as_str(), "", "", true),
            ("", "", "TK1", true),
        ] {
            let owned = number(application, url, trunk);
            let found = found(&ours, Some(owned));
            let step = |number_wish| {
                let wanted = Wanted {
                    number_wish,
                    ..wanted()
                };
                plan(&wanted, &found).swap_remove(1)
            };
            let case = (application, url, trunk);
            assert_eq!(
                step(NumberWish::Point).is_change(),
                !is_elsewhere,
                "{case:?}"
            );
            assert!(step(NumberWish::Take).is_change(), "{case:?}");
            assert!(!step(NumberWish::Look).is_change(), "{case:?}");
        }
    }

    #[test]
    fn our_own_application_behind_a_trunk_is_not_reached() {
        let ours = application('1');
        let owned = number(ours.sid.as_str(), "", "TK1");
        let found = found(&[ours], Some(owned));
        let left = "Number: calls to +14155550123 go to the SIP trunk TK1 now, and are left there; \
                    --take-number takes them over";
        assert_eq!(words(&wanted(), &found)[1], left);
    }

    #[test]
    fn a_number_that_is_missing_is_told_only_to_those_who_asked() {
        let found = found(&[application('1')], None);
        let asked = plan(&wanted(), &found);
        let number = E164::parse(NUMBER).unwrap();
        assert_eq!(asked[1], Step::Leave(Obstacle::NotOwned(number)));
        let unset = Wanted {
            number: None,
            ..wanted()
        };
        assert_eq!(plan(&unset, &found)[1], Step::Leave(Obstacle::NoNumber));
        for number in [None, unset.number] {
            let look = Wanted {
                number,
                number_wish: NumberWish::Look,
                ..wanted()
            };
            assert_eq!(plan(&look, &found).len(), 2);
        }
    }

    #[test]
    fn a_key_is_made_once() {
        let sid = ApiKeySid::parse("SK00000000000000000000000000000001").unwrap();
        let mut found = found(&[application('1')], None);
        found.keys.push(ApiKey {
            sid: sid.clone(),
            friendly_name: "CallBurner".to_owned(),
        });
        let last = |has_key, new_key| {
            let wanted = Wanted {
                has_key,
                new_key,
                ..wanted()
            };
            plan(&wanted, &found).pop().unwrap()
        };
        let name = "CallBurner".to_owned();
        let exists = Obstacle::KeyExists {
            name: name.clone(),
            sids: vec![sid],
        };
        assert_eq!(last(true, false), Step::KeepKey);
        assert_eq!(last(false, false), Step::Leave(exists));
        assert_eq!(last(false, true), Step::CreateKey(name));
    }
}
