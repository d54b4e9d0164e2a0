//! Checks the set-up at Twilio: signatures, the clock, the account, and the changes that `callburner setup`
//! would make.

use anyhow::Context;

use super::findings::{CheckVerdict, Finding};
use crate::cli::setup::plan::{
    CurrentSetup, DesiredSetup, NumberAction, SettingChange, SetupBlocker, SetupStep, plan_setup,
};
use crate::cli::setup::{application_settings, read_current_setup};
use crate::clock::{self, UtcTime};
use crate::config::{EndpointConfig, TwilioConfig};
use crate::ids::E164;
use crate::limits::{CLOCK_SKEW_MAX, CLOCK_SKEW_WARN_MIN, DOCTOR_WAIT_MAX};
use crate::twilio::api::retry::RetryPolicy;
use crate::twilio::api::{ApiCredentials, TwilioClient, TwilioClientConfig, TwilioError};
use crate::twilio::region::TwilioRegion;
use crate::twilio::signature::{SignedPayload, SigningKey, VerifiedKey, sign};

const ACCOUNT_PART: &str = "Twilio account";
const APPLICATION_PART: &str = "TwiML app";
const CALLER_ID_PART: &str = "caller ID";
const API_KEY_PART: &str = "API key";

/// Name of the TwiML application if the settings do not name one.
const APPLICATION_NAME: &str = "CallBurner";

/// Signs a request as Twilio does, and verifies it as the server does.
pub(super) fn check_signature(endpoint: &EndpointConfig, key: &SigningKey) -> Finding {
    const PART: &str = "signature";
    let url = endpoint.public_url.https_url("/voice?rp=5xx");
    let form = [
        ("To".to_owned(), "+1 415".to_owned()),
        ("From".to_owned(), String::new()),
    ];
    let signed = sign(key, &url, &form);
    let verified = endpoint.keyring.as_ref().map(|ring| {
        let with = |url: &str| ring.verify(url, SignedPayload::Form(&form), Some(&signed), None);
        (with(&url), with(&endpoint.public_url.https_url("/other")))
    });
    match verified {
        Some((Ok(VerifiedKey::Primary), Err(_))) => {
            let found = format!(
                "a request to {} signed with TWILIO_AUTH_TOKEN is accepted",
                endpoint.public_url
            );
            Finding::ok(PART, found)
        }
        Some(_) | None => Finding::failure(
            PART,
            "the server cannot verify requests signed with TWILIO_AUTH_TOKEN",
            "check TWILIO_AUTH_TOKEN and PUBLIC_BASE_URL; if they are right, this is a bug",
        ),
    }
}

/// Checks the account, its application, number and API key.
pub(crate) async fn check_account(
    twilio: &TwilioConfig,
    endpoint: &EndpointConfig,
) -> Vec<Finding> {
    let twilio_client =
        match twilio_client(twilio, ApiCredentials::AuthToken(twilio.auth_token.clone())) {
            Ok(twilio_client) => twilio_client,
            Err(error) => return vec![twilio_failure(ACCOUNT_PART, &error)],
        };
    let mut findings: Vec<Finding> = twilio
        .region
        .as_ref()
        .map(region_finding)
        .into_iter()
        .collect();
    match twilio_client.fetch_server_time().await {
        Ok(theirs) => findings.push(check_clock(clock::utc_now(), theirs)),
        Err(error) => {
            findings.push(twilio_failure(ACCOUNT_PART, &error));
            return findings;
        }
    }
    let (account, is_open) = account_status(&twilio_client).await;
    findings.push(account);
    if is_open {
        findings.extend(check_setup(&twilio_client, twilio, endpoint).await);
        findings.extend(check_api_key(twilio).await);
    }
    findings
}

fn twilio_client(
    twilio: &TwilioConfig,
    credentials: ApiCredentials,
) -> Result<TwilioClient, TwilioError> {
    TwilioClient::new(TwilioClientConfig {
        base_url: twilio.api_base_url.clone(),
        retry_policy: RetryPolicy {
            request_timeout: DOCTOR_WAIT_MAX,
            attempts_max: 1,
            ..RetryPolicy::default()
        },
        ..TwilioClientConfig::new(twilio.account_sid.clone(), credentials)
    })
}

fn twilio_failure(part: &'static str, error: &TwilioError) -> Finding {
    Finding::from_error(part, CheckVerdict::Failure, &error.to_string())
}

/// Reports the region in which calls are handled. The requests to that region's own host show whether the
/// credentials belong to it.
fn region_finding(region: &TwilioRegion) -> Finding {
    let (name, edge) = (region.name(), region.edge());
    Finding::ok(
        "region",
        format!(
            "{name} through the edge {edge}; Twilio handles a number's calls there if its console \
             shows {name} as the number's inbound processing region"
        ),
    )
}

/// Compares this machine's clock with Twilio's.
fn check_clock(ours: UtcTime, theirs: Option<UtcTime>) -> Finding {
    const PART: &str = "clock";
    let advice = "set this machine's clock: timedatectl set-ntp true";
    let Some(theirs) = theirs else {
        return Finding::warning(PART, "Twilio's response has no date", advice);
    };
    // Twilio's time has whole seconds.
    let apart = ours.since(theirs).max(theirs.since(ours));
    let found = match apart.as_secs() {
        0 | 1 => "matches Twilio's".to_owned(),
        seconds if ours > theirs => format!("{seconds} s ahead of Twilio's"),
        seconds => format!("{seconds} s behind Twilio's"),
    };
    if apart > CLOCK_SKEW_MAX {
        Finding::failure(PART, found, advice)
    } else if apart > CLOCK_SKEW_WARN_MIN {
        Finding::warning(PART, found, advice)
    } else {
        Finding::ok(PART, found)
    }
}

async fn account_status(twilio_client: &TwilioClient) -> (Finding, bool) {
    let account = match twilio_client.fetch_account().await {
        Ok(account) => account,
        Err(error) => return (twilio_failure(ACCOUNT_PART, &error), false),
    };
    let found = format!(
        "{} ({}, {})",
        account.friendly_name, account.kind, account.status
    );
    if account.status != "active" {
        return (
            Finding::failure(ACCOUNT_PART, found, "see Twilio's console"),
            false,
        );
    }
    if account.kind == "Trial" {
        let advice =
            "upgrade it: a trial account calls only verified numbers, and plays a message first";
        return (Finding::warning(ACCOUNT_PART, found, advice), true);
    }
    (Finding::ok(ACCOUNT_PART, found), true)
}

/// Reports the changes that `callburner setup` would make.
async fn check_setup(
    twilio_client: &TwilioClient,
    twilio: &TwilioConfig,
    endpoint: &EndpointConfig,
) -> Vec<Finding> {
    let inputs = async {
        let base = endpoint.public_base_url.as_ref();
        let base =
            base.context("PUBLIC_BASE_URL is not set: set it to this server's public address")?;
        let desired = DesiredSetup {
            application: application_settings(APPLICATION_NAME, base, None)?,
            application_sid: twilio.application_sid.clone(),
            number: twilio.caller_id.clone(),
            number_action: NumberAction::Report,
            has_key: twilio.api_key.is_some(),
            new_key: false,
        };
        let found = read_current_setup(twilio_client, &desired).await?;
        anyhow::Ok((desired, found))
    };
    let (desired, found) = match inputs.await {
        Ok(inputs) => inputs,
        Err(error) => {
            return vec![Finding::from_error(
                APPLICATION_PART,
                CheckVerdict::Failure,
                &format!("{error:#}"),
            )];
        }
    };
    let mut findings: Vec<Finding> = plan_setup(&desired, &found)
        .into_iter()
        .filter_map(|step| step_finding(&step, desired.application_sid.is_some()))
        .collect();
    if let Some(number) = &twilio.caller_id {
        findings.extend(check_caller_id(twilio_client, number, &found).await);
    } else {
        let advice = "set TWILIO_CALLER_ID to a number of the account, so that browsers can call";
        findings.push(Finding::failure(CALLER_ID_PART, "is not set", advice));
    }
    findings
}

/// Converts a step that the set-up would take into a finding; `None` if another check covers it.
fn step_finding(step: &SetupStep, is_named: bool) -> Option<Finding> {
    let failure = |part, found: &str| Finding::failure(part, found, "run callburner setup");
    Some(match step {
        SetupStep::KeepApplication(_) if is_named => {
            Finding::ok(APPLICATION_PART, "its URLs point to this server")
        }
        SetupStep::KeepApplication(sid) => {
            let sid = sid.as_str();
            let advice = format!("set TWILIO_TWIML_APP_SID to {sid}, or run callburner setup");
            Finding::failure(
                APPLICATION_PART,
                "exists, but is not in the settings",
                advice,
            )
        }
        SetupStep::CreateApplication(..) => failure(
            APPLICATION_PART,
            "there is none: browsers cannot place calls",
        ),
        SetupStep::UpdateApplication(_, _, changes) => {
            let changes: Vec<String> = changes.iter().map(SettingChange::to_string).collect();
            let changes: Vec<&str> = changes.iter().map(|change| change.trim()).collect();
            failure(
                APPLICATION_PART,
                &format!("needs these changes: {}", changes.join(", ")),
            )
        }
        SetupStep::KeepNumber(_) => Finding::ok(CALLER_ID_PART, "calls to it reach this server"),
        SetupStep::OfferNumber(_) | SetupStep::PointNumber(..) => Finding::warning(
            CALLER_ID_PART,
            "calls to it do not reach this server",
            "run callburner setup --number to point it to this server",
        ),
        SetupStep::CreateKey(_) => {
            failure(API_KEY_PART, "there is none: browsers cannot place calls")
        }
        // `check_api_key` covers it.
        SetupStep::KeepKey => return None,
        SetupStep::Blocked(blocker) => blocker_finding(blocker),
    })
}

fn blocker_finding(blocker: &SetupBlocker) -> Finding {
    let text = blocker.to_string();
    let (_, text) = text.split_once(": ").unwrap_or(("", &text));
    match blocker {
        SetupBlocker::PointsElsewhere { to, .. } => Finding::warning(
            CALLER_ID_PART,
            format!("calls to it go to {to}"),
            "run callburner setup --take-number to point it to this server",
        ),
        SetupBlocker::NoNumber | SetupBlocker::NotOwned(_) => {
            Finding::from_error(CALLER_ID_PART, CheckVerdict::Warning, text)
        }
        SetupBlocker::SeveralApplications { .. } | SetupBlocker::NoSuchApplication(_) => {
            Finding::from_error(APPLICATION_PART, CheckVerdict::Failure, text)
        }
        SetupBlocker::KeyExists { .. } => {
            Finding::from_error(API_KEY_PART, CheckVerdict::Failure, text)
        }
    }
}

/// Checks that calls can be placed from the number; `check_setup` reports where calls to it go.
async fn check_caller_id(
    twilio_client: &TwilioClient,
    number: &E164,
    found: &CurrentSetup,
) -> Option<Finding> {
    if found.number.is_some() {
        return Some(Finding::ok(CALLER_ID_PART, "the account owns it"));
    }
    Some(match twilio_client.is_verified_caller_id(number).await {
        Ok(true) => Finding::ok(
            CALLER_ID_PART,
            "is verified, but not owned by the account: calls to it do not reach this server",
        ),
        Ok(false) => Finding::failure(
            CALLER_ID_PART,
            "TWILIO_CALLER_ID is neither owned by the account nor verified: no call can use it",
            "set it to a number of this account, or verify it in Twilio's console",
        ),
        Err(error) => twilio_failure(CALLER_ID_PART, &error),
    })
}

/// Checks that the API key has access to Twilio's REST API.
async fn check_api_key(twilio: &TwilioConfig) -> Option<Finding> {
    let key = twilio.api_key.clone()?;
    let credentials = ApiCredentials::ApiKey {
        sid: key.sid,
        secret: key.secret,
    };
    let listed = async {
        twilio_client(twilio, credentials)?
            .list_applications(APPLICATION_NAME)
            .await
    };
    Some(match listed.await {
        Ok(_) => Finding::ok(API_KEY_PART, "has access to Twilio's REST API"),
        Err(error) => twilio_failure(API_KEY_PART, &error),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_off_is_reported_before_tokens_are_refused() {
        let theirs = UtcTime::from_millis(1_800_000_000_000);
        let off = |seconds| theirs.plus(Duration::from_secs(seconds));
        let verdict = |ours| check_clock(ours, Some(theirs)).verdict;
        assert_eq!(
            verdict(theirs.plus(Duration::from_millis(1_900))),
            CheckVerdict::Ok
        );
        assert_eq!(verdict(off(31)), CheckVerdict::Warning);
        assert_eq!(verdict(off(301)), CheckVerdict::Failure);
        let behind = check_clock(theirs.minus(Duration::from_secs(400)), Some(theirs));
        assert_eq!(behind.verdict, CheckVerdict::Failure);
        assert_eq!(behind.found, "400 s behind Twilio's");
        assert_eq!(check_clock(theirs, None).verdict, CheckVerdict::Warning);
    }
}
