//! Doors for people's browsers and for operators: HTTP and WebSocket in, one shape of errors out.
//! Decides who may come in, not what happens inside.

mod error;
mod health;
mod live;

use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::middleware;
use axum::routing::get;
use tokio::sync::Semaphore;

use crate::hub::Hub;
use crate::limits;
use crate::tasks::Tasks;

pub use self::error::{ApiError, RequestId};
pub use self::health::Readiness;
pub use self::live::Authorize;

/// What the doors lead to; clones are the same.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// Live calls.
    pub hub: Hub,
    /// Where sessions run, and whether the server is stopping.
    pub tasks: Tasks,
    /// Why a call could not be taken now, if so.
    pub readiness: Readiness,
    /// A permit for each client-channel socket.
    pub listeners: Arc<Semaphore>,
    /// Where the world reaches this server, for instance `https://calls.example.org`, if set.
    pub public_base_url: Option<Uri>,
    /// Who may hear which call.
    pub authorize: Authorize,
}

impl ApiState {
    /// Doors to `hub` that anyone who reaches the server may pass.
    pub fn new(hub: Hub, tasks: Tasks) -> Self {
        Self {
            hub,
            tasks,
            readiness: Readiness::default(),
            listeners: Arc::new(Semaphore::new(limits::LISTENERS_MAX)),
            public_base_url: None,
            authorize: Authorize::everyone(),
        }
    }
}

/// Every route.
pub fn router(state: ApiState) -> Router {
    let routes = Router::new()
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
