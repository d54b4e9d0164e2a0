//! The command line: `callburner serve`, `setup`, `user`, `demo`, `replay`, `transcribe`, `models`,
//! `bench`.

mod bench;
mod demo;
mod models;
mod replay;
mod serve;
pub(crate) mod setup;
mod transcribe;
mod user;

use std::path::Path;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::config::EngineSettings;
use crate::engine::recognizer::Recognizer;
use crate::engine::whisper::Model;
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
    /// Make Twilio know this server: its TwiML application, its number, its API key.
    Setup(Box<setup::SetupArgs>),
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
}

/// Runs the command that the process was started with.
pub fn run() -> anyhow::Result<()> {
    // A missing .env is the normal case; one that cannot be read is not.
    if Path::new(".env").exists() {
        dotenvy::dotenv().context(".env cannot be read")?;
    }
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match arguments.command {
            Command::Serve(args) => serve::run(*args).await,
            Command::Setup(args) => setup::run(*quietly().map(|()| args)?).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Replay(args) => replay::run(args).await,
            Command::Transcribe(args) => quietly().and_then(|()| transcribe::run(&args)),
            Command::Models(args) => models::run(quietly().map(|()| args)?).await,
            Command::User(args) => user::run(quietly().map(|()| args)?).await,
            Command::Bench(args) => bench::run(quietly().map(|()| args)?).await,
        }
    })
}

/// Logs warnings only: the command's output is what it is run for.
fn quietly() -> anyhow::Result<()> {
    let filter = std::env::var("LOG").unwrap_or_else(|_| "warn".to_owned());
    telemetry::start(LogFormat::Text, &filter)
}

/// Loads the model that the settings name.
fn load(settings: &EngineSettings) -> anyhow::Result<Model> {
    let path = catalogue::resolve(&settings.model, &settings.models_dir)?;
    Ok(Model::load(&path)?)
}

/// One recogniser for each worker, on the model that the settings name.
fn start_engine(settings: &EngineSettings) -> anyhow::Result<Engine> {
    let model = load(settings)?;
    let recognizers = (0..settings.workers())
        .map(|_| Ok(Box::new(model.recognizer()?) as Box<dyn Recognizer>))
        .collect::<anyhow::Result<Vec<_>>>()?;
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
