//! `GET /api/settings`: what the page must know of the host's settings. Read only: they are changed
//! where the server is started. No secret is among them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::caller::Caller;
use crate::config::TranscriptionSource;
use crate::dialing;
use crate::ids::E164;

/// `/api/settings`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read_settings))
}

/// Settings that people may know, and that no door works with.
#[derive(Debug, Clone, Default)]
pub struct ServerDescription {
    /// What people call the model; empty: it has no name.
    pub model: String,
    /// How long calls are kept; none: for ever.
    pub retention: Option<Duration>,
}

/// The host's settings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Settings)]
#[serde(rename_all = "camelCase")]
struct HostSettings {
    /// The server's version.
    version: &'static str,
    /// Whether calls can be placed and taken.
    twilio: TwilioReadiness,
    /// The number that calls come from, and that people call back; none: nobody can be called.
    caller_id: Option<E164>,
    /// The country of numbers that begin with no `+`, as ISO 3166 alpha-2 code: the caller ID's,
    /// or the only one that may be called.
    #[schema(example = "US")]
    default_country: Option<&'static str>,
    /// The countries that may be called, as ISO 3166 alpha-2 codes.
    allowed_countries: Vec<&'static str>,
    /// What the parties are told before they talk.
    announcement: Option<String>,
    /// Where a call's words come from.
    transcription_source: TranscriptionSource,
    /// The speech model of this machine; none: it has no name.
    #[schema(example = "tiny.en")]
    model: Option<String>,
    /// Whether calls' audio is kept on this machine.
    archive: bool,
    /// Days after which calls are deleted; none: never.
    retention_days: Option<u64>,
    /// Seconds after which a call is ended.
    max_call_seconds: u32,
    /// Seconds that the other end may ring.
    ring_seconds: u16,
}

/// What there is of an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TwilioSettings)]
struct TwilioReadiness {
    /// Whether a browser can be a phone.
    ready: bool,
    /// The names of the settings that are missing for it.
    #[schema(example = json!(["TWILIO_CALLER_ID"]))]
    missing: Vec<&'static str>,
}

/// What the host has set, as far as a page must know it.
#[utoipa::path(get, path = "/api/settings", tag = "operators", responses(
    (status = 200, body = HostSettings),
))]
async fn read_settings(_: Caller, State(state): State<ApiState>) -> Json<HostSettings> {
    const DAY: u64 = 24 * 60 * 60;
    let (config, description) = (state.calls.config(), &state.description);
    let missing = config
        .access_tokens
        .as_ref()
        .err()
        .cloned()
        .unwrap_or_default();
    let allowed: Vec<&str> = config.policy.countries().collect();
    let only = match allowed[..] {
        [country] => Some(country),
        _ => None,
    };
    let home = config.caller_id.as_ref().and_then(dialing::country_of);
    Json(HostSettings {
        version: env!("CARGO_PKG_VERSION"),
        twilio: TwilioReadiness {
            ready: missing.is_empty(),
            missing,
        },
        caller_id: config.caller_id.clone(),
        default_country: home.or(only),
        allowed_countries: allowed,
        announcement: config.announcement.clone(),
        transcription_source: config.transcription_source,
        model: Some(&description.model)
            .filter(|name| !name.is_empty())
            .cloned(),
        archive: state.media_deps.audio_archive.is_some(),
        retention_days: description.retention.map(|age| age.as_secs() / DAY),
        max_call_seconds: config.limits.call_seconds_max,
        ring_seconds: config.ring_seconds_max,
    })
}
