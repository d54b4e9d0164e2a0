//! Doors for people's browsers and for operators: HTTP and WebSocket in, one shape of errors out.
//! Decides who may come in, not what happens inside.

mod error;
mod health;
mod live;
mod media;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use tokio::sync::Semaphore;

use crate::call::Switchboard;
use crate::config::Doors;
use crate::limits;

pub use self::error::{ApiError, RequestId};
pub use self::health::Readiness;
pub use self::live::Authorize;

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
    /// Who may hear which call.
    pub authorize: Authorize,
}

impl ApiState {
    /// Doors that anyone who reaches the server may pass.
    pub fn new(switchboard: Switchboard, doors: Doors) -> Self {
        Self {
            switchboard,
            doors: Arc::new(doors),
            readiness: Readiness::default(),
            media_sockets: Arc::new(Semaphore::new(limits::MEDIA_SOCKETS_MAX)),
            listeners: Arc::new(Semaphore::new(limits::LISTENERS_MAX)),
            authorize: Authorize::everyone(),
        }
    }
}

/// Every route.
pub fn router(state: ApiState) -> Router {
    let routes = Router::new()
        // Twilio
        .route("/media", get(media::stream))
        .route("/media/", get(media::stream))
        .route("/media/{*secret}", get(media::stream))
        // browsers
        .route("/ws/transcriptions", get(live::transcriptions))
        // operators
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(state);
    with_errors(routes)
}

/// Gives every answer of `routes` its request id and every failure its shape, those of paths that
/// are not there too.
pub(crate) fn with_errors(routes: Router) -> Router {
    routes
        .fallback(error::not_found)
        .layer(middleware::from_fn(error::shape))
}
