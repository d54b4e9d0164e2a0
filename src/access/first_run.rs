//! The first-run link: while the server has no users, its holder becomes the first admin. Pure: no
//! I/O.
//!
//! `serve` prints a new link at each start of a server without users that is reachable from other
//! machines (for a local-only server, see [`local`](super::local)). The link is valid for
//! [`limits::SETUP_LINK_AGE_MAX`]; after that, a restart creates another. There is no default
//! account and no default password.

use std::sync::{Mutex, PoisonError};

use super::secret::{Secret, SecretHash};
use crate::clock::UtcTime;
use crate::limits;

/// The path of the page that the first-run link opens, below the public base URL. The secret
/// follows as the fragment: browsers send it to no server, so it appears in no proxy's log.
const SETUP_PATH: &str = "/setup#";

/// The current first-run link, if there is one, and when it expires.
#[derive(Debug, Default)]
pub struct FirstRunLink(Mutex<Option<SetupToken>>);

#[derive(Debug)]
struct SetupToken {
    hash: SecretHash,
    until: UtcTime,
}

impl FirstRunLink {
    /// Creates the link's secret, which invalidates an earlier one.
    pub fn issue_token(&self, now: UtcTime) -> Secret {
        let secret = Secret::random();
        self.replace(Some(SetupToken {
            hash: secret.hash(),
            until: now.plus(limits::SETUP_LINK_AGE_MAX),
        }));
        secret
    }

    /// Reports whether `text` is the link's secret, and has not expired. It stays valid until
    /// [`invalidate`](Self::invalidate), so that a refused password requires no restart.
    pub fn is_valid_token(&self, text: &str, now: UtcTime) -> bool {
        let token = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let secret = Secret::parse(text);
        match (token.as_ref(), secret) {
            (Some(token), Some(secret)) => secret.matches_hash(&token.hash) && now < token.until,
            (None, _) | (_, None) => false,
        }
    }

    /// Invalidates the link, once the first admin exists.
    pub fn invalidate(&self) {
        self.replace(None);
    }

    fn replace(&self, token: Option<SetupToken>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }
}

/// Formats the link for a server at `base_url`.
pub fn format_link(base_url: &str, secret: &Secret) -> String {
    format!(
        "{}{SETUP_PATH}{}",
        base_url.trim_end_matches('/'),
        secret.expose()
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    #[test]
    fn the_link_is_good_for_a_while_and_until_it_is_used() {
        let now = UtcTime::from_millis(NOW);
        let first_run = FirstRunLink::default();
        assert!(!first_run.is_valid_token("", now));
        let secret = first_run.issue_token(now);
        let last = now
            .plus(limits::SETUP_LINK_AGE_MAX)
            .minus(Duration::from_millis(1));
        assert!(first_run.is_valid_token(secret.expose(), now));
        assert!(first_run.is_valid_token(secret.expose(), last));
        let late = now.plus(limits::SETUP_LINK_AGE_MAX);
        assert!(!first_run.is_valid_token(secret.expose(), late));
        assert!(!first_run.is_valid_token(Secret::random().expose(), now));
        assert!(!first_run.is_valid_token("", now));
        first_run.invalidate();
        assert!(!first_run.is_valid_token(secret.expose(), now));
    }

    #[test]
    fn a_new_link_ends_the_old_one() {
        let now = UtcTime::from_millis(NOW);
        let first_run = FirstRunLink::default();
        let [old, new] = [first_run.issue_token(now), first_run.issue_token(now)];
        assert!(!first_run.is_valid_token(old.expose(), now));
        assert!(first_run.is_valid_token(new.expose(), now));
    }

    #[test]
    fn the_secret_is_in_the_fragment() {
        let secret = Secret::random();
        let text = secret.expose();
        for base in ["https://calls.example.org", "https://calls.example.org/"] {
            let expected = format!("https://calls.example.org/setup#{text}");
            assert_eq!(format_link(base, &secret), expected);
        }
    }
}
