//! A recorded call played through the real server in real time, and heard as a browser hears it:
//! over one WebSocket in, over another out. What `demo`, `bench latency` and stories share.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;

use crate::access::local::LocalKeys;
use crate::clock;
use crate::ids::Track;
use crate::measure::latency::Heard;
use crate::measure::script::Script;
use crate::measure::wer::Score;
use crate::player::{self, Call, Options, Played};
use crate::transcript::{CallEvent, Event};

/// Time that the last words get after the call's end.
const LAST_WORDS_MAX: Duration = Duration::from_mins(2);

/// What a listener received of a call that was played.
#[derive(Debug)]
pub struct Rehearsal {
    /// When each moment of the call was sent.
    pub played: Played,
    /// Each event with its arrival.
    pub events: Vec<(Instant, CallEvent)>,
}

impl Rehearsal {
    /// The events on the recording's clock: when they arrived, and when they say that words were
    /// spoken, from the recording's beginning.
    pub fn heard(&self) -> Vec<Heard> {
        // The stream's clock begins before the recording: its first frame has a later timestamp.
        let lead_ms = self.played.first_timestamp_ms.cast_signed();
        let heard = self.events.iter().map(|(at, event)| Heard {
            at_ms: at
                .saturating_duration_since(self.played.started)
                .as_millis() as u64,
            event: event.event.clone().moved(-lead_ms),
        });
        heard.collect()
    }

    /// The words that were settled on one track.
    pub fn words(&self, track: Track) -> String {
        let mut words = Vec::new();
        for (_, event) in &self.events {
            if let Event::Segment { segment } = &event.event
                && segment.track == track
            {
                words.push(segment.text.as_str());
            }
        }
        words.join(" ")
    }

    /// The words of both tracks against the script's.
    pub fn score(&self, script: &Script) -> Score {
        let mut score = Score::default();
        for track in Track::ALL {
            score.add(&script.text(track), &self.words(track), script.seconds);
        }
        score
    }
}

/// Plays `call` to the server at `address`, which `keys` open, and listens until its end. `show` sees
/// each event as it arrives.
pub async fn rehearse(
    address: SocketAddr,
    keys: Option<&LocalKeys>,
    call: &Call,
    options: &Options,
    show: impl FnMut(&CallEvent),
) -> anyhow::Result<Rehearsal> {
    let url = format!(
        "ws://{address}/ws/transcriptions?callSid={}",
        options.call_sid.as_str()
    );
    let mut request = url.into_client_request()?;
    if let Some(keys) = keys {
        let bearer = format!("Bearer {}", keys.page.expose());
        request.headers_mut().insert(AUTHORIZATION, bearer.parse()?);
    }
    let (socket, _) = tokio_tungstenite::connect_async(request)
        .await
        .context("listening failed")?;
    let limit = Duration::from_secs_f64(call.seconds()) + LAST_WORDS_MAX;
    let media = match keys {
        // Where there is a signature, the key in the path is not asked for.
        Some(keys) if options.signer.is_none() => {
            format!("ws://{address}/media/{}", keys.simulator.expose())
        }
        Some(_) | None => format!("ws://{address}/media"),
    };
    let (played, events) = tokio::join!(
        Box::pin(player::play(&media, call, options)),
        Box::pin(tokio::time::timeout(limit, listen(socket, show))),
    );
    let events = events.context("the call's last words did not come")??;
    Ok(Rehearsal {
        played: played?,
        events,
    })
}

async fn listen(
    mut socket: impl StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
    mut show: impl FnMut(&CallEvent),
) -> anyhow::Result<Vec<(Instant, CallEvent)>> {
    let mut events = Vec::new();
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else {
            continue;
        };
        let at = clock::now();
        let event: CallEvent = serde_json::from_str(&text)
            .with_context(|| format!("the server sent what is no event: {text}"))?;
        show(&event);
        let over = matches!(event.event, Event::Ended { .. });
        events.push((at, event));
        if over {
            return Ok(events);
        }
    }
    bail!("the server hung up on the listener before the call was over")
}
