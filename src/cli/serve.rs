//! `callburner serve`: the server until a signal ends it.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, Parts};
use crate::archive::Shelf;
use crate::cli;
use crate::cli::local_keys;
use crate::cli::notify;
use crate::cli::rights;
use crate::cli::surroundings::{ENV_FILE, Oddity};
use crate::config::{CallSettings, Config, Settings, Twilio};
use crate::desk::{self, Phone};
use crate::dialing::{DayLimits, Limits, Policy};
use crate::limits;
use crate::store::Store;
use crate::telemetry;
use crate::twilio::rest::{Credentials, Rest, RestConfig};
use crate::twilio::token;

/// Run the server.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: Settings,
}

pub(super) async fn run(args: ServeArgs, oddities: &[Oddity]) -> anyhow::Result<()> {
    let settings = args.settings;
    telemetry::start(settings.log_format, &settings.log)?;
    for oddity in oddities {
        tracing::warn!("{oddity}");
    }
    for doubt in settings.doubts() {
        tracing::warn!("{doubt}");
    }
    let config = settings.check()?;
    rights::mend(&settings.calls.data, Path::new(ENV_FILE));
    match &config.twilio {
        None if config.doors.is_public() => tracing::warn!(
            "no Twilio account is set: calls cannot be placed, and every webhook and media stream is \
             refused, since nobody can prove to be Twilio"
        ),
        None => tracing::warn!(
            "no Twilio account is set: only this machine is served, and calls cannot be placed"
        ),
        Some(twilio) => {
            for name in twilio.missing() {
                tracing::warn!("{name} is not set: browsers cannot place calls");
            }
        }
    }
    let app = App::start(parts(&settings, config).await?).await?;
    tracing::info!(address = %app.address(), model = settings.engine.model, "listening");
    if let Some(link) = app.page_link().await? {
        show_page_link(&link)?;
    }
    if let Some(link) = app.first_run_link().await? {
        invite(&link)?;
    }
    notify::tell("READY=1");
    wait_for_signal().await?;
    notify::tell("STOPPING=1");
    tracing::info!(
        "stopping: no new calls, those that go on may finish; a second signal ends at once"
    );
    if !app.drain().await {
        let minutes = limits::DRAIN_MAX.as_secs() / 60;
        tracing::warn!(
            minutes,
            "calls still go on: the next start goes on with them"
        );
    }
    tracing::info!("stopping: what was heard is written down");
    app.stop().await;
    tokio::task::spawn_blocking(telemetry::stop).await?;
    Ok(())
}

/// Returns at the first SIGINT or SIGTERM; the second ends the process at once.
pub(super) async fn wait_for_signal() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "must outlive the tasks that it cuts short"
    )]
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(())
}

/// Printed, not logged: logs travel.
fn show_page_link(link: &str) -> anyhow::Result<()> {
    Ok(writeln!(
        std::io::stdout(),
        "\nOpen the page, once in each browser, at\n\n  {link}\n"
    )?)
}

/// Printed, not logged: logs travel.
fn invite(link: &str) -> anyhow::Result<()> {
    Ok(writeln!(
        std::io::stdout(),
        "\nNobody can sign in yet. Add the first user within 30 minutes at\n\n  {link}\n"
    )?)
}

/// What the settings make.
async fn parts(settings: &Settings, config: Config) -> anyhow::Result<Parts> {
    let rest = config.twilio.as_ref().map(rest).transpose()?;
    let desk = desk_config(settings, &config)?;
    let url = settings.calls.data.database_url();
    let store = Store::open(&url).await.context("DATABASE_URL")?;
    let shelf = open_shelf(&settings.calls)?;
    let mut doors = config.doors;
    if !doors.is_public() {
        doors.local_keys = Some(local_keys::keep(&settings.calls.data.data_dir)?);
    }
    Ok(Parts {
        doors,
        shelf,
        archives: settings.calls.archive,
        simulates: config.simulates,
        proxies: settings.trusted_proxies.clone(),
        engine: cli::start_engine(&settings.engine)?,
        voice: cli::voice_config(&settings.engine),
        store,
        desk,
        rest,
        retention: settings.calls.retention(),
        model: settings.engine.model_name(),
    })
}

/// Where calls' audio is: if the host wants it kept, or once did.
pub(super) fn open_shelf(calls: &CallSettings) -> anyhow::Result<Option<Shelf>> {
    let folder = calls.data.archive_dir();
    if !calls.archive && !folder.exists() {
        return Ok(None);
    }
    let shelf = Shelf::open(&folder);
    let shelf = shelf.with_context(|| format!("DATA_DIR: {} cannot be used", folder.display()))?;
    Ok(Some(shelf))
}

pub(super) fn rest(twilio: &Twilio) -> anyhow::Result<Rest> {
    let credentials = match &twilio.api_key {
        Some(key) => Credentials::ApiKey {
            sid: key.sid.clone(),
            secret: key.secret.clone(),
        },
        None => Credentials::AuthToken(twilio.auth_token.clone()),
    };
    let mut config = RestConfig::new(twilio.account_sid.clone(), credentials);
    config.base_url.clone_from(&twilio.api_base_url);
    Rest::new(config).context("TWILIO_API_BASE_URL")
}

fn desk_config(settings: &Settings, config: &Config) -> anyhow::Result<desk::Config> {
    let (calls, twilio) = (&settings.calls, config.twilio.as_ref());
    let caller_id = twilio.and_then(|twilio| twilio.caller_id.clone());
    let countries = calls.allowed_countries.as_deref();
    let special = calls.allow_special_numbers;
    let policy =
        Policy::new(countries, special, caller_id.as_ref()).context("ALLOWED_COUNTRIES")?;
    let none = desk::Config::without_account(config.doors.public_url.clone());
    Ok(desk::Config {
        phone: twilio.map_or(none.phone.clone(), phone),
        caller_id,
        policy,
        limits: Limits {
            call_seconds_max: calls.call_minutes_max * 60,
            at_once_max: calls.calls_at_once_max,
            at_once_per_user_max: calls.calls_at_once_per_user_max,
            per_minute_max: calls.calls_per_minute_max,
            day: DayLimits {
                calls_max: calls.calls_per_day_max,
                calls_per_user_max: calls.calls_per_day_per_user_max,
                minutes_max: calls.minutes_per_day_max,
                minutes_per_user_max: calls.minutes_per_day_per_user_max,
            },
        },
        announcement: calls.announcement().map(str::to_owned),
        source: calls.transcription_source,
        // Twilio's own default is American English.
        language: settings
            .engine
            .language()
            .filter(|language| language != "en"),
        ring_seconds: calls.ring_seconds_max,
        ..none
    })
}

/// What makes browsers phones, or what is missing for it.
fn phone(twilio: &Twilio) -> Result<Phone, Vec<&'static str>> {
    match (&twilio.api_key, &twilio.application_sid, &twilio.caller_id) {
        (Some(key), Some(application_sid), Some(_)) => Ok(Phone {
            keys: token::Keys {
                account_sid: twilio.account_sid.clone(),
                api_key_sid: key.sid.clone(),
                secret: key.secret.clone(),
                region: twilio.region.clone(),
            },
            application_sid: application_sid.clone(),
        }),
        _ => Err(twilio.missing()),
    }
}
