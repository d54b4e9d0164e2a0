//! Decides whether, and when, a request to Twilio is retried. Pure: no I/O.
//!
//! A request that Twilio has not received (no connection) or not processed (429) can always be repeated.
//! Otherwise it depends on the effect of a repetition: see [`RequestKind`].

use std::time::Duration;

use super::error::TwilioError;
use crate::limits;

/// The kind of a request, by the effect of a repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// A read: can be repeated at will.
    Read,
    /// Sets a state: idempotent.
    Change,
    /// Creates a resource: a repetition creates a second one.
    Create,
}

/// Timeouts and retries of requests to Twilio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Timeout for connecting.
    pub connect_timeout: Duration,
    /// Timeout for a whole response.
    pub request_timeout: Duration,
    /// Timeout for the next piece of a recording.
    pub read_timeout: Duration,
    /// Attempts at one request, including the first.
    pub attempts_max: u32,
    /// Delay before the second attempt; it doubles with each further attempt.
    pub backoff: Duration,
    /// Longest `Retry-After` that is honoured.
    pub retry_after_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            connect_timeout: limits::REST_CONNECT_WAIT_MAX,
            request_timeout: limits::REST_REQUEST_TIME_MAX,
            read_timeout: limits::REST_MEDIA_IDLE_MAX,
            attempts_max: limits::REST_ATTEMPTS_MAX,
            backoff: limits::REST_RETRY_BACKOFF,
            retry_after_max: limits::REST_RETRY_AFTER_MAX,
        }
    }
}

impl RetryPolicy {
    /// Returns the delay after the `attempt`th attempt (from 1) before the next; `None` if there is no
    /// further attempt.
    pub fn retry_delay(
        &self,
        attempt: u32,
        error: &TwilioError,
        kind: RequestKind,
    ) -> Option<Duration> {
        if attempt >= self.attempts_max || !is_retryable(error, kind) {
            return None;
        }
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let pause = self.backoff.saturating_mul(doubled);
        let asked = error
            .error_response()
            .and_then(|refusal| refusal.retry_after);
        match asked {
            Some(asked) if asked > self.retry_after_max => None,
            Some(asked) => Some(asked.max(pause)),
            None => Some(pause),
        }
    }
}

fn is_retryable(error: &TwilioError, kind: RequestKind) -> bool {
    let twice_is_once = matches!(kind, RequestKind::Read | RequestKind::Change);
    match error {
        TwilioError::Unreachable { .. } => true,
        TwilioError::Lost { .. } => twice_is_once,
        TwilioError::Refused(_) if error.is_rate_limited() => true,
        // 16114: the recording was changing; 408 is the same as an HTTP status.
        TwilioError::Refused(refusal) => {
            let passing = refusal.status >= 500 || refusal.status == 408;
            twice_is_once && (passing || refusal.code == Some(16_114))
        }
        TwilioError::InvalidRequest { .. }
        | TwilioError::Unreadable { .. }
        | TwilioError::ForeignHost => false,
    }
}

/// Adds up to half of `wait`, so that clients that failed together do not retry together. `random_u32` is any
/// number.
pub(super) fn with_jitter(wait: Duration, random_u32: u32) -> Duration {
    wait + (wait / 2).mul_f64(f64::from(random_u32) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::error::TwilioErrorResponse;
    use super::*;

    fn refused(status: u16, code: Option<u32>, retry_after_secs: Option<u64>) -> TwilioError {
        TwilioError::Refused(TwilioErrorResponse {
            status,
            code,
            message: String::new(),
            retry_after: retry_after_secs.map(Duration::from_secs),
        })
    }

    #[test]
    fn only_what_is_safe_is_repeated() {
        let unreachable = TwilioError::Unreachable {
            reason: String::new(),
        };
        let lost = TwilioError::Lost {
            reason: String::new(),
        };
        let unreadable_response = TwilioError::Unreadable {
            reason: String::new(),
        };
        // The failure; whether a read, a change and a creation can be repeated.
        for (error, repeats) in [
            (unreachable, [true, true, true]),
            (refused(429, Some(20_429), None), [true, true, true]),
            (refused(429, None, None), [true, true, true]),
            (lost, [true, true, false]),
            (refused(500, None, None), [true, true, false]),
            (refused(503, Some(20_503), None), [true, true, false]),
            (refused(408, None, None), [true, true, false]),
            (refused(409, Some(16_114), None), [true, true, false]),
            (refused(400, Some(21_220), None), [false, false, false]),
            (refused(401, Some(20_003), None), [false, false, false]),
            (refused(404, Some(20_404), None), [false, false, false]),
            (unreadable_response, [false, false, false]),
            (TwilioError::ForeignHost, [false, false, false]),
        ] {
            for (kind, repeat) in [RequestKind::Read, RequestKind::Change, RequestKind::Create]
                .into_iter()
                .zip(repeats)
            {
                let wait = RetryPolicy::default().retry_delay(1, &error, kind);
                let expected = repeat.then_some(limits::REST_RETRY_BACKOFF);
                assert_eq!(wait, expected, "{kind:?} after {error:?}");
            }
        }
    }

    #[test]
    fn waits_double_and_attempts_end() {
        let retry_policy = RetryPolicy {
            attempts_max: 4,
            ..RetryPolicy::default()
        };
        let lost = TwilioError::Lost {
            reason: String::new(),
        };
        let waits =
            (1..=5).map(|attempt| retry_policy.retry_delay(attempt, &lost, RequestKind::Read));
        let pause = limits::REST_RETRY_BACKOFF;
        let expected = [Some(pause), Some(pause * 2), Some(pause * 4), None, None];
        assert_eq!(waits.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn retry_after_is_heeded_up_to_a_bound() {
        let retry = |seconds| {
            let busy = refused(429, Some(20_429), Some(seconds));
            RetryPolicy::default().retry_delay(1, &busy, RequestKind::Create)
        };
        assert_eq!(retry(0), Some(limits::REST_RETRY_BACKOFF));
        assert_eq!(retry(3), Some(Duration::from_secs(3)));
        assert_eq!(retry(limits::REST_RETRY_AFTER_MAX.as_secs() + 1), None);
    }

    #[test]
    fn chance_only_ever_adds() {
        let second = Duration::from_secs(1);
        assert_eq!(with_jitter(second, 0), second);
        assert_eq!(with_jitter(second, u32::MAX), second * 3 / 2);
    }
}
