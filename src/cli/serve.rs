//! `callburner serve`: runs the server until a signal stops it.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, ServerConfig};
use crate::archive::AudioArchive;
use crate::calls::{self, AccessTokenConfig};
use crate::cli;
use crate::cli::env_sources::{ConfigWarning, ENV_FILE};
use crate::cli::file_permissions;
use crate::cli::local_keys;
use crate::cli::sd_notify;
use crate::config::{CallSettings, ResolvedConfig, ServerSettings, TwilioConfig};
use crate::dialing::{CallLimits, DayLimits, DialingPolicy};
use crate::limits;
use crate::store::Store;
use crate::telemetry;
use crate::twilio::api::{ApiCredentials, TwilioClient, TwilioClientConfig};
use crate::twilio::token;

/// Run the server.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: ServerSettings,
}

pub(super) async fn run(args: ServeArgs, config_warnings: &[ConfigWarning]) -> anyhow::Result<()> {
    let settings = args.settings;
    telemetry::init(settings.log_format, &settings.log)?;
    for warning in config_warnings {
        tracing::warn!("{warning}");
    }
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    let config = settings.validate()?;
    file_permissions::restrict_exposed(&settings.calls.data, Path::new(ENV_FILE));
    match &config.twilio {
        None if config.endpoint.is_public() => tracing::warn!(
            "no Twilio account is set: calls cannot be placed, and every webhook and media stream is \
             refused, because it cannot be authenticated"
        ),
        None => tracing::warn!(
            "no Twilio account is set: calls cannot be placed, and only this machine can connect"
        ),
        Some(twilio) => {
            for name in twilio.missing_settings() {
                tracing::warn!("{name} is not set: browsers cannot place calls");
            }
        }
    }
    let app = App::start(server_config(&settings, config).await?).await?;
    tracing::info!(address = %app.address(), model = settings.engine.model, "listening");
    if let Some(link) = app.page_link().await? {
        print_page_link(&link)?;
    }
    if let Some(link) = app.first_run_link().await? {
        print_setup_link(&link)?;
    }
    sd_notify::notify("READY=1");
    wait_for_signal().await?;
    sd_notify::notify("STOPPING=1");
    tracing::info!(
        "stopping: new calls are refused, calls in progress may finish; a second signal \
         stops at once"
    );
    if !app.drain().await {
        let minutes = limits::DRAIN_MAX.as_secs() / 60;
        tracing::warn!(
            minutes,
            "calls are in progress: the server resumes them at its next start"
        );
    }
    tracing::info!("stopping: the remaining transcripts are stored");
    app.stop().await;
    tokio::task::spawn_blocking(telemetry::stop).await?;
    Ok(())
}

/// Returns at the first SIGINT or SIGTERM; the second exits the process at once.
pub(super) async fn wait_for_signal() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "must outlive the tasks that it ends"
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

/// Prints the link to the page. It is not logged, because logs are often sent elsewhere.
fn print_page_link(link: &str) -> anyhow::Result<()> {
    Ok(writeln!(
        std::io::stdout(),
        "\nTo use the page, open this link once in each browser:\n\n  {link}\n"
    )?)
}

/// Prints the link to create the first user. It is not logged, because logs are often sent elsewhere.
fn print_setup_link(link: &str) -> anyhow::Result<()> {
    Ok(writeln!(
        std::io::stdout(),
        "\nThere are no users. Open this link within 30 minutes to create the first one:\n\n  \
         {link}\n"
    )?)
}

/// Builds the server's configuration: opens the database and the archive, and loads the model.
async fn server_config(
    settings: &ServerSettings,
    config: ResolvedConfig,
) -> anyhow::Result<ServerConfig> {
    let twilio = config.twilio.as_ref().map(twilio_client).transpose()?;
    let calls = call_config(settings, &config)?;
    let url = settings.calls.data.database_url();
    let store = Store::open(&url).await.context("DATABASE_URL")?;
    let audio_archive = open_audio_archive(&settings.calls)?;
    let mut endpoint = config.endpoint;
    if !endpoint.is_public() {
        endpoint.local_keys = Some(local_keys::load_or_create(&settings.calls.data.data_dir)?);
    }
    Ok(ServerConfig {
        endpoint,
        audio_archive,
        is_archiving_enabled: settings.calls.archive,
        is_simulation_enabled: config.is_simulation_enabled,
        proxies: settings.trusted_proxies.clone(),
        engine: cli::start_engine(&settings.engine)?,
        track_config: cli::track_config(&settings.engine),
        store,
        calls,
        twilio,
        retention: settings.calls.retention(),
        model: settings.engine.model_name(),
    })
}

/// Opens the audio archive if archiving is on, or if an archive exists from before.
pub(super) fn open_audio_archive(calls: &CallSettings) -> anyhow::Result<Option<AudioArchive>> {
    let folder = calls.data.archive_dir();
    if !calls.archive && !folder.exists() {
        return Ok(None);
    }
    let audio_archive = AudioArchive::open(&folder);
    let audio_archive =
        audio_archive.with_context(|| format!("DATA_DIR: {} cannot be used", folder.display()))?;
    Ok(Some(audio_archive))
}

pub(super) fn twilio_client(twilio: &TwilioConfig) -> anyhow::Result<TwilioClient> {
    let credentials = match &twilio.api_key {
        Some(key) => ApiCredentials::ApiKey {
            sid: key.sid.clone(),
            secret: key.secret.clone(),
        },
        None => ApiCredentials::AuthToken(twilio.auth_token.clone()),
    };
    let mut config = TwilioClientConfig::new(twilio.account_sid.clone(), credentials);
    config.base_url.clone_from(&twilio.api_base_url);
    TwilioClient::new(config).context("TWILIO_API_BASE_URL")
}

fn call_config(
    settings: &ServerSettings,
    config: &ResolvedConfig,
) -> anyhow::Result<calls::CallConfig> {
    let (calls, twilio) = (&settings.calls, config.twilio.as_ref());
    let caller_id = twilio.and_then(|twilio| twilio.caller_id.clone());
    let countries = calls.allowed_countries.as_deref();
    let special = calls.allow_special_numbers;
    let policy =
        DialingPolicy::new(countries, special, caller_id.as_ref()).context("ALLOWED_COUNTRIES")?;
    let none = calls::CallConfig::without_account(config.endpoint.public_url.clone());
    Ok(calls::CallConfig {
        access_tokens: twilio.map_or(none.access_tokens.clone(), access_token_config),
        caller_id,
        policy,
        limits: CallLimits {
            call_seconds_max: calls.call_minutes_max * 60,
            concurrent_max: calls.calls_at_once_max,
            concurrent_per_user_max: calls.calls_at_once_per_user_max,
            per_minute_max: calls.calls_per_minute_max,
            day: DayLimits {
                calls_max: calls.calls_per_day_max,
                calls_per_user_max: calls.calls_per_day_per_user_max,
                minutes_max: calls.minutes_per_day_max,
                minutes_per_user_max: calls.minutes_per_day_per_user_max,
            },
        },
        announcement: calls.announcement().map(str::to_owned),
        transcription_source: calls.transcription_source,
        // For English, Twilio's default applies: American English.
        language: settings
            .engine
            .language()
            .filter(|language| language != "en"),
        ring_seconds_max: calls.ring_seconds_max,
        ..none
    })
}

/// Returns the configuration of access tokens, or the names of the settings that it lacks.
fn access_token_config(twilio: &TwilioConfig) -> Result<AccessTokenConfig, Vec<&'static str>> {
    match (&twilio.api_key, &twilio.application_sid, &twilio.caller_id) {
        (Some(key), Some(application_sid), Some(_)) => Ok(AccessTokenConfig {
            keys: token::TokenKeys {
                account_sid: twilio.account_sid.clone(),
                api_key_sid: key.sid.clone(),
                secret: key.secret.clone(),
                region: twilio.region.clone(),
            },
            application_sid: application_sid.clone(),
        }),
        _ => Err(twilio.missing_settings()),
    }
}
