//! The command line: `callburner serve`, `healthcheck`, `setup`, `doctor`, `user`, `migrate`, `demo`,
//! `replay`, `transcribe`, `models`, `bench`, `erase`, `openapi`.

mod bench;
mod demo;
pub(crate) mod doctor;
pub(crate) mod env_sources;
mod erase;
mod file_permissions;
pub(crate) mod healthcheck;
mod local_keys;
mod migrate;
mod models;
mod replay;
mod sd_notify;
mod serve;
pub(crate) mod setup;
mod transcribe;
mod user;

use std::io::{self, Write};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::env_sources::EnvSources;
use crate::api;
use crate::config::EngineSettings;
use crate::engine::Engine;
use crate::engine::model::SpeechModel;
use crate::engine::segmenter::SegmenterConfig;
use crate::engine::track::TrackConfig;
use crate::models as catalogue;
use crate::telemetry::{self, LogFormat};

/// A self-hosted softphone on Twilio that transcribes both sides of every call live.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
struct CliArguments {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run the server.
    Serve(Box<serve::ServeArgs>),
    /// Check that the server on this machine responds, for container health checks.
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Configure Twilio for this server: its TwiML application, phone number and API key.
    Setup(Box<setup::SetupArgs>),
    /// Check everything that the server needs, and print what to do about each problem.
    Doctor(Box<doctor::DoctorArgs>),
    /// Play a recorded two-party call through the real server and print its transcript live.
    Demo(demo::DemoArgs),
    /// Stream a recording, a call script or a captured session to a server, as Twilio does.
    Replay(replay::ReplayArgs),
    /// Transcribe recordings.
    Transcribe(transcribe::TranscribeArgs),
    /// List, download, import, quantise and verify Whisper models.
    Models(models::ModelsArgs),
    /// Measure the engine on recordings with known text, and the capacity of the server.
    Bench(bench::BenchArgs),
    /// Manage the users who can sign in.
    User(user::UserArgs),
    /// Show which migration step the database is at, or migrate it to another step.
    Migrate(migrate::MigrateArgs),
    /// Delete every call with a number, on this server and at Twilio.
    Erase(Box<erase::EraseArgs>),
    /// Print the OpenAPI description of the HTTP API.
    Openapi,
}

/// Runs the command that the process was started with.
pub fn run() -> anyhow::Result<()> {
    let env_sources = EnvSources::read()?;
    let commands = CliArguments::command();
    let mut config_warnings = env_sources.config_warnings(&env_sources::known_variables(&commands));
    let matches = commands.clone().get_matches();
    let flag_warnings = matches.subcommand().and_then(|(name, matches)| {
        let command = commands.find_subcommand(name)?;
        Some(env_sources::secret_flags(command, matches))
    });
    let flag_warnings = flag_warnings.unwrap_or_default();
    let arguments = CliArguments::from_arg_matches(&matches)?;
    let setting_origins = || {
        let (name, matches) = matches.subcommand()?;
        Some(env_sources.setting_origins(commands.find_subcommand(name)?, matches))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if matches!(
        arguments.command,
        CliCommand::Serve(_) | CliCommand::Doctor(_)
    ) {
        config_warnings.extend(flag_warnings);
    } else {
        for warning in flag_warnings {
            writeln!(io::stderr(), "warning: {warning}")?;
        }
    }
    runtime.block_on(async {
        match arguments.command {
            CliCommand::Serve(args) => serve::run(*args, &config_warnings).await,
            CliCommand::Healthcheck(args) => {
                healthcheck::run(init_quiet_logging().map(|()| args)?).await
            }
            CliCommand::Doctor(args) => {
                init_quiet_logging()?;
                doctor::run(
                    *args,
                    setting_origins().unwrap_or_default(),
                    config_warnings,
                )
                .await
            }
            CliCommand::Setup(args) => setup::run(*init_quiet_logging().map(|()| args)?).await,
            CliCommand::Demo(args) => demo::run(args).await,
            CliCommand::Replay(args) => replay::run(args).await,
            CliCommand::Transcribe(args) => {
                transcribe::run(init_quiet_logging().map(|()| args)?).await
            }
            CliCommand::Models(args) => models::run(init_quiet_logging().map(|()| args)?).await,
            CliCommand::User(args) => user::run(init_quiet_logging().map(|()| args)?).await,
            CliCommand::Migrate(args) => migrate::run(init_quiet_logging().map(|()| args)?).await,
            CliCommand::Bench(args) => bench::run(init_quiet_logging().map(|()| args)?).await,
            CliCommand::Erase(args) => erase::run(*init_quiet_logging().map(|()| args)?).await,
            CliCommand::Openapi => print_stdout(api::openapi_json()),
        }
    })
}

/// Prints the output of a command; a closed pipe is not an error.
fn print_stdout(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        // `openapi | head` closes the pipe once it has enough lines.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

/// Initialises the log for warnings only, so that it does not mix with the command's output.
fn init_quiet_logging() -> anyhow::Result<()> {
    let filter = std::env::var("LOG").unwrap_or_else(|_| "warn".to_owned());
    telemetry::init(LogFormat::Text, &filter)
}

/// Loads the model that the settings name.
fn load_model(settings: &EngineSettings) -> anyhow::Result<SpeechModel> {
    let path = catalogue::resolve(&settings.model, &settings.models_dir)?;
    Ok(SpeechModel::load(&path)?.with_hotwords(&settings.vocabulary()?))
}

/// Starts the engine with one recognizer for each worker, on the model that the settings name.
fn start_engine(settings: &EngineSettings) -> anyhow::Result<Engine> {
    let model = load_model(settings)?;
    tracing::info!(
        model = settings.model,
        backend = model.backend(),
        "the model is loaded"
    );
    let recognizers = (0..settings.workers())
        .map(|_| model.recognizer())
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Engine::start(recognizers))
}

/// Returns how tracks are segmented and recognised, from the settings.
fn track_config(settings: &EngineSettings) -> TrackConfig {
    TrackConfig {
        segmenter: SegmenterConfig::default(),
        language: settings.language(),
        ..TrackConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Names and values in `.env.example`, also those that are commented out.
    fn examples() -> Vec<(String, String)> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
        let text = fs::read_to_string(path).unwrap();
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        };
        let pairs = text.lines().filter_map(|line| {
            let (name, value) = line.trim_start_matches('#').split_once('=')?;
            is_name(name).then(|| (name.to_owned(), value.to_owned()))
        });
        pairs.collect()
    }

    #[test]
    fn every_setting_has_its_example_and_every_example_its_setting() {
        let commands = CliArguments::command();
        let of = |name| env_sources::known_variables(commands.find_subcommand(name).unwrap());
        let settings: BTreeSet<String> = of("serve").union(&of("setup")).cloned().collect();
        let examples = examples();
        let named: BTreeSet<String> = examples.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(named.len(), examples.len(), "an example appears twice");
        assert_eq!(settings, named);
        assert!(settings.len() > 30, "{settings:?}");
    }

    #[test]
    fn an_example_of_a_setting_with_a_default_shows_it() {
        let commands = CliArguments::command();
        let serve = commands.find_subcommand("serve").unwrap();
        let examples = examples();
        for argument in serve.get_arguments() {
            let Some(name) = argument.get_env().and_then(|name| name.to_str()) else {
                continue;
            };
            let default = argument.get_default_values().first();
            let default = default.and_then(|value| value.to_str()).unwrap_or_default();
            let (_, shown) = examples.iter().find(|(of, _)| of == name).expect(name);
            if !default.is_empty() {
                assert_eq!(shown, default, "{name}");
            }
        }
    }

    #[test]
    fn the_commands_are_sound() {
        CliArguments::command().debug_assert();
    }
}
