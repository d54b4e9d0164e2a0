//! `callburner replay`: any recording as a Media Stream, to any server, at any speed that the server
//! reads at; with an auth token, as the whole call that Twilio would make of it.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use axum::http::Uri;

use crate::cli::demo::read_call;
use crate::cli::local_keys::{self, SIMULATOR_KEY};
use crate::ids::AccountSid;
use crate::limits::MEDIA_AHEAD_MS_MAX;
use crate::player::exchange::{Exchange, Parties, Sound};
use crate::player::{self, Call, Options, Played, Step};
use crate::twilio::public_url::PublicUrl;
use crate::twilio::signature::Key;

/// Where a server on this machine has its media socket.
const LOCAL: &str = "ws://127.0.0.1:4000/media";

/// Play a recording, a call script or a captured session to a server, as Twilio would.
///
/// Without an auth token the media socket is opened, and that is all: for a server on this machine
/// without an account, whose key is in `DATA_DIR/simulator.key`. With one, the server is asked at
/// /voice what to do with a call, the stream that it names is opened, and it is told of every step,
/// all signed as Twilio signs.
#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// A call script (.json), a captured session (.jsonl), or a recording: of two channels, the
    /// first is the inbound track and the second the outbound one.
    call: PathBuf,
    /// Media Streams socket of the server, by default <ws://127.0.0.1:4000/media>; with a token, its
    /// address is where everything is sent.
    #[arg(long)]
    url: Option<String>,
    /// Times real time; 0: as fast as the server reads. This server reads at most 30 s ahead of the
    /// clock, so that nobody's stream costs others anything: of a call of 10 minutes at any speed the
    /// last word is read after 9.5 minutes.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Folder of a call script's recordings, if not beside it.
    #[arg(long)]
    audio: Option<PathBuf>,
    /// Signs as Twilio does, with this token; better given as the variable, since everyone on the
    /// machine can read flags.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    auth_token: Option<String>,
    /// The account that the call is of.
    #[arg(long, env = "TWILIO_ACCOUNT_SID")]
    account_sid: Option<String>,
    /// Voice URL as the server knows it, over which signatures are made: by default that of
    /// `PUBLIC_BASE_URL`, or /voice at the address of --url.
    #[arg(long)]
    voice_url: Option<String>,
    #[arg(long, env = "PUBLIC_BASE_URL", hide = true)]
    public_base_url: Option<String>,
    /// File of the key that opens a server without an account, by default `simulator.key` in
    /// `DATA_DIR`, where that server made it.
    #[arg(long)]
    key_file: Option<PathBuf>,
    #[arg(long, env = "DATA_DIR", default_value = "data", hide = true)]
    data_dir: PathBuf,
    /// Who calls: a browser, client:NAME, or a telephone number. A server that has users refuses a
    /// browser that is of none of them: let a number call its own there, while somebody is online.
    #[arg(long, default_value = "client:replay")]
    from: String,
    /// Who is called.
    #[arg(long, default_value = "+14155550123")]
    to: String,
}

/// What is played.
enum Recorded {
    Call(Call),
    Capture(Vec<Step>),
}

pub(super) async fn run(args: ReplayArgs) -> anyhow::Result<()> {
    let recorded = read(&args)?;
    let mut options = Options {
        speed: args.speed,
        ..Options::fresh()
    };
    if let Recorded::Capture(steps) = &recorded
        && let Some(call) = player::call_of(steps)
    {
        options.call_sid = call;
    }
    let played = match given(args.auth_token.as_deref()) {
        Some(token) => whole_call(&args, token, &recorded, options).await?,
        None => stream_alone(&args, &recorded, &options).await?,
    };
    let whole = if played.is_whole {
        "all sent"
    } else {
        "the server hung up on it"
    };
    print(&format!("{} messages, {whole}", played.sent))
}

fn read(args: &ReplayArgs) -> anyhow::Result<Recorded> {
    let path: &Path = &args.call;
    let ending = path.extension().unwrap_or_default();
    if ending == "jsonl" {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let steps = player::parse_capture(&text);
        let steps = steps.with_context(|| format!("{} is no captured session", path.display()))?;
        return Ok(Recorded::Capture(steps));
    }
    let call = if ending == "json" {
        read_call(path, args.audio.as_deref())?.1
    } else {
        Call::read_one(path).with_context(|| format!("{} cannot be played", path.display()))?
    };
    Ok(Recorded::Call(call))
}

/// Opens the media socket, for a server that takes a stream from anyone on its machine.
async fn stream_alone(
    args: &ReplayArgs,
    recorded: &Recorded,
    options: &Options,
) -> anyhow::Result<Played> {
    let url = args.url.as_deref().unwrap_or(LOCAL).trim_end_matches('/');
    let default = args.data_dir.join(SIMULATOR_KEY);
    let file = args.key_file.as_ref().unwrap_or(&default);
    let key = local_keys::read(file)?;
    if key.is_none() && args.key_file.is_some() {
        bail!("--key-file: {} holds no key", file.display());
    }
    // In a file, not in a flag: everyone on the machine can read the flags of a program.
    let opened = key.as_ref().filter(|_| is_here(url));
    let opened = opened.map(|key| format!("{url}/{}", key.expose()));
    let opened = opened.as_deref().unwrap_or(url);
    let played = match recorded {
        Recorded::Call(call) => {
            announce(options, call, url)?;
            player::play(opened, call, options).await
        }
        Recorded::Capture(steps) => player::replay(opened, steps, args.speed, None).await,
    };
    played.with_context(|| {
        let key = if key.is_some() { "was sent" } else { "is missing" };
        format!(
            "the call was not played. The key of {} {key}; a server with an account wants --auth-token \
             and --account-sid instead",
            file.display()
        )
    })
}

/// Whether a URL is of this machine, by an address: the key is for nobody else.
fn is_here(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || literal
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Makes the call as Twilio does.
async fn whole_call(
    args: &ReplayArgs,
    token: &str,
    recorded: &Recorded,
    options: Options,
) -> anyhow::Result<Played> {
    let account = given(args.account_sid.as_deref());
    let account = account.context("an auth token is that of an account: give --account-sid too")?;
    let account = AccountSid::parse(account).context("--account-sid")?;
    let (named, called) = addresses(args)?;
    let exchange = Exchange::new(Key::auth_token(token), account, named, called.clone())?;
    let parties = Parties {
        from: args.from.clone(),
        to: args.to.clone(),
    };
    let sound = match recorded {
        Recorded::Call(call) => {
            announce(&options, call, &called.https("/voice"))?;
            Sound::Recorded(call)
        }
        Recorded::Capture(steps) => Sound::Captured(steps),
    };
    Ok(exchange.place(&parties, sound, options).await?)
}

/// What the server calls itself, and where it is reached.
fn addresses(args: &ReplayArgs) -> anyhow::Result<(PublicUrl, PublicUrl)> {
    let voice = match &args.voice_url {
        Some(voice) => {
            let base = voice.strip_suffix("/voice");
            let base = base.context("--voice-url ends in /voice")?;
            Some(PublicUrl::parse(base).context("--voice-url")?)
        }
        None => None,
    };
    let called = match (&args.url, &voice) {
        (None, Some(voice)) => voice.clone(),
        (url, _) => base_of(url.as_deref().unwrap_or(LOCAL))?,
    };
    let public = given(args.public_base_url.as_deref());
    let named = match (voice, public) {
        (Some(voice), _) => voice,
        (None, Some(public)) => PublicUrl::parse(public).context("PUBLIC_BASE_URL")?,
        (None, None) => called.clone(),
    };
    Ok((named, called))
}

/// The address of the server that has this media socket.
fn base_of(socket: &str) -> anyhow::Result<PublicUrl> {
    let wrong = "--url is the URL of a media socket, such as wss://calls.example.org/media";
    let rest = socket.strip_prefix("ws").context(wrong)?;
    let rest = rest.trim_end_matches('/');
    let base = rest.strip_suffix("/media").unwrap_or(rest);
    PublicUrl::parse(&format!("http{base}")).context(wrong)
}

/// What `.env` leaves empty is not given.
fn given(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty())
}

fn announce(options: &Options, call: &Call, url: &str) -> anyhow::Result<()> {
    let (sid, seconds) = (options.call_sid.as_str(), call.seconds());
    print(&format!("call {sid}: {seconds:.1} s of audio to {url}"))?;
    match held_back(seconds, options.speed) {
        Some(soonest) => print(&format!(
            "a CallBurner server reads at most {} s ahead of the clock, whatever --speed says: this \
             takes at least {soonest:.0} s",
            MEDIA_AHEAD_MS_MAX / 1_000
        )),
        None => Ok(()),
    }
}

/// How many seconds a server takes at least that reads ahead of the clock no further than ours does;
/// `None`: it keeps to the speed.
fn held_back(seconds: f64, speed: f64) -> Option<f64> {
    let asked = if speed > 0.0 { seconds / speed } else { 0.0 };
    let soonest = seconds - MEDIA_AHEAD_MS_MAX as f64 / 1_000.0;
    (soonest > asked).then_some(soonest)
}

fn print(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: ReplayArgs,
    }

    #[test]
    fn a_call_that_the_server_holds_back_says_how_long_it_takes() {
        assert_eq!(held_back(600.0, 4.0), Some(570.0));
        assert_eq!(held_back(600.0, 0.0), Some(570.0));
        assert_eq!(held_back(600.0, f64::INFINITY), Some(570.0));
        for (seconds, speed) in [
            (600.0, 1.0),
            (600.0, 0.5),
            (600.0, 1.05),
            (30.0, 0.0),
            (35.0, 4.0),
        ] {
            assert_eq!(held_back(seconds, speed), None, "{seconds} s at {speed}");
        }
    }

    fn found(arguments: &[&str]) -> anyhow::Result<(String, String)> {
        let arguments = ["replay", "call.wav"].iter().chain(arguments);
        let mut args = Command::try_parse_from(arguments).unwrap().args;
        args.public_base_url = None; // Whatever this machine's environment says.
        addresses(&args).map(|(named, called)| (named.to_string(), called.to_string()))
    }

    #[test]
    fn the_key_of_this_machines_server_goes_to_this_machine_alone() {
        for (url, here) in [
            (LOCAL, true),
            ("ws://localhost:4000/media", true),
            ("ws://[::1]:4000/media", true),
            ("ws://127.0.0.1.example.org/media", false),
            ("wss://calls.example.org/media", false),
            ("ws://192.0.2.7:4000/media", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_here(url), here, "{url}");
        }
    }

    #[test]
    fn the_server_is_called_where_it_is_and_by_the_name_that_it_has() {
        let local = "http://127.0.0.1:4000";
        let public = "https://calls.example.org";
        for (arguments, named, called) in [
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
                (named, called),
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
