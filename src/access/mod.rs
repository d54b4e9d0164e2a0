//! Access control without HTTP and without a database: secrets, passwords, rate limits, session
//! lifetimes and the origin of requests.
//!
//! | credential | stored as | sent in |
//! |---|---|---|
//! | password | argon2id, as a PHC string | the body of `POST /api/session` |
//! | session | SHA-256 of 256 random bits | a cookie |
//! | API token | SHA-256 of 256 random bits | `Authorization: Bearer cb_…` |
//! | known browser | SHA-256 of 256 random bits | a cookie, which authenticates no one |
//! | first-run link | SHA-256 of 256 random bits, in memory | the body of `POST /api/setup` |
//! | page key, without users | 256 random bits, in a file of the owner's | the link, then a cookie; or `Authorization: Bearer` |
//! | simulator key, without an account | 256 random bits, in a file of the owner's | the path of `/media`, or a header |
//! | authenticator app | its secret of 160 random bits, in plain text | a code, in the second step of sign-in |
//! | passkey | its public key | its signature, as a second step or as the only one |
//! | recovery code | SHA-256 of 80 random bits | in place of a code, once |
//!
//! [`threats`] lists the attackers, their goals and the countermeasures.

pub mod change_rate_limit;
pub mod client_context;
pub mod connection_table;
pub mod connections;
pub mod first_run;
pub mod keyed_semaphore;
pub mod local;
pub mod origin;
pub mod passkeys;
pub mod password;
pub mod pending_flows;
pub mod pending_revocations;
pub mod proxies;
pub mod recovery_codes;
pub mod secret;
pub mod session_policy;
pub mod sign_in_rate_limit;
pub mod threats;
pub mod totp;
pub mod totp_rate_limit;
pub mod user_agent;
