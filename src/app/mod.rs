//! The composition of the server: builds each part once, hands each only what it needs, and stops
//! them in order. What happens when something goes wrong is in [`faults`].

mod connections;
pub mod faults;
mod stall_timeout;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::connections::ConnectionSettings;
use crate::access::local::LocalKeys;
use crate::access::proxies::TrustedProxies;
use crate::api::{self, ApiState, AuthService, ServerDescription};
use crate::archive::AudioArchive;
use crate::calls::{self, CallDeps, CallService};
use crate::clock::{self, ClockWatch, UtcTime};
use crate::config::EndpointConfig;
use crate::engine::Engine;
use crate::engine::track::TrackConfig;
use crate::hub::Hub;
use crate::ids::CallSid;
use crate::limits;
use crate::media_task::MediaDeps;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::tasks::Tasks;
use crate::transcript_writer::TranscriptWriter;
use crate::twilio::api::TwilioClient;

/// Time that calls get at a stop to publish what was heard.
const STOP_MAX: Duration = Duration::from_secs(20);

/// What a server is made of.
#[derive(Debug)]
pub struct ServerConfig {
    /// Where it listens, and where the world reaches it.
    pub endpoint: EndpointConfig,
    /// Proxies that may say who a client is.
    pub proxies: TrustedProxies,
    /// What recognises.
    pub engine: Engine,
    /// How voices are cut up.
    pub track_config: TrackConfig,
    /// What lasts.
    pub store: Store,
    /// Where calls' audio is, if any was ever kept.
    pub audio_archive: Option<AudioArchive>,
    /// Whether calls' audio is kept there from now on.
    pub is_archiving_enabled: bool,
    /// Whether recorded calls are played on request; only where no account proves itself.
    pub is_simulation_enabled: bool,
    /// How calls are answered.
    pub calls: calls::CallConfig,
    /// Twilio's REST API, if there is an account.
    pub twilio: Option<TwilioClient>,
    /// How long calls are kept; none: for ever.
    pub retention: Option<Duration>,
    /// What people call the model that recognises; empty: it has no name.
    pub model: String,
}

impl ServerConfig {
    /// A server that only this machine reaches, that knows no account, that has keys of its own, and
    /// that forgets everything at its end.
    pub async fn local(
        address: SocketAddr,
        engine: Engine,
        track_config: TrackConfig,
    ) -> anyhow::Result<Self> {
        let store = Store::open("sqlite::memory:").await?;
        let mut endpoint = EndpointConfig::local(address);
        endpoint.local_keys = Some(LocalKeys::random());
        Ok(Self::behind(endpoint, store, engine, track_config))
    }

    /// A server behind these doors, without an account that could be asked for anything.
    pub fn behind(
        endpoint: EndpointConfig,
        store: Store,
        engine: Engine,
        track_config: TrackConfig,
    ) -> Self {
        Self {
            calls: calls::CallConfig::without_account(endpoint.public_url.clone()),
            endpoint,
            proxies: TrustedProxies::default(),
            engine,
            track_config,
            store,
            audio_archive: None,
            is_archiving_enabled: false,
            is_simulation_enabled: false,
            twilio: None,
            retention: None,
            model: String::new(),
        }
    }
}

/// A server that takes calls.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    tasks: Tasks,
    engine: Arc<Engine>,
    hub: Hub,
    calls: CallService,
    audio_archive: Option<AudioArchive>,
    auth: AuthService,
    keys: Option<LocalKeys>,
}

impl App {
    /// Opens the doors. Calls can be taken when it returns.
    pub async fn start(mut server_config: ServerConfig) -> anyhow::Result<Self> {
        let listener = connections::bind_listener(server_config.endpoint.address)?;
        let address = listener.local_addr()?;
        server_config.endpoint.address = address; // The port may have been free to choose.
        let tasks = Tasks::default();
        let open = mark_interrupted_calls(&server_config.store).await?;
        let audio_archive = server_config.audio_archive.clone();
        let connection_settings = ConnectionSettings::new(server_config.proxies.clone());
        let keys = server_config.endpoint.keys().cloned();
        let state = build_api_state(server_config, &tasks);
        state.calls.restore_registrations().await;
        state.calls.restore_placed_calls().await?;
        state.calls.resume_calls(open);
        spawn_audio_scan(state.calls.clone(), &tasks);
        let media_deps = &state.media_deps;
        let app = Self {
            address,
            tasks: tasks.clone(),
            engine: media_deps.engine.clone(),
            hub: media_deps.hub.clone(),
            calls: state.calls.clone(),
            audio_archive,
            auth: state.auth.clone(),
            keys,
        };
        let routes = api::router(state);
        tasks.spawn(connections::accept_connections(
            listener,
            routes,
            tasks.clone(),
            connection_settings,
        ));
        Ok(app)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What opens it, if only this machine reaches it.
    pub fn keys(&self) -> Option<&LocalKeys> {
        self.keys.as_ref()
    }

    /// Every live call.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// What happens to calls beside their audio.
    pub fn calls(&self) -> &CallService {
        &self.calls
    }

    /// What recognises.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What lasts.
    pub fn store(&self) -> &Store {
        self.calls.store()
    }

    /// Where a server without users is opened, if only this machine reaches it: to be printed, never
    /// logged.
    pub async fn page_link(&self) -> anyhow::Result<Option<String>> {
        Ok(self.auth.page_link().await?)
    }

    /// Where the first user signs up, if there is none yet and one is needed: to be printed, never
    /// logged.
    pub async fn first_run_link(&self) -> anyhow::Result<Option<String>> {
        Ok(self.auth.first_run_link(clock::utc_now()).await?)
    }

    /// Takes no new calls, and lets those that go on finish, up to [`limits::DRAIN_MAX`]. `false`:
    /// some go on still.
    pub async fn drain(&self) -> bool {
        self.tasks.drain();
        let over = self.tasks.wait_for_calls();
        tokio::time::timeout(limits::DRAIN_MAX, over).await.is_ok()
    }

    /// Takes nothing new, lets calls publish and write down what was heard, and ends.
    pub async fn stop(self) {
        if !self.tasks.shut_down(STOP_MAX).await {
            tracing::warn!(
                seconds = STOP_MAX.as_secs(),
                "some calls did not end in time"
            );
        }
        let (engine, audio_archive) = (self.engine, self.audio_archive);
        // Joins threads, which takes up to one pass.
        let stop = move || {
            engine.stop();
            audio_archive.inspect(AudioArchive::stop);
        };
        let _ = tokio::task::spawn_blocking(stop).await;
        self.calls.flush_audit_log().await;
        self.calls.store().close().await;
    }
}

/// Puts the parts together, and sets going what looks after them.
pub(crate) fn build_api_state(server_config: ServerConfig, tasks: &Tasks) -> ApiState {
    let (hub, store) = (Hub::new(), server_config.store);
    let metrics = Metrics::new(store.query_durations());
    hub.spawn_sweeper(tasks);
    let media_socket = Some(format!("ws://{}/media", server_config.endpoint.address));
    let transcript_writer = TranscriptWriter::new(store, hub.clone(), tasks.clone());
    let deps = CallDeps {
        transcript_writer: transcript_writer.clone(),
        hub: hub.clone(),
        tasks: tasks.clone(),
        twilio: server_config.twilio,
        audio_archive: server_config.audio_archive.clone(),
        media_socket: media_socket.filter(|_| server_config.is_simulation_enabled),
    };
    let calls = CallService::new(server_config.calls, deps);
    spawn_retention_task(calls.clone(), server_config.retention, tasks);
    calls.spawn_reconciler();
    let auth = AuthService::new(
        calls.clone(),
        &server_config.endpoint,
        server_config.proxies,
        clock::now(),
    );
    auth.spawn_session_sweeper(tasks);
    auth.spawn_revocation_retries(tasks);
    let media_deps = MediaDeps {
        engine: Arc::new(server_config.engine),
        hub,
        transcript_writer,
        audio_archive: server_config
            .audio_archive
            .filter(|_| server_config.is_archiving_enabled),
        tasks: tasks.clone(),
        track_config: server_config.track_config,
        metrics,
    };
    let description = ServerDescription {
        model: server_config.model,
        retention: server_config.retention,
    };
    ApiState::new(media_deps, calls, server_config.endpoint, auth, description)
}

/// Whether the date may be wrong: a clock that is set forwards makes every call look old.
struct RetentionHold {
    watch: ClockWatch,
    until: Instant,
}

impl RetentionHold {
    fn new(date: UtcTime, at: Instant) -> Self {
        let watch = ClockWatch::new(date, at);
        Self { watch, until: at }
    }

    /// Whether calls may be deleted for their age.
    fn is_over(&mut self, date: UtcTime, at: Instant) -> bool {
        let ahead = self.watch.measure_jump(date, at);
        if ahead > limits::CLOCK_OFFSET_MAX {
            self.until = at + limits::RETENTION_PAUSE;
            tracing::warn!(
                seconds = ahead.as_secs(),
                "this machine's clock was set forwards: no old calls are deleted for a day; if the \
                 date is wrong, set it right and restart the server"
            );
        }
        at >= self.until
    }
}

/// After a crash: what was being written down is marked as broken off. The calls that were not over.
async fn mark_interrupted_calls(store: &Store) -> anyhow::Result<Vec<CallSid>> {
    let open = store.interrupt_open_calls(clock::utc_now()).await?;
    if !open.is_empty() {
        tracing::warn!(
            calls = open.len(),
            "calls were not over when this server last ended; their words until then are kept"
        );
    }
    Ok(open)
}

/// After a crash: audio that is there and not noted.
fn spawn_audio_scan(calls: CallService, tasks: &Tasks) {
    let stop = tasks.clone();
    tasks.spawn(async move {
        let found = tokio::select! {
            found = calls.restore_audio_flags() => found,
            () = stop.wait_for_stop() => return,
        };
        if let Err(error) = found {
            tracing::warn!(%error, "audio of earlier calls could not be looked through");
        }
    });
}

/// Deletes calls that are older than `age`, and entries of the server's log that are old, now and then,
/// until the soft stop.
fn spawn_retention_task(calls: CallService, age: Option<Duration>, tasks: &Tasks) {
    let stop = tasks.clone();
    tasks.spawn(async move {
        let mut retention_hold = RetentionHold::new(clock::utc_now(), clock::now());
        loop {
            let now = clock::utc_now();
            if retention_hold.is_over(now, clock::now()) {
                if let Some(age) = age {
                    let deleted = calls.delete_calls_before(now.minus(age)).await;
                    if deleted > 0 {
                        tracing::info!(calls = deleted, "calls were deleted: they were old enough");
                    }
                }
                let oldest = now.minus(limits::SERVER_LOG_AGE_MAX);
                if let Err(error) = calls.store().sweep_log(oldest).await {
                    tracing::warn!(%error, "old entries of the server's log were not forgotten");
                }
            }
            let next = clock::now() + limits::RETENTION_INTERVAL;
            tokio::select! {
                () = clock::sleep_until(Some(next)) => {}
                () = stop.wait_for_stop() => return,
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_clock_that_was_set_forwards_nothing_is_deleted_for_a_day() {
        let (date, at) = (UtcTime::from_millis(1_795_341_600_000), clock::now());
        let hour = Duration::from_hours(1);
        let mut retention_hold = RetentionHold::new(date, at);
        assert!(retention_hold.is_over(date.plus(hour), at + hour));
        // Years ahead, and a day later still so.
        let wrong = date.plus(hour * 24 * 1_000);
        assert!(!retention_hold.is_over(wrong, at + hour * 2));
        assert!(!retention_hold.is_over(wrong.plus(hour * 23), at + hour * 25));
        assert!(retention_hold.is_over(wrong.plus(hour * 24), at + hour * 26));
        // Set right again, and backwards, which deletes nothing that is too young.
        assert!(retention_hold.is_over(date.plus(hour * 27), at + hour * 27));
    }
}
