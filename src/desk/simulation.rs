//! Simulated calls: where there is no account, a recorded call goes through the server's own media
//! socket, so that the page can be seen working. Its stream comes in by a secret that is good for it
//! alone, once. One at a time, on request, so that a server that nobody looks at does nothing.

use super::{Desk, DeskError, lock};
use crate::audio::recording;
use crate::clock;
use crate::ids::{CallSid, UserId};
use crate::player::{self, Call, Options, PlayError};
use crate::store::{LegUpdate, NewCall, Party, TranscriptState};
use crate::transcript::{CallStatus, Direction};

/// A customer reads to an agent for 42 s: `fixtures/README.md` says who, and under which licence.
/// In the binary, because an installed one has no fixtures.
const INBOUND: &[u8] = include_bytes!("../../fixtures/calls/reading_inbound.wav");
const OUTBOUND: &[u8] = include_bytes!("../../fixtures/calls/reading_outbound.wav");

/// Who talks, where telephone numbers would stand.
const PARTIES: [&str; 2] = ["Recorded agent", "Recorded customer"];

/// The right to simulate, until it is dropped.
struct Turn(Desk);

impl Drop for Turn {
    fn drop(&mut self) {
        *lock(&self.0.0.simulated) = None;
    }
}

impl Desk {
    /// Whether calls can be simulated.
    pub fn simulates(&self) -> bool {
        self.0.tools.media_socket.is_some()
    }

    /// The simulated call that goes on.
    pub fn simulated(&self) -> Option<CallSid> {
        lock(&self.0.simulated).clone()
    }

    /// Begins a simulated call of this user's, under the names and at the speed of `options`. It is
    /// a call as any other: it can be listened to, found, heard, exported and deleted.
    pub async fn simulate(
        &self,
        user: Option<UserId>,
        options: Options,
    ) -> Result<CallSid, DeskError> {
        let socket = self.0.tools.media_socket.clone();
        let socket = socket.ok_or(DeskError::NoSimulation)?;
        let call = options.call_sid.clone();
        let turn = self.simulation_turn(&call)?;
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
        self.0.tools.tasks.spawn(async move {
            turn.0.play(&socket, &options).await;
        });
        Ok(call)
    }

    fn simulation_turn(&self, call: &CallSid) -> Result<Turn, DeskError> {
        let mut simulated = lock(&self.0.simulated);
        if simulated.is_some() {
            return Err(DeskError::Simulating);
        }
        *simulated = Some(call.clone());
        Ok(Turn(self.clone()))
    }

    /// Plays the call to its end, or to that of the server, which hangs up on it.
    async fn play(&self, socket: &str, options: &Options) {
        let call = &options.call_sid;
        let begun = clock::now();
        let secret = self.stream_secret(call, 1);
        let socket = format!("{socket}/{}", secret.expose());
        let status = match player::play(&socket, &recorded(), options).await {
            Ok(_) | Err(PlayError::ClosedEarly { .. }) => CallStatus::Completed,
            Err(error) => {
                tracing::warn!(?call, %error, "a simulated call could not be played");
                CallStatus::Failed
            }
        };
        let talked = clock::now().saturating_duration_since(begun);
        let over = LegUpdate {
            duration_seconds: Some(talked.as_secs() as u32),
            ..LegUpdate::new(call, status)
        };
        if let Err(error) = self.follow_leg(&over).await {
            tracing::warn!(?call, %error, "the end of a simulated call was not kept");
        }
    }
}

fn recorded() -> Call {
    let [inbound, outbound] = [INBOUND, OUTBOUND].map(|wav| {
        let codes = recording::mulaw_of(wav).expect("the fixtures are such files");
        codes.to_vec()
    });
    Call { inbound, outbound }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::mulaw;

    #[test]
    fn both_parties_are_in_the_binary_from_beginning_to_end() {
        let call = recorded();
        assert!((call.seconds() - 42.0).abs() < f64::EPSILON);
        assert_eq!(call.inbound.len(), call.outbound.len());
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/calls/reading");
        let read = |track| format!("{folder}_{track}.wav");
        let (inbound, outbound) = (read("inbound"), read("outbound"));
        let read = Call::read(inbound.as_ref(), outbound.as_ref()).unwrap();
        // Of the two codes for nothing only one comes back.
        let heard = |codes: &[u8]| codes.iter().map(|&code| mulaw::decode(code)).collect();
        let (kept, read): ([Vec<i16>; 2], [Vec<i16>; 2]) = (
            [heard(&call.inbound), heard(&call.outbound)],
            [heard(&read.inbound), heard(&read.outbound)],
        );
        assert!(
            kept == read,
            "the binary holds another call than the folder"
        );
    }
}
