//! `/api/token`: what a browser registers at Twilio with. To ask for one changes nothing: a page says
//! at `/api/registrations` that it has registered.
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

use super::caller::{Caller, sign_in_required};
use super::{ApiError, ApiState};
use crate::access::secret::Secret;
use crate::calls::{CallService, NO_USER};
use crate::clock::{self, UtcTime};
use crate::ids::{ClientIdentity, UserId};
use crate::twilio::token::{self, SessionTag, TabTag};

/// `/api/token`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read_voice_token))
}

/// A pass to Twilio.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VoiceToken {
    /// For the Voice SDK's `Device`.
    token: String,
    /// What this tab is called at Twilio; another name in each session.
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
    /// Any text that this tab of the browser keeps for itself: its next token in this session is then
    /// for the same identity.
    browser: Option<String>,
}

/// A pass to Twilio for this browser, good for an hour.
#[utoipa::path(get, path = "/api/token", tag = "phone", params(TokenQuery), responses(
    (status = 200, body = VoiceToken),
    (status = 401, description = "`sign_in_required`"),
    (status = 503, description = "`twilio_not_set_up`: which settings are missing"),
))]
async fn read_voice_token(
    caller: Caller,
    State(calls): State<CallService>,
    Query(query): Query<TokenQuery>,
) -> Result<Json<VoiceToken>, ApiError> {
    let now = clock::utc_now();
    let (_, identity) = identity_of(&caller, &calls, query.browser.as_deref()).await?;
    let minted = calls.mint_access_token(&identity, now).map_err(|missing| {
        let missing = missing.join(", ");
        let message = format!("calls need {missing}: see .env.example, then restart");
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "twilio_not_set_up",
            message,
        )
    })?;
    Ok(Json(VoiceToken {
        token: minted.jwt,
        identity,
        expires_at: minted.expires_at,
        edge: calls.twilio_edge().map(str::to_owned),
    }))
}

/// What the browser that asks is called at Twilio, and whose it is; machines are no telephones.
pub(super) async fn identity_of(
    caller: &Caller,
    calls: &CallService,
    browser: Option<&str>,
) -> Result<(UserId, ClientIdentity), ApiError> {
    let session = match caller {
        Caller::PageKey => {
            let tab = browser.map_or_else(|| tab_tag(&Secret::random().hash()), tab_tag);
            let identity = token::identity_for(NO_USER, "local", SessionTag(0), Some(tab));
            return Ok((NO_USER, identity));
        }
        Caller::User { .. } => match caller.session_hash() {
            Some(hash) => calls.store().session(hash).await?,
            None => None,
        },
    };
    let user = caller.require_signed_in_user()?;
    let session = SessionTag(session.ok_or_else(sign_in_required)?.phone_tag);
    let tab = tab_tag(browser.unwrap_or_default());
    let identity = token::identity_for(user.id, &user.name, session, Some(tab));
    Ok((user.id, identity))
}

/// Names a tab by what it calls itself.
fn tab_tag(name: &(impl AsRef<[u8]> + ?Sized)) -> TabTag {
    let digest: [u8; 32] = Sha256::digest(name).into();
    let (beginning, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
    TabTag(u64::from_be_bytes(*beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tab_keeps_its_name_and_no_two_share_one() {
        assert_eq!(tab_tag("one"), tab_tag("one"));
        assert_ne!(tab_tag("one"), tab_tag("other"));
        assert_ne!(tab_tag("one"), tab_tag(""));
    }
}
