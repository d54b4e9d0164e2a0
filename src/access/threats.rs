//! The threat model: what is worth having here, who may want it, and what stands in the way.
//!
//! # What is worth having
//!
//! Calls (words, audio, numbers); the right to call at the owner's expense; Twilio's secrets; the
//! server's time and memory.
//!
//! # Who comes to which door, and what stands in the way
//!
//! | who | at | wants | what stands in the way |
//! |---|---|---|---|
//! | a stranger | every route | anything | without a session or a token, 401 before anything else is learned ([`crate::api`]); calls of others are 404, as if there were none |
//! | a stranger | sign-in | to guess | argon2id; passwords that a million guesses find are refused; attempts are bounded for each network, each name, and both ([`throttle`](super::throttle)), and do not hold back a browser that has signed in before; the same time for a name that is not there |
//! | a user | a name | to be taken for another | names have no invisible characters, and no two look the same ([`crate::ids::user_name`]) |
//! | a stranger | webhooks | to invent calls, or words | Twilio's signature over the public URL, compared in constant time; callbacks are idempotent |
//! | a stranger | the media socket | to speak in a call, or to fill the engine | a signed upgrade, and a secret of 256 bits for one stream of one call, good once, for minutes |
//! | a stranger | connections | time and memory | every connection, queue, body, message and retry has a bound in [`crate::limits`]; who asks slowly is hung up on |
//! | another page, in a user's browser | the API, the channel | to act as him | the cookie is `__Host-`, `HttpOnly`, `SameSite`; what changes something must come from a page of this server; a strict policy of content |
//! | a name that points to this machine | a server without users | to act as its owner | only addresses and `localhost` are served there, and nothing that came through a proxy |
//! | a user | calls of others; expensive numbers | to read; to spend | every call has its user, also on the channel; countries, kinds of numbers, calls at once and in a minute are bounded ([`crate::dialing`]) |
//! | an admin | calls of others | to read | may; the server's log says which call, and when (`GET /api/log`) |
//! | a machine with a token | what its scopes do not say | more | scopes; tokens are hashed, end on a date, and can be taken back |
//! | who reads the logs | the logs | numbers, words, secrets | none is logged: SIDs are stubs, secrets have no `Display` |
//! | who steals the disk | the data folder | all of it | files are for the server's user alone; encryption is the disk's to do. Deleted words are overwritten, also in the journal |
//! | whoever is called | being written down unknowingly | to know | an announcement ([`ANNOUNCEMENT`](crate::config::CallSettings)); each call's record says whether it was configured (`announced`); erasure by number (`callburner erase`) |
//! | who supplies a model, or a package | the build, the folder of models | to run code | models are data, read with bounds, and pinned by SHA-256; crates are locked, and their sources and licences checked (`.cargo/deny.toml`) |
//!
//! # What does not stand in the way
//!
//! - Whoever has the machine's root, or the owner's account at Twilio, has everything.
//! - An admin can delete; the log of it is in the same database.
