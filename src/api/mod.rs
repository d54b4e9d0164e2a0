//! HTTP and WebSocket endpoints for browsers, API clients, Twilio and operators, with one error
//! format. This module authenticates and authorises requests; it does not implement the operations.

mod api_tokens;
mod audio;
mod auth_service;
mod byte_range;
mod caller;
mod calls;
pub(crate) mod doctor_endpoints;
mod error;
mod health;
mod live;
mod media;
mod metrics;
mod openapi;
mod recordings;
mod refusal_log;
mod registrations;
mod request_bounds;
mod ring_outcome;
mod second_factor;
mod security_headers;
mod server_log;
mod sessions;
mod settings;
mod sign_in;
mod simulation;
mod simulator_key;
mod static_files;
mod token;
mod twilio;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::middleware;
use axum::routing::get;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;

use crate::access::keyed_semaphore::KeyedSemaphore;
use crate::calls::CallService;
use crate::config::EndpointConfig;
use crate::ids::UserId;
use crate::limits;
use crate::media_task::MediaDeps;
use crate::metrics::Metrics;

pub use self::auth_service::AuthService;
#[cfg(test)]
pub use self::caller::AuthMethod;
pub use self::caller::{Caller, ClientAddress};
pub use self::error::{ApiError, RequestId};
pub use self::health::Readiness;
pub(crate) use self::openapi::openapi_json;
pub(crate) use self::request_bounds::{RequestBounds, apply_request_bounds};
pub use self::settings::ServerDescription;
#[cfg(test)]
pub(crate) use self::static_files::StaticFile;
pub use self::static_files::StaticFiles;
#[cfg(test)]
pub(crate) use self::twilio::webhook_routes;

/// The state of every handler. Clones share one state.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// The dependencies of media streams.
    pub media_deps: MediaDeps,
    /// The listen address, the public URL, and how Twilio's requests are authenticated.
    pub endpoint: Arc<EndpointConfig>,
    /// Whether a call can be accepted now, and if not, why.
    pub readiness: Readiness,
    /// A permit for each media socket.
    pub media_sockets: Arc<Semaphore>,
    /// A permit for each client-channel socket.
    pub listeners: Arc<Semaphore>,
    /// Limits the client-channel sockets of each user.
    pub listeners_per_user: KeyedSemaphore<UserId>,
    /// The call service.
    pub calls: CallService,
    /// The authentication service.
    pub auth: AuthService,
    /// More of the server's settings that the page shows.
    pub description: Arc<ServerDescription>,
    /// The client's files.
    pub static_files: StaticFiles,
}

impl FromRef<ApiState> for CallService {
    fn from_ref(state: &ApiState) -> Self {
        state.calls.clone()
    }
}

impl FromRef<ApiState> for StaticFiles {
    fn from_ref(state: &ApiState) -> Self {
        state.static_files
    }
}

impl FromRef<ApiState> for Arc<EndpointConfig> {
    fn from_ref(state: &ApiState) -> Self {
        state.endpoint.clone()
    }
}

impl ApiState {
    /// Creates the state, with every permit available.
    pub fn new(
        media_deps: MediaDeps,
        calls: CallService,
        endpoint: EndpointConfig,
        auth: AuthService,
        description: ServerDescription,
    ) -> Self {
        Self {
            media_deps,
            endpoint: Arc::new(endpoint),
            readiness: Readiness::default(),
            media_sockets: Arc::new(Semaphore::new(limits::MEDIA_SOCKETS_MAX)),
            listeners: Arc::new(Semaphore::new(limits::LISTENERS_MAX)),
            listeners_per_user: KeyedSemaphore::new(limits::LISTENERS_PER_USER_MAX),
            calls,
            auth,
            description: Arc::new(description),
            static_files: StaticFiles::default(),
        }
    }

    /// Returns the number of media sockets that can be opened now.
    fn media_sockets_left(&self) -> usize {
        self.media_sockets.available_permits()
    }

    /// Returns the number of client-channel sockets that can be opened now.
    fn listeners_left(&self) -> usize {
        self.listeners.available_permits()
    }
}

/// Builds the router of every route.
pub fn router(state: ApiState) -> Router {
    let endpoint = Arc::clone(&state.endpoint);
    let metrics = state.media_deps.metrics.clone();
    let bounds = RequestBounds::new(state.auth.proxies().clone());
    let counted = middleware::from_fn_with_state(metrics.clone(), twilio::count_webhooks);
    let (browsers, _openapi) = client_routes().split_for_parts();
    let routes = browsers
        // Twilio
        .merge(twilio::routes().route_layer(counted))
        .route("/media", get(media::accept_media_stream))
        .route("/media/", get(media::accept_media_stream))
        .route("/media/{*secret}", get(media::accept_media_stream))
        // browsers
        .route("/ws/transcriptions", get(live::listen))
        // operators
        .route("/healthz", get(health::read_liveness))
        .route("/readyz", get(health::read_readiness))
        .route("/metrics", get(metrics::read_metrics))
        .route("/api/openapi.json", get(openapi::read_openapi))
        // the page, and 404
        .fallback(static_files::serve_static_file)
        .layer(middleware::from_fn_with_state(
            state.clone(),
            refusal_log::log_refusals,
        ))
        .with_state(state);
    let routes = with_error_layer(apply_request_bounds(routes, bounds), metrics);
    security_headers::add_security_headers(routes, &endpoint)
}

/// Builds the routes of browsers and API clients, together with their OpenAPI description.
pub(crate) fn client_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .merge(token::routes())
        .merge(registrations::routes())
        .merge(ring_outcome::routes())
        .merge(calls::routes())
        .merge(audio::routes())
        .merge(recordings::routes())
        .merge(simulation::routes())
        .merge(settings::routes())
        .merge(sign_in::routes())
        .merge(sessions::routes())
        .merge(server_log::routes())
        .merge(users::routes())
        .merge(second_factor::routes())
        .merge(api_tokens::routes())
        .layer(DefaultBodyLimit::max(limits::API_BODY_BYTES_MAX))
}

/// Adds a request id to every response of `routes`, formats every failure, and counts failures.
pub(crate) fn with_error_layer(routes: Router, metrics: Metrics) -> Router {
    routes.layer(middleware::from_fn_with_state(
        metrics,
        error::format_errors,
    ))
}
