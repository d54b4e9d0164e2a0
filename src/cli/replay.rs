//! `callburner replay`: streams any recording to any server as a Media Stream, at any speed that the server
//! reads at. With an auth token, it simulates the whole call as Twilio does.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use axum::http::Uri;

use crate::cli::demo::read_call;
use crate::cli::local_keys::{self, SIMULATOR_KEY_FILE};
use crate::ids::AccountSid;
use crate::limits::MEDIA_AHEAD_MS_MAX;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::signature::SigningKey;
use crate::twilio_sim::webhooks::{CallParties, CallSource, WebhookSimulator};
use crate::twilio_sim::{self, PlaybackReport, RecordedCall, SocketStep, StreamOptions};

/// Default media socket: that of a server on this machine.
const LOCAL_MEDIA_URL: &str = "ws://127.0.0.1:4000/media";

/// Stream a recording, a call script or a captured session to a server, as Twilio does.
///
/// Without an auth token, this command only opens the media socket. It works with a server on this machine
/// without a Twilio account; the key of such a server is in `DATA_DIR/simulator.key`. With an auth token, it
/// asks the server at /voice how to handle a call, opens the stream that the response names, and reports
/// every step of the call, all signed as Twilio signs.
#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// Call script (.json), captured session (.jsonl), or recording. In a recording with two channels, the
    /// first is the inbound track and the second the outbound track.
    call: PathBuf,
    /// Media Streams socket of the server, by default <ws://127.0.0.1:4000/media>. With an auth token, every
    /// request goes to the host of this URL.
    #[arg(long)]
    url: Option<String>,
    /// Speed as a multiple of real time; 0: as fast as the server reads. A CallBurner server reads at most 30
    /// s ahead of the clock, so that no stream slows down the others: at any speed, it reads the last word of
    /// a call of 10 minutes after 9.5 minutes.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Folder of a call script's recordings, if they are not beside the script.
    #[arg(long)]
    audio: Option<PathBuf>,
    /// Auth token to sign with, as Twilio does. Set the variable instead of this flag, because every user of
    /// the machine can read flags.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    auth_token: Option<String>,
    /// Account of the call.
    #[arg(long, env = "TWILIO_ACCOUNT_SID")]
    account_sid: Option<String>,
    /// Voice URL as the server knows it, over which signatures are computed. By default that of
    /// `PUBLIC_BASE_URL`, or /voice at the host of --url.
    #[arg(long)]
    voice_url: Option<String>,
    #[arg(long, env = "PUBLIC_BASE_URL", hide = true)]
    public_base_url: Option<String>,
    /// File with the key of a server without an account, by default `simulator.key` in `DATA_DIR`, where that
    /// server creates it.
    #[arg(long)]
    key_file: Option<PathBuf>,
    #[arg(long, env = "DATA_DIR", default_value = "data", hide = true)]
    data_dir: PathBuf,
    /// Caller: a browser (client:NAME) or a telephone number. A server with users refuses a browser that
    /// belongs to no user. To test such a server, let a number call the server's number while a user is
    /// online.
    #[arg(long, default_value = "client:replay")]
    from: String,
    /// Called party.
    #[arg(long, default_value = "+14155550123")]
    to: String,
}

/// Source of the audio.
enum ReplaySource {
    Call(RecordedCall),
    Capture(Vec<SocketStep>),
}

pub(super) async fn run(args: ReplayArgs) -> anyhow::Result<()> {
    let source = read_source(&args)?;
    let mut options = StreamOptions {
        speed: args.speed,
        ..StreamOptions::fresh()
    };
    if let ReplaySource::Capture(steps) = &source
        && let Some(call) = twilio_sim::captured_call_sid(steps)
    {
        options.call_sid = call;
    }
    let played = match non_empty(args.auth_token.as_deref()) {
        Some(token) => replay_call(&args, token, &source, options).await?,
        None => replay_stream(&args, &source, &options).await?,
    };
    let whole = if played.is_whole {
        "all sent"
    } else {
        "the server closed the stream early"
    };
    print_line(&format!("{} messages, {whole}", played.sent))
}

fn read_source(args: &ReplayArgs) -> anyhow::Result<ReplaySource> {
    let path: &Path = &args.call;
    let extension = path.extension().unwrap_or_default();
    if extension == "jsonl" {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let steps = twilio_sim::parse_capture(&text);
        let steps =
            steps.with_context(|| format!("{} is not a captured session", path.display()))?;
        return Ok(ReplaySource::Capture(steps));
    }
    let call = if extension == "json" {
        read_call(path, args.audio.as_deref())?.1
    } else {
        RecordedCall::read_recording(path)
            .with_context(|| format!("{} cannot be played", path.display()))?
    };
    Ok(ReplaySource::Call(call))
}

/// Opens the media socket of a server that accepts streams from its own machine.
async fn replay_stream(
    args: &ReplayArgs,
    source: &ReplaySource,
    options: &StreamOptions,
) -> anyhow::Result<PlaybackReport> {
    let url = args
        .url
        .as_deref()
        .unwrap_or(LOCAL_MEDIA_URL)
        .trim_end_matches('/');
    let default = args.data_dir.join(SIMULATOR_KEY_FILE);
    let file = args.key_file.as_ref().unwrap_or(&default);
    let key = local_keys::read_key(file)?;
    if key.is_none() && args.key_file.is_some() {
        bail!("--key-file: {} holds no key", file.display());
    }
    // The key is in a file, not in a flag, because every user of the machine can read flags.
    let opened = key.as_ref().filter(|_| is_local_url(url));
    let opened = opened.map(|key| format!("{url}/{}", key.expose()));
    let opened = opened.as_deref().unwrap_or(url);
    let played = match source {
        ReplaySource::Call(call) => {
            print_call_summary(options, call, url)?;
            twilio_sim::play_call(opened, call, options).await
        }
        ReplaySource::Capture(steps) => {
            twilio_sim::replay_capture(opened, steps, args.speed, None).await
        }
    };
    played.with_context(|| {
        let key = if key.is_some() {
            "was sent"
        } else {
            "is missing"
        };
        format!(
            "the call was not played. The key in {} {key}; a server with a Twilio account needs \
             --auth-token and --account-sid instead",
            file.display()
        )
    })
}

/// Whether a URL names this machine, by a loopback address or `localhost`: the key is sent to no other.
fn is_local_url(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || literal
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Places the call as Twilio does.
async fn replay_call(
    args: &ReplayArgs,
    token: &str,
    source: &ReplaySource,
    options: StreamOptions,
) -> anyhow::Result<PlaybackReport> {
    let account = non_empty(args.account_sid.as_deref());
    let account = account.context("an auth token belongs to an account: give --account-sid too")?;
    let account = AccountSid::parse(account).context("--account-sid")?;
    let (signed_url_base, base_url) = server_urls(args)?;
    let simulator = WebhookSimulator::new(
        SigningKey::auth_token(token),
        account,
        signed_url_base,
        base_url.clone(),
    )?;
    let parties = CallParties {
        from: args.from.clone(),
        to: args.to.clone(),
    };
    let source = match source {
        ReplaySource::Call(call) => {
            print_call_summary(&options, call, &base_url.https_url("/voice"))?;
            CallSource::Recorded(call)
        }
        ReplaySource::Capture(steps) => CallSource::Captured(steps),
    };
    Ok(simulator.place_call(&parties, source, options).await?)
}

/// Returns the URL over which signatures are computed, and the URL at which the server is reached.
fn server_urls(args: &ReplayArgs) -> anyhow::Result<(PublicUrl, PublicUrl)> {
    let voice = match &args.voice_url {
        Some(voice) => {
            let base = voice.strip_suffix("/voice");
            let base = base.context("--voice-url must end in /voice")?;
            Some(PublicUrl::parse(base).context("--voice-url")?)
        }
        None => None,
    };
    let base_url = match (&args.url, &voice) {
        (None, Some(voice)) => voice.clone(),
        (url, _) => base_url_of_socket(url.as_deref().unwrap_or(LOCAL_MEDIA_URL))?,
    };
    let public = non_empty(args.public_base_url.as_deref());
    let signed_url_base = match (voice, public) {
        (Some(voice), _) => voice,
        (None, Some(public)) => PublicUrl::parse(public).context("PUBLIC_BASE_URL")?,
        (None, None) => base_url.clone(),
    };
    Ok((signed_url_base, base_url))
}

/// Returns the base URL of the server with this media socket.
fn base_url_of_socket(socket: &str) -> anyhow::Result<PublicUrl> {
    let wrong = "--url must be the URL of a media socket, such as wss://calls.example.org/media";
    let rest = socket.strip_prefix("ws").context(wrong)?;
    let rest = rest.trim_end_matches('/');
    let base = rest.strip_suffix("/media").unwrap_or(rest);
    PublicUrl::parse(&format!("http{base}")).context(wrong)
}

/// Returns `None` for an empty value: `.env` may set a variable to nothing.
fn non_empty(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty())
}

fn print_call_summary(
    options: &StreamOptions,
    call: &RecordedCall,
    url: &str,
) -> anyhow::Result<()> {
    let (sid, seconds) = (options.call_sid.as_str(), call.seconds());
    print_line(&format!("call {sid}: {seconds:.1} s of audio to {url}"))?;
    match paced_seconds(seconds, options.speed) {
        Some(paced_seconds_min) => print_line(&format!(
            "a CallBurner server reads at most {} s ahead of the clock at any --speed: this \
             takes at least {paced_seconds_min:.0} s",
            MEDIA_AHEAD_MS_MAX / 1_000
        )),
        None => Ok(()),
    }
}

/// Returns the least seconds that a server takes which reads no further ahead of the clock than ours; `None`
/// if it can keep to the speed.
fn paced_seconds(seconds: f64, speed: f64) -> Option<f64> {
    let wanted_seconds = if speed > 0.0 { seconds / speed } else { 0.0 };
    let paced_seconds_min = seconds - MEDIA_AHEAD_MS_MAX as f64 / 1_000.0;
    (paced_seconds_min > wanted_seconds).then_some(paced_seconds_min)
}

fn print_line(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct ReplayParser {
        #[command(flatten)]
        args: ReplayArgs,
    }

    #[test]
    fn a_paced_call_says_how_long_it_takes() {
        assert_eq!(paced_seconds(600.0, 4.0), Some(570.0));
        assert_eq!(paced_seconds(600.0, 0.0), Some(570.0));
        assert_eq!(paced_seconds(600.0, f64::INFINITY), Some(570.0));
        for (seconds, speed) in [
            (600.0, 1.0),
            (600.0, 0.5),
            (600.0, 1.05),
            (30.0, 0.0),
            (35.0, 4.0),
        ] {
            assert_eq!(
                paced_seconds(seconds, speed),
                None,
                "{seconds} s at {speed}"
            );
        }
    }

    fn found(arguments: &[&str]) -> anyhow::Result<(String, String)> {
        let arguments = ["replay", "call.wav"].iter().chain(arguments);
        let mut args = ReplayParser::try_parse_from(arguments).unwrap().args;
        args.public_base_url = None; // Independent of this machine's environment.
        server_urls(&args)
            .map(|(signed_url_base, base_url)| (signed_url_base.to_string(), base_url.to_string()))
    }

    #[test]
    fn the_key_of_this_machines_server_goes_to_this_machine_alone() {
        for (url, here) in [
            (LOCAL_MEDIA_URL, true),
            ("ws://localhost:4000/media", true),
            ("ws://[::1]:4000/media", true),
            ("ws://127.0.0.1.example.org/media", false),
            ("wss://calls.example.org/media", false),
            ("ws://192.0.2.7:4000/media", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_local_url(url), here, "{url}");
        }
    }

    #[test]
    fn the_server_is_called_where_it_is_and_by_the_name_that_it_has() {
        let local = "http://127.0.0.1:4000";
        let public = "https://calls.example.org";
        for (arguments, signed_url_base, base_url) in [
            (&[][..], local, local),
            (
                &["--url", "ws://127.0.0.1:5000/media/"],
                "http://127.0.0.1:5000",
                "http://127.0.0.1:5000",
            ),
            (&["--url", "wss://calls.example.org/media"], public, public),
            (
                &["--voice-url", "https://calls.example.org/voice"],
                public,
                public,
            ),
            (
                &[
                    "--voice-url",
                    "https://calls.example.org/base/voice",
                    "--url",
                    "ws://127.0.0.1:4000/media",
                ],
                "https://calls.example.org/base",
                local,
            ),
        ] {
            let found = found(arguments).unwrap();
            assert_eq!(
                (found.0.as_str(), found.1.as_str()),
                (signed_url_base, base_url),
                "{arguments:?}"
            );
        }
        for wrong in [
            ["--voice-url", "https://h/other"],
            ["--url", "https://h/media"],
        ] {
            assert!(found(&wrong).is_err(), "{wrong:?}");
        }
    }
}
