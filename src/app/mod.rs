//! The composition of the server: builds each part once, passes each only its dependencies, and
//! stops them in order. [`faults`] lists how the server behaves under each fault.

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

/// The longest time for which a stop waits for calls to publish their last results.
const STOP_MAX: Duration = Duration::from_secs(20);

/// The parts that a server is composed of.
#[derive(Debug)]
pub struct ServerConfig {
    /// The listen address, and the public URL.
    pub endpoint: EndpointConfig,
    /// Proxies whose headers determine a client's address.
    pub proxies: TrustedProxies,
    /// The recognizer.
    pub engine: Engine,
    /// The settings of voice activity detection and segmentation.
    pub track_config: TrackConfig,
    /// The database.
    pub store: Store,
    /// The archive of the calls' audio, if one was ever configured.
    pub audio_archive: Option<AudioArchive>,
    /// Whether the audio of new calls is archived.
    pub is_archiving_enabled: bool,
    /// Whether users can simulate recorded calls; only without a Twilio account, which
    /// authenticates requests.
    pub is_simulation_enabled: bool,
    /// The settings of the call service.
    pub calls: calls::CallConfig,
    /// Twilio's REST API, if there is an account.
    pub twilio: Option<TwilioClient>,
    /// How long calls are kept; `None`: for ever.
    pub retention: Option<Duration>,
    /// The display name of the recognizer's model; may be empty.
    pub model: String,
}

impl ServerConfig {
    /// Creates the configuration of a local-only server without a Twilio account, with new keys,
    /// and with a database in memory.
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

    /// Creates the configuration of a server at this endpoint, without a Twilio account.
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

/// A running server.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    tasks: Tasks,
    engine: Arc<Engine>,
    calls: CallService,
    audio_archive: Option<AudioArchive>,
    auth: AuthService,
    keys: Option<LocalKeys>,
}

impl App {
    /// Starts the server. It accepts calls when this returns.
    pub async fn start(mut server_config: ServerConfig) -> anyhow::Result<Self> {
        let listener = connections::bind_listener(server_config.endpoint.address)?;
        let address = listener.local_addr()?;
        server_config.endpoint.address = address; // Port 0 lets the system choose one.
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

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the page key and the simulator key of a local-only server.
    pub fn keys(&self) -> Option<&LocalKeys> {
        self.keys.as_ref()
    }

    /// Returns the call service.
    #[cfg(test)]
    pub fn calls(&self) -> &CallService {
        &self.calls
    }

    /// Returns the recognizer.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the database.
    pub fn store(&self) -> &Store {
        self.calls.store()
    }

    /// Returns the link that opens a local-only server without users: to be printed, never logged;
    /// `None` for other servers.
    pub async fn page_link(&self) -> anyhow::Result<Option<String>> {
        Ok(self.auth.page_link().await?)
    }

    /// Returns the link with which the first admin signs up, if one is needed: to be printed, never
    /// logged.
    pub async fn first_run_link(&self) -> anyhow::Result<Option<String>> {
        Ok(self.auth.first_run_link(clock::utc_now()).await?)
    }

    /// Refuses new calls, and waits for the open ones to end, up to [`limits::DRAIN_MAX`]. `false`:
    /// some have not ended.
    pub async fn drain(&self) -> bool {
        self.tasks.drain();
        let over = self.tasks.wait_for_calls();
        tokio::time::timeout(limits::DRAIN_MAX, over).await.is_ok()
    }

    /// Refuses new work, lets calls publish and store their last results, and stops every part.
    pub async fn stop(self) {
        if !self.tasks.shut_down(STOP_MAX).await {
            tracing::warn!(
                seconds = STOP_MAX.as_secs(),
                "some calls did not end in time"
            );
        }
        let (engine, audio_archive) = (self.engine, self.audio_archive);
        // Joins threads, which takes up to one decoder pass.
        let stop = move || {
            engine.stop();
            audio_archive.inspect(AudioArchive::stop);
        };
        let _ = tokio::task::spawn_blocking(stop).await;
        self.calls.flush_audit_log().await;
        self.calls.store().close().await;
    }
}

/// Connects the parts, and spawns their background tasks.
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

/// Holds back deletion by age while the date may be wrong: a clock that was set forwards makes
/// every call look old.
struct RetentionHold {
    watch: ClockWatch,
    until: Instant,
}

impl RetentionHold {
    fn new(date: UtcTime, at: Instant) -> Self {
        let watch = ClockWatch::new(date, at);
        Self { watch, until: at }
    }

    /// Reports whether calls may be deleted for their age.
    fn is_over(&mut self, date: UtcTime, at: Instant) -> bool {
        let ahead = self.watch.measure_jump(date, at);
        if ahead > limits::CLOCK_OFFSET_MAX {
            self.until = at + limits::RETENTION_PAUSE;
            tracing::warn!(
                seconds = ahead.as_secs(),
                "this machine's clock was set forwards: no old calls are deleted for a day; if the \
                 date is wrong, correct it and restart the server"
            );
        }
        at >= self.until
    }
}

/// Marks the transcripts that a crash interrupted. Returns the calls that had not ended.
async fn mark_interrupted_calls(store: &Store) -> anyhow::Result<Vec<CallSid>> {
    let open = store.interrupt_open_calls(clock::utc_now()).await?;
    if !open.is_empty() {
        tracing::warn!(
            calls = open.len(),
            "some calls had not ended when this server last stopped; their transcripts until then \
             are kept"
        );
    }
    Ok(open)
}

/// Finds archived audio, after a crash, that the database does not know.
fn spawn_audio_scan(calls: CallService, tasks: &Tasks) {
    let stop = tasks.clone();
    tasks.spawn(async move {
        let found = tokio::select! {
            found = calls.restore_audio_flags() => found,
            () = stop.wait_for_stop() => return,
        };
        if let Err(error) = found {
            tracing::warn!(%error, "the archived audio of earlier calls could not be scanned");
        }
    });
}

/// Deletes calls that are older than `age`, and old entries of the server's log, every
/// [`limits::RETENTION_INTERVAL`], until the soft stop.
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
                        tracing::info!(calls = deleted, "calls past RETENTION_DAYS were deleted");
                    }
                }
                let oldest = now.minus(limits::SERVER_LOG_AGE_MAX);
                if let Err(error) = calls.store().sweep_log(oldest).await {
                    tracing::warn!(%error, "old entries of the server's log could not be deleted");
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
        // Years ahead, and the same a day later.
        let wrong = date.plus(hour * 24 * 1_000);
        assert!(!retention_hold.is_over(wrong, at + hour * 2));
        assert!(!retention_hold.is_over(wrong.plus(hour * 23), at + hour * 25));
        assert!(retention_hold.is_over(wrong.plus(hour * 24), at + hour * 26));
        // Corrected, and set backwards, which deletes nothing that is too young.
        assert!(retention_hold.is_over(date.plus(hour * 27), at + hour * 27));
    }
}
