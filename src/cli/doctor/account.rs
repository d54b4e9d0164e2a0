//! Looks at Twilio: signatures, the clock, the account, and what `callburner setup` would change.

use anyhow::Context;

use super::findings::{Finding, Verdict};
use crate::cli::setup::plan::{Change, Found, NumberWish, Obstacle, Step, Wanted, plan};
use crate::cli::setup::{application, find};
use crate::clock::{self, UtcTime};
use crate::config::{Doors, Twilio};
use crate::ids::E164;
use crate::limits::{CLOCK_SKEW_MAX, CLOCK_SKEW_WARNED, DOCTOR_WAIT_MAX};
use crate::twilio::region::Region;
use crate::twilio::rest::retry::Patience;
use crate::twilio::rest::{Credentials, Rest, RestConfig, RestError};
use crate::twilio::signature::{Key, Payload, WhichKey, sign};

const ACCOUNT: &str = "Twilio account";
const APPLICATION: &str = "TwiML app";
const CALLER_ID: &str = "caller ID";
const API_KEY: &str = "API key";

/// What the application is called, where the settings do not name one.
const NAME: &str = "CallBurner";

/// Signs a request as Twilio would, and checks it as the server does.
pub(super) fn signature(doors: &Doors, key: &Key) -> Finding {
    const PART: &str = "signature";
    let url = doors.public_url.https("/voice?rp=5xx");
    let form = [
        ("To".to_owned(), "+1 415".to_owned()),
        ("From".to_owned(), String::new()),
    ];
    let signed = sign(key, &url, &form);
    let verified = doors.keyring.as_ref().map(|ring| {
        let with = |url: &str| ring.verify(url, Payload::Form(&form), Some(&signed), None);
        (with(&url), with(&doors.public_url.https("/other")))
    });
    match verified {
        Some((Ok(WhichKey::Primary), Err(_))) => {
            let found = format!(
                "a request to {} signed with TWILIO_AUTH_TOKEN is taken",
                doors.public_url
            );
            Finding::ok(PART, found)
        }
        Some(_) | None => Finding::failure(
            PART,
            "a request signed with TWILIO_AUTH_TOKEN is not told from another",
            "check TWILIO_AUTH_TOKEN and PUBLIC_BASE_URL; if they are right, this is a bug",
        ),
    }
}

/// What there is to say of the account, its application, number and key.
pub(crate) async fn examine(twilio: &Twilio, doors: &Doors) -> Vec<Finding> {
    let rest = match client(twilio, Credentials::AuthToken(twilio.auth_token.clone())) {
        Ok(rest) => rest,
        Err(error) => return vec![of_rest(ACCOUNT, &error)],
    };
    let mut findings: Vec<Finding> = twilio.region.as_ref().map(region).into_iter().collect();
    match rest.date().await {
        Ok(theirs) => findings.push(clock(clock::utc_now(), theirs)),
        Err(error) => {
            findings.push(of_rest(ACCOUNT, &error));
            return findings;
        }
    }
    let (account, is_open) = account(&rest).await;
    findings.push(account);
    if is_open {
        findings.extend(set_up(&rest, twilio, doors).await);
        findings.extend(api_key(twilio).await);
    }
    findings
}

fn client(twilio: &Twilio, credentials: Credentials) -> Result<Rest, RestError> {
    Rest::new(RestConfig {
        base_url: twilio.api_base_url.clone(),
        patience: Patience {
            request: DOCTOR_WAIT_MAX,
            attempts_max: 1,
            ..Patience::default()
        },
        ..RestConfig::new(twilio.account_sid.clone(), credentials)
    })
}

fn of_rest(part: &'static str, error: &RestError) -> Finding {
    Finding::of_error(part, Verdict::Failure, &error.to_string())
}

/// Where calls are handled. Whether the credentials are of that region, the questions to its own host
/// tell.
fn region(region: &Region) -> Finding {
    let (name, edge) = (region.name(), region.edge());
    Finding::ok(
        "region",
        format!(
            "{name} by {edge}; a number's calls are handled there if Twilio's console names {name} \
             as its inbound processing region"
        ),
    )
}

/// Whether this machine's clock is Twilio's.
fn clock(ours: UtcTime, theirs: Option<UtcTime>) -> Finding {
    const PART: &str = "clock";
    let advice = "set this machine's clock: timedatectl set-ntp true";
    let Some(theirs) = theirs else {
        return Finding::warning(PART, "Twilio does not say what time it is", advice);
    };
    // Twilio's is cut to the second.
    let apart = ours.since(theirs).max(theirs.since(ours));
    let found = match apart.as_secs() {
        0 | 1 => "as Twilio's".to_owned(),
        seconds if ours > theirs => format!("{seconds} s before Twilio's"),
        seconds => format!("{seconds} s behind Twilio's"),
    };
    if apart > CLOCK_SKEW_MAX {
        Finding::failure(PART, found, advice)
    } else if apart > CLOCK_SKEW_WARNED {
        Finding::warning(PART, found, advice)
    } else {
        Finding::ok(PART, found)
    }
}

async fn account(rest: &Rest) -> (Finding, bool) {
    let account = match rest.account().await {
        Ok(account) => account,
        Err(error) => return (of_rest(ACCOUNT, &error), false),
    };
    let found = format!(
        "{} ({}, {})",
        account.friendly_name, account.kind, account.status
    );
    if account.status != "active" {
        return (
            Finding::failure(ACCOUNT, found, "see Twilio's console"),
            false,
        );
    }
    if account.kind == "Trial" {
        let advice =
            "a trial account calls verified numbers only, and speaks a word before each call";
        return (Finding::warning(ACCOUNT, found, advice), true);
    }
    (Finding::ok(ACCOUNT, found), true)
}

/// What `callburner setup` would change.
async fn set_up(rest: &Rest, twilio: &Twilio, doors: &Doors) -> Vec<Finding> {
    let looked = async {
        let base = doors.public_base_url.as_ref();
        let base =
            base.context("PUBLIC_BASE_URL is not set: set it to where Twilio reaches this server")?;
        let wanted = Wanted {
            application: application(NAME, base, None)?,
            application_sid: twilio.application_sid.clone(),
            number: twilio.caller_id.clone(),
            number_wish: NumberWish::Look,
            has_key: twilio.api_key.is_some(),
            new_key: false,
        };
        let found = find(rest, &wanted).await?;
        anyhow::Ok((wanted, found))
    };
    let (wanted, found) = match looked.await {
        Ok(looked) => looked,
        Err(error) => {
            return vec![Finding::of_error(
                APPLICATION,
                Verdict::Failure,
                &format!("{error:#}"),
            )];
        }
    };
    let mut findings: Vec<Finding> = plan(&wanted, &found)
        .into_iter()
        .filter_map(|step| of_step(&step, wanted.application_sid.is_some()))
        .collect();
    if let Some(number) = &twilio.caller_id {
        findings.extend(caller_id(rest, number, &found).await);
    } else {
        let advice = "set TWILIO_CALLER_ID to a number of the account: browsers cannot place calls";
        findings.push(Finding::failure(CALLER_ID, "is not set", advice));
    }
    findings
}

/// What a step of the set-up that was not taken means.
fn of_step(step: &Step, is_named: bool) -> Option<Finding> {
    let failure = |part, found: &str| Finding::failure(part, found, "callburner setup");
    Some(match step {
        Step::KeepApplication(_) if is_named => {
            Finding::ok(APPLICATION, "its addresses are this server's")
        }
        Step::KeepApplication(sid) => {
            let sid = sid.as_str();
            let advice = format!("set TWILIO_TWIML_APP_SID to {sid}, or run callburner setup");
            Finding::failure(APPLICATION, "is there, and not in the settings", advice)
        }
        Step::CreateApplication(..) => {
            failure(APPLICATION, "there is none: browsers cannot place calls")
        }
        Step::UpdateApplication(_, _, changes) => {
            let changes: Vec<String> = changes.iter().map(Change::to_string).collect();
            let changes: Vec<&str> = changes.iter().map(|change| change.trim()).collect();
            failure(APPLICATION, &format!("should have {}", changes.join(", ")))
        }
        Step::KeepNumber(_) => Finding::ok(CALLER_ID, "calls to it come here"),
        Step::OfferNumber(_) | Step::PointNumber(..) => Finding::warning(
            CALLER_ID,
            "calls to it go nowhere yet",
            "callburner setup --number has them come here",
        ),
        Step::CreateKey(_) => failure(API_KEY, "there is none: browsers cannot place calls"),
        // Looked at on its own.
        Step::KeepKey => return None,
        Step::Leave(obstacle) => of_obstacle(obstacle),
    })
}

fn of_obstacle(obstacle: &Obstacle) -> Finding {
    let told = obstacle.to_string();
    let (_, told) = told.split_once(": ").unwrap_or(("", &told));
    match obstacle {
        Obstacle::PointsElsewhere { to, .. } => Finding::warning(
            CALLER_ID,
            format!("calls to it go to {to}"),
            "callburner setup --take-number has them come here",
        ),
        Obstacle::NoNumber | Obstacle::NotOwned(_) => {
            Finding::of_error(CALLER_ID, Verdict::Warning, told)
        }
        Obstacle::SeveralApplications { .. } | Obstacle::NoSuchApplication(_) => {
            Finding::of_error(APPLICATION, Verdict::Failure, told)
        }
        Obstacle::KeyExists { .. } => Finding::of_error(API_KEY, Verdict::Failure, told),
    }
}

/// Whether calls may come from the number; where calls to it go is the set-up's.
async fn caller_id(rest: &Rest, number: &E164, found: &Found) -> Option<Finding> {
    if found.number.is_some() {
        return Some(Finding::ok(CALLER_ID, "the account owns it"));
    }
    Some(match rest.is_verified(number).await {
        Ok(true) => Finding::ok(
            CALLER_ID,
            "is not the account's, but verified: nobody can call back here",
        ),
        Ok(false) => Finding::failure(
            CALLER_ID,
            "TWILIO_CALLER_ID is neither the account's nor verified: Twilio places no call from it",
            "set it to a number of this account, or verify it in Twilio's console",
        ),
        Err(error) => of_rest(CALLER_ID, &error),
    })
}

/// Whether the key opens what the server needs.
async fn api_key(twilio: &Twilio) -> Option<Finding> {
    let key = twilio.api_key.clone()?;
    let credentials = Credentials::ApiKey {
        sid: key.sid,
        secret: key.secret,
    };
    let asked = async { client(twilio, credentials)?.applications(NAME).await };
    Some(match asked.await {
        Ok(_) => Finding::ok(API_KEY, "opens Twilio's REST API"),
        Err(error) => of_rest(API_KEY, &error),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_before_tokens_are_refused() {
        let theirs = UtcTime::from_millis(1_800_000_000_000);
        let off = |seconds| theirs.plus(Duration::from_secs(seconds));
        let verdict = |ours| clock(ours, Some(theirs)).verdict;
        assert_eq!(
            verdict(theirs.plus(Duration::from_millis(1_900))),
            Verdict::Ok
        );
        assert_eq!(verdict(off(31)), Verdict::Warning);
        assert_eq!(verdict(off(301)), Verdict::Failure);
        let behind = clock(theirs.minus(Duration::from_secs(400)), Some(theirs));
        assert_eq!(behind.verdict, Verdict::Failure);
        assert_eq!(behind.found, "400 s behind Twilio's");
        assert_eq!(clock(theirs, None).verdict, Verdict::Warning);
    }
}
