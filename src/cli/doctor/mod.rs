//! `callburner doctor`: looks at everything that a server needs, and says what to do about what is
//! not as it should be.
//!
//! ```text
//! findings  what was found, for people and for programs (pure)
//! machine   model, speed, data folder, database
//! doors     the port; the way from the public address to it; WebSockets through proxies
//! account   signatures, clock, and everything at Twilio
//! ```

pub(crate) mod account;
pub(crate) mod doors;
pub(crate) mod findings;
mod machine;

use std::io::{self, Write};
use std::net::SocketAddr;

use anyhow::bail;
use secrecy::ExposeSecret;

use self::doors::Behind;
use self::findings::{Finding, Report, Verdict, of_settings};
use super::surroundings::{Oddity, Setting};
use crate::access::proxies::Proxies;
use crate::config::{ConfigError, Doors, Settings, Twilio};
use crate::tasks::Tasks;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::signature::Key;

/// Look at everything that a server needs, and say what to do about what is not as it should be.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    settings: Settings,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Make nothing: neither the data folder nor the database, which the server would make at its
    /// start.
    #[arg(long)]
    fix_nothing: bool,
}

/// What is examined: plain values.
#[derive(Debug)]
pub(crate) struct Patient {
    /// As the server would have them.
    pub(crate) settings: Settings,
    /// Every setting, and where it comes from.
    pub(crate) sources: Vec<Setting>,
    /// Names that set nothing, or not what they seem to.
    pub(crate) oddities: Vec<Oddity>,
    /// Whether nothing may be made.
    pub(crate) fix_nothing: bool,
}

pub(super) async fn run(
    args: DoctorArgs,
    sources: Vec<Setting>,
    oddities: Vec<Oddity>,
) -> anyhow::Result<()> {
    let patient = Patient {
        settings: args.settings,
        sources,
        oddities,
        fix_nothing: args.fix_nothing,
    };
    let mut out = io::stdout();
    let mut show = |finding: &Finding| {
        if args.json {
            return Ok(());
        }
        writeln!(out, "{finding}")
    };
    let report = examine(patient, &mut show).await?;
    if args.json {
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(io::stdout(), "\n{}", report.sum())?;
    }
    if !report.well {
        bail!("something does not work: see above");
    }
    Ok(())
}

/// Looks at everything, and shows each finding as it is made.
pub(crate) async fn examine(
    patient: Patient,
    show: &mut dyn FnMut(&Finding) -> io::Result<()>,
) -> anyhow::Result<Report> {
    let settings = patient.settings;
    let mut findings = Vec::new();
    let mut add = |found: Vec<Finding>| -> io::Result<()> {
        found.iter().try_for_each(&mut *show)?;
        findings.extend(found);
        Ok(())
    };
    add(of_settings(
        &patient.sources,
        &patient.oddities,
        &settings.doubts(),
    ))?;
    let checked = settings.check();
    let is_public = settings.public_base_url.is_some();
    add(of_check(
        checked.as_ref().map(|config| config.twilio.as_ref()),
        is_public,
    ))?;

    let engine = settings.engine.clone();
    add(tokio::task::spawn_blocking(move || machine::model(&engine)).await?)?;
    let data = &settings.calls.data;
    add(machine::folder(data, patient.fix_nothing))?;
    add(machine::rights(data))?;
    add(machine::database(data, is_public, patient.fix_nothing).await)?;

    // Settings that contradict each other may be right one by one.
    let twilio = match &checked {
        Ok(config) => config.twilio.clone(),
        Err(_) => settings.twilio.check().ok().flatten(),
    };
    let doors = checked.map_or_else(|_| unchecked(&settings), |config| config.doors);
    let proxies = &settings.trusted_proxies;
    add(look_at_doors(&doors, proxies, twilio.as_ref()).await?)?;
    if let Some(twilio) = &twilio {
        add(account::examine(twilio, &doors).await)?;
    }
    Ok(Report::new(patient.sources, findings))
}

/// Whether the settings go together, and what is missing.
fn of_check(checked: Result<Option<&Twilio>, &ConfigError>, is_public: bool) -> Vec<Finding> {
    const PART: &str = "settings";
    match checked {
        Err(error) => vec![Finding::of_error(
            PART,
            Verdict::Failure,
            &error.to_string(),
        )],
        Ok(None) => vec![Finding::warning(
            PART,
            if is_public {
                "no Twilio account is set: calls cannot be placed, and every webhook and media stream \
                 is refused"
            } else {
                "no Twilio account is set: calls cannot be placed, and only this machine is served"
            },
            "set TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and PUBLIC_BASE_URL, then callburner setup",
        )],
        Ok(Some(twilio)) => {
            let missing = twilio.missing().into_iter();
            let missing = missing.map(|name| {
                let found = format!("{name} is not set: browsers cannot place calls");
                Finding::failure(PART, found, "callburner setup makes it, or says how")
            });
            std::iter::once(Finding::ok(PART, "they go together"))
                .chain(missing)
                .collect()
        }
    }
}

/// The doors of settings that do not go together.
fn unchecked(settings: &Settings) -> Doors {
    let mut doors = Doors::local(SocketAddr::new(settings.host, settings.port));
    if let Some(base) = &settings.public_base_url
        && let Ok(url) = PublicUrl::parse(&base.to_string())
    {
        doors.public_base_url = Some(base.clone());
        doors.public_url = url;
    }
    doors
}

async fn look_at_doors(
    doors: &Doors,
    proxies: &Proxies,
    twilio: Option<&Twilio>,
) -> anyhow::Result<Vec<Finding>> {
    let client = doors::client()?;
    let tasks = Tasks::default();
    let (port, behind) = doors::port(&client, doors.address, proxies, &tasks).await;
    let mut findings = vec![port];
    let key = twilio.map(|twilio| Key::auth_token(twilio.auth_token.expose_secret()));
    if doors.public_base_url.is_some() {
        let url = &doors.public_url;
        findings.extend(doors::public(&client, url, key.as_ref(), &behind).await);
        let passes = |finding: &Finding| finding.part == doors::SOCKETS && finding.is_ok();
        if let Some(key) = key.as_ref().filter(|_| findings.iter().any(passes)) {
            findings.extend(doors::silence(&client, url, key).await);
        }
    }
    if let (Some(key), true) = (&key, doors.keyring.is_some()) {
        findings.push(account::signature(doors, key));
    }
    if let Behind::StandIn(_) = behind {
        tasks.stop();
    }
    Ok(findings)
}
