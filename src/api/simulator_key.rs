//! Twilio's routes of a server without a Twilio account: nobody can prove to be Twilio there, so they
//! are shut. On a server that only its own machine reaches they open to the simulator key
//! ([`LocalKeys`](crate::access::local::LocalKeys)), in requests that come straight from this machine.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, StatusCode};

use super::ApiError;
use crate::access::local;
use crate::access::secret::Secret;
use crate::config::EndpointConfig;

/// Carries the simulator key to the webhooks; a media socket has it at the end of its path.
const KEY_HEADER: HeaderName = HeaderName::from_static("x-callburner-simulator");

/// What the operator is told.
const HINT: &str = "a webhook or media stream came to a server without a Twilio account, where nobody can \
                    prove to be Twilio; if it was Twilio's, set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN";

/// The simulator key that the headers carry.
pub(super) fn simulator_key_of(headers: &HeaderMap) -> &str {
    let value = headers.get(KEY_HEADER).and_then(|key| key.to_str().ok());
    value.unwrap_or_default()
}

/// Refuses whoever is not the simulator.
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
        "this server has no Twilio account, so that it takes calls only from `callburner replay` with \
         the key in DATA_DIR/simulator.key",
    )
    .with_operator_hint(HINT))
}

/// Refuses what does not come straight from this machine.
pub(super) fn require_local_peer(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    if peer.is_some_and(|peer| local::is_local_request(peer, headers)) {
        return Ok(());
    }
    Err(no_account_refusal(
        "this server has no Twilio account, so that only programs on its own machine may play calls to \
         it, by its address and through no proxy",
    )
    .with_operator_hint(HINT))
}

/// The refusal of whoever says to be Twilio, where nobody can prove it.
pub(super) fn no_account_error() -> ApiError {
    no_account_refusal(
        "this server has no Twilio account, so that nobody can prove to be Twilio: set \
         TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN",
    )
}

fn no_account_refusal(message: &'static str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "no_account", message)
}
