//! Plans `callburner setup`: compares the desired state with the current state at Twilio, and returns the
//! steps between them. Pure: no I/O.

use std::fmt;

use crate::ids::{ApiKeySid, ApplicationSid, E164};
use crate::twilio::api::account::{
    ApiKeyResource, ApplicationResource, ApplicationSettings, IncomingNumber,
};

/// Voice URL that Twilio gives to new numbers.
const DEMO_URL: &str = "https://demo.twilio.com/";

/// Desired state at Twilio.
#[derive(Debug, Clone)]
pub(crate) struct DesiredSetup {
    /// Settings of the TwiML application.
    pub(crate) application: ApplicationSettings,
    /// Application that the settings name; `None` selects the application with the desired name, or a new
    /// one.
    pub(crate) application_sid: Option<ApplicationSid>,
    /// Number that people call back.
    pub(crate) number: Option<E164>,
    pub(crate) number_action: NumberAction,
    /// Whether the settings contain an API key.
    pub(crate) has_key: bool,
    /// Whether to create a key even if one with that name exists.
    pub(crate) new_key: bool,
}

/// How to handle the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberAction {
    /// Only report where calls to it go.
    Report,
    /// Point it to this server, unless calls to it go elsewhere now.
    PointIfFree,
    /// Point it to this server, even if calls to it go elsewhere now.
    TakeOver,
}

/// Current state at Twilio.
#[derive(Debug, Clone, Default)]
pub(crate) struct CurrentSetup {
    /// The application that the settings name, or all applications with the desired name.
    pub(crate) applications: Vec<ApplicationResource>,
    /// The number, if the account owns it.
    pub(crate) number: Option<IncomingNumber>,
    /// The account's API keys.
    pub(crate) keys: Vec<ApiKeyResource>,
}

/// A change of one setting of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SettingChange {
    /// Name of the setting, for people.
    name: &'static str,
    /// Current value; empty if it is not set.
    from: String,
    to: String,
}

/// One step: a change, a resource that stays as it is, or a decision for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SetupStep {
    /// Create the application.
    CreateApplication(ApplicationSettings, Vec<SettingChange>),
    /// Change the settings that differ.
    UpdateApplication(ApplicationSid, ApplicationSettings, Vec<SettingChange>),
    /// The application needs no change.
    KeepApplication(ApplicationSid),
    /// Point the number to the application, instead of its current destination if there is one.
    PointNumber(IncomingNumber, Option<String>),
    /// The number points to the application already.
    KeepNumber(E164),
    /// The number is free, but pointing it to the application was not requested.
    OfferNumber(IncomingNumber),
    /// Create an API key with this name.
    CreateKey(String),
    /// The settings contain an API key.
    KeepKey,
    /// A decision that only a person can make.
    Blocked(SetupBlocker),
}

/// Reason why something stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SetupBlocker {
    /// Several applications have the desired name.
    #[error(
        "Application: several applications are named {name:?}; set TWILIO_TWIML_APP_SID to one of \
         them: {}",
        join_sids(sids.iter().map(ApplicationSid::as_str))
    )]
    SeveralApplications {
        name: String,
        sids: Vec<ApplicationSid>,
    },
    /// The settings name an application that does not exist.
    #[error(
        "Application: TWILIO_TWIML_APP_SID={} is not in this account; correct it, or remove it to \
         create a new application", .0.as_str()
    )]
    NoSuchApplication(ApplicationSid),
    /// The settings name no number.
    #[error("Number: set TWILIO_CALLER_ID to the number to point to this server")]
    NoNumber,
    /// The account does not own the number.
    #[error(
        "Number: this account does not own {}; set TWILIO_CALLER_ID to a number that it owns, \
         because a verified caller ID can place calls but not receive them", .0.as_str()
    )]
    NotOwned(E164),
    /// Calls to the number go elsewhere.
    #[error(
        "Number: calls to {} go to {to}, and this is not changed; --take-number points it to this \
         server",
        number.as_str()
    )]
    PointsElsewhere {
        number: E164,
        /// Current destination, for people.
        to: String,
    },
    /// A key with the desired name exists, but the settings do not contain its secret.
    #[error(
        "API key: a key named {name:?} exists ({}), but the settings do not contain it: set \
         TWILIO_API_KEY and TWILIO_API_SECRET, or create another key with --new-key",
        join_sids(sids.iter().map(ApiKeySid::as_str))
    )]
    KeyExists { name: String, sids: Vec<ApiKeySid> },
}

impl SetupStep {
    /// Whether the step changes something at Twilio.
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
            | Self::Blocked(_) => false,
        }
    }
}

/// Returns the steps from the current to the desired state, in the order in which to perform them.
pub(crate) fn plan_setup(desired: &DesiredSetup, current: &CurrentSetup) -> Vec<SetupStep> {
    let application = plan_application(desired, current);
    let number = plan_number(desired, current, &application);
    let key = plan_key(desired, current);
    std::iter::once(application)
        .chain(number)
        .chain([key])
        .collect()
}

fn plan_application(desired: &DesiredSetup, current: &CurrentSetup) -> SetupStep {
    let settings = &desired.application;
    match (current.applications.as_slice(), &desired.application_sid) {
        ([], Some(sid)) => SetupStep::Blocked(SetupBlocker::NoSuchApplication(sid.clone())),
        ([], None) => {
            let changes = setting_changes(&ApplicationSettings::default(), settings);
            SetupStep::CreateApplication(settings.clone(), changes)
        }
        ([application], named) => {
            let mut settings = settings.clone();
            if named.is_some() {
                // Its owner may choose any name for it.
                settings.friendly_name.clear();
            }
            let changes = setting_changes(&application.settings, &settings);
            let sid = application.sid.clone();
            if changes.is_empty() {
                SetupStep::KeepApplication(sid)
            } else {
                SetupStep::UpdateApplication(sid, settings, changes)
            }
        }
        (several, _) => SetupStep::Blocked(SetupBlocker::SeveralApplications {
            name: settings.friendly_name.clone(),
            sids: several
                .iter()
                .map(|application| application.sid.clone())
                .collect(),
        }),
    }
}

/// Returns the settings that differ from the desired ones; an empty desired value keeps the current one.
fn setting_changes(is: &ApplicationSettings, desired: &ApplicationSettings) -> Vec<SettingChange> {
    let all = [
        ("name", &is.friendly_name, &desired.friendly_name),
        ("voice URL", &is.voice_url, &desired.voice_url),
        ("voice method", &is.voice_method, &desired.voice_method),
        (
            "fallback URL",
            &is.voice_fallback_url,
            &desired.voice_fallback_url,
        ),
        (
            "fallback method",
            &is.voice_fallback_method,
            &desired.voice_fallback_method,
        ),
        (
            "status callback",
            &is.status_callback,
            &desired.status_callback,
        ),
        (
            "status method",
            &is.status_callback_method,
            &desired.status_callback_method,
        ),
    ];
    let differ = all
        .into_iter()
        .filter(|(_, is, desired)| !desired.is_empty() && is != desired);
    let change = |(name, is, desired): (&'static str, &String, &String)| SettingChange {
        name,
        from: is.clone(),
        to: desired.clone(),
    };
    differ.map(change).collect()
}

fn plan_number(
    desired: &DesiredSetup,
    current: &CurrentSetup,
    application: &SetupStep,
) -> Option<SetupStep> {
    // The SID of the application; `None` if the application is about to be created.
    let sid = match application {
        SetupStep::KeepApplication(sid) | SetupStep::UpdateApplication(sid, ..) => Some(sid),
        SetupStep::CreateApplication(..) => None,
        SetupStep::PointNumber(..)
        | SetupStep::KeepNumber(_)
        | SetupStep::OfferNumber(_)
        | SetupStep::CreateKey(_)
        | SetupStep::KeepKey
        | SetupStep::Blocked(_) => return None,
    };
    let wish = desired.number_action;
    let Some(number) = &desired.number else {
        return (wish != NumberAction::Report)
            .then_some(SetupStep::Blocked(SetupBlocker::NoNumber));
    };
    let Some(owned) = &current.number else {
        let blocker = SetupBlocker::NotOwned(number.clone());
        return (wish != NumberAction::Report).then_some(SetupStep::Blocked(blocker));
    };
    let is_ours = sid.is_some_and(|sid| owned.voice_application_sid == sid.as_str());
    if is_ours && owned.trunk_sid.is_empty() {
        return Some(SetupStep::KeepNumber(number.clone()));
    }
    let other_destination = other_destination(owned, is_ours, &desired.application.voice_url);
    Some(match (wish, other_destination) {
        (NumberAction::Report, None) => SetupStep::OfferNumber(owned.clone()),
        (NumberAction::Report | NumberAction::PointIfFree, Some(to)) => {
            let number = number.clone();
            SetupStep::Blocked(SetupBlocker::PointsElsewhere { number, to })
        }
        (NumberAction::PointIfFree | NumberAction::TakeOver, to) => {
            SetupStep::PointNumber(owned.clone(), to)
        }
    })
}

/// Returns the current destination of calls to a number; `None` if it is this server, or if the number is
/// free.
fn other_destination(number: &IncomingNumber, is_ours: bool, voice_url: &str) -> Option<String> {
    if !number.trunk_sid.is_empty() {
        return Some(format!("the SIP trunk {}", number.trunk_sid));
    }
    if !number.voice_application_sid.is_empty() {
        return (!is_ours).then(|| format!("the application {}", number.voice_application_sid));
    }
    let url = &number.voice_url;
    // Parameters of retries (after `#`) do not make it another destination.
    let address = |url: &str| url.split('#').next().map(str::to_owned);
    let is_ours = address(url) == address(voice_url);
    let is_free = url.is_empty() || url.starts_with(DEMO_URL) || is_ours;
    (!is_free).then(|| url.clone())
}

fn plan_key(desired: &DesiredSetup, current: &CurrentSetup) -> SetupStep {
    if desired.has_key {
        return SetupStep::KeepKey;
    }
    let name = desired.application.friendly_name.clone();
    let of_name = current.keys.iter().filter(|key| key.friendly_name == name);
    let sids: Vec<ApiKeySid> = of_name.map(|key| key.sid.clone()).collect();
    if sids.is_empty() || desired.new_key {
        SetupStep::CreateKey(name)
    } else {
        SetupStep::Blocked(SetupBlocker::KeyExists { name, sids })
    }
}

impl fmt::Display for SetupStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateApplication(_, changes) => {
                f.write_str("Application: create one")?;
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
                write!(f, "Application: {} needs no change", sid.as_str())
            }
            Self::PointNumber(number, from) => {
                write!(
                    f,
                    "Number: point {} to this server",
                    number.phone_number.as_str()
                )?;
                match from {
                    Some(from) => write!(f, ", no longer to {from}"),
                    None => Ok(()),
                }
            }
            Self::KeepNumber(number) => {
                write!(f, "Number: {} points to this server", number.as_str())
            }
            Self::OfferNumber(number) => write!(
                f,
                "Number: {} does not point to this server; --number points it to this server",
                number.phone_number.as_str()
            ),
            Self::CreateKey(name) => write!(f, "API key: create one named {name:?}"),
            Self::KeepKey => f.write_str("API key: the settings contain one"),
            Self::Blocked(blocker) => write!(f, "{blocker}"),
        }
    }
}

impl fmt::Display for SettingChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "    {:<16} {}", self.name, self.to)?;
        if self.from.is_empty() {
            Ok(())
        } else {
            write!(f, "  (was {})", self.from)
        }
    }
}

fn join_sids<'a>(sids: impl Iterator<Item = &'a str>) -> String {
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

    fn desired() -> DesiredSetup {
        DesiredSetup {
            application: ApplicationSettings {
                friendly_name: "CallBurner".to_owned(),
                voice_url: "https://x/voice".to_owned(),
                voice_method: "POST".to_owned(),
                ..ApplicationSettings::default()
            },
            application_sid: None,
            number: Some(E164::parse(NUMBER).unwrap()),
            number_action: NumberAction::PointIfFree,
            has_key: true,
            new_key: false,
        }
    }

    fn application(last: char) -> ApplicationResource {
        ApplicationResource {
            sid: application_sid(last),
            settings: desired().application,
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

    fn current(
        applications: &[ApplicationResource],
        number: Option<IncomingNumber>,
    ) -> CurrentSetup {
        CurrentSetup {
            applications: applications.to_vec(),
            number,
            keys: Vec::new(),
        }
    }

    fn words(desired: &DesiredSetup, current: &CurrentSetup) -> Vec<String> {
        plan_setup(desired, current)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn from_nothing_everything_is_made() {
        let desired = DesiredSetup {
            has_key: false,
            ..desired()
        };
        assert_eq!(
            words(&desired, &current(&[], Some(number("", "", "")))),
            [
                "Application: create one\n    name             CallBurner\n    \
                 voice URL        https://x/voice\n    voice method     POST",
                "Number: point +14155550123 to this server",
                "API key: create one named \"CallBurner\"",
            ]
        );
    }

    #[test]
    fn what_is_as_wanted_is_kept() {
        let ours = application('1');
        let owned = number(ours.sid.as_str(), "", "");
        let steps = plan_setup(&desired(), &current(&[ours], Some(owned)));
        assert!(!steps.iter().any(SetupStep::is_change), "{steps:?}");
        assert_eq!(steps.len(), 3);
    }

    #[test]
    fn only_what_differs_changes_and_nothing_is_emptied() {
        let mut old = application('1');
        old.settings.voice_url = "https://old/voice".to_owned();
        old.settings.voice_fallback_url = "https://f/voice".to_owned();
        old.settings.friendly_name = "of the owner".to_owned();
        let named = DesiredSetup {
            application_sid: Some(old.sid.clone()),
            ..desired()
        };
        let sid = old.sid.as_str().to_owned();
        let steps = words(&named, &current(&[old], None));
        let change = "\n    voice URL        https://x/voice  (was https://old/voice)";
        assert_eq!(steps[0], format!("Application: change {sid}{change}"));
    }

    #[test]
    fn what_only_a_person_can_decide_is_left() {
        let two = current(
            &[application('1'), application('2')],
            Some(number("", "", "")),
        );
        let steps = plan_setup(&desired(), &two);
        let several = SetupStep::Blocked(SetupBlocker::SeveralApplications {
            name: "CallBurner".to_owned(),
            sids: vec![application_sid('1'), application_sid('2')],
        });
        assert_eq!(steps, [several, SetupStep::KeepKey]);

        let named = DesiredSetup {
            application_sid: Some(application_sid('3')),
            ..desired()
        };
        let missing = SetupStep::Blocked(SetupBlocker::NoSuchApplication(application_sid('3')));
        assert_eq!(
            plan_setup(&named, &current(&[], None)),
            [missing, SetupStep::KeepKey]
        );
    }

    #[test]
    fn a_number_is_taken_from_nobody_who_was_not_named() {
        let ours = [application('1')];
        let other = application_sid('9').as_str().to_owned();
        // Its application, voice URL and trunk; whether calls to it go elsewhere.
        for (application, url, trunk, has_other_destination) in [
            ("", "", "", false),
            ("", "https://demo.twilio.com/welcome/voice/", "", false),
            ("", "https://x/voice", "", false),
            ("", "https://x/voice#rc=1", "", false),
            ("", "https://y/voice", "", true),
            (other.as_str(), "", "", true),
            ("", "", "TK1", true),
        ] {
            let owned = number(application, url, trunk);
            let current = current(&ours, Some(owned));
            let step = |number_action| {
                let desired = DesiredSetup {
                    number_action,
                    ..desired()
                };
                plan_setup(&desired, &current).swap_remove(1)
            };
            let case = (application, url, trunk);
            assert_eq!(
                step(NumberAction::PointIfFree).is_change(),
                !has_other_destination,
                "{case:?}"
            );
            assert!(step(NumberAction::TakeOver).is_change(), "{case:?}");
            assert!(!step(NumberAction::Report).is_change(), "{case:?}");
        }
    }

    #[test]
    fn our_own_application_behind_a_trunk_is_not_reached() {
        let ours = application('1');
        let owned = number(ours.sid.as_str(), "", "TK1");
        let current = current(&[ours], Some(owned));
        let left = "Number: calls to +14155550123 go to the SIP trunk TK1, and this is not \
                    changed; --take-number points it to this server";
        assert_eq!(words(&desired(), &current)[1], left);
    }

    #[test]
    fn a_missing_number_is_reported_only_on_request() {
        let current = current(&[application('1')], None);
        let steps = plan_setup(&desired(), &current);
        let number = E164::parse(NUMBER).unwrap();
        assert_eq!(steps[1], SetupStep::Blocked(SetupBlocker::NotOwned(number)));
        let unset = DesiredSetup {
            number: None,
            ..desired()
        };
        assert_eq!(
            plan_setup(&unset, &current)[1],
            SetupStep::Blocked(SetupBlocker::NoNumber)
        );
        for number in [None, unset.number] {
            let look = DesiredSetup {
                number,
                number_action: NumberAction::Report,
                ..desired()
            };
            assert_eq!(plan_setup(&look, &current).len(), 2);
        }
    }

    #[test]
    fn a_key_is_made_once() {
        let sid = ApiKeySid::parse("SK00000000000000000000000000000001").unwrap();
        let mut current = current(&[application('1')], None);
        current.keys.push(ApiKeyResource {
            sid: sid.clone(),
            friendly_name: "CallBurner".to_owned(),
        });
        let last = |has_key, new_key| {
            let desired = DesiredSetup {
                has_key,
                new_key,
                ..desired()
            };
            plan_setup(&desired, &current).pop().unwrap()
        };
        let name = "CallBurner".to_owned();
        let exists = SetupBlocker::KeyExists {
            name: name.clone(),
            sids: vec![sid],
        };
        assert_eq!(last(true, false), SetupStep::KeepKey);
        assert_eq!(last(false, false), SetupStep::Blocked(exists));
        assert_eq!(last(false, true), SetupStep::CreateKey(name));
    }
}
