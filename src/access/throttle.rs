//! Who knocks too often: attempts to sign in, counted for each address and for each user name.
//! Pure: no I/O.
//!
//! Every attempt counts, right or wrong, before the password is looked at. An address that guesses
//! many names is stopped by the first count, many addresses that guess at one name by the second.
//! The price of the second: whoever knows a name can make its owner wait, at most
//! [`limits::SIGN_IN_NAME_EVERY`] for each try, while sessions that are open stay so.

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
    addresses: Limiter,
    names: Limiter,
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
            addresses: limiter(
                limits::SIGN_IN_ADDRESS_EVERY,
                limits::SIGN_INS_PER_ADDRESS_MAX,
            ),
            names: limiter(limits::SIGN_IN_NAME_EVERY, limits::SIGN_INS_PER_NAME_MAX),
            hasher: RandomState::new(),
            began: now,
            told,
        }
    }

    /// Counts an attempt of a client at `address` to come in as `name`.
    pub fn knock(&self, address: IpAddr, name: &str, now: Instant) -> Result<(), TooSoon> {
        self.told.tell(now.saturating_duration_since(self.began));
        self.count(&self.addresses, neighbourhood(address))?;
        self.count(&self.names, name.trim().to_lowercase())
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

/// The addresses that one client can take at will: of IPv6 a whole /64.
fn neighbourhood(address: IpAddr) -> IpAddr {
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

    /// Attempts until one is refused.
    fn attempts(mut knock: impl FnMut(u32) -> Result<(), TooSoon>) -> (u32, Duration) {
        (0..10_000)
            .find_map(|n| knock(n).err().map(|refused| (n, refused.wait)))
            .expect("nobody was ever refused")
    }

    #[test]
    fn an_address_that_tries_many_names_is_stopped_and_told_when_to_come_back() {
        let start = clock::now();
        let throttle = Throttle::new(start);
        let (let_in, wait) = attempts(|n| throttle.knock(HERE, &format!("user{n}"), start));
        assert_eq!(let_in, limits::SIGN_INS_PER_ADDRESS_MAX.get());
        assert!(!wait.is_zero() && wait <= limits::SIGN_IN_ADDRESS_EVERY);
        assert!(throttle.knock(address("192.0.2.2"), "x", start).is_ok());

        let back = start + wait;
        let early = back.checked_sub(Duration::from_millis(1)).unwrap();
        assert!(throttle.knock(HERE, "someone", early).is_err());
        assert!(throttle.knock(HERE, "someone", back).is_ok());
        assert!(throttle.knock(HERE, "someone", back).is_err());
    }

    #[test]
    fn a_name_that_many_addresses_try_is_stopped_whatever_its_case() {
        let start = clock::now();
        let throttle = Throttle::new(start);
        let spellings = ["alice", "Alice", " ALICE "];
        let (let_in, wait) = attempts(|n| {
            let from = IpAddr::V4((0x0a00_0000 + n).into());
            throttle.knock(from, spellings[n as usize % 3], start)
        });
        assert_eq!(let_in, limits::SIGN_INS_PER_NAME_MAX.get());
        assert!(wait <= limits::SIGN_IN_NAME_EVERY);
        assert!(throttle.knock(HERE, "bob", start).is_ok());
        assert!(throttle.knock(HERE, "alice", start + wait).is_ok());
    }

    #[test]
    fn addresses_that_one_client_can_take_at_will_count_as_one() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let [first, second] = [one, other].map(|text| neighbourhood(address(text)));
            assert_eq!(first == second, same, "{one} and {other}");
        }
    }

    #[test]
    fn strangers_cannot_make_it_grow() {
        let start = clock::now();
        let throttle = Throttle::new(start);
        for n in 0..200_000_u32 {
            let _ = throttle.knock(IpAddr::V4(n.into()), &format!("user{n}"), start);
        }
        assert!(throttle.addresses.len() <= 65_536 && throttle.names.len() <= 65_536);
    }

    #[test]
    fn time_that_goes_back_lets_nobody_in() {
        let start = clock::now();
        let throttle = Throttle::new(start + Duration::from_mins(1));
        let (let_in, _) = attempts(|_| throttle.knock(HERE, "alice", start));
        assert_eq!(let_in, limits::SIGN_INS_PER_NAME_MAX.get());
    }
}
