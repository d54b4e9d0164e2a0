//! Simulated calls: without a Twilio account, a recorded call is played through the server's own media
//! socket, to show the page at work. Its stream connects with a one-time stream token. Only one call runs at
//! a time, on request, so that an unwatched server is idle.

use super::{CallError, CallService, lock};
use crate::audio::recording;
use crate::clock;
use crate::ids::{CallSid, UserId};
use crate::store::{LegUpdate, NewCall, Party, TranscriptState};
use crate::transcript::{CallStatus, Direction};
use crate::twilio_sim::{self, PlaybackError, RecordedCall, StreamOptions};

/// A customer reads to an agent for 42 s: `fixtures/README.md` names the speakers and the licence. Embedded
/// in the binary, because an installed server has no fixtures.
const INBOUND: &[u8] = include_bytes!("../../fixtures/calls/reading_inbound.wav");
const OUTBOUND: &[u8] = include_bytes!("../../fixtures/calls/reading_outbound.wav");

/// Names of the parties, in place of telephone numbers.
const PARTIES: [&str; 2] = ["Recorded agent", "Recorded customer"];

/// Exclusive right to run a simulated call; released on drop.
struct SimulationSlot(CallService);

impl Drop for SimulationSlot {
    fn drop(&mut self) {
        *lock(&self.0.0.simulated_call) = None;
    }
}

impl CallService {
    pub fn can_simulate(&self) -> bool {
        self.0.deps.media_socket.is_some()
    }

    /// Returns the simulated call in progress.
    pub fn simulated_call(&self) -> Option<CallSid> {
        lock(&self.0.simulated_call).clone()
    }

    /// Starts a simulated call of this user, with the SIDs and the speed of `options`. It behaves like any
    /// other call: it can be followed live, found, played, exported and deleted.
    pub async fn simulate_call(
        &self,
        user: Option<UserId>,
        options: StreamOptions,
    ) -> Result<CallSid, CallError> {
        let socket = self.0.deps.media_socket.clone();
        let socket = socket.ok_or(CallError::SimulationDisabled)?;
        let call = options.call_sid.clone();
        let slot = self.claim_simulation_slot(&call)?;
        let [from, to] = PARTIES.map(|name| Party(name.to_owned()));
        let new = NewCall {
            sid: call.clone(),
            direction: Direction::Outgoing,
            status: CallStatus::InProgress,
            from,
            to,
            user_id: user,
            started_at: clock::utc_now(),
            transcript: TranscriptState::Waiting,
            announced: false,
        };
        self.store().open_call(&new).await?;
        tracing::info!(?call, ?user, "simulated call");
        self.0.deps.tasks.spawn(async move {
            slot.0.play_simulated_call(&socket, &options).await;
        });
        Ok(call)
    }

    fn claim_simulation_slot(&self, call: &CallSid) -> Result<SimulationSlot, CallError> {
        let mut simulated = lock(&self.0.simulated_call);
        if simulated.is_some() {
            return Err(CallError::SimulationRunning);
        }
        *simulated = Some(call.clone());
        Ok(SimulationSlot(self.clone()))
    }

    /// Plays the call until it ends, or until a stopping server closes its socket.
    async fn play_simulated_call(&self, socket: &str, options: &StreamOptions) {
        let call = &options.call_sid;
        let started_at = clock::now();
        let secret = self.issue_stream_token(call, 1);
        let socket = format!("{socket}/{}", secret.expose());
        let status = match twilio_sim::play_call(&socket, &recorded_call(), options).await {
            Ok(_) | Err(PlaybackError::ClosedEarly { .. }) => CallStatus::Completed,
            Err(error) => {
                tracing::warn!(?call, %error, "could not play a simulated call");
                CallStatus::Failed
            }
        };
        let duration = clock::now().saturating_duration_since(started_at);
        let final_update = LegUpdate {
            duration_seconds: Some(duration.as_secs() as u32),
            ..LegUpdate::new(call, status)
        };
        if let Err(error) = self.apply_leg_update(&final_update).await {
            tracing::warn!(?call, %error, "could not save the end of a simulated call");
        }
    }
}

fn recorded_call() -> RecordedCall {
    let [inbound, outbound] = [INBOUND, OUTBOUND].map(|wav| {
        let codes = recording::mulaw_from_wav(wav).expect("the fixtures are μ-law WAV files");
        codes.to_vec()
    });
    RecordedCall { inbound, outbound }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::mulaw;

    #[test]
    fn both_parties_are_in_the_binary_from_beginning_to_end() {
        let call = recorded_call();
        assert!((call.seconds() - 42.0).abs() < f64::EPSILON);
        assert_eq!(call.inbound.len(), call.outbound.len());
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/calls/reading");
        let read = |track| format!("{folder}_{track}.wav");
        let (inbound, outbound) = (read("inbound"), read("outbound"));
        let read = RecordedCall::read_tracks(inbound.as_ref(), outbound.as_ref()).unwrap();
        // μ-law has two codes for zero; only one of them survives the round trip.
        let decode_codes = |codes: &[u8]| codes.iter().map(|&code| mulaw::decode(code)).collect();
        let (kept, read): ([Vec<i16>; 2], [Vec<i16>; 2]) = (
            [decode_codes(&call.inbound), decode_codes(&call.outbound)],
            [decode_codes(&read.inbound), decode_codes(&read.outbound)],
        );
        assert!(
            kept == read,
            "the binary holds another call than the folder"
        );
    }
}
