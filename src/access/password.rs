//! Passwords: what makes one good enough, and how it is kept and compared, a few at a time and on
//! threads of their own, so that a flood of sign-ins cannot eat the cores that calls need.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::{Semaphore, TryAcquireError};
use utoipa::ToSchema;

use crate::limits;

/// Memory of one hash. This and the next two are the second row of
/// <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>; a hash that
/// was made with other parameters is renewed at the next sign-in.
const MEMORY_KIB: u32 = 19 * 1024;

/// Passes over that memory: the time of one hash, about 30 ms on a core.
const PASSES: u32 = 2;

/// Lanes of that memory: threads that one hash could use.
const LANES: u32 = 1;

/// Shortest password. There are no rules of composition beside it: they make people write
/// `Password1!`, which is worse than four plain words
/// (<https://pages.nist.gov/800-63-4/sp800-63b.html#passwordver>).
const CHARACTERS_MIN: usize = 8;

/// Fewest guesses that find a password, by the estimate of zxcvbn (Wheeler 2016, USENIX Security 16),
/// which knows 30,000 passwords that people use, words, names, dates and keyboard patterns. One name can
/// be tried fewer than 3,000 times a day ([`throttle`](super::throttle)), so this takes a year.
const GUESSES_MIN: u64 = 1_000_000;

/// Words that somebody who guesses a password of this server tries.
const PRODUCT_WORDS: [&str; 5] = ["callburner", "call", "burner", "twilio", "softphone"];

/// A password as it was typed. `Debug` does not show it; it is wiped when it is dropped.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(from = "String")]
#[schema(value_type = String, format = Password)]
pub struct Password(SecretString);

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why a password is not taken as a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Guessed in no time.
    #[error(
        "a password has at least {CHARACTERS_MIN} characters: a few plain words make a good one"
    )]
    TooShort,
    /// Work for nothing.
    #[error("a password has at most {} bytes", limits::PASSWORD_BYTES_MAX)]
    TooLong,
    /// The first guess.
    #[error("the password must not be the user's name")]
    IsName,
    /// Among the next guesses.
    #[error(
        "this password is too easy to guess: use a few words that do not belong together, and not \
         this product's name or your own"
    )]
    TooCommon,
}

/// Whether `password` may become the one of the user `name`.
pub fn check(password: &Password, name: &str) -> Result<(), WeakPassword> {
    let text = password.0.expose_secret();
    if text.chars().count() < CHARACTERS_MIN {
        return Err(WeakPassword::TooShort);
    }
    if text.len() > limits::PASSWORD_BYTES_MAX {
        return Err(WeakPassword::TooLong);
    }
    if text.to_lowercase() == name.to_lowercase() {
        return Err(WeakPassword::IsName);
    }
    let parts = name.split(|c: char| !c.is_alphanumeric());
    let known: Vec<&str> = PRODUCT_WORDS
        .into_iter()
        .chain(parts.filter(|part| !part.is_empty()))
        .collect();
    if zxcvbn::zxcvbn(text, &known).guesses() < GUESSES_MIN {
        return Err(WeakPassword::TooCommon);
    }
    Ok(())
}

/// Whether a password is the one that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No, or there is none.
    Wrong,
    /// Yes.
    Right,
    /// Yes, but its hash was made with parameters that are out of date: keep a new one.
    RightButOld,
}

/// A password that could be neither hashed nor compared.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Too many wait already.
    #[error("too many people sign in at this moment: try again in a few seconds")]
    Busy,
    /// What is kept is no hash of a password, or the machine gives no memory.
    #[error("a password cannot be hashed ({0})")]
    Broken(password_hash::Error),
    /// The thread that worked on it is gone.
    #[error("a password was not hashed to the end")]
    Lost,
}

/// Hashes and compares; clones share their bounds.
#[derive(Debug, Clone)]
pub struct Passwords {
    /// A permit for each request that works or waits.
    places: Arc<Semaphore>,
    /// A permit for each that works.
    cores: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        let places = limits::PASSWORDS_AT_ONCE_MAX + limits::PASSWORDS_WAITING_MAX;
        Self {
            places: Arc::new(Semaphore::new(places)),
            cores: Arc::new(Semaphore::new(limits::PASSWORDS_AT_ONCE_MAX)),
        }
    }
}

impl Passwords {
    /// What to keep of `password`: a PHC string with its salt and parameters.
    pub async fn hash(&self, password: Password) -> Result<String, HashError> {
        self.work(move || hash(&password)).await
    }

    /// Compares with what is `kept`. When nothing is, because there is no such user, that takes the
    /// same time, so that nobody learns from it who exists.
    pub async fn verify(
        &self,
        password: Password,
        kept: Option<String>,
    ) -> Result<Verdict, HashError> {
        self.work(move || match kept {
            Some(kept) => verify(&password, &kept),
            None => hash(&password).map(|_| Verdict::Wrong),
        })
        .await
    }

    /// Does `work` on a thread that may block. A permit is held to the work's end, even when
    /// whoever asked has left.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, password_hash::Error> + Send + 'static,
    ) -> Result<T, HashError> {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(TryAcquireError::NoPermits) => return Err(HashError::Busy),
            Err(TryAcquireError::Closed) => return Err(HashError::Lost),
        };
        let core = Arc::clone(&self.cores).acquire_owned().await;
        let core = core.map_err(|_| HashError::Lost)?;
        let done = tokio::task::spawn_blocking(move || {
            let _held = (place, core);
            work()
        });
        done.await
            .map_err(|_| HashError::Lost)?
            .map_err(HashError::Broken)
    }
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("parameters that were tried");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &Password) -> Result<String, password_hash::Error> {
    let hash: PasswordHash = hasher().hash_password(password.0.expose_secret().as_bytes())?;
    Ok(hash.to_string())
}

fn verify(password: &Password, kept: &str) -> Result<Verdict, password_hash::Error> {
    let kept = PasswordHash::new(kept).map_err(|_| password_hash::Error::EncodingInvalid)?;
    let password = password.0.expose_secret().as_bytes();
    match hasher().verify_password(password, &kept) {
        Ok(()) if is_current(&kept) => Ok(Verdict::Right),
        Ok(()) => Ok(Verdict::RightButOld),
        Err(password_hash::Error::PasswordInvalid) => Ok(Verdict::Wrong),
        Err(error) => Err(error),
    }
}

fn is_current(kept: &PasswordHash) -> bool {
    let params = Params::try_from(kept)
        .map(|params| (params.m_cost(), params.t_cost(), params.p_cost()))
        .ok();
    kept.algorithm == Algorithm::Argon2id.ident()
        && kept.version == Some(Version::V0x13.into())
        && params == Some((MEMORY_KIB, PASSES, LANES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        text.to_owned().into()
    }

    #[test]
    fn a_good_password_needs_nothing_but_length() {
        for good in [
            "correct horse",
            "gute nacht, marie",
            "tgtgzunp",
            "  ,  ;  . 7",
        ] {
            assert_eq!(check(&password(good), "Alice"), Ok(()), "{good:?}");
        }
        let longest = "correct horse ".repeat(limits::PASSWORD_BYTES_MAX);
        let longest = longest[..limits::PASSWORD_BYTES_MAX].to_owned();
        assert_eq!(check(&password(&longest), "Alice"), Ok(()));
    }

    #[test]
    fn what_is_guessed_first_is_refused() {
        let longer = "x".repeat(limits::PASSWORD_BYTES_MAX + 1);
        for (weak, reason) in [
            ("", WeakPassword::TooShort),
            ("1234567", WeakPassword::TooShort),
            ("äääääää", WeakPassword::TooShort),
            (longer.as_str(), WeakPassword::TooLong),
            ("Alice.Example", WeakPassword::IsName),
            ("PASSWORD", WeakPassword::TooCommon),
            ("Password1!", WeakPassword::TooCommon),
            ("arsenal1", WeakPassword::TooCommon),
            ("realmadrid", WeakPassword::TooCommon),
            ("pokemon1", WeakPassword::TooCommon),
            ("buttercup", WeakPassword::TooCommon),
            ("callburner1", WeakPassword::TooCommon),
            ("Twilio2026", WeakPassword::TooCommon),
            ("alice1234", WeakPassword::TooCommon),
            ("xxxxxxxxxxxxxxxxxxxx", WeakPassword::TooCommon),
        ] {
            let refused = check(&password(weak), "alice.example");
            assert_eq!(refused, Err(reason), "{weak:?}");
        }
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_another_is_not() {
        let passwords = Passwords::default();
        let kept = passwords.hash(password("correct horse")).await.unwrap();
        assert!(
            kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{kept}"
        );
        let again = passwords.hash(password("correct horse")).await.unwrap();
        assert_ne!(kept, again, "two hashes share their salt");
        for (typed, verdict) in [
            ("correct horse", Verdict::Right),
            ("Correct horse", Verdict::Wrong),
            ("", Verdict::Wrong),
        ] {
            let compared = passwords.verify(password(typed), Some(kept.clone())).await;
            assert_eq!(compared.unwrap(), verdict, "{typed:?}");
        }
        let nobody = passwords.verify(password("correct horse"), None).await;
        assert_eq!(nobody.unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_hash_of_other_parameters_is_right_but_old() {
        let params = Params::new(8 * 1024, 1, 1, None).unwrap();
        let weaker = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let kept: PasswordHash = weaker.hash_password(b"correct horse").unwrap();
        let passwords = Passwords::default();
        let verify = |typed| passwords.verify(password(typed), Some(kept.to_string()));
        assert_eq!(verify("correct horse").await.unwrap(), Verdict::RightButOld);
        assert_eq!(verify("wrong horse").await.unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn what_is_no_hash_is_an_error_and_not_a_way_in() {
        let passwords = Passwords::default();
        for kept in ["", "correct horse", "$argon2id$v=19$m=19456,t=2,p=1"] {
            let kept = Some(kept.to_owned());
            let outcome = passwords.verify(password("correct horse"), kept).await;
            assert!(!matches!(
                outcome,
                Ok(Verdict::Right | Verdict::RightButOld)
            ));
        }
    }

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_is_sent_away() {
        let passwords = Passwords::default();
        let places = passwords.places.available_permits() as u32;
        let taken = passwords.places.try_acquire_many(places).unwrap();
        let refused = passwords.hash(password("correct horse")).await;
        assert!(matches!(refused, Err(HashError::Busy)), "{refused:?}");
        drop(taken);
        assert!(passwords.hash(password("correct horse")).await.is_ok());
        assert_eq!(passwords.places.available_permits() as u32, places);
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        assert_eq!(format!("{:?}", password("correct horse")), "Password(…)");
    }
}
