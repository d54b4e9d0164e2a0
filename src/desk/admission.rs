//! Which call a media socket may carry: `/voice` hands out a secret for each stream, and the socket
//! that brings it back may carry exactly that call, once. Pure: no I/O; takes `now`, and the hashes
//! of secrets.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::ids::CallSid;
use crate::limits;

/// SHA-256 of a secret.
pub(super) type Hash = [u8; 32];

/// The sockets that are expected.
#[derive(Debug, Default)]
pub(super) struct Admissions {
    waiting: BTreeMap<Hash, Admission>,
    /// Counts admissions, so that the oldest can be told.
    issued: u64,
}

#[derive(Debug)]
struct Admission {
    stream: Expected,
    number: u64,
    expires: Instant,
}

/// The stream that a secret was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its call.
    pub call: CallSid,
    /// The how manyth of the call's streams it is, from 1.
    pub number: u32,
}

impl Admissions {
    /// Expects a socket for `stream`, and no longer for an earlier one of the same call: what the
    /// call says next is to be heard once.
    pub(super) fn issue(&mut self, hash: Hash, stream: Expected, now: Instant) {
        let is_good = |old: &Admission| old.expires > now && old.stream.call != stream.call;
        self.waiting.retain(|_, admission| is_good(admission));
        if self.waiting.len() >= limits::ADMISSIONS_MAX {
            let oldest = self.waiting.iter().min_by_key(|(_, a)| a.number);
            if let Some(oldest) = oldest.map(|(hash, _)| *hash) {
                self.waiting.remove(&oldest);
            }
        }
        self.issued += 1;
        let admission = Admission {
            stream,
            number: self.issued,
            expires: now + limits::ADMISSION_WAIT_MAX,
        };
        self.waiting.insert(hash, admission);
    }

    /// The stream that the socket with this secret may carry; a secret is good once. Looked up by
    /// hash, so that the time it takes says nothing about the secret.
    pub(super) fn redeem(&mut self, hash: &Hash, now: Instant) -> Option<Expected> {
        let admission = self.waiting.remove(hash)?;
        (admission.expires > now).then_some(admission.stream)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    /// The first stream of the `n`th call.
    fn call(n: usize) -> Expected {
        let call = CallSid::parse(&format!("CA{n:032x}")).unwrap();
        Expected { call, number: 1 }
    }

    fn hash(n: usize) -> Hash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&(n as u64).to_le_bytes());
        hash
    }

    #[test]
    fn a_secret_opens_one_socket_of_one_call() {
        let (mut admissions, now) = (Admissions::default(), clock::now());
        admissions.issue(hash(1), call(1), now);
        admissions.issue(hash(2), call(2), now);
        assert_eq!(admissions.redeem(&hash(2), now), Some(call(2)));
        assert_eq!(admissions.redeem(&hash(2), now), None, "a second time");
        assert_eq!(admissions.redeem(&hash(3), now), None, "never issued");
        assert_eq!(admissions.redeem(&hash(1), now), Some(call(1)));
    }

    #[test]
    fn the_next_stream_of_a_call_takes_the_place_of_the_one_before() {
        let (mut admissions, now) = (Admissions::default(), clock::now());
        let second = Expected {
            number: 2,
            ..call(1)
        };
        admissions.issue(hash(1), call(1), now);
        admissions.issue(hash(2), second.clone(), now);
        assert_eq!(admissions.redeem(&hash(1), now), None);
        assert_eq!(admissions.redeem(&hash(2), now), Some(second));
    }

    #[test]
    fn a_secret_grows_old() {
        let (mut admissions, now) = (Admissions::default(), clock::now());
        admissions.issue(hash(1), call(1), now);
        admissions.issue(hash(2), call(2), now);
        let late = now + limits::ADMISSION_WAIT_MAX;
        let in_time = late.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(admissions.redeem(&hash(1), in_time), Some(call(1)));
        assert_eq!(admissions.redeem(&hash(2), late), None);
    }

    #[test]
    fn the_oldest_is_forgotten_when_too_many_wait() {
        let (mut admissions, now) = (Admissions::default(), clock::now());
        for n in 0..=limits::ADMISSIONS_MAX {
            // Hashes are in no order of time.
            admissions.issue(hash(usize::MAX - n), call(n), now);
        }
        assert_eq!(admissions.redeem(&hash(usize::MAX), now), None);
        assert_eq!(admissions.redeem(&hash(usize::MAX - 1), now), Some(call(1)));
        assert_eq!(admissions.waiting.len(), limits::ADMISSIONS_MAX - 1);
    }
}
