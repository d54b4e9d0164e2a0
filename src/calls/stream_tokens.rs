//! One-time tokens that bind a media WebSocket to a call. `/voice` issues one for each stream; redeeming it
//! consumes it. Pure: no I/O; takes `now`, and the hashes of tokens.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::ids::CallSid;
use crate::limits;

/// SHA-256 of a token.
pub(super) type TokenHash = [u8; 32];

/// Issued tokens, at most [`limits::STREAM_TOKENS_MAX`].
#[derive(Debug, Default)]
pub(super) struct StreamTokens {
    tokens: BTreeMap<TokenHash, IssuedToken>,
    /// Counts issued tokens, so that the oldest can be determined.
    issued_count: u64,
}

#[derive(Debug)]
struct IssuedToken {
    stream: ExpectedStream,
    sequence: u64,
    expires_at: Instant,
}

/// Stream that a token was issued for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedStream {
    pub call: CallSid,
    /// The stream's number within the call, from 1.
    pub number: u32,
}

impl StreamTokens {
    /// Issues a token for `stream`, and revokes the tokens of the call's earlier streams: the same speech
    /// must be transcribed only once.
    pub(super) fn issue(&mut self, hash: TokenHash, stream: ExpectedStream, now: Instant) {
        let is_good = |old: &IssuedToken| old.expires_at > now && old.stream.call != stream.call;
        self.tokens.retain(|_, token| is_good(token));
        if self.tokens.len() >= limits::STREAM_TOKENS_MAX {
            let oldest = self.tokens.iter().min_by_key(|(_, token)| token.sequence);
            if let Some(oldest) = oldest.map(|(hash, _)| *hash) {
                self.tokens.remove(&oldest);
            }
        }
        self.issued_count += 1;
        let token = IssuedToken {
            stream,
            sequence: self.issued_count,
            expires_at: now + limits::STREAM_TOKEN_LIFETIME,
        };
        self.tokens.insert(hash, token);
    }

    /// Redeems a token: returns its stream, once; `None` if the token is unknown, used or expired. The
    /// look-up is by hash, so that its duration reveals nothing about the token.
    pub(super) fn redeem(&mut self, hash: &TokenHash, now: Instant) -> Option<ExpectedStream> {
        let token = self.tokens.remove(hash)?;
        (token.expires_at > now).then_some(token.stream)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    /// The first stream of the `n`th call.
    fn call(n: usize) -> ExpectedStream {
        let call = CallSid::parse(&format!("CA{n:032x}")).unwrap();
        ExpectedStream { call, number: 1 }
    }

    fn hash(n: usize) -> TokenHash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&(n as u64).to_le_bytes());
        hash
    }

    #[test]
    fn a_secret_opens_one_socket_of_one_call() {
        let (mut tokens, now) = (StreamTokens::default(), clock::now());
        tokens.issue(hash(1), call(1), now);
        tokens.issue(hash(2), call(2), now);
        assert_eq!(tokens.redeem(&hash(2), now), Some(call(2)));
        assert_eq!(tokens.redeem(&hash(2), now), None, "a second time");
        assert_eq!(tokens.redeem(&hash(3), now), None, "never issued");
        assert_eq!(tokens.redeem(&hash(1), now), Some(call(1)));
    }

    #[test]
    fn the_next_stream_of_a_call_takes_the_place_of_the_one_before() {
        let (mut tokens, now) = (StreamTokens::default(), clock::now());
        let second = ExpectedStream {
            number: 2,
            ..call(1)
        };
        tokens.issue(hash(1), call(1), now);
        tokens.issue(hash(2), second.clone(), now);
        assert_eq!(tokens.redeem(&hash(1), now), None);
        assert_eq!(tokens.redeem(&hash(2), now), Some(second));
    }

    #[test]
    fn a_secret_grows_old() {
        let (mut tokens, now) = (StreamTokens::default(), clock::now());
        tokens.issue(hash(1), call(1), now);
        tokens.issue(hash(2), call(2), now);
        let late = now + limits::STREAM_TOKEN_LIFETIME;
        let in_time = late.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(tokens.redeem(&hash(1), in_time), Some(call(1)));
        assert_eq!(tokens.redeem(&hash(2), late), None);
    }

    #[test]
    fn the_oldest_is_forgotten_when_too_many_wait() {
        let (mut tokens, now) = (StreamTokens::default(), clock::now());
        for n in 0..=limits::STREAM_TOKENS_MAX {
            // Hashes are in no order of time.
            tokens.issue(hash(usize::MAX - n), call(n), now);
        }
        assert_eq!(tokens.redeem(&hash(usize::MAX), now), None);
        assert_eq!(tokens.redeem(&hash(usize::MAX - 1), now), Some(call(1)));
        assert_eq!(tokens.tokens.len(), limits::STREAM_TOKENS_MAX - 1);
    }
}
