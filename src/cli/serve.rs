//! `callburner serve`: the server until a signal ends it.

use std::io::{self, Write};

use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::cli;
use crate::clock;
use crate::config::Settings;
use crate::limits;
use crate::store::Store;
use crate::telemetry;

/// Run the server.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: Settings,
}

pub(super) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let settings = args.settings;
    telemetry::start(settings.log_format, &settings.log)?;
    let doors = settings.doors()?;
    if doors.twilio_key.is_none() {
        tracing::warn!(
            "TWILIO_AUTH_TOKEN is not set: signatures are not checked, and only this machine is served"
        );
    }
    let engine = cli::start_engine(&settings.engine)?;
    let store = Store::open(&settings.calls.data.database_url()).await?;
    let voice = cli::voice_config(&settings.engine);
    let app = App::start(doors, engine, voice, store, settings.trusted_proxies).await?;
    if let Some(link) = app.gatehouse().first_run_link(clock::utc_now()).await? {
        // Not in the log: whoever holds it becomes the first admin.
        let minutes = limits::SETUP_TIME_MAX.as_secs() / 60;
        writeln!(
            io::stdout(),
            "Nobody can sign in yet. Make the first admin within {minutes} minutes:\n\n  {link}\n"
        )?;
    }
    tracing::info!(address = %app.address(), model = settings.engine.model, "listening");
    wait_for_signal().await?;
    tracing::info!("stopping: calls publish what was heard");
    app.stop().await;
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
