//! `/api/token`: the access token with which a browser registers at Twilio. Requesting one changes
//! nothing: a page reports its registration to `/api/registrations`.
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

/// Returns the route of `/api/token`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read_voice_token))
}

/// An access token for Twilio.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VoiceToken {
    /// The JWT for the Voice SDK's `Device`.
    token: String,
    /// The identity of this tab at Twilio, which differs in each session.
    identity: ClientIdentity,
    /// When the token expires: request another before.
    expires_at: UtcTime,
    /// The Twilio edge that the browser connects to; `null`: the nearest.
    #[schema(example = "dublin")]
    edge: Option<String>,
}

/// The tab that requests a token.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TokenQuery {
    /// Any text that this tab of the browser keeps: the tab's next token in this session then has
    /// the same identity.
    browser: Option<String>,
}

/// Get an access token for this browser, valid for an hour.
#[utoipa::path(get, path = "/api/token", tag = "phone", params(TokenQuery), responses(
    (status = 200, body = VoiceToken),
    (status = 401, description = "`sign_in_required`"),
    (status = 503, description = "`twilio_not_set_up`: names the missing settings"),
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

/// Returns the client identity of the browser at Twilio, and its user. 403 for API tokens, which
/// have no browser.
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

/// Derives the tag of a tab from the text that it keeps.
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
