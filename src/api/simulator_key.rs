//! Access to Twilio's routes on a server without a Twilio account: requests cannot be authenticated
//! as Twilio's, so they are refused. A local-only server accepts those with the simulator key
//! ([`LocalKeys`](crate::access::local::LocalKeys)), directly from this machine.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, StatusCode};

use super::ApiError;
use crate::access::local;
use crate::access::secret::Secret;
use crate::config::EndpointConfig;

/// The header that carries the simulator key to the webhooks; a media socket has it at the end of
/// its path.
const KEY_HEADER: HeaderName = HeaderName::from_static("x-callburner-simulator");

/// The operator's hint.
const HINT: &str = "this server has no Twilio account, so it cannot verify that a webhook or media \
                    stream is Twilio's; if it was, set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN";

/// Returns the simulator key in the headers, or an empty text.
pub(super) fn simulator_key_of(headers: &HeaderMap) -> &str {
    let value = headers.get(KEY_HEADER).and_then(|key| key.to_str().ok());
    value.unwrap_or_default()
}

/// Rejects requests without the simulator key. 403: `no_account`.
pub(super) fn require_simulator_key(
    endpoint: &EndpointConfig,
    key: &str,
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    let Some(keys) = endpoint.keys() else {
        return Err(no_account_error().with_operator_hint(HINT));
    };
    require_local_peer(peer, headers)?;
    let key = Secret::parse(key);
    if key.is_some_and(|key| key.matches_hash(&keys.simulator.hash())) {
        return Ok(());
    }
    Err(no_account_refusal(
        "this server has no Twilio account, so it accepts calls only from `callburner replay` with \
         the key in DATA_DIR/simulator.key",
    )
    .with_operator_hint(HINT))
}

/// Rejects requests that do not come directly from this machine. 403: `no_account`.
pub(super) fn require_local_peer(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    if peer.is_some_and(|peer| local::is_local_request(peer, headers)) {
        return Ok(());
    }
    Err(no_account_refusal(
        "this server has no Twilio account, so it accepts simulated calls only from its own \
         machine, under its IP address and without a proxy",
    )
    .with_operator_hint(HINT))
}

/// 403: the server has no account, and cannot verify that the request is Twilio's.
pub(super) fn no_account_error() -> ApiError {
    no_account_refusal(
        "this server has no Twilio account, so it cannot verify that a request is Twilio's: set \
         TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN",
    )
}

fn no_account_refusal(message: &'static str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "no_account", message)
}
