//! The command line: `callburner serve`, `healthcheck`, `setup`, `doctor`, `user`, `migrate`, `demo`,
//! `replay`, `transcribe`, `models`, `bench`, `erase`, `openapi`.

mod bench;
mod demo;
pub(crate) mod doctor;
mod erase;
pub(crate) mod healthcheck;
mod local_keys;
mod migrate;
mod models;
mod notify;
mod replay;
mod rights;
mod serve;
pub(crate) mod setup;
pub(crate) mod surroundings;
mod transcribe;
mod user;

use std::io::{self, Write};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::surroundings::Surroundings;
use crate::api;
use crate::config::EngineSettings;
use crate::engine::model::Model;
use crate::engine::{Engine, segmenter, voice};
use crate::models as catalogue;
use crate::telemetry::{self, LogFormat};

/// A self-hosted softphone on Twilio that writes down both sides of every call, live.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(Box<serve::ServeArgs>),
    /// Ask the server on this machine whether it is well; for containers.
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Make Twilio know this server: its TwiML application, its number, its API key.
    Setup(Box<setup::SetupArgs>),
    /// Look at everything that a server needs, and say what to do about what is not as it should be.
    Doctor(Box<doctor::DoctorArgs>),
    /// Play a recorded two-party call through the real server and print its words as they settle.
    Demo(demo::DemoArgs),
    /// Play a recording, a call script or a captured session to a server, as Twilio would.
    Replay(replay::ReplayArgs),
    /// Write down recordings.
    Transcribe(transcribe::TranscribeArgs),
    /// Fetch, import and check Whisper models.
    Models(models::ModelsArgs),
    /// Measure the engine on recordings whose words are known.
    Bench(bench::BenchArgs),
    /// Say who may sign in.
    User(user::UserArgs),
    /// Say which step the database is at, or bring it to another.
    Migrate(migrate::MigrateArgs),
    /// Delete every call with a number, here and at Twilio.
    Erase(Box<erase::EraseArgs>),
    /// Print the contract of the HTTP API, as OpenAPI.
    Openapi,
}

/// Runs the command that the process was started with.
pub fn run() -> anyhow::Result<()> {
    let surroundings = Surroundings::read()?;
    let commands = Arguments::command();
    let mut oddities = surroundings.oddities(&surroundings::known(&commands));
    let matches = commands.clone().get_matches();
    let flags = matches.subcommand().and_then(|(name, matches)| {
        let command = commands.find_subcommand(name)?;
        Some(surroundings::secret_flags(command, matches))
    });
    let flags = flags.unwrap_or_default();
    let arguments = Arguments::from_arg_matches(&matches)?;
    let settings = || {
        let (name, matches) = matches.subcommand()?;
        Some(surroundings.settings(commands.find_subcommand(name)?, matches))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if matches!(arguments.command, Command::Serve(_) | Command::Doctor(_)) {
        oddities.extend(flags);
    } else {
        for flag in flags {
            writeln!(io::stderr(), "warning: {flag}")?;
        }
    }
    runtime.block_on(async {
        match arguments.command {
            Command::Serve(args) => serve::run(*args, &oddities).await,
            Command::Healthcheck(args) => healthcheck::run(quietly().map(|()| args)?).await,
            Command::Doctor(args) => {
                quietly()?;
                doctor::run(*args, settings().unwrap_or_default(), oddities).await
            }
            Command::Setup(args) => setup::run(*quietly().map(|()| args)?).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Replay(args) => replay::run(args).await,
            Command::Transcribe(args) => transcribe::run(quietly().map(|()| args)?).await,
            Command::Models(args) => models::run(quietly().map(|()| args)?).await,
            Command::User(args) => user::run(quietly().map(|()| args)?).await,
            Command::Migrate(args) => migrate::run(quietly().map(|()| args)?).await,
            Command::Bench(args) => bench::run(quietly().map(|()| args)?).await,
            Command::Erase(args) => erase::run(*quietly().map(|()| args)?).await,
            Command::Openapi => print(api::contract_json()),
        }
    })
}

/// Prints what the command was run for.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        // `openapi | head` has seen what it wanted.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

/// Logs warnings only: the command's output is what it is run for.
fn quietly() -> anyhow::Result<()> {
    let filter = std::env::var("LOG").unwrap_or_else(|_| "warn".to_owned());
    telemetry::start(LogFormat::Text, &filter)
}

/// Loads the model that the settings name.
fn load(settings: &EngineSettings) -> anyhow::Result<Model> {
    let path = catalogue::resolve(&settings.model, &settings.models_dir)?;
    Ok(Model::load(&path)?.expecting(&settings.vocabulary()?))
}

/// One recogniser for each worker, on the model that the settings name.
fn start_engine(settings: &EngineSettings) -> anyhow::Result<Engine> {
    let model = load(settings)?;
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

/// How voices are cut up, as the settings have it.
fn voice_config(settings: &EngineSettings) -> voice::Config {
    voice::Config {
        segmenter: segmenter::Config::default(),
        language: settings.language(),
        ..voice::Config::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Lines of `.env.example` that set something, or would if they were no comments.
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
        let commands = Arguments::command();
        let of = |name| surroundings::known(commands.find_subcommand(name).unwrap());
        let settings: BTreeSet<String> = of("serve").union(&of("setup")).cloned().collect();
        let examples = examples();
        let named: BTreeSet<String> = examples.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(named.len(), examples.len(), "an example stands twice");
        assert_eq!(settings, named);
        assert!(settings.len() > 30, "{settings:?}");
    }

    #[test]
    fn an_example_of_a_setting_with_a_default_shows_it() {
        let commands = Arguments::command();
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
        Arguments::command().debug_assert();
    }
}
