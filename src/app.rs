//! The composition of the server: builds each part once, hands each only what it needs, and stops
//! them in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::access::proxies::Proxies;
use crate::api::{self, ApiState, Gatehouse};
use crate::call::Switchboard;
use crate::clock;
use crate::config::Doors;
use crate::engine::{Engine, voice};
use crate::hub::Hub;
use crate::store::Store;
use crate::tasks::Tasks;

/// Time that calls get at a stop to publish what was heard.
const STOP_MAX: Duration = Duration::from_secs(20);

/// A server that takes calls.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    tasks: Tasks,
    engine: Arc<Engine>,
    hub: Hub,
    gatehouse: Gatehouse,
}

impl App {
    /// Opens the doors. Calls can be taken when it returns.
    ///
    /// `proxies` are believed when they say who the client is.
    pub async fn start(
        doors: Doors,
        engine: Engine,
        voice: voice::Config,
        store: Store,
        proxies: Proxies,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(doors.address).await.with_context(|| {
            format!(
                "cannot listen on {}; is another server there? Try another PORT",
                doors.address
            )
        })?;
        let address = listener.local_addr()?;
        let tasks = Tasks::default();
        let engine = Arc::new(engine);
        let hub = Hub::new();
        hub.keep_swept(&tasks);
        let switchboard = Switchboard {
            engine: engine.clone(),
            hub: hub.clone(),
            tasks: tasks.clone(),
            voice,
        };
        let gatehouse = Gatehouse::new(store, &doors, proxies, clock::now());
        gatehouse.keep_swept(&tasks);
        let routes = api::router(ApiState::new(switchboard, doors, gatehouse.clone()))
            .into_make_service_with_connect_info::<SocketAddr>();
        let stopping = tasks.clone();
        tasks.spawn(async move {
            let served = axum::serve(listener, routes)
                .with_graceful_shutdown(async move { stopping.stopping().await });
            if let Err(error) = served.await {
                tracing::error!(%error, "the listener broke");
            }
        });
        Ok(Self {
            address,
            tasks,
            engine,
            hub,
            gatehouse,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every live call.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Who may come in.
    pub fn gatehouse(&self) -> &Gatehouse {
        &self.gatehouse
    }

    /// What recognises.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Takes nothing new, lets calls publish what was heard, and ends.
    pub async fn stop(self) {
        if !self.tasks.shut_down(STOP_MAX).await {
            tracing::warn!(
                seconds = STOP_MAX.as_secs(),
                "some calls did not end in time"
            );
        }
        let engine = self.engine;
        // Joins threads, which takes up to one pass.
        let _ = tokio::task::spawn_blocking(move || engine.stop()).await;
    }
}
