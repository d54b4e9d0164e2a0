//! Plays a recorded call through the real server in real time, and collects the events that a browser
//! receives: audio over one WebSocket, events over another. Shared by `demo`, `bench` and the tests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;

use crate::access::local::LocalKeys;
use crate::clock;
use crate::eval::latency::ReceivedEvent;
use crate::eval::script::CallScript;
use crate::eval::wer::WerScore;
use crate::ids::Track;
use crate::transcript::{CallEvent, Event};
use crate::twilio_sim::{self, PlaybackReport, RecordedCall, StreamOptions};

/// Longest wait for the last finals after the call's end.
const FINALS_WAIT_MAX: Duration = Duration::from_mins(2);

/// Everything that a listener received during one played call.
#[derive(Debug)]
pub struct LoopbackResult {
    /// Times at which the call's audio was sent.
    pub played: PlaybackReport,
    /// Each event with its time of arrival.
    pub events: Vec<(Instant, CallEvent)>,
}

impl LoopbackResult {
    /// Returns the events on the recording's clock: both their arrival and the times of the words in them are
    /// milliseconds from the start of the recording.
    pub fn received_events(&self) -> Vec<ReceivedEvent> {
        // The stream's clock starts before the recording: the recording's first frame has a timestamp above
        // 0.
        let lead_ms = self.played.first_timestamp_ms.cast_signed();
        let received = self.events.iter().map(|(at, event)| ReceivedEvent {
            at_ms: at
                .saturating_duration_since(self.played.started)
                .as_millis() as u64,
            event: event.event.clone().shifted_by(-lead_ms),
        });
        received.collect()
    }

    /// Returns the text of all finals of one track, joined by spaces.
    pub fn final_words(&self, track: Track) -> String {
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

    /// Scores the finals of both tracks against the script.
    pub fn score(&self, script: &CallScript) -> WerScore {
        let mut score = WerScore::default();
        for track in Track::ALL {
            score.add_file(
                &script.track_text(track),
                &self.final_words(track),
                script.seconds,
            );
        }
        score
    }
}

/// Plays `call` to the server at `address` with the server's `keys`, and listens until the call ends. Calls
/// `on_event` for each event as it arrives. An error if a connection fails, or if the last finals do not
/// arrive within two minutes of the call's end.
pub async fn run_loopback(
    address: SocketAddr,
    keys: Option<&LocalKeys>,
    call: &RecordedCall,
    options: &StreamOptions,
    on_event: impl FnMut(&CallEvent),
) -> anyhow::Result<LoopbackResult> {
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
        .context("cannot connect a listener")?;
    let limit = Duration::from_secs_f64(call.seconds()) + FINALS_WAIT_MAX;
    let media = match keys {
        // A signed stream needs no key in the path.
        Some(keys) if options.signer.is_none() => {
            format!("ws://{address}/media/{}", keys.simulator.expose())
        }
        Some(_) | None => format!("ws://{address}/media"),
    };
    let (played, events) = tokio::join!(
        Box::pin(twilio_sim::play_call(&media, call, options)),
        Box::pin(tokio::time::timeout(
            limit,
            collect_events(socket, on_event)
        )),
    );
    let events = events.context("the last finals of the call did not arrive")??;
    Ok(LoopbackResult {
        played: played?,
        events,
    })
}

async fn collect_events(
    mut socket: impl StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
    mut on_event: impl FnMut(&CallEvent),
) -> anyhow::Result<Vec<(Instant, CallEvent)>> {
    let mut events = Vec::new();
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else {
            continue;
        };
        let at = clock::now();
        let event: CallEvent = serde_json::from_str(&text)
            .with_context(|| format!("the server sent an invalid event: {text}"))?;
        on_event(&event);
        let is_over = matches!(event.event, Event::Ended { .. });
        events.push((at, event));
        if is_over {
            return Ok(events);
        }
    }
    bail!("the server closed the listener's connection before the end of the call")
}
