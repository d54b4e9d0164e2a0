//! `/api/token`: what a browser registers at Twilio with. As long as it holds one, calls ring it.
#![expect(
    unused_qualifications,
    reason = "utoipa names a query's type by its path"
)]

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::{ApiError, ApiState};
use crate::access::secret::{Secret, SecretHash};
use crate::clock::{self, UtcTime};
use crate::desk::{Desk, NOBODY};
use crate::ids::ClientIdentity;
use crate::twilio::token::{self, SessionTag};

/// `/api/token`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(token, give_back))
}

/// A pass to Twilio.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VoiceToken {
    /// For the Voice SDK's `Device`.
    token: String,
    /// What this browser is called at Twilio; its own for each session.
    identity: ClientIdentity,
    /// Ask for another before then.
    expires_at: UtcTime,
    /// The edge of Twilio's that the browser is to connect to; none: the nearest.
    #[schema(example = "dublin")]
    edge: Option<String>,
}

/// Which browser asks.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TokenQuery {
    /// Any text that this browser, or this tab of it, keeps for itself: its user's next token is
    /// then for the same identity, also in another session.
    browser: Option<String>,
}

/// A pass to Twilio for this browser, good for an hour.
#[utoipa::path(get, path = "/api/token", tag = "phone", params(TokenQuery), responses(
    (status = 200, body = VoiceToken),
    (status = 401, description = "`sign_in_required`"),
    (status = 503, description = "`twilio_not_set_up`: which settings are missing"),
))]
async fn token(
    caller: Caller,
    State(desk): State<Desk>,
    Query(query): Query<TokenQuery>,
) -> Result<Json<VoiceToken>, ApiError> {
    let now = clock::utc_now();
    let identity = identity_of(&caller, query.browser.as_deref())?;
    let minted = desk.mint(&identity, now).map_err(|missing| {
        let missing = missing.join(", ");
        let message = format!("calls need {missing}: see .env.example, then restart");
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "twilio_not_set_up",
            message,
        )
    })?;
    let expires_at = minted.expires_at;
    let session = caller.session().copied();
    desk.arrive(identity.clone(), caller.user_id(), session);
    Ok(Json(VoiceToken {
        token: minted.jwt,
        identity,
        expires_at,
        edge: desk.edge().map(str::to_owned),
    }))
}

/// This browser goes offline: calls ring it no more, until it asks for its next pass.
#[utoipa::path(delete, path = "/api/token", tag = "phone", params(TokenQuery), responses(
    (status = 204, description = "offline, or never online"),
    (status = 401, description = "`sign_in_required`"),
))]
async fn give_back(
    caller: Caller,
    State(desk): State<Desk>,
    Query(query): Query<TokenQuery>,
) -> Result<StatusCode, ApiError> {
    desk.go_offline(&identity_of(&caller, query.browser.as_deref())?);
    Ok(StatusCode::NO_CONTENT)
}

/// What the browser that asks is called at Twilio; machines are no telephones.
fn identity_of(caller: &Caller, browser: Option<&str>) -> Result<ClientIdentity, ApiError> {
    let (user, name) = match caller {
        Caller::User { .. } => {
            let user = caller.require_person()?;
            (user.id, user.name.as_str())
        }
        Caller::Open => (NOBODY, "local"),
    };
    let tag = tag(caller.session(), browser);
    Ok(token::identity_for(user, name, tag))
}

/// Names a browser among its user's by what it calls itself: so a call outlasts its session. By the
/// session if it calls itself nothing; by chance if it has neither.
fn tag(session: Option<&SecretHash>, browser: Option<&str>) -> SessionTag {
    let mut hash = Sha256::new();
    match (browser, session) {
        (Some(browser), _) => hash.update(browser),
        (None, Some(session)) => hash.update(session),
        (None, None) => hash.update(Secret::random().hash()),
    }
    let digest = hash.finalize();
    let bytes = digest[..8].try_into().expect("a digest of 32 bytes");
    SessionTag(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_keeps_its_name_and_no_two_share_one() {
        let (a, b) = (Some(&[1; 32]), Some(&[2; 32]));
        assert_eq!(tag(a, None), tag(a, None));
        assert_eq!(tag(None, Some("tab")), tag(None, Some("tab")));
        assert_eq!(tag(a, Some("tab")), tag(b, Some("tab")));
        let all = [
            tag(a, None),
            tag(b, None),
            tag(a, Some("tab")),
            tag(a, Some("other")),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(all[n + 1..].iter().all(|other| other != one));
        }
        assert_ne!(tag(None, None), tag(None, None));
    }
}
