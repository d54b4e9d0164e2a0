//! Rate limits of sign-in attempts. Pure: no I/O.
//!
//! Every attempt counts, right or wrong, before the password is compared. A browser that has signed
//! in as this user before has a limit of its own, so that no other client can lock its user out (a
//! "device cookie":
//! <https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies>). Any
//! other attempt counts three times:
//!
//! - for its network, which stops one client that tries many names;
//! - for its network and name, which stops one client that tries one name;
//! - for its name, which slows many clients that try one name. Only this limit can delay a user
//!   because of others, and only in a browser that never signed in as this user.

use core::net::IpAddr;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::access::secret::SecretHash;
use crate::limits;

/// An attempt exceeded a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts: try again in {} seconds", wait.as_secs() + 1)]
pub struct RateLimitExceeded {
    /// Time until the next attempt is allowed.
    pub wait: Duration,
}

/// The bucket of a key: its hash, truncated to this size, so that memory is bounded for any input.
/// Two keys in one bucket share their count; clients cannot choose with which key, because the hash
/// has a secret key.
type BucketIndex = u16;

type BucketLimiter =
    RateLimiter<BucketIndex, DashMapStateStore<BucketIndex>, InjectedClock, NoOpMiddleware<Nanos>>;

/// Counts attempts.
pub struct SignInRateLimiter {
    began: Instant,
    clock: InjectedClock,
    hasher: RandomState,
    networks: BucketLimiter,
    names_of_network: BucketLimiter,
    names: BucketLimiter,
    known_browsers: BucketLimiter,
}

/// A sign-in attempt, before the password is checked.
#[derive(Debug, Clone, Copy)]
pub struct SignInAttempt<'a> {
    /// The client's address.
    pub address: IpAddr,
    /// The user name that the client sent.
    pub name: &'a str,
    /// The hash of the browser's secret, if the browser has signed in under this name before.
    pub known_browser: Option<SecretHash>,
}

impl SignInRateLimiter {
    /// Creates a limiter without attempts.
    pub fn new(now: Instant) -> Self {
        let clock = InjectedClock::default();
        let limiter = |every, burst| {
            let quota = Quota::with_period(every).expect("an interval that is not zero");
            RateLimiter::dashmap_with_clock(quota.allow_burst(burst), clock.clone())
        };
        Self {
            networks: limiter(
                limits::SIGN_IN_NETWORK_INTERVAL,
                limits::SIGN_INS_PER_NETWORK_MAX,
            ),
            names_of_network: limiter(
                limits::SIGN_IN_NAME_INTERVAL,
                limits::SIGN_INS_PER_NETWORK_AND_NAME_MAX,
            ),
            names: limiter(limits::SIGN_IN_NAME_INTERVAL, limits::SIGN_INS_PER_NAME_MAX),
            known_browsers: limiter(
                limits::SIGN_IN_NAME_INTERVAL,
                limits::SIGN_INS_PER_KNOWN_BROWSER_MAX,
            ),
            hasher: RandomState::new(),
            began: now,
            clock,
        }
    }

    /// Counts an attempt, or refuses it. A limit that refuses an attempt is checked before the next
    /// ones count it, so that one network cannot use up a name's limit.
    pub fn check_rate_limit(
        &self,
        attempt: &SignInAttempt<'_>,
        now: Instant,
    ) -> Result<(), RateLimitExceeded> {
        self.clock
            .advance_to(now.saturating_duration_since(self.began));
        let name = attempt.name.trim().to_lowercase();
        if let Some(browser) = attempt.known_browser {
            return self.check_bucket(&self.known_browsers, (browser, name));
        }
        let network = client_network(attempt.address);
        self.check_bucket(&self.networks, network)?;
        self.check_bucket(&self.names_of_network, (network, name.as_str()))?;
        self.check_bucket(&self.names, name)
    }

    fn check_bucket(
        &self,
        limiter: &BucketLimiter,
        key: impl Hash,
    ) -> Result<(), RateLimitExceeded> {
        let bucket = self.hasher.hash_one(key) as BucketIndex;
        limiter
            .check_key(&bucket)
            .map_err(|until| RateLimitExceeded {
                wait: until.wait_time_from(self.clock.now()),
            })
    }
}

impl fmt::Debug for SignInRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInRateLimiter")
    }
}

/// Returns the network within which one client can choose its addresses: for IPv6 the /64.
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

/// A clock that the caller sets, and that never goes backwards.
#[derive(Debug, Clone, Default)]
struct InjectedClock(Arc<AtomicU64>);

impl InjectedClock {
    fn advance_to(&self, since_beginning: Duration) {
        let nanos = u64::try_from(since_beginning.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl Clock for InjectedClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const HERE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn from(address: IpAddr, name: &str) -> SignInAttempt<'_> {
        SignInAttempt {
            address,
            name,
            known_browser: None,
        }
    }

    fn in_network(n: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + n).into())
    }

    /// Counts attempts until one is refused. Returns their number and the time to wait.
    fn attempts(mut attempt: impl FnMut(u32) -> Result<(), RateLimitExceeded>) -> (u32, Duration) {
        (0..10_000)
            .find_map(|n| attempt(n).err().map(|refused| (n, refused.wait)))
            .expect("nobody was ever refused")
    }

    #[test]
    fn a_network_that_tries_many_names_is_stopped_and_told_when_to_come_back() {
        let start = clock::now();
        let sign_in_rate_limiter = SignInRateLimiter::new(start);
        let (allowed, wait) = attempts(|n| {
            sign_in_rate_limiter.check_rate_limit(&from(HERE, &format!("user{n}")), start)
        });
        assert_eq!(allowed, limits::SIGN_INS_PER_NETWORK_MAX.get());
        assert!(!wait.is_zero() && wait <= limits::SIGN_IN_NETWORK_INTERVAL);
        let other = from(address("192.0.2.2"), "x");
        assert!(sign_in_rate_limiter.check_rate_limit(&other, start).is_ok());

        let back = start + wait;
        let early = back.checked_sub(Duration::from_millis(1)).unwrap();
        let someone = from(HERE, "someone");
        assert!(
            sign_in_rate_limiter
                .check_rate_limit(&someone, early)
                .is_err()
        );
        assert!(
            sign_in_rate_limiter
                .check_rate_limit(&someone, back)
                .is_ok()
        );
        assert!(
            sign_in_rate_limiter
                .check_rate_limit(&someone, back)
                .is_err()
        );
    }

    #[test]
    fn a_network_that_tries_one_name_is_stopped_and_its_owner_elsewhere_is_not() {
        let start = clock::now();
        let sign_in_rate_limiter = SignInRateLimiter::new(start);
        let spellings = ["alice", "Alice", " ALICE "];
        let (allowed, wait) = attempts(|n| {
            sign_in_rate_limiter.check_rate_limit(&from(HERE, spellings[n as usize % 3]), start)
        });
        assert_eq!(allowed, limits::SIGN_INS_PER_NETWORK_AND_NAME_MAX.get());
        assert!(wait <= limits::SIGN_IN_NAME_INTERVAL);
        // For an hour the attacker tries again every 2.6 s, and the owner every minute.
        for second in 0..3_600_u32 {
            let now = start + Duration::from_secs(second.into());
            if second.is_multiple_of(2) {
                let _ = sign_in_rate_limiter.check_rate_limit(&from(HERE, "alice"), now);
            }
            if second.is_multiple_of(60) {
                let owner = from(in_network(second), "alice");
                assert_eq!(
                    sign_in_rate_limiter.check_rate_limit(&owner, now),
                    Ok(()),
                    "after {second} s"
                );
            }
        }
    }

    #[test]
    fn a_name_that_many_networks_try_is_slowed_and_a_browser_that_is_known_is_not() {
        let start = clock::now();
        let sign_in_rate_limiter = SignInRateLimiter::new(start);
        let (allowed, _) = attempts(|n| {
            sign_in_rate_limiter.check_rate_limit(&from(in_network(n), "alice"), start)
        });
        assert_eq!(allowed, limits::SIGN_INS_PER_NAME_MAX.get());
        assert!(
            sign_in_rate_limiter
                .check_rate_limit(&from(HERE, "bob"), start)
                .is_ok()
        );

        let known = SignInAttempt {
            known_browser: Some([7; 32]),
            ..from(in_network(0), "alice")
        };
        let (allowed, _) = attempts(|_| sign_in_rate_limiter.check_rate_limit(&known, start));
        assert_eq!(allowed, limits::SIGN_INS_PER_KNOWN_BROWSER_MAX.get());
        let other = SignInAttempt {
            known_browser: Some([8; 32]),
            ..known
        };
        assert!(sign_in_rate_limiter.check_rate_limit(&other, start).is_ok());
        let of_another_user = SignInAttempt {
            name: "bob",
            ..known
        };
        assert!(
            sign_in_rate_limiter
                .check_rate_limit(&of_another_user, start)
                .is_ok()
        );
    }

    #[test]
    fn addresses_that_one_client_can_take_at_will_count_as_one() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let [first, second] = [one, other].map(|text| client_network(address(text)));
            assert_eq!(first == second, same, "{one} and {other}");
        }
    }

    #[test]
    fn strangers_cannot_make_it_grow() {
        let start = clock::now();
        let sign_in_rate_limiter = SignInRateLimiter::new(start);
        for n in 0..200_000_u32 {
            let mut browser = [0; 32];
            browser[..4].copy_from_slice(&n.to_be_bytes());
            let name = format!("user{n}");
            let unknown = from(IpAddr::V4(n.into()), &name);
            let known = SignInAttempt {
                known_browser: Some(browser),
                ..unknown
            };
            let _ = sign_in_rate_limiter.check_rate_limit(&unknown, start);
            let _ = sign_in_rate_limiter.check_rate_limit(&known, start);
        }
        for limiter in [
            &sign_in_rate_limiter.networks,
            &sign_in_rate_limiter.names_of_network,
            &sign_in_rate_limiter.names,
            &sign_in_rate_limiter.known_browsers,
        ] {
            assert!(limiter.len() <= 65_536);
        }
    }

    #[test]
    fn time_that_goes_back_lets_nobody_in() {
        let start = clock::now();
        let sign_in_rate_limiter = SignInRateLimiter::new(start + Duration::from_mins(1));
        let (allowed, _) =
            attempts(|_| sign_in_rate_limiter.check_rate_limit(&from(HERE, "alice"), start));
        assert_eq!(allowed, limits::SIGN_INS_PER_NETWORK_AND_NAME_MAX.get());
    }
}
