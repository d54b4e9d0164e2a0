//! The threat model: assets, attackers and countermeasures.
//!
//! # Assets
//!
//! Calls (transcripts, audio, numbers); the right to place calls at the owner's expense; Twilio's
//! secrets; the server's CPU time and memory.
//!
//! # Attackers and countermeasures
//!
//! | attacker | entry point | goal | countermeasures |
//! |---|---|---|---|
//! | a stranger | every route | anything | without a session or an API token, 401, before the response reveals more ([`crate::api`]); calls of others are 404, as if they did not exist |
//! | a stranger | sign-in | to guess | argon2id; passwords that a million guesses find are refused; attempts are limited for each network, each name, and both ([`sign_in_rate_limit`](super::sign_in_rate_limit)), without holding back a browser that has signed in before; unknown names take the same time |
//! | a user | a name | to be mistaken for another user | names have no invisible characters, and no two look the same ([`crate::ids::user_name`]) |
//! | a client that knows a user's password | sign-in | to sign in | a second factor, if the user or the host (`REQUIRE_SECOND_FACTOR`) wants one: codes of an app, each valid once, ten attempts and then one in five minutes ([`crate::access::totp_rate_limit`]); passkeys, bound to the host name and to a single-use challenge; recovery codes of 80 bits. A password that an admin set is good only for choosing another |
//! | a person at an unattended browser, or with its cookie | lasting access: new API tokens, users, roles, passwords, second factors | to keep access | these require the password, a code or a passkey again after 10 minutes; users see their browsers with address and last use, and can end the sessions |
//! | a stranger | webhooks | to forge calls or transcripts | Twilio's signature over the public URL, compared in constant time; without an account, webhooks accept only the simulator ([`local`](super::local)); callbacks are idempotent |
//! | a stranger | the media socket | to inject audio into a call, or to overload the engine | a signed upgrade, and a secret of 256 bits for one stream of one call, valid once, for minutes; without an account, as for webhooks |
//! | a stranger | connections | CPU time and memory | every connection, queue, body, message and retry has a bound in [`crate::limits`]; a client that sends a request slowly, or does not read its response, is disconnected; each address has a share of the connections, and Twilio has connections of its own |
//! | a stranger | the log | to fill the disk, or to hide in it | refusals are counted, with one line a minute for each kind ([`crate::metrics::Metrics::count_refusal`]); containers' logs have a bound |
//! | a user | shared resources | all of them | no user can take all of one: see below |
//! | another page, in a user's browser | the API, the client channel | to act as the user | the cookie is `__Host-`, `HttpOnly`, `SameSite`; requests that change something must come from a page of this server; a strict content security policy |
//! | a name that resolves to this machine, or a proxy on it | a server without users | to act as its owner, or to become its first admin | the key of the printed link, of 256 bits; only requests to IP addresses and `localhost` are served there, and none with a proxy's headers ([`local`](super::local)) |
//! | another page, in a browser on this machine | webhooks and the media socket of a server without an account | to write into its calls | the simulator key; `Origin`, `Sec-Fetch-Site` and `Host` must be the server's own |
//! | a user | calls of others; expensive numbers | to read; to spend | a call belongs to the user in whose browser it was placed or answered, as Twilio signed; a request for it does not change the owner ([`crate::calls::CallService::call_ownership`]). Calls of a removed user are for admins only. Countries, kinds of numbers, calls at once, in a minute and in a day, and the minutes of a day are limited ([`crate::dialing`]) |
//! | a user, or a page in the user's browser | ringing | to be rung in place of others | only a page of this server can register a browser (`POST /api/registrations`); a call rings at most three browsers of a user, and users in turn |
//! | a user who was signed out, or the holder of a copied access token | calls, with an access token that lasts an hour | to call, to be called | the access token names its session; after any process ends that session, `/voice` refuses, and its browsers do not ring; a `client:` identity without a user is refused |
//! | a user | an active call | to hide it | it cannot be deleted before it is over; it counts as active until Twilio reports its end, regardless of its record |
//! | a user, an API client | the API | the server's CPU time, Twilio's rate limit | a rate limit of changes ([`crate::access::change_rate_limit`]) |
//! | an admin | calls of others | to read | admins are allowed to; the server's log records which call they read, and when, and that they listed or searched others' calls (`GET /api/log`) |
//! | a user, a stranger | the server's log | to flush it, to fill the disk | entries are deleted by age; repetitions are counted; each user and kind has a share of a day, and strangers together have one; the whole has a bound, beyond which the oldest entry of the largest share is deleted |
//! | a former user, or the thief of a browser or an API token | sessions, API tokens | to keep access | an admin sees and ends both; a password reset by an admin ends both; API tokens expire after 90 days unless they are created without an end |
//! | an API client | actions outside its scopes | more rights | scopes; API tokens are hashed, expire on a date, and can be revoked |
//! | a reader of the logs | the logs | numbers, transcripts, secrets | they are not logged: SIDs are abbreviated, secrets have no `Display` |
//! | a thief of the disk | the data folder | all of it | only the server's user can read the files; encryption is left to the disk. Deleted transcripts are overwritten, also in the journal |
//! | the other party of a call | being transcribed unknowingly | to know | an announcement ([`ANNOUNCEMENT`](crate::config::CallSettings)); each call's record reports whether it was configured (`announced`); erasure by number (`callburner erase`) |
//! | a supplier of a model, or of a package | the build, the folder of models | to run code | models are data, read with bounds, and pinned by SHA-256; crates are locked, and their sources and licences checked (`.cargo/deny.toml`) |
//!
//! # Shared resources, and the share of one user
//!
//! `tests::fair_share` checks each row against its constants, and that its tests exist.
//!
//! | all have | one may take | of | and then | tests |
//! |---|---|---|---|---|
//! | `CONNECTIONS_MAX` | `CONNECTIONS_PER_ADDRESS_MAX` | an address, or an IPv6 /64; behind a trusted proxy, a client | its own longest waiting connection is closed | `one_address_has_its_share_and_pushes_out_itself_alone`, `behind_a_trusted_proxy_each_client_has_its_share` |
//! | `CONNECTIONS_MAX` | `CONNECTIONS_RESERVED_FOR_TWILIO` | only webhooks and media sockets | other requests are answered with 503, webhooks are served | `when_the_server_is_busy_the_last_places_are_for_webhooks` |
//! | `LISTENERS_MAX` | `LISTENERS_PER_USER_MAX` | a user | 429 | `one_user_has_so_many_sockets_and_leaves_the_others_theirs` |
//! | `CHANNELS_MAX` | `CHANNELS_PER_USER_MAX` | a user, of calls that are not active | the subscription is refused, as it is for calls that do not exist | `one_user_cannot_use_up_the_channels_of_others`, `nobody_opens_channels_for_calls_that_there_are_not` |
//! | `PASSWORD_HASHES_QUEUED_MAX` | `PASSWORD_HASHES_QUEUED_PER_ADDRESS_MAX` | an address | 503; those of other addresses precede its second | `whoever_sends_many_passwords_waits_behind_those_who_send_one`, `an_address_has_its_share_of_the_queue_and_a_full_one_makes_room_for_others` |
//! | `MEDIA_SOCKETS_MAX` | `CALLS_AT_ONCE_PER_USER_MAX` | a user: a call has one | the call is refused | `a_user_has_some_places_and_everyone_together_more` |
//! | `ACTIVE_CALLS_MAX` | `CALLS_AT_ONCE_PER_USER_MAX` | a user | the call is refused | `a_user_has_some_places_and_everyone_together_more` |
//! | `CALL_STARTS_MAX` | `CALLS_PER_MINUTE_MAX` | a user, in a minute | the call is refused | `a_user_begins_so_many_calls_a_minute` |
//! | `RINGING_BROWSERS_MAX` | `RINGING_BROWSERS_PER_USER_MAX` | a user | users are rung in turn | `users_are_rung_in_turn_and_three_browsers_of_each_at_most` |
//! | `STREAM_TOKENS_MAX` | `CALLS_PER_MINUTE_MAX` | a user, in a minute: a call expects one stream | the call is refused | `a_user_begins_so_many_calls_a_minute` |
//! | `REGISTRATIONS_MAX` | `REGISTRATIONS_PER_USER_MAX` | a user | this user's oldest is dropped; a call rings users in turn | `nothing_grows_without_bound_and_no_user_drives_out_another`, `users_are_rung_in_turn_and_three_browsers_of_each_at_most` |
//!
//! # Residual risks
//!
//! - A reader of the database has the secrets of authenticator apps, which the server needs in
//!   plain text. A key beside the database would be read with it. File permissions protect both;
//!   passwords, sessions, API tokens and recovery codes are hashed, and of passkeys only the public
//!   half is stored.
//! - An attacker with root on the machine, or with the owner's Twilio account, has everything.
//! - An admin can delete calls; the log of it is in the same database, which an administrator of
//!   the machine can change. For a copy elsewhere, ship the program's own log, which has the same
//!   lines (`people`).
//! - Twilio's access tokens cannot be revoked: an active call outlasts its session, unless its user
//!   is removed, in which case the call is hung up. While the database does not respond, `/voice`
//!   decides from memory: sessions and users that this server ended are refused for the hour that
//!   an access token lasts; those that another process ended, or that ended before a restart, are
//!   not.
//! - Cookies do not distinguish ports: a server that is reached without TLS, as on one's own
//!   machine, shares its cookies with every other server that the browser opens on that machine.
