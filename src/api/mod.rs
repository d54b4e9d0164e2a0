//! Doors for people's browsers and for operators: HTTP and WebSocket in, one shape of errors out.
//! Decides who may come in, not what happens inside.

mod api_tokens;
mod audio;
mod auth;
mod calls;
mod contract;
mod error;
mod gatehouse;
mod guard;
mod health;
mod live;
mod log;
mod media;
mod metrics;
mod page;
pub(crate) mod probe;
mod ranges;
mod recordings;
mod registrations;
mod request_bounds;
mod rung;
mod second_factor;
mod session;
mod sessions;
mod settings;
mod simulation;
mod simulator;
mod token;
mod twilio;
mod users;
mod witness;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::middleware;
use axum::routing::get;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;

use crate::access::shares::Shares;
use crate::call::Switchboard;
use crate::config::Doors;
use crate::desk::Desk;
use crate::ids::UserId;
use crate::limits;
use crate::metrics::Metrics;

pub use self::auth::{Caller, ClientAddress, Via};
pub(crate) use self::contract::json as contract_json;
pub use self::error::{ApiError, RequestId};
pub use self::gatehouse::Gatehouse;
pub use self::health::Readiness;
#[cfg(test)]
pub(crate) use self::page::File as PageFile;
pub use self::page::Page;
pub(crate) use self::request_bounds::{RequestBounds, bound};
pub use self::settings::About;
#[cfg(test)]
pub(crate) use self::twilio::doors as twilio_doors;

/// What the doors lead to; clones are the same.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// Live calls, and how they are carried.
    pub switchboard: Switchboard,
    /// Where the world reaches this server, and how Twilio proves itself.
    pub doors: Arc<Doors>,
    /// Why a call could not be taken now, if so.
    pub readiness: Readiness,
    /// A permit for each media socket.
    pub media_sockets: Arc<Semaphore>,
    /// A permit for each client-channel socket.
    pub listeners: Arc<Semaphore>,
    /// What of them each user has.
    pub listeners_of: Shares<UserId>,
    /// What happens to calls beside their audio.
    pub desk: Desk,
    /// Who may come in.
    pub gatehouse: Gatehouse,
    /// What else the page shows of the host's settings.
    pub about: Arc<About>,
    /// The client.
    pub page: Page,
}

impl FromRef<ApiState> for Desk {
    fn from_ref(state: &ApiState) -> Self {
        state.desk.clone()
    }
}

impl FromRef<ApiState> for Page {
    fn from_ref(state: &ApiState) -> Self {
        state.page
    }
}

impl FromRef<ApiState> for Arc<Doors> {
    fn from_ref(state: &ApiState) -> Self {
        state.doors.clone()
    }
}

impl ApiState {
    /// Doors behind which nothing has happened yet.
    pub fn new(
        switchboard: Switchboard,
        desk: Desk,
        doors: Doors,
        gatehouse: Gatehouse,
        about: About,
    ) -> Self {
        Self {
            switchboard,
            doors: Arc::new(doors),
            readiness: Readiness::default(),
            media_sockets: Arc::new(Semaphore::new(limits::MEDIA_SOCKETS_MAX)),
            listeners: Arc::new(Semaphore::new(limits::LISTENERS_MAX)),
            listeners_of: Shares::new(limits::LISTENERS_PER_USER_MAX),
            desk,
            gatehouse,
            about: Arc::new(about),
            page: Page::default(),
        }
    }

    /// Media sockets that could be opened now.
    fn media_sockets_left(&self) -> usize {
        self.media_sockets.available_permits()
    }

    /// Pages that could begin to listen now.
    fn listeners_left(&self) -> usize {
        self.listeners.available_permits()
    }
}

/// Every route.
pub fn router(state: ApiState) -> Router {
    let doors = Arc::clone(&state.doors);
    let metrics = state.switchboard.metrics.clone();
    let bounds = RequestBounds::new(state.gatehouse.proxies().clone());
    let counted = middleware::from_fn_with_state(metrics.clone(), twilio::count);
    let (browsers, _contract) = browsers().split_for_parts();
    let routes = browsers
        // Twilio
        .merge(twilio::routes().route_layer(counted))
        .route("/media", get(media::stream))
        .route("/media/", get(media::stream))
        .route("/media/{*secret}", get(media::stream))
        // browsers
        .route("/ws/transcriptions", get(live::transcriptions))
        // operators
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::read))
        .route("/api/openapi.json", get(contract::document))
        // everything else
        .fallback(page::answer)
        .layer(middleware::from_fn_with_state(
            state.clone(),
            witness::witness,
        ))
        .with_state(state);
    let routes = with_errors(bound(routes, bounds), metrics);
    guard::guard(routes, &doors)
}

/// The routes of browsers and machines, and their contract.
pub(crate) fn browsers() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .merge(token::routes())
        .merge(registrations::routes())
        .merge(rung::routes())
        .merge(calls::routes())
        .merge(audio::routes())
        .merge(recordings::routes())
        .merge(simulation::routes())
        .merge(settings::routes())
        .merge(session::routes())
        .merge(sessions::routes())
        .merge(log::routes())
        .merge(users::routes())
        .merge(second_factor::routes())
        .merge(api_tokens::routes())
        .layer(DefaultBodyLimit::max(limits::API_BODY_BYTES_MAX))
}

/// Gives every answer of `routes` its request id and every failure its shape, and counts failures.
pub(crate) fn with_errors(routes: Router, metrics: Metrics) -> Router {
    routes.layer(middleware::from_fn_with_state(metrics, error::shape))
}
