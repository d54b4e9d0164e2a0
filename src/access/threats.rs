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
//! | a stranger | sign-in | to guess | argon2id; passwords that a million guesses find are refused; attempts are bounded for each network, each name, and both ([`sign_in_rate_limit`](super::sign_in_rate_limit)), and do not hold back a browser that has signed in before; the same time for a name that is not there |
//! | a user | a name | to be taken for another | names have no invisible characters, and no two look the same ([`crate::ids::user_name`]) |
//! | who knows a user's password | sign-in | to come in | a second factor, where the user or the host (`REQUIRE_SECOND_FACTOR`) wants one: codes of an app, each good once, ten tries and then one in five minutes ([`crate::access::totp_rate_limit`]); passkeys, bound to the host name and to a challenge that is good once; recovery codes of 80 bits. A password that somebody else set is good only for choosing another |
//! | who finds a browser open, or has its cookie | what lasts: new tokens, users, roles, passwords, second factors | lasting access | these ask for the password, a code or a passkey again after 10 minutes; the user sees the browsers with address and last use, and ends them |
//! | a stranger | webhooks | to invent calls, or words | Twilio's signature over the public URL, compared in constant time; without an account they are shut to all but the simulator ([`local`](super::local)); callbacks are idempotent |
//! | a stranger | the media socket | to speak in a call, or to fill the engine | a signed upgrade, and a secret of 256 bits for one stream of one call, good once, for minutes; without an account, as for webhooks |
//! | a stranger | connections | time and memory | every connection, queue, body, message and retry has a bound in [`crate::limits`]; a client that sends a request slowly, or does not read its answer, is hung up on; an address has its share of the connections, and Twilio has places of its own |
//! | a stranger | the log | to fill the disk, or to hide in it | refusals are counted, and one line a minute tells of each kind ([`crate::metrics::Metrics::count_refusal`]); containers' logs have a bound |
//! | a user | what all users share | all of it | nobody can take all of it: see below |
//! | another page, in a user's browser | the API, the channel | to act as him | the cookie is `__Host-`, `HttpOnly`, `SameSite`; what changes something must come from a page of this server; a strict policy of content |
//! | a name that points to this machine, or a proxy on it | a server without users | to act as its owner, or to become its first admin | the key of the printed link, of 256 bits; and only addresses and `localhost` are served there, and nothing that says that it came through a proxy ([`local`](super::local)) |
//! | another page, in a browser on this machine | webhooks and the media socket of a server without an account | to write into its calls | the simulator key; `Origin`, `Sec-Fetch-Site` and `Host` must be the server's own |
//! | a user | calls of others; expensive numbers | to read; to spend | a call belongs to the user whose browser placed or answered it, as Twilio signed; asking for it changes nothing ([`crate::calls::CallService::call_ownership`]). Calls of a removed user are for admins. Countries, kinds of numbers, calls at once, in a minute and in a day, and the minutes of a day are bounded ([`crate::dialing`]) |
//! | a user, or a page in his browser | ringing | to be rung in place of others | only a page of this server says that a browser is registered (`POST /api/registrations`); a call rings three browsers of a user at most, users in turn |
//! | who was signed out, or has a copy of a pass | calls, with a pass to Twilio that lasts an hour | to call, to be called | the pass names its session; where that has ended, by any process, `/voice` refuses and nobody is rung; a `client:` that is of no user is refused |
//! | a user | a call that goes on | to hide it | it cannot be deleted before it is over; its place is free when Twilio says so, whatever became of its record |
//! | a user, a machine | the API | the server's time, Twilio's patience | so many changes in a row ([`crate::access::change_rate_limit`]) |
//! | an admin | calls of others | to read | may; the server's log says which call, and when, and that others' calls were listed or searched (`GET /api/log`) |
//! | a user, a stranger | the server's log | to flush it, to fill the disk | entries leave for their age; repetitions are counted; each user and kind has a share of a day, and strangers together have one; the whole has a bound, which takes the oldest of whoever has the most |
//! | a user who was let go, or whose browser or token was stolen | sessions, API tokens | to stay | an admin sees and ends both; a new password by an admin ends both; tokens end after 90 days unless they are made without an end |
//! | a machine with a token | what its scopes do not say | more | scopes; tokens are hashed, end on a date, and can be taken back |
//! | who reads the logs | the logs | numbers, words, secrets | none is logged: SIDs are stubs, secrets have no `Display` |
//! | who steals the disk | the data folder | all of it | files are for the server's user alone; encryption is the disk's to do. Deleted words are overwritten, also in the journal |
//! | whoever is called | being written down unknowingly | to know | an announcement ([`ANNOUNCEMENT`](crate::config::CallSettings)); each call's record says whether it was configured (`announced`); erasure by number (`callburner erase`) |
//! | who supplies a model, or a package | the build, the folder of models | to run code | models are data, read with bounds, and pinned by SHA-256; crates are locked, and their sources and licences checked (`.cargo/deny.toml`) |
//!
//! # What all share, and how much of it one may take
//!
//! `tests::fair_share` holds each row to its numbers, and to its tests.
//!
//! | all have | one may take | of | and then | tests |
//! |---|---|---|---|---|
//! | `CONNECTIONS_MAX` | `CONNECTIONS_PER_ADDRESS_MAX` | an address, or an IPv6 /64; behind a trusted proxy, a client | its own connection that has waited longest is closed | `one_address_has_its_share_and_pushes_out_itself_alone`, `behind_a_trusted_proxy_each_client_has_its_share` |
//! | `CONNECTIONS_MAX` | `CONNECTIONS_RESERVED_FOR_TWILIO` | only webhooks and media sockets | other requests are answered with 503, webhooks go on | `when_the_server_is_busy_the_last_places_are_for_webhooks` |
//! | `LISTENERS_MAX` | `LISTENERS_PER_USER_MAX` | a user | 429 | `one_user_has_so_many_sockets_and_leaves_the_others_theirs` |
//! | `CHANNELS_MAX` | `CHANNELS_PER_USER_MAX` | a user, of calls that do not go on | the subscription is refused; there are none to calls that nobody made | `one_user_cannot_use_up_the_channels_of_others`, `nobody_opens_channels_for_calls_that_there_are_not` |
//! | `PASSWORD_HASHES_QUEUED_MAX` | `PASSWORD_HASHES_QUEUED_PER_ADDRESS_MAX` | an address | 503; those of other addresses come before its second | `whoever_sends_many_passwords_waits_behind_those_who_send_one`, `an_address_has_its_share_of_the_queue_and_a_full_one_makes_room_for_others` |
//! | `MEDIA_SOCKETS_MAX` | `CALLS_AT_ONCE_PER_USER_MAX` | a user: a call has one | the call is refused | `a_user_has_some_places_and_everyone_together_more` |
//! | `ACTIVE_CALLS_MAX` | `CALLS_AT_ONCE_PER_USER_MAX` | a user | the call is refused | `a_user_has_some_places_and_everyone_together_more` |
//! | `CALL_STARTS_MAX` | `CALLS_PER_MINUTE_MAX` | a user, in a minute | the call is refused | `a_user_begins_so_many_calls_a_minute` |
//! | `RINGING_BROWSERS_MAX` | `RINGING_BROWSERS_PER_USER_MAX` | a user | users are rung in turn | `users_are_rung_in_turn_and_three_browsers_of_each_at_most` |
//! | `STREAM_TOKENS_MAX` | `CALLS_PER_MINUTE_MAX` | a user, in a minute: a call expects one stream | the call is refused | `a_user_begins_so_many_calls_a_minute` |
//! | `REGISTRATIONS_MAX` | `REGISTRATIONS_PER_USER_MAX` | a user | this user's oldest is forgotten; a call rings users in turn | `nothing_grows_without_bound_and_no_user_drives_out_another`, `users_are_rung_in_turn_and_three_browsers_of_each_at_most` |
//!
//! # What does not stand in the way
//!
//! - Whoever reads the database has the secrets of authenticator apps, which the server needs as they are.
//!   A key beside the database would be read with it. File rights guard both; passwords, sessions, tokens
//!   and recovery codes are hashed, and of passkeys only the public half is there.
//! - Whoever has the machine's root, or the owner's account at Twilio, has everything.
//! - An admin can delete calls; the log of it is in the same database, which whoever has the machine can
//!   change. A copy elsewhere: ship the program's own log, which has the same lines (`people`).
//! - Twilio's passes cannot be taken back: a call that goes on outlasts its session, unless its user is
//!   removed, who is hung up on. While the database does not answer, `/voice` goes by memory: sessions and
//!   users that this server ended are refused for the hour that a pass lasts; those that another process
//!   ended, or that ended before a restart, are not.
//! - Cookies know no ports: a server that is reached without TLS, as on one's own machine, shares its cookies
//!   with whatever else one opens on that machine.
