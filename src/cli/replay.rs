//! `callburner replay`: any recording as a Media Stream, to any server, at any speed.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cli::demo::{options, read_call};
use crate::player::{self, Call, Options, Signer};
use crate::twilio::signature::Key;

/// Play a recording, a call script or a captured session to a server, as Twilio would.
#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// A call script (.json), a captured session (.jsonl), or a recording: of two channels, the
    /// first is the inbound track and the second the outbound one.
    call: PathBuf,
    /// Media Streams socket of the server.
    #[arg(long, default_value = "ws://127.0.0.1:4000/media")]
    url: String,
    /// Times real time; 0: as fast as the server reads.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Folder of a call script's recordings, if not beside it.
    #[arg(long)]
    audio: Option<PathBuf>,
    /// Signs the upgrade as Twilio does, with this token.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    auth_token: Option<String>,
    /// The `wss://` URL to sign, if the server knows another one than it is called by.
    #[arg(long)]
    public_url: Option<String>,
}

pub(super) async fn run(args: ReplayArgs) -> anyhow::Result<()> {
    let signer = args
        .auth_token
        .as_deref()
        .filter(|token| !token.is_empty())
        .map(|token| Signer {
            key: Key::auth_token(token),
            public_url: args.public_url.clone(),
        });
    let ending = args.call.extension().unwrap_or_default();
    if ending == "jsonl" {
        let text = std::fs::read_to_string(&args.call)
            .with_context(|| format!("cannot read {}", args.call.display()))?;
        let steps = player::parse_capture(&text)
            .with_context(|| format!("{} is no captured session", args.call.display()))?;
        let played = player::replay(&args.url, &steps, args.speed, signer.as_ref()).await?;
        let whole = if played.is_whole {
            "all sent"
        } else {
            "the server hung up on it"
        };
        return print(&format!("{} messages, {whole}", played.sent));
    }
    let call = if ending == "json" {
        read_call(&args.call, args.audio.as_deref())?.1
    } else {
        read_recording(&args.call)?
    };
    let options = Options {
        speed: args.speed,
        signer,
        ..options()
    };
    print(&format!(
        "call {}: {:.1} s of audio to {}",
        options.call_sid.as_str(),
        call.seconds(),
        args.url
    ))?;
    let played = player::play(&args.url, &call, &options).await?;
    print(&format!("{} messages, all sent", played.sent))
}

fn read_recording(path: &Path) -> anyhow::Result<Call> {
    Call::read_one(path).with_context(|| format!("{} cannot be played", path.display()))
}

fn print(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
