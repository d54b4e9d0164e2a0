//! Where log lines go, and what the process takes. Rules of the log: one line where a failure is
//! handled; fields to query, a message to read; SIDs as stubs; no phone number, transcript text,
//! token or secret, ever.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error; `filter` is the `RUST_LOG` language, for instance
/// `callburner=debug`. Safe to call once a process; a second call changes nothing.
pub fn start(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|e| anyhow::anyhow!("LOG is not a log filter ({e}); try LOG=info"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // An Err means that a subscriber is there already, which is what was asked for.
    let _ = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    whisper_rs::install_logging_hooks();
    Ok(())
}

/// Memory that this process has, where the system says so.
pub fn resident_bytes() -> Option<u64> {
    // https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
