//! Bounds on attempts to sign in. Pure: no I/O.
//!
//! Every attempt counts, right or wrong, before the password is compared. A browser that has signed in
//! as this user before has a count of its own, so that nobody else can lock its user out (a "device
//! cookie": <https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies>).
//! Any other attempt counts three times:
//!
//! - for its network, which stops one client that tries many names;
//! - for its network and name, which stops one client that tries one name;
//! - for its name, which slows many clients that try one name. Only this count can make the owner of
//!   a name wait because of others, and only in a browser that never signed in as this user.

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

/// An attempt that came too soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts: try again in {} seconds", wait.as_secs() + 1)]
pub struct TooSoon {
    /// How long until the next may be made.
    pub wait: Duration,
}

/// Where a key is counted: its hash, cut to this size, so that memory has a bound whatever
/// strangers send. Two keys in one place share their count; nobody can choose with whom, because
/// the hash has a secret key.
type Place = u16;

type Limiter = RateLimiter<Place, DashMapStateStore<Place>, Told, NoOpMiddleware<Nanos>>;

/// Counts attempts.
pub struct Throttle {
    began: Instant,
    told: Told,
    hasher: RandomState,
    networks: Limiter,
    names_of_network: Limiter,
    names: Limiter,
    known_browsers: Limiter,
}

/// An attempt to sign in.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The client's address.
    pub address: IpAddr,
    /// The name that it gives.
    pub name: &'a str,
    /// The browser, if it has signed in under this name before: the hash of its secret.
    pub known_browser: Option<SecretHash>,
}

impl Throttle {
    /// Begins to count.
    pub fn new(now: Instant) -> Self {
        let told = Told::default();
        let limiter = |every, burst| {
            let quota = Quota::with_period(every).expect("an interval that is not zero");
            RateLimiter::dashmap_with_clock(quota.allow_burst(burst), told.clone())
        };
        Self {
            networks: limiter(
                limits::SIGN_IN_NETWORK_EVERY,
                limits::SIGN_INS_PER_NETWORK_MAX,
            ),
            names_of_network: limiter(
                limits::SIGN_IN_NAME_EVERY,
                limits::SIGN_INS_PER_NETWORK_AND_NAME_MAX,
            ),
            names: limiter(limits::SIGN_IN_NAME_EVERY, limits::SIGN_INS_PER_NAME_MAX),
            known_browsers: limiter(
                limits::SIGN_IN_NAME_EVERY,
                limits::SIGN_INS_PER_KNOWN_BROWSER_MAX,
            ),
            hasher: RandomState::new(),
            began: now,
            told,
        }
    }

    /// Counts an attempt, or refuses it. A count that refuses an attempt stops the ones behind it
    /// from counting, so that one network alone cannot use up a name's count.
    pub fn check(&self, attempt: &Attempt<'_>, now: Instant) -> Result<(), TooSoon> {
        self.told.tell(now.saturating_duration_since(self.began));
        let name = attempt.name.trim().to_lowercase();
        if let Some(browser) = attempt.known_browser {
            return self.count(&self.known_browsers, (browser, name));
        }
        let network = network(attempt.address);
        self.count(&self.networks, network)?;
        self.count(&self.names_of_network, (network, name.as_str()))?;
        self.count(&self.names, name)
    }

    fn count(&self, limiter: &Limiter, key: impl Hash) -> Result<(), TooSoon> {
        let place = self.hasher.hash_one(key) as Place;
        limiter.check_key(&place).map_err(|until| TooSoon {
            wait: until.wait_time_from(self.told.now()),
        })
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Throttle")
    }
}

/// The network of an address, whose addresses one client can take at will: of IPv6 the /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

/// A clock that is told the time, and never goes back.
#[derive(Debug, Clone, Default)]
struct Told(Arc<AtomicU64>);

impl Told {
    fn tell(&self, since_beginning: Duration) {
        let nanos = u64::try_from(since_beginning.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl Clock for Told {
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

    fn from(address: IpAddr, name: &str) -> Attempt<'_> {
        Attempt {
            address,
            name,
            known_browser: None,
        }
    }

    fn in_network(n: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + n).into())
    }

    /// Attempts until one is refused.
    fn attempts(mut attempt: impl FnMut(u32) -> Result<(), TooSoon>) -> (u32, Duration) {
        (0..10_000)
            .find_map(|n| attempt(n).err().map(|refused| (n, refused.wait)))
            .expect("nobody was ever refused")
    }

    #[test]
    fn a_network_that_tries_many_names_is_stopped_and_told_when_to_come_back() {
        let start = clock::now();
        let throttle = Throttle::new(start);
        let (allowed, wait) = attempts(|n| throttle.check(&from(HERE, &format!("user{n}")), start));
        assert_eq!(allowed, limits::SIGN_INS_PER_NETWORK_MAX.get());
        assert!(!wait.is_zero() && wait <= limits::SIGN_IN_NETWORK_EVERY);
        let other = from(address("192.0.2.2"), "x");
        assert!(throttle.check(&other, start).is_ok());

        let back = start + wait;
        let early = back.checked_sub(Duration::from_millis(1)).unwrap();
        let someone = from(HERE, "someone");
        assert!(throttle.check(&someone, early).is_err());
        assert!(throttle.check(&someone, back).is_ok());
        assert!(throttle.check(&someone, back).is_err());
    }

    #[test]
    fn a_network_that_tries_one_name_is_stopped_and_its_owner_elsewhere_is_not() {
        let start = clock::now();
        let throttle = Throttle::new(start);
        let spellings = ["alice", "Alice", " ALICE "];
        let (allowed, wait) =
            attempts(|n| throttle.check(&from(HERE, spellings[n as usize % 3]), start));
        assert_eq!(allowed, limits::SIGN_INS_PER_NETWORK_AND_NAME_MAX.get());
        assert!(wait <= limits::SIGN_IN_NAME_EVERY);
        // For an hour the client tries again every 2.6 s, and the owner every minute.
        for second in 0..3_600_u32 {
            let now = start + Duration::from_secs(second.into());
            if second.is_multiple_of(2) {
                let _ = throttle.check(&from(HERE, "alice"), now);
            }
            if second.is_multiple_of(60) {
                let owner = from(in_network(second), "alice");
                assert_eq!(throttle.check(&owner, now), Ok(()), "after {second} s");
            }
        }
    }

    #[test]
    fn a_name_that_many_networks_try_is_slowed_and_a_browser_that_is_known_is_not() {
        let start = clock::now();
        let throttle = Throttle::new(start);
        let (allowed, _) = attempts(|n| throttle.check(&from(in_network(n), "alice"), start));
        assert_eq!(allowed, limits::SIGN_INS_PER_NAME_MAX.get());
        assert!(throttle.check(&from(HERE, "bob"), start).is_ok());

        let known = Attempt {
            known_browser: Some([7; 32]),
            ..from(in_network(0), "alice")
        };
        let (allowed, _) = attempts(|_| throttle.check(&known, start));
        assert_eq!(allowed, limits::SIGN_INS_PER_KNOWN_BROWSER_MAX.get());
        let other = Attempt {
            known_browser: Some([8; 32]),
            ..known
        };
        assert!(throttle.check(&other, start).is_ok());
        let of_another_user = Attempt {
            name: "bob",
            ..known
        };
        assert!(throttle.check(&of_another_user, start).is_ok());
    }

    #[test]
    fn addresses_that_one_client_can_take_at_will_count_as_one() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let [first, second] = [one, other].map(|text| network(address(text)));
            assert_eq!(first == second, same, "{one} and {other}");
        }
    }

    #[test]
    fn strangers_cannot_make_it_grow() {
        let start = clock::now();
        let throttle = Throttle::new(start);
        for n in 0..200_000_u32 {
            let mut browser = [0; 32];
            browser[..4].copy_from_slice(&n.to_be_bytes());
            let name = format!("user{n}");
            let unknown = from(IpAddr::V4(n.into()), &name);
            let known = Attempt {
                known_browser: Some(browser),
                ..unknown
            };
            let _ = throttle.check(&unknown, start);
            let _ = throttle.check(&known, start);
        }
        for limiter in [
            &throttle.networks,
            &throttle.names_of_network,
            &throttle.names,
            &throttle.known_browsers,
        ] {
            assert!(limiter.len() <= 65_536);
        }
    }

    #[test]
    fn time_that_goes_back_lets_nobody_in() {
        let start = clock::now();
        let throttle = Throttle::new(start + Duration::from_mins(1));
        let (allowed, _) = attempts(|_| throttle.check(&from(HERE, "alice"), start));
        assert_eq!(allowed, limits::SIGN_INS_PER_NETWORK_AND_NAME_MAX.get());
    }
}
