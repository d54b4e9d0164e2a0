//! CallBurner: a self-hosted softphone on Twilio that transcribes both sides of every call live.
//!
//! # Data flow
//!
//! ```text
//!                 one call                                                      many listeners
//!  Twilio ─wss─► twilio::stream ─► media_task ─► engine ─► media_task ─► hub ─► api::live ─wss─► browser
//!                JSON → frames        │                       ▲
//!                                     ▼                       │ partials, finals
//!                   engine::track, one for each track         │
//!   ┌───────────────────────────────────────────────────┐     │
//!   │ audio::mulaw      G.711 bytes  → samples          │     │
//!   │ audio::timeline   timestamps   → stream positions │     │
//!   │ audio::resample   8 kHz        → 16 kHz           │     │
//!   │ engine::vad       16 ms frames → speech or not    │     │
//!   │ engine::segmenter frames       → utterances       │     │
//!   │ engine::stabilizer hypotheses  → stable text      │─────┘
//!   └───────────┬───────────────────────────▲───────────┘
//!          jobs ▼                           │ hypotheses
//!        engine::scheduler ──► engine::workers ──► engine::native (one thread per core)
//! ```
//!
//! Apart from its audio, a call consists of a record, Twilio's webhooks and users' commands:
//!
//! ```text
//!  Twilio ──POST /voice, …/status──► api::twilio ──► calls ──► store ◄── transcript_writer ◄── hub
//!     ▲                              signatures       │ │                finals as they are published
//!     │                                               │ └────► hub ──► api::live ──wss──► browser
//!     └───── twilio::api ◄── recordings, new streams ─┘
//!                            a call's status, if a callback is missing
//!           browser ──► api::{token, calls, recordings} ──► calls           access: authentication
//!           media_task ── samples ──► archive                               dialing: numbers and limits
//! ```
//!
//! # The layers
//!
//! Data flows in a circle, as drawn; dependencies follow this list. A module may use only modules on lines
//! above its own, so `audio` does not depend on Twilio, `engine` does not depend on HTTP, and `twilio` does
//! not depend on Whisper. `tests::tidy` reads this list and checks the code against it.
//!
//! ```text
//! limits                                      the limits of everything that can grow
//! clock ids                                   time; identifiers
//! tasks telemetry                             background tasks; logging
//! transcript                                  events from the engine to the browser
//! metrics                                     metrics for the operator
//! audio                                       G.711, samples, recordings
//! access archive dialing engine eval export hub models store twilio  independent of one another
//! config                                      settings, validated at the start
//! transcript_writer                           saves published finals
//! twilio_sim                                  simulates Twilio
//! calls media_task                            a live call: all except its audio; its audio
//! api                                         HTTP and WebSocket endpoints
//! app                                         composes the server
//! loopback                                    a call through the server, and its transcript
//! cli                                         commands
//! ```
//!
//! Start reading at [`engine::track`] for the audio pipeline, at [`media_task`] for its connections, at
//! [`calls`] for webhooks and callbacks, and at [`app`] for the composition of the server.
//!
//! # Glossary
//!
//! - **call**: a telephone call, identified by the SID of its parent leg ([`ids::CallSid`]).
//! - **leg**: one party's connection at Twilio; each leg has a call SID of its own.
//! - **parent leg**: the leg for which Twilio requests TwiML at `/voice`; it dials the child legs.
//! - **webhook**: a signed HTTP request from Twilio ([`twilio::webhook`]); a status callback reports a change.
//! - **stream**: a Twilio Media Stream of a call, numbered from 1; a new one replaces one that breaks.
//! - **track**: one direction of a stream's audio, inbound or outbound ([`ids::Track`]).
//! - **frame**: the audio of one `media` message ([`twilio::stream::message::MediaFrame`]), usually 20 ms.
//! - **call clock**: milliseconds from the start of the call's first stream; all transcript times are on it.
//! - **utterance**: a stretch of speech on one track, ended by silence ([`engine::segmenter`]).
//! - **job**: a recognition pass over an utterance ([`engine::scheduler::RecognitionJob`]).
//! - **recognizer**: turns audio into a hypothesis ([`engine::recognizer::Recognizer`]); a worker owns one.
//! - **hotword**: a name or term of the setting `VOCABULARY` that the beam search favours.
//! - **segment**: the transcript of one utterance, identified by an [`ids::SegmentId`].
//! - **partial**: a preliminary version of a segment, with stable and unstable text ([`transcript::Partial`]).
//! - **final**: the version of a segment that never changes again ([`transcript::Segment`]).
//! - **transcript**: the finals of a call, in order of time.
//! - **channel**: a call's event log with its latest partials ([`hub::CallChannel`]).
//! - **listener**: a subscriber to a channel, such as a browser ([`hub::Subscription`]).
//! - **snapshot**: the complete state of a channel, as an event ([`transcript::Event::Snapshot`]).
//! - **owner**: the user who placed or answered the call; only they and admins can see it.
//! - **recording**: Twilio's recording of a call, started and stopped by users.
//! - **archive**: this server's own copy of a call's audio, an Ogg Opus file (`archive::AudioArchive`).
//! - **access token**: Twilio's JWT, with which a browser registers there ([`twilio::token::AccessToken`]).
//! - **API token**: the credential of a program, with a user's rights and its own scopes (`store::ApiToken`).
//! - **stream token**: a one-time secret that binds a media socket to a stream (`calls::ExpectedStream`).
//!
//! # An utterance, step by step
//!
//! 1. Twilio sends a `media` message; `api::media` accepted its socket, and `media_task::run_media_stream`
//!    reads it.
//! 2. [`StreamSession::handle`](twilio::stream::session::StreamSession::handle) parses it
//!    ([`StreamMessage::parse`](twilio::stream::message::StreamMessage::parse)) and outputs a frame.
//! 3. [`TrackPipeline::handle`](engine::track::TrackPipeline::handle) decodes it ([`audio::mulaw::decode`]),
//!    places it on the timeline ([`Timeline::push`](audio::timeline::Timeline::push)) and resamples it to 16
//!    kHz.
//! 4. [`Vad::push_frame`](engine::vad::Vad::push_frame) scores each 16 ms, and
//!    [`Segmenter::push`](engine::segmenter::Segmenter::push) opens an utterance after three frames of
//!    speech.
//! 5. During speech, the pipeline outputs partial jobs; at a pause, or at the end, a final job, which it
//!    cancels if speech continues.
//! 6. [`Engine::submit`](engine::Engine::submit) queues the job;
//!    [`Scheduler::pop`](engine::scheduler::Scheduler::pop) gives a worker the most urgent one: finals first,
//!    then first partials, then later partials.
//! 7. The worker thread calls [`Recognizer::recognize`](engine::recognizer::Recognizer::recognize), and sends
//!    the [`JobResult`](engine::track::JobResult) back to `media_task`, which passes it to the pipeline.
//! 8. For a partial, [`Stabilizer::push`](engine::stabilizer::Stabilizer::push) splits the hypothesis into
//!    stable and unstable text; the result is a [`Partial`](transcript::Partial) with a higher revision.
//! 9. For the final of a closed utterance, [`Stabilizer::finish`](engine::stabilizer::Stabilizer::finish)
//!    keeps the stable text; the result is a [`Segment`](transcript::Segment).
//! 10. `media_task` moves it to the call clock ([`Event::shifted_by`](transcript::Event::shifted_by)) and
//!     calls [`Hub::publish`](hub::Hub::publish), which appends it to the channel and wakes the listeners.
//! 11. `transcript_writer` saves the final; `api::live` reads it
//!     ([`Subscription::read`](hub::Subscription::read)) and sends it as a JSON
//!     [`CallEvent`](transcript::CallEvent) in a text frame.
//! 12. In the browser, `client/src/live/link.ts` receives it, `live/call.ts` folds it into the call's state,
//!     `live/lines.ts` replaces the partial's line, and `call/SegmentList.tsx` renders the final.

pub mod limits;

pub mod clock;
pub mod ids;

mod tasks;
mod telemetry;

pub mod transcript;

pub mod metrics;

pub mod audio;

mod access;
mod archive;
mod dialing;
pub mod engine;
mod eval;
pub mod export;
pub mod hub;
pub mod models;
mod store;
pub mod twilio;

mod config;

mod transcript_writer;

pub mod twilio_sim;

mod calls;
mod media_task;

mod api;

mod app;

mod loopback;

pub mod cli;

#[cfg(test)]
mod tests;
