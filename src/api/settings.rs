//! `GET /api/settings`: the server's settings that the page needs, without secrets. Read-only: the
//! environment sets them at the start.

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

/// Returns the route of `/api/settings`.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read_settings))
}

/// Settings that the page shows, and no handler uses.
#[derive(Debug, Clone, Default)]
pub struct ServerDescription {
    /// The display name of the model; may be empty.
    pub model: String,
    /// How long calls are kept; `None`: for ever.
    pub retention: Option<Duration>,
}

/// The server's settings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Settings)]
#[serde(rename_all = "camelCase")]
struct HostSettings {
    /// The server's version.
    version: &'static str,
    /// Whether calls can be placed and received.
    twilio: TwilioReadiness,
    /// The number that calls are placed from, and that people call back; `null`: calls cannot be
    /// placed.
    caller_id: Option<E164>,
    /// The country of numbers without a `+`, as ISO 3166 alpha-2 code: that of the caller ID, or
    /// the only one that may be called.
    #[schema(example = "US")]
    default_country: Option<&'static str>,
    /// The countries that may be called, as ISO 3166 alpha-2 codes.
    allowed_countries: Vec<&'static str>,
    /// The announcement that the parties hear before they talk.
    announcement: Option<String>,
    /// The source of transcripts.
    transcription_source: TranscriptionSource,
    /// The speech model of this server; `null`: it has no name.
    #[schema(example = "tiny.en")]
    model: Option<String>,
    /// Whether calls' audio is archived.
    archive: bool,
    /// Days after which calls are deleted; `null`: never.
    retention_days: Option<u64>,
    /// The longest duration of a call, in seconds.
    max_call_seconds: u32,
    /// The longest ringing time of an outgoing call, in seconds.
    ring_seconds: u16,
}

/// The state of the Twilio account's configuration.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TwilioSettings)]
struct TwilioReadiness {
    /// Whether browsers can place and receive calls.
    ready: bool,
    /// The names of the missing settings.
    #[schema(example = json!(["TWILIO_CALLER_ID"]))]
    missing: Vec<&'static str>,
}

/// Get the server's settings that the page needs.
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
