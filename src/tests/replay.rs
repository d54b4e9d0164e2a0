//! Calls by the webhook simulator to a server with an account, which only accepts Twilio's requests.

use super::RunningServer;
use super::calls::{OURS, THEIRS, endpoint, uuid, with_twilio_account};
use super::phone::{eventually, fixture, stall_free_config, with_timeout};
use super::scenarios::call;
use super::twilio_api::{ACCOUNT, AUTH_TOKEN};
use crate::app::ServerConfig;
use crate::clock;
use crate::config::{EndpointConfig, TranscriptionSource};
use crate::engine::Engine;
use crate::engine::recognizer::ScriptedRecognizer;
use crate::ids::{AccountSid, ClientIdentity, RegistrationId};
use crate::store::{CallDetail, Store, TranscriptState};
use crate::transcript::{CallStatus, Direction, Speaker};
use crate::twilio::signature::SigningKey;
use crate::twilio::token;
use crate::twilio_sim::webhooks::{CallParties, CallSource, SimulatorError, WebhookSimulator};
use crate::twilio_sim::{self, RecordedCall, StreamOptions};

/// The public URL of the server: only a proxy has this address.
const BASE: &str = "https://example.org/calls";

struct ReplayServer {
    server: RunningServer,
    store: Store,
}

impl ReplayServer {
    async fn open(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let endpoint = EndpointConfig {
            public_base_url: Some(BASE.parse().unwrap()),
            public_url: BASE.parse().unwrap(),
            ..endpoint()
        };
        let store = Store::open("sqlite::memory:").await.unwrap();
        let engine = Engine::start(vec![Box::new(ScriptedRecognizer::default())]);
        let mut server_config =
            ServerConfig::behind(endpoint, store.clone(), engine, stall_free_config());
        with_twilio_account(&mut server_config, None);
        server_config.calls.announcement = Some("This call is written down.".to_owned());
        change(&mut server_config);
        let server = RunningServer::of(server_config, |_| {});
        Self { server, store }
    }

    fn simulator(&self, token: &str, named: &str) -> WebhookSimulator {
        let called = format!("http://{}", self.server.addr);
        let account = AccountSid::parse(ACCOUNT).unwrap();
        let (named, called) = (named.parse().unwrap(), called.parse().unwrap());
        WebhookSimulator::new(SigningKey::auth_token(token), account, named, called).unwrap()
    }

    async fn place_call(&self, from: &str, to: &str) -> Result<(), SimulatorError> {
        self.place_call_by(&self.simulator(AUTH_TOKEN, BASE), from, to)
            .await
    }

    async fn place_call_by(
        &self,
        simulator: &WebhookSimulator,
        from: &str,
        to: &str,
    ) -> Result<(), SimulatorError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        let options = StreamOptions {
            call_sid: call(1),
            speed: f64::INFINITY,
            ..StreamOptions::fresh()
        };
        let read = |track| fixture(&format!("calls/cards_{track}.wav"));
        let recorded = RecordedCall::read_tracks(&read("inbound"), &read("outbound")).unwrap();
        let parties = CallParties { from, to };
        let source = CallSource::Recorded(&recorded);
        let played =
            with_timeout("the call", simulator.place_call(&parties, source, options)).await?;
        assert!(played.is_whole);
        Ok(())
    }

    /// Waits until the call's transcript is complete.
    async fn written(&self) -> CallDetail {
        let is_written = async || {
            let record = self.store.call_record(&call(1)).await.unwrap();
            record.is_some_and(|record| record.transcript == TranscriptState::Complete)
        };
        eventually("the transcript", is_written).await;
        let detail = self.store.call_detail(&call(1)).await;
        detail.unwrap().expect("a call that was written down")
    }
}

fn heard(detail: &CallDetail, speaker: Speaker) -> usize {
    let segments = detail.segments.iter();
    segments
        .filter(|segment| segment.speaker == speaker)
        .count()
}

#[tokio::test]
async fn a_browser_calls_a_number_and_the_call_is_written_down_as_with_twilio() {
    let account = ReplayServer::open(|_| {}).await;
    account.place_call("client:replay", THEIRS).await.unwrap();
    let detail = account.written().await;
    let record = &detail.call;
    assert_eq!(record.direction, Direction::Outgoing);
    assert_eq!(
        (record.from.0.as_str(), record.to.0.as_str()),
        (OURS, THEIRS)
    );
    assert_eq!(record.status, CallStatus::Completed);
    assert!(record.answered_at.is_some() && record.ended_at.is_some());
    assert!(record.announced && record.duration_seconds.is_some());
    let [parent, child] = &detail.legs[..] else {
        panic!("{:?}", detail.legs);
    };
    assert_eq!((&parent.sid, parent.is_child), (&call(1), false));
    assert!(child.is_child && child.status == CallStatus::Completed);
    assert_eq!(
        child.sequence,
        Some(3),
        "initiated, ringing, answered, completed"
    );
    assert!(heard(&detail, Speaker::Agent) >= 4 && heard(&detail, Speaker::Customer) >= 4);
}

#[tokio::test]
async fn a_number_calls_the_browser() {
    let account = ReplayServer::open(|_| {}).await;
    let browser = ClientIdentity::parse("u0_0000000000000000_local").unwrap();
    let (id, hour) = (RegistrationId::parse(&uuid()).unwrap(), token::LIFETIME);
    let calls = &account.server.state.calls;
    let registered = calls.register(id, browser, clock::utc_now().plus(hour));
    registered.await.unwrap();
    account.place_call(THEIRS, OURS).await.unwrap();
    let detail = account.written().await;
    assert_eq!(detail.call.direction, Direction::Incoming);
    assert_eq!(detail.call.status, CallStatus::Completed);
    assert!(
        heard(&detail, Speaker::Customer) >= 4,
        "who called is the customer"
    );
}

#[tokio::test]
async fn a_captured_session_is_carried_as_the_call_that_it_is_of() {
    let account = ReplayServer::open(|_| {}).await;
    let text = std::fs::read_to_string(fixture("sessions/clean.jsonl")).unwrap();
    let captured = text.split("\\\"accountSid\\\":\\\"").nth(1).unwrap();
    let text = text.replace(&captured[..34], ACCOUNT);
    let steps = twilio_sim::parse_capture(&text).unwrap();
    let sid = twilio_sim::captured_call_sid(&steps).expect("a call");
    let options = StreamOptions {
        call_sid: sid.clone(),
        speed: f64::INFINITY,
        ..StreamOptions::fresh()
    };
    let parties = CallParties {
        from: "client:replay".to_owned(),
        to: THEIRS.to_owned(),
    };
    let simulator = account.simulator(AUTH_TOKEN, BASE);
    let placed = simulator.place_call(&parties, CallSource::Captured(&steps), options);
    assert!(with_timeout("the call", placed).await.unwrap().is_whole);
    let has_words = async || !account.store.segments(&sid).await.unwrap().is_empty();
    eventually("words", has_words).await;
}

#[tokio::test]
async fn a_server_that_does_not_believe_or_does_not_connect_says_so() {
    let account = ReplayServer::open(|_| {}).await;
    let stranger = account.simulator("ffffffffffffffffffffffffffffffff", BASE);
    let elsewhere = account.simulator(AUTH_TOKEN, "https://elsewhere.example.org");
    for simulator in [stranger, elsewhere] {
        let refused = account
            .place_call_by(&simulator, "client:replay", THEIRS)
            .await;
        let error = refused.unwrap_err();
        assert!(matches!(error, SimulatorError::Unauthorized(_)), "{error}");
    }
    let refused = account.place_call("client:replay", "+33123456789").await;
    let Err(SimulatorError::Refused(said)) = refused else {
        panic!("{refused:?}");
    };
    assert!(said.contains("countr"), "{said}");
    let nobody = account.place_call(THEIRS, OURS).await;
    let Err(SimulatorError::Refused(said)) = nobody else {
        panic!("{nobody:?}");
    };
    assert!(
        said.starts_with("Sorry, nobody can take your call"),
        "{said}"
    );
    let deaf = ReplayServer::open(|server_config| {
        server_config.calls.transcription_source = TranscriptionSource::Off;
    })
    .await;
    let error = deaf.place_call("client:replay", THEIRS).await.unwrap_err();
    assert!(matches!(error, SimulatorError::NoStream), "{error}");
}
