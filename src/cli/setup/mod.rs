//! `callburner setup`: configures Twilio for this server. It prints each step before it performs it. A second
//! run changes nothing.

mod env_file;
pub(crate) mod plan;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use axum::http::Uri;
use secrecy::ExposeSecret;

use self::plan::{CurrentSetup, DesiredSetup, NumberAction, SetupStep, plan_setup};
use crate::config::{TwilioConfig, TwilioSettings};
use crate::ids::ApplicationSid;
use crate::twilio::api::account::ApplicationSettings;
use crate::twilio::api::{ApiCredentials, TwilioClient, TwilioClientConfig};
use crate::twilio::public_url::RETRIES;

/// Configure Twilio for this server: its `TwiML` application, phone number and API key.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(super) struct SetupArgs {
    #[command(flatten)]
    twilio: TwilioSettings,
    /// Public address of this server, for instance <https://calls.example.org>.
    #[arg(long, env = "PUBLIC_BASE_URL")]
    public_base_url: Option<Uri>,
    /// Name of the application and the API key at Twilio. An existing application with this name is used for
    /// this server.
    #[arg(long, default_value = "CallBurner")]
    name: String,
    /// URL that Twilio requests for instructions while this server does not respond.
    #[arg(long, env = "VOICE_FALLBACK_URL")]
    voice_fallback_url: Option<Uri>,
    /// Point the number `TWILIO_CALLER_ID` to this server, unless calls to it go elsewhere now.
    #[arg(long)]
    number: bool,
    /// Point the number to this server, even if calls to it go elsewhere now.
    #[arg(long)]
    take_number: bool,
    /// Create an API key even if one with that name exists.
    #[arg(long)]
    new_key: bool,
    /// Write the settings that the server needs into this file instead of printing them. Without a file name,
    /// the file is `.env`.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ".env"
    )]
    write_env: Option<PathBuf>,
    /// Print the steps without performing them.
    #[arg(long)]
    dry_run: bool,
}

/// Input of the set-up: plain values.
#[derive(Debug, Clone)]
pub(crate) struct SetupRequest {
    /// Desired state at Twilio.
    pub(crate) desired: DesiredSetup,
    /// File that settings are written to; `None` prints them.
    pub(crate) env_file: Option<PathBuf>,
    /// Whether the steps are only printed.
    pub(crate) dry_run: bool,
}

pub(super) async fn run(args: SetupArgs) -> anyhow::Result<()> {
    let twilio = args.twilio.validate()?;
    let twilio = twilio.context(
        "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN: both are on the first page of Twilio's console",
    )?;
    let request = args.to_request(&twilio)?;
    // Only the auth token has access to the account and its keys.
    let credentials = ApiCredentials::AuthToken(twilio.auth_token.clone());
    let twilio_client = TwilioClient::new(TwilioClientConfig {
        base_url: twilio.api_base_url.clone(),
        ..TwilioClientConfig::new(twilio.account_sid.clone(), credentials)
    })?;
    let can_ask = io::stdin().is_terminal() && io::stdout().is_terminal();
    let mut ask = |question: &str| can_ask && ask_yes_no(question).unwrap_or(false);
    apply_setup(&twilio_client, &request, &mut io::stdout(), &mut ask).await
}

/// Asks a question on the terminal. Any answer except `y` and `yes` means no.
fn ask_yes_no(question: &str) -> io::Result<bool> {
    write!(io::stdout(), "{question} [y/N] ")?;
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

impl SetupArgs {
    fn to_request(&self, twilio: &TwilioConfig) -> anyhow::Result<SetupRequest> {
        let base = self.public_base_url.as_ref();
        let base = base.context("set PUBLIC_BASE_URL to this server's public address")?;
        let number_action = match (self.take_number, self.number) {
            (true, _) => NumberAction::TakeOver,
            (false, true) => NumberAction::PointIfFree,
            (false, false) => NumberAction::Report,
        };
        let fallback = self.voice_fallback_url.as_ref().map(Uri::to_string);
        Ok(SetupRequest {
            desired: DesiredSetup {
                application: application_settings(&self.name, base, fallback)?,
                application_sid: twilio.application_sid.clone(),
                number: twilio.caller_id.clone(),
                number_action,
                has_key: twilio.api_key.is_some(),
                new_key: self.new_key,
            },
            env_file: self.write_env.clone(),
            dry_run: self.dry_run,
        })
    }
}

/// Returns the settings of the TwiML application for a server with the public address `base`. An error unless
/// `base` is an https URL.
pub(super) fn application_settings(
    name: &str,
    base: &Uri,
    fallback: Option<String>,
) -> anyhow::Result<ApplicationSettings> {
    let is_https = |url: &Uri| url.scheme_str() == Some("https") && url.host().is_some();
    ensure!(
        is_https(base),
        "PUBLIC_BASE_URL={base} does not start with https://: set it to an https address, because \
         Twilio sends audio to no other"
    );
    let base = base.to_string();
    let at = |path: &str| format!("{}{path}{RETRIES}", base.trim_end_matches('/'));
    let post = || "POST".to_owned();
    let fallback = fallback.filter(|url| !url.is_empty());
    Ok(ApplicationSettings {
        friendly_name: name.to_owned(),
        voice_url: at("/voice"),
        voice_method: post(),
        voice_fallback_method: fallback.as_ref().map(|_| post()).unwrap_or_default(),
        voice_fallback_url: fallback.unwrap_or_default(),
        status_callback: at("/api/calls/status"),
        status_callback_method: post(),
    })
}

/// Reads the current state at Twilio, prints the steps to the desired state, and performs them. An error if a
/// step needs the user's decision.
pub(crate) async fn apply_setup(
    twilio_client: &TwilioClient,
    request: &SetupRequest,
    out: &mut dyn Write,
    ask: &mut dyn FnMut(&str) -> bool,
) -> anyhow::Result<()> {
    let account = twilio_client.fetch_account().await?;
    let (name, kind, status) = (&account.friendly_name, &account.kind, &account.status);
    writeln!(out, "Account: {name} ({kind}, {status})")?;
    ensure!(
        status == "active",
        "the account is {status}: see Twilio's console"
    );
    let current = read_current_setup(twilio_client, &request.desired).await?;
    let mut setup = SetupRun {
        twilio_client,
        request,
        out,
        application: None,
    };
    let (mut changes, mut left) = (0, 0);
    for step in plan_setup(&request.desired, &current) {
        writeln!(setup.out, "{step}")?;
        let step = if let SetupStep::OfferNumber(number) = &step
            && !request.dry_run
            && ask("Point the number to this server?")
        {
            SetupStep::PointNumber(number.clone(), None)
        } else {
            step
        };
        changes += usize::from(step.is_change());
        left += usize::from(matches!(step, SetupStep::Blocked(_)));
        if !request.dry_run {
            setup.apply_step(step).await?;
        }
    }
    match (changes, request.dry_run) {
        (0, _) => writeln!(out, "Nothing to change.")?,
        (_, true) => writeln!(out, "Nothing was changed: this was a dry run.")?,
        (_, false) => writeln!(out, "Done.")?,
    }
    if left > 0 {
        bail!("some steps need your decision: see above");
    }
    Ok(())
}

/// Reads the resources at Twilio that the desired state concerns.
pub(super) async fn read_current_setup(
    twilio_client: &TwilioClient,
    desired: &DesiredSetup,
) -> anyhow::Result<CurrentSetup> {
    let applications = match &desired.application_sid {
        Some(sid) => match twilio_client.fetch_application(sid).await {
            Ok(application) => vec![application],
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(error.into()),
        },
        None => {
            twilio_client
                .list_applications(&desired.application.friendly_name)
                .await?
        }
    };
    let number = match &desired.number {
        Some(number) => twilio_client.find_incoming_number(number).await?,
        None => None,
    };
    let keys = if desired.has_key {
        Vec::new()
    } else {
        twilio_client.list_keys().await?
    };
    Ok(CurrentSetup {
        applications,
        number,
        keys,
    })
}

/// Performs the steps.
struct SetupRun<'a> {
    twilio_client: &'a TwilioClient,
    request: &'a SetupRequest,
    out: &'a mut dyn Write,
    /// Application to assign the number to, once it exists.
    application: Option<ApplicationSid>,
}

impl SetupRun<'_> {
    async fn apply_step(&mut self, step: SetupStep) -> anyhow::Result<()> {
        match step {
            SetupStep::CreateApplication(settings, _) => {
                let made = self.twilio_client.create_application(&settings).await?;
                self.use_application(made.sid)
            }
            SetupStep::UpdateApplication(sid, settings, _) => {
                self.twilio_client
                    .update_application(&sid, &settings)
                    .await?;
                self.use_application(sid)
            }
            SetupStep::KeepApplication(sid) => self.use_application(sid),
            SetupStep::PointNumber(number, _) => {
                let application = self.application.as_ref();
                let application = application.context("there is no application for the number")?;
                Ok(self
                    .twilio_client
                    .assign_application(&number, application)
                    .await?)
            }
            SetupStep::CreateKey(name) => {
                let key = self.twilio_client.create_key(&name).await?;
                let secret = key.secret.expose_secret();
                self.write_settings(&[
                    ("TWILIO_API_KEY", key.sid.as_str()),
                    ("TWILIO_API_SECRET", secret),
                ])
            }
            SetupStep::KeepNumber(_)
            | SetupStep::OfferNumber(_)
            | SetupStep::KeepKey
            | SetupStep::Blocked(_) => Ok(()),
        }
    }

    /// Uses this application, and writes its SID to the settings if they have no SID.
    fn use_application(&mut self, sid: ApplicationSid) -> anyhow::Result<()> {
        if self.request.desired.application_sid.is_none() {
            self.write_settings(&[("TWILIO_TWIML_APP_SID", sid.as_str())])?;
        }
        self.application = Some(sid);
        Ok(())
    }

    /// Writes settings to the file, or prints them. If writing fails, they are printed too, because Twilio
    /// never shows a secret again.
    fn write_settings(&mut self, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        let written = match &self.request.env_file {
            Some(path) => {
                let place = path.display().to_string();
                let failed = format!("{place} cannot be written: set the lines above by hand");
                env_file::write_settings(path, settings)
                    .context(failed)
                    .map(|()| Some(place))
            }
            None => Ok(None),
        };
        if let Ok(Some(place)) = &written {
            let names: Vec<&str> = settings.iter().map(|(name, _)| *name).collect();
            writeln!(self.out, "    {} → {place}", names.join(", "))?;
            return Ok(());
        }
        writeln!(self.out, "    add to the server's settings:")?;
        for (name, value) in settings {
            writeln!(self.out, "    {name}={value}")?;
        }
        written.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct SetupParser {
        #[command(flatten)]
        args: SetupArgs,
    }

    fn request(arguments: &[&str]) -> anyhow::Result<SetupRequest> {
        let account = [
            "setup",
            "--twilio-account-sid=AC00000000000000000000000000000001",
            "--twilio-auth-token=1",
        ];
        let args = SetupParser::try_parse_from(account.iter().chain(arguments))
            .unwrap()
            .args;
        let twilio = args.twilio.validate().unwrap().unwrap();
        args.to_request(&twilio)
    }

    #[test]
    fn addresses_are_made_from_the_public_one() {
        let request = request(&["--public-base-url=https://calls.example.org/"]).unwrap();
        let application = request.desired.application;
        let voice = "https://calls.example.org/voice#rc=3&rp=5xx,ct,rt";
        assert_eq!(application.voice_url, voice);
        let status = "https://calls.example.org/api/calls/status#rc=3&rp=5xx,ct,rt";
        assert_eq!(application.status_callback, status);
        assert_eq!(application.voice_fallback_method, "");
        assert_eq!(request.desired.number_action, NumberAction::Report);
        assert!(request.env_file.is_none() && !request.dry_run);
    }

    #[test]
    fn the_file_for_settings_is_dot_env_unless_named() {
        for (flag, file) in [("--write-env", ".env"), ("--write-env=x/y", "x/y")] {
            let request = request(&["--public-base-url=https://x", flag]).unwrap();
            assert_eq!(request.env_file, Some(PathBuf::from(file)));
        }
    }

    #[test]
    fn what_twilio_cannot_reach_is_refused() {
        assert!(request(&[]).is_err());
        let plain = request(&["--public-base-url=http://calls.example.org"]);
        assert!(plain.unwrap_err().to_string().contains("https://"));
    }
}
