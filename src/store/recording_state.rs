//! State machine of a recording. Pure: no I/O.
//!
//! A recording is running or paused, then stopped, and then completed, absent or failed; these three are
//! final. Twilio sends a callback when a recording starts and when it is done, never when it is paused. A
//! *callback or a query* that returns "in progress" may therefore be older than the pause, and does not undo
//! it. Only the answer to this server's own command does: [`resume`].

use super::records::Recording;
use crate::transcript::RecordingStatus;

/// Returns the recording's state after `update`.
pub(super) fn merge_update(known: &Recording, update: &Recording) -> Recording {
    let next = match (known.status, update.status) {
        (RecordingStatus::Paused, RecordingStatus::InProgress) => known.status,
        (old, new) if stage(new) > stage(old) => new,
        (old, new) if stage(new) == stage(old) && !is_final(old) => new,
        (old, _) => old,
    };
    Recording {
        sid: known.sid.clone(),
        call_sid: known.call_sid.clone(),
        status: next,
        channels: known.channels.or(update.channels),
        duration_seconds: update
            .duration_seconds
            .filter(|_| !is_final(known.status))
            .or(known.duration_seconds)
            .or(update.duration_seconds),
        started_at: known.started_at.or(update.started_at),
    }
}

/// Returns the recording's state after Twilio has confirmed that a paused recording is running again.
pub(super) fn resume(known: &Recording) -> Recording {
    let mut next = known.clone();
    if next.status == RecordingStatus::Paused {
        next.status = RecordingStatus::InProgress;
    }
    next
}

fn is_final(status: RecordingStatus) -> bool {
    stage(status) == 2
}

/// Stages are monotonic: a recording never returns to an earlier one.
fn stage(status: RecordingStatus) -> u8 {
    match status {
        RecordingStatus::InProgress | RecordingStatus::Paused => 0,
        RecordingStatus::Stopped => 1,
        RecordingStatus::Completed | RecordingStatus::Absent | RecordingStatus::Failed => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CallSid, RecordingSid};
    use RecordingStatus::{Absent, Completed, Failed, InProgress, Paused, Stopped};

    fn recording(status: RecordingStatus) -> Recording {
        Recording {
            sid: RecordingSid::parse("RE00000000000000000000000000000001").unwrap(),
            call_sid: CallSid::parse("CA00000000000000000000000000000001").unwrap(),
            status,
            channels: None,
            duration_seconds: None,
            started_at: None,
        }
    }

    #[test]
    fn a_recording_never_goes_back() {
        for (known, update, next) in [
            (InProgress, Paused, Paused),
            (InProgress, Stopped, Stopped),
            (Paused, Completed, Completed),
            (Paused, Stopped, Stopped),
            (Stopped, Completed, Completed),
            (Stopped, InProgress, Stopped),
            (Stopped, Paused, Stopped),
            (Completed, InProgress, Completed),
            (Completed, Stopped, Completed),
            (Completed, Failed, Completed),
            (Absent, Completed, Absent),
        ] {
            let merged = merge_update(&recording(known), &recording(update));
            assert_eq!(merged.status, next, "{known:?} then {update:?}");
        }
    }

    #[test]
    fn only_a_command_ends_a_hold() {
        let held = recording(Paused);
        assert_eq!(merge_update(&held, &recording(InProgress)).status, Paused);
        assert_eq!(resume(&held).status, InProgress);
        assert_eq!(resume(&recording(Completed)).status, Completed);
    }

    #[test]
    fn what_is_known_stays_known() {
        let update = Recording {
            channels: Some(2),
            duration_seconds: Some(11),
            ..recording(Completed)
        };
        let done = merge_update(&recording(InProgress), &update);
        assert_eq!((done.channels, done.duration_seconds), (Some(2), Some(11)));
        assert_eq!(merge_update(&done, &recording(Completed)), done);
    }
}
