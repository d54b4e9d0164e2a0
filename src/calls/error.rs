//! Errors of users' commands for calls.

use std::io;

use crate::store::StoreError;
use crate::twilio::api::TwilioError;

/// Error of a user's command for a call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No Twilio account is configured.
    #[error("no Twilio account is configured: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN")]
    NoAccount,
    /// No call has this SID.
    #[error("there is no such call")]
    NoSuchCall,
    /// The call has ended.
    #[error("the call is over")]
    CallIsOver,
    /// The call is ringing.
    #[error("the call is not answered: start the recording after the answer")]
    NotAnswered,
    /// The call is in progress.
    #[error("the call is in progress: end it first")]
    CallInProgress,
    /// Another command for the same call is in progress.
    #[error("the previous command for this call is in progress: try again")]
    Busy,
    /// There is no recording to pause, resume or stop.
    #[error("this call is not being recorded")]
    NotRecording,
    /// Twilio refused the request, or could not be reached.
    #[error(transparent)]
    Twilio(#[from] TwilioError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server has no media socket for simulated calls.
    #[error(
        "simulated calls are disabled: without a Twilio account, set SIMULATE_TRANSCRIPTION=true"
    )]
    SimulationDisabled,
    /// Only one simulated call may run at a time.
    #[error("a simulated call is in progress: watch it, or wait for its end")]
    SimulationRunning,
    /// The archive of call audio failed.
    #[error("the archive of call audio failed: {0}")]
    Archive(io::Error),
}
