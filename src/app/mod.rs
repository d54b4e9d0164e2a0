//! The composition of the server: builds each part once, hands each only what it needs, and stops
//! them in order. What happens when something goes wrong is in [`faults`].

mod connections;
pub mod faults;
mod unread_answer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::connections::Measures;
use crate::access::local::LocalKeys;
use crate::access::proxies::Proxies;
use crate::api::{self, About, ApiState, Gatehouse};
use crate::archive::Shelf;
use crate::call::Switchboard;
use crate::clock::{self, ClockWatch, UtcTime};
use crate::config::Doors;
use crate::desk::{self, Desk, Tools};
use crate::engine::{Engine, voice};
use crate::hub::Hub;
use crate::ids::CallSid;
use crate::limits;
use crate::metrics::Metrics;
use crate::scribe::Scribe;
use crate::store::Store;
use crate::tasks::Tasks;
use crate::twilio::rest::Rest;

/// Time that calls get at a stop to publish what was heard.
const STOP_MAX: Duration = Duration::from_secs(20);

/// What a server is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where it listens, and where the world reaches it.
    pub doors: Doors,
    /// Proxies that may say who a client is.
    pub proxies: Proxies,
    /// What recognises.
    pub engine: Engine,
    /// How voices are cut up.
    pub voice: voice::Config,
    /// What lasts.
    pub store: Store,
    /// Where calls' audio is, if any was ever kept.
    pub shelf: Option<Shelf>,
    /// Whether calls' audio is kept there from now on.
    pub archives: bool,
    /// Whether recorded calls are played on request; only where no account proves itself.
    pub simulates: bool,
    /// How calls are answered.
    pub desk: desk::Config,
    /// Twilio's REST API, if there is an account.
    pub rest: Option<Rest>,
    /// How long calls are kept; none: for ever.
    pub retention: Option<Duration>,
    /// What people call the model that recognises; empty: it has no name.
    pub model: String,
}

impl Parts {
    /// A server that only this machine reaches, that knows no account, that has keys of its own, and
    /// that forgets everything at its end.
    pub async fn local(
        address: SocketAddr,
        engine: Engine,
        voice: voice::Config,
    ) -> anyhow::Result<Self> {
        let store = Store::open("sqlite::memory:").await?;
        let mut doors = Doors::local(address);
        doors.local_keys = Some(LocalKeys::random());
        Ok(Self::behind(doors, store, engine, voice))
    }

    /// A server behind these doors, without an account that could be asked for anything.
    pub fn behind(doors: Doors, store: Store, engine: Engine, voice: voice::Config) -> Self {
        Self {
            desk: desk::Config::without_account(doors.public_url.clone()),
            doors,
            proxies: Proxies::default(),
            engine,
            voice,
            store,
            shelf: None,
            archives: false,
            simulates: false,
            rest: None,
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
    desk: Desk,
    shelf: Option<Shelf>,
    gatehouse: Gatehouse,
    keys: Option<LocalKeys>,
}

impl App {
    /// Opens the doors. Calls can be taken when it returns.
    pub async fn start(mut parts: Parts) -> anyhow::Result<Self> {
        let listener = connections::listen(parts.doors.address)?;
        let address = listener.local_addr()?;
        parts.doors.address = address; // The port may have been free to choose.
        let tasks = Tasks::default();
        let open = recover(&parts.store).await?;
        let shelf = parts.shelf.clone();
        let measures = Measures::new(parts.proxies.clone());
        let keys = parts.doors.keys().cloned();
        let state = compose(parts, &tasks);
        state.desk.recall_registrations().await;
        state.desk.recall_placed().await?;
        state.desk.take_up(open);
        find_audio(state.desk.clone(), &tasks);
        let switchboard = &state.switchboard;
        let app = Self {
            address,
            tasks: tasks.clone(),
            engine: switchboard.engine.clone(),
            hub: switchboard.hub.clone(),
            desk: state.desk.clone(),
            shelf,
            gatehouse: state.gatehouse.clone(),
            keys,
        };
        let routes = api::router(state);
        tasks.spawn(connections::serve(
            listener,
            routes,
            tasks.clone(),
            measures,
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
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// What recognises.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What lasts.
    pub fn store(&self) -> &Store {
        self.desk.store()
    }

    /// Where a server without users is opened, if only this machine reaches it: to be printed, never
    /// logged.
    pub async fn page_link(&self) -> anyhow::Result<Option<String>> {
        Ok(self.gatehouse.page_link().await?)
    }

    /// Where the first user signs up, if there is none yet and one is needed: to be printed, never
    /// logged.
    pub async fn first_run_link(&self) -> anyhow::Result<Option<String>> {
        Ok(self.gatehouse.first_run_link(clock::utc_now()).await?)
    }

    /// Takes no new calls, and lets those that go on finish, up to [`limits::DRAIN_MAX`]. `false`:
    /// some go on still.
    pub async fn drain(&self) -> bool {
        self.tasks.drain();
        let over = self.tasks.calls_over();
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
        let (engine, archives) = (self.engine, self.shelf);
        // Joins threads, which takes up to one pass.
        let stop = move || {
            engine.stop();
            archives.inspect(Shelf::stop);
        };
        let _ = tokio::task::spawn_blocking(stop).await;
        self.desk.settle_log().await;
        self.desk.store().close().await;
    }
}

/// Puts the parts together, and sets going what looks after them.
pub(crate) fn compose(parts: Parts, tasks: &Tasks) -> ApiState {
    let (hub, store) = (Hub::new(), parts.store);
    let metrics = Metrics::new(store.times());
    hub.keep_swept(tasks);
    let media_socket = Some(format!("ws://{}/media", parts.doors.address));
    let scribe = Scribe::new(store, hub.clone(), tasks.clone());
    let tools = Tools {
        scribe: scribe.clone(),
        hub: hub.clone(),
        tasks: tasks.clone(),
        rest: parts.rest,
        shelf: parts.shelf.clone(),
        media_socket: media_socket.filter(|_| parts.simulates),
    };
    let desk = Desk::new(parts.desk, tools);
    keep_young(desk.clone(), parts.retention, tasks);
    desk.keep_reconciled();
    let gatehouse = Gatehouse::new(desk.clone(), &parts.doors, parts.proxies, clock::now());
    gatehouse.keep_swept(tasks);
    gatehouse.keep_retrying(tasks);
    let switchboard = Switchboard {
        engine: Arc::new(parts.engine),
        hub,
        scribe,
        shelf: parts.shelf.filter(|_| parts.archives),
        tasks: tasks.clone(),
        voice: parts.voice,
        metrics,
    };
    let about = About {
        model: parts.model,
        retention: parts.retention,
    };
    ApiState::new(switchboard, desk, parts.doors, gatehouse, about)
}

/// Whether the date may be wrong: a clock that is set forwards makes every call look old.
struct Doubt {
    watch: ClockWatch,
    until: Instant,
}

impl Doubt {
    fn new(date: UtcTime, at: Instant) -> Self {
        let watch = ClockWatch::new(date, at);
        Self { watch, until: at }
    }

    /// Whether calls may be deleted for their age.
    fn is_over(&mut self, date: UtcTime, at: Instant) -> bool {
        let ahead = self.watch.ahead(date, at);
        if ahead > limits::CLOCK_OFF_MAX {
            self.until = at + limits::RETENTION_DOUBT;
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
async fn recover(store: &Store) -> anyhow::Result<Vec<CallSid>> {
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
fn find_audio(desk: Desk, tasks: &Tasks) {
    let stop = tasks.clone();
    tasks.spawn(async move {
        let found = tokio::select! {
            found = desk.find_audio() => found,
            () = stop.stopping() => return,
        };
        if let Err(error) = found {
            tracing::warn!(%error, "audio of earlier calls could not be looked through");
        }
    });
}

/// Deletes calls that are older than `age`, and entries of the server's log that are old, now and then,
/// until the soft stop.
fn keep_young(desk: Desk, age: Option<Duration>, tasks: &Tasks) {
    let stop = tasks.clone();
    tasks.spawn(async move {
        let mut doubt = Doubt::new(clock::utc_now(), clock::now());
        loop {
            let now = clock::utc_now();
            if doubt.is_over(now, clock::now()) {
                if let Some(age) = age {
                    let deleted = desk.delete_before(now.minus(age)).await;
                    if deleted > 0 {
                        tracing::info!(calls = deleted, "calls were deleted: they were old enough");
                    }
                }
                let oldest = now.minus(limits::SERVER_LOG_AGE_MAX);
                if let Err(error) = desk.store().sweep_log(oldest).await {
                    tracing::warn!(%error, "old entries of the server's log were not forgotten");
                }
            }
            let next = clock::now() + limits::RETENTION_EVERY;
            tokio::select! {
                () = clock::until(Some(next)) => {}
                () = stop.stopping() => return,
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
        let mut doubt = Doubt::new(date, at);
        assert!(doubt.is_over(date.plus(hour), at + hour));
        // Years ahead, and a day later still so.
        let wrong = date.plus(hour * 24 * 1_000);
        assert!(!doubt.is_over(wrong, at + hour * 2));
        assert!(!doubt.is_over(wrong.plus(hour * 23), at + hour * 25));
        assert!(doubt.is_over(wrong.plus(hour * 24), at + hour * 26));
        // Set right again, and backwards, which deletes nothing that is too young.
        assert!(doubt.is_over(date.plus(hour * 27), at + hour * 27));
    }
}
