//! Passwords: their minimum strength, and their hashing and verification, a few at a time on
//! blocking threads, so that a flood of sign-ins cannot take the cores that calls need. The queue
//! serves addresses in turn, so that a flood from one of them does not block the others.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::sign_in_rate_limit::client_network;
use crate::limits;

/// Memory of one hash. This and the next two are the second row of
/// <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>; a hash with
/// other parameters is renewed at the next sign-in.
const ARGON2_MEMORY_KIB: u32 = 19 * 1024;

/// Passes over that memory; they determine the time of one hash, about 30 ms on a core.
const ARGON2_PASSES: u32 = 2;

/// Lanes of that memory: the threads that one hash could use.
const ARGON2_LANES: u32 = 1;

/// The shortest password. There are no composition rules: they lead to `Password1!`, which is worse
/// than four plain words (<https://pages.nist.gov/800-63-4/sp800-63b.html#passwordver>).
const CHARACTERS_MIN: usize = 8;

/// The fewest guesses that find a password, by the estimate of zxcvbn (Wheeler 2016, USENIX
/// Security 16), which knows 30,000 common passwords, words, names, dates and keyboard patterns.
/// One name allows fewer than 3,000 attempts a day
/// ([`sign_in_rate_limit`](super::sign_in_rate_limit)), so this takes a year.
const GUESSES_MIN: u64 = 1_000_000;

/// Words that an attacker of this server would try.
const PRODUCT_WORDS: [&str; 5] = ["callburner", "call", "burner", "twilio", "softphone"];

/// A password as typed. `Debug` does not show it; its memory is wiped when it is dropped.
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

/// Why a new password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// It has fewer than 8 characters.
    #[error(
        "a password needs at least {CHARACTERS_MIN} characters: a few plain words make a good one"
    )]
    TooShort,
    /// Hashing it would only waste time.
    #[error(
        "a password can have at most {} bytes: choose a shorter one",
        limits::PASSWORD_BYTES_MAX
    )]
    TooLong,
    /// It is the user's name, which is guessed first.
    #[error("the password must not be the user's name: choose another")]
    IsName,
    /// A million guesses find it.
    #[error(
        "this password is too easy to guess: use a few words that do not belong together, and not \
         this product's name or your own"
    )]
    TooCommon,
}

/// Checks the strength of a new password of the user `name`.
pub fn check_strength(password: &Password, name: &str) -> Result<(), WeakPassword> {
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

/// The result of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordMatch {
    /// The password is wrong, or no hash is stored.
    Wrong,
    /// The password is right.
    Right,
    /// The password is right, but its hash has outdated parameters: store a new one.
    RightButOutdated,
}

/// Why a password could not be hashed or verified.
#[derive(Debug, thiserror::Error)]
pub enum PasswordHashError {
    /// The queue is full.
    #[error("too many users are signing in: try again in a few seconds")]
    Busy,
    /// The stored hash is malformed, or memory could not be allocated.
    #[error("a password cannot be hashed ({0})")]
    Broken(password_hash::Error),
    /// The thread that hashed it panicked.
    #[error("the hashing of a password was aborted")]
    Lost,
}

/// Hashes and verifies passwords. Clones share one queue.
#[derive(Debug, Clone, Default)]
pub struct PasswordHashPool {
    queue: Arc<Mutex<HashQueue>>,
}

/// The address that sent a password; `None`: a signed-in user, or the command line.
type QueueOrigin = Option<IpAddr>;

/// The order of the queue: first by the number of entries of the same origin at arrival, then by
/// arrival.
type QueueKey = (usize, u64);

/// The queue. An address that sends many passwords delays only itself: the first password of any
/// other address precedes its second.
#[derive(Debug, Default)]
struct HashQueue {
    running_count: usize,
    waiting: BTreeMap<QueueKey, (QueueOrigin, oneshot::Sender<WorkPermit>)>,
    next_ticket: u64,
}

/// The right to hash one password. Dropping it passes it to the next in the queue.
#[derive(Debug)]
struct WorkPermit(Option<Arc<Mutex<HashQueue>>>);

/// A place in the queue. Dropping it removes the entry.
struct QueuePlace<'a> {
    queue: &'a Mutex<HashQueue>,
    key: QueueKey,
}

impl HashQueue {
    /// Adds an entry of `origin`; `None` when there is no room.
    fn enqueue(
        &mut self,
        origin: QueueOrigin,
    ) -> Option<(QueueKey, oneshot::Receiver<WorkPermit>)> {
        let others = self.waiting.values().filter(|(other, _)| *other == origin);
        let ahead = others.count();
        if ahead >= limits::PASSWORD_HASHES_QUEUED_PER_ADDRESS_MAX {
            return None;
        }
        if self.waiting.len() >= limits::PASSWORD_HASHES_QUEUED_MAX {
            let last = self.waiting.last_entry()?;
            if last.key().0 <= ahead {
                return None;
            }
            last.remove(); // Its waiter receives `Busy`.
        }
        let key = (ahead, self.next_ticket);
        self.next_ticket += 1;
        let (worker, granted) = oneshot::channel();
        self.waiting.insert(key, (origin, worker));
        Some((key, granted))
    }
}

fn lock_queue(queue: &Mutex<HashQueue>) -> MutexGuard<'_, HashQueue> {
    // No operation of the queue can fail half way, so a panic of another holder leaves it
    // consistent.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for WorkPermit {
    fn drop(&mut self) {
        let Some(queue) = self.0.take() else {
            return;
        };
        loop {
            let next_waiter = {
                let mut queue = lock_queue(&queue);
                let next_waiter = queue.waiting.pop_first();
                queue.running_count -= usize::from(next_waiter.is_none());
                next_waiter
            };
            let Some((_, (_, sender))) = next_waiter else {
                return;
            };
            match sender.send(Self(Some(Arc::clone(&queue)))) {
                Ok(()) => return,
                Err(mut unwanted) => unwanted.0 = None, // The waiter was cancelled.
            }
        }
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        let left = lock_queue(self.queue).waiting.remove(&self.key);
        drop(left);
    }
}

impl PasswordHashPool {
    /// Hashes `password`. Returns a PHC string with salt and parameters, to be stored.
    pub async fn hash(&self, password: Password) -> Result<String, PasswordHashError> {
        self.run_blocking(None, move || hash_password(&password))
            .await
    }

    /// Compares a password that `from` sent with the stored hash. Without a stored hash, because
    /// there is no such user, this takes the same time, so that the time does not reveal which
    /// users exist.
    pub async fn verify(
        &self,
        password: Password,
        stored_hash: Option<String>,
        from: Option<IpAddr>,
    ) -> Result<PasswordMatch, PasswordHashError> {
        let from = from.map(client_network);
        self.run_blocking(from, move || match stored_hash {
            Some(stored_hash) => verify_password(&password, &stored_hash),
            None => hash_password(&password).map(|_| PasswordMatch::Wrong),
        })
        .await
    }

    /// Runs `work` on a blocking thread. It holds its permit until the work ends, even if the
    /// caller is cancelled.
    async fn run_blocking<T: Send + 'static>(
        &self,
        origin: QueueOrigin,
        work: impl FnOnce() -> Result<T, password_hash::Error> + Send + 'static,
    ) -> Result<T, PasswordHashError> {
        let worker = self.acquire_permit(origin).await?;
        let done = tokio::task::spawn_blocking(move || {
            let _held = worker;
            work()
        });
        done.await
            .map_err(|_| PasswordHashError::Lost)?
            .map_err(PasswordHashError::Broken)
    }

    async fn acquire_permit(&self, origin: QueueOrigin) -> Result<WorkPermit, PasswordHashError> {
        let (key, granted) = {
            let mut queue = lock_queue(&self.queue);
            if queue.running_count < limits::PASSWORD_HASHES_CONCURRENT_MAX {
                queue.running_count += 1;
                return Ok(WorkPermit(Some(Arc::clone(&self.queue))));
            }
            queue.enqueue(origin).ok_or(PasswordHashError::Busy)?
        };
        let _place = QueuePlace {
            queue: &self.queue,
            key,
        };
        granted.await.map_err(|_| PasswordHashError::Busy)
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES, None)
        .expect("these parameters are valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_password(password: &Password) -> Result<String, password_hash::Error> {
    let hash: PasswordHash = argon2().hash_password(password.0.expose_secret().as_bytes())?;
    Ok(hash.to_string())
}

fn verify_password(
    password: &Password,
    stored_hash: &str,
) -> Result<PasswordMatch, password_hash::Error> {
    let stored_hash =
        PasswordHash::new(stored_hash).map_err(|_| password_hash::Error::EncodingInvalid)?;
    let password = password.0.expose_secret().as_bytes();
    match argon2().verify_password(password, &stored_hash) {
        Ok(()) if has_current_params(&stored_hash) => Ok(PasswordMatch::Right),
        Ok(()) => Ok(PasswordMatch::RightButOutdated),
        Err(password_hash::Error::PasswordInvalid) => Ok(PasswordMatch::Wrong),
        Err(error) => Err(error),
    }
}

fn has_current_params(stored_hash: &PasswordHash) -> bool {
    let params = Params::try_from(stored_hash)
        .map(|params| (params.m_cost(), params.t_cost(), params.p_cost()))
        .ok();
    stored_hash.algorithm == Algorithm::Argon2id.ident()
        && stored_hash.version == Some(Version::V0x13.into())
        && params == Some((ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES))
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_util::FutureExt;
    use futures_util::future::join_all;

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
            assert_eq!(check_strength(&password(good), "Alice"), Ok(()), "{good:?}");
        }
        let longest = "correct horse ".repeat(limits::PASSWORD_BYTES_MAX);
        let longest = longest[..limits::PASSWORD_BYTES_MAX].to_owned();
        assert_eq!(check_strength(&password(&longest), "Alice"), Ok(()));
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
            let refused = check_strength(&password(weak), "alice.example");
            assert_eq!(refused, Err(reason), "{weak:?}");
        }
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_another_is_not() {
        let passwords = PasswordHashPool::default();
        let stored_hash = passwords.hash(password("correct horse")).await.unwrap();
        assert!(
            stored_hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored_hash}"
        );
        let again = passwords.hash(password("correct horse")).await.unwrap();
        assert_ne!(stored_hash, again, "two hashes share their salt");
        for (typed, verdict) in [
            ("correct horse", PasswordMatch::Right),
            ("Correct horse", PasswordMatch::Wrong),
            ("", PasswordMatch::Wrong),
        ] {
            let compared = passwords
                .verify(password(typed), Some(stored_hash.clone()), None)
                .await;
            assert_eq!(compared.unwrap(), verdict, "{typed:?}");
        }
        let nobody = passwords
            .verify(password("correct horse"), None, None)
            .await;
        assert_eq!(nobody.unwrap(), PasswordMatch::Wrong);
    }

    #[tokio::test]
    async fn a_hash_of_other_parameters_is_right_but_old() {
        let params = Params::new(8 * 1024, 1, 1, None).unwrap();
        let weaker = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let stored_hash: PasswordHash = weaker.hash_password(b"correct horse").unwrap();
        let passwords = PasswordHashPool::default();
        let verify = |typed| passwords.verify(password(typed), Some(stored_hash.to_string()), None);
        assert_eq!(
            verify("correct horse").await.unwrap(),
            PasswordMatch::RightButOutdated
        );
        assert_eq!(verify("wrong horse").await.unwrap(), PasswordMatch::Wrong);
    }

    #[tokio::test]
    async fn what_is_no_hash_is_an_error_and_not_a_way_in() {
        let passwords = PasswordHashPool::default();
        for stored_hash in ["", "correct horse", "$argon2id$v=19$m=19456,t=2,p=1"] {
            let stored_hash = Some(stored_hash.to_owned());
            let outcome = passwords
                .verify(password("correct horse"), stored_hash, None)
                .await;
            assert!(!matches!(
                outcome,
                Ok(PasswordMatch::Right | PasswordMatch::RightButOutdated)
            ));
        }
    }

    /// Runs in its turn, and only records its name.
    fn record_turns(
        passwords: &PasswordHashPool,
    ) -> (Arc<Mutex<Vec<u8>>>, impl Fn(u8) -> QueuedWork) {
        let done = Arc::new(Mutex::new(Vec::new()));
        let (passwords, log) = (passwords.clone(), done.clone());
        let work = move |from: u8| -> QueuedWork {
            let (passwords, log) = (passwords.clone(), log.clone());
            Box::pin(async move {
                let from_address = Some(IpAddr::from([192, 0, 2, from]));
                let write = move || {
                    log.lock().unwrap().push(from);
                    Ok(())
                };
                passwords.run_blocking(from_address, write).await
            })
        };
        (done, work)
    }

    type QueuedWork = Pin<Box<dyn Future<Output = Result<(), PasswordHashError>>>>;

    /// Queues each origin in order. Returns the results.
    async fn run_all_queued(
        waiting: Vec<QueuedWork>,
        permit: WorkPermit,
    ) -> Vec<Result<(), PasswordHashError>> {
        let mut waiting = waiting;
        let begun = waiting.iter_mut().map(|one| one.as_mut().now_or_never());
        let begun: Vec<Option<Result<(), PasswordHashError>>> = begun.collect();
        drop(permit);
        let ends = begun.into_iter().zip(waiting);
        join_all(ends.map(async |(end, one)| match end {
            Some(end) => end,
            None => one.await,
        }))
        .await
    }

    #[tokio::test]
    async fn whoever_sends_many_passwords_waits_behind_those_who_send_one() {
        let passwords = PasswordHashPool::default();
        let permit = passwords.acquire_permit(None).await.unwrap();
        let (done, work) = record_turns(&passwords);
        let mut waiting: Vec<QueuedWork> = Vec::new();
        for _ in 0..limits::PASSWORD_HASHES_QUEUED_PER_ADDRESS_MAX {
            waiting.push(work(1));
        }
        waiting.extend([work(2), work(3), work(2)]);
        let ends = run_all_queued(waiting, permit).await;
        assert!(ends.iter().all(Result::is_ok), "{ends:?}");
        assert_eq!(done.lock().unwrap()[..5], [1, 2, 3, 1, 2]);
    }

    #[tokio::test]
    async fn an_address_has_its_share_of_the_queue_and_a_full_one_makes_room_for_others() {
        let passwords = PasswordHashPool::default();
        let permit = passwords.acquire_permit(None).await.unwrap();
        let (done, work) = record_turns(&passwords);
        let share = limits::PASSWORD_HASHES_QUEUED_PER_ADDRESS_MAX;
        let mut waiting: Vec<QueuedWork> = Vec::new();
        for n in 0..limits::PASSWORD_HASHES_QUEUED_MAX {
            waiting.push(work((n / share) as u8));
        }
        waiting.push(work(0)); // One more than its share.
        waiting.push(work(255)); // The first of its address.
        let ends = run_all_queued(waiting, permit).await;
        let busy =
            |end: &Result<(), PasswordHashError>| matches!(end, Err(PasswordHashError::Busy));
        assert_eq!(ends.iter().filter(|end| busy(end)).count(), 2);
        assert!(busy(&ends[limits::PASSWORD_HASHES_QUEUED_MAX]));
        assert!(done.lock().unwrap().contains(&255));
    }

    #[tokio::test]
    async fn whoever_leaves_gives_up_his_place() {
        let passwords = PasswordHashPool::default();
        let permit = passwords.acquire_permit(None).await.unwrap();
        let (done, work) = record_turns(&passwords);
        let mut left = work(1);
        assert!(left.as_mut().now_or_never().is_none());
        assert_eq!(lock_queue(&passwords.queue).waiting.len(), 1);
        drop(left);
        assert_eq!(lock_queue(&passwords.queue).waiting.len(), 0);
        assert!(run_all_queued(vec![work(2)], permit).await[0].is_ok());
        assert_eq!(done.lock().unwrap()[..], [2]);
        assert!(passwords.hash(password("correct horse")).await.is_ok());
        assert_eq!(lock_queue(&passwords.queue).running_count, 0);
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        assert_eq!(format!("{:?}", password("correct horse")), "Password(…)");
    }
}
