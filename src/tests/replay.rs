//! Stories of calls that the exchange makes: to a server with an account, which believes nobody but
//! Twilio.

use super::Server;
use super::calls::{OURS, THEIRS, doors, furnish, uuid};
use super::phone::{eventually, fixture, patient, unhurried_voice};
use super::stories::call;
use super::twilio_api::{ACCOUNT, AUTH_TOKEN};
use crate::app::Parts;
use crate::clock;
use crate::config::{Doors, TranscriptionSource};
use crate::engine::Engine;
use crate::engine::recognizer::ScriptedRecognizer;
use crate::ids::{AccountSid, ClientIdentity, RegistrationId};
use crate::player::exchange::{Exchange, ExchangeError, Parties, Sound};
use crate::player::{self, Call, Options};
use crate::store::{CallDetail, Store, TranscriptState};
use crate::transcript::{CallStatus, Direction, Speaker};
use crate::twilio::signature::Key;
use crate::twilio::token;

/// How the server is known to the world: at an address that only a proxy has.
const BASE: &str = "https://example.org/calls";

struct Office {
    server: Server,
    store: Store,
}

impl Office {
    async fn open(change: impl FnOnce(&mut Parts)) -> Self {
        let doors = Doors {
            public_base_url: Some(BASE.parse().unwrap()),
            public_url: BASE.parse().unwrap(),
            ..doors()
        };
        let store = Store::open("sqlite::memory:").await.unwrap();
        let engine = Engine::start(vec![Box::new(ScriptedRecognizer::default())]);
        let mut parts = Parts::behind(doors, store.clone(), engine, unhurried_voice());
        furnish(&mut parts, None);
        parts.desk.announcement = Some("This call is written down.".to_owned());
        change(&mut parts);
        let server = Server::of(parts, |_| {});
        Self { server, store }
    }

    fn exchange(&self, token: &str, named: &str) -> Exchange {
        let called = format!("http://{}", self.server.addr);
        let account = AccountSid::parse(ACCOUNT).unwrap();
        let (named, called) = (named.parse().unwrap(), called.parse().unwrap());
        Exchange::new(Key::auth_token(token), account, named, called).unwrap()
    }

    async fn place(&self, from: &str, to: &str) -> Result<(), ExchangeError> {
        self.place_by(&self.exchange(AUTH_TOKEN, BASE), from, to)
            .await
    }

    async fn place_by(
        &self,
        exchange: &Exchange,
        from: &str,
        to: &str,
    ) -> Result<(), ExchangeError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        let options = Options {
            call_sid: call(1),
            speed: f64::INFINITY,
            ..Options::fresh()
        };
        let read = |track| fixture(&format!("calls/cards_{track}.wav"));
        let recorded = Call::read(&read("inbound"), &read("outbound")).unwrap();
        let parties = Parties { from, to };
        let sound = Sound::Recorded(&recorded);
        let played = patient("the call", exchange.place(&parties, sound, options)).await?;
        assert!(played.is_whole);
        Ok(())
    }

    /// Waits until the call's words are all there.
    async fn written(&self) -> CallDetail {
        let is_written = async || {
            let record = self.store.call_record(&call(1)).await.unwrap();
            record.is_some_and(|record| record.transcript == TranscriptState::Complete)
        };
        eventually("the transcript", is_written).await;
        let detail = self.store.call(&call(1)).await;
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
    let office = Office::open(|_| {}).await;
    office.place("client:replay", THEIRS).await.unwrap();
    let detail = office.written().await;
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
    let office = Office::open(|_| {}).await;
    let browser = ClientIdentity::parse("u0_0000000000000000_local").unwrap();
    let (id, hour) = (RegistrationId::parse(&uuid()).unwrap(), token::LIFETIME);
    let desk = &office.server.state.desk;
    let registered = desk.register(id, browser, clock::utc_now().plus(hour));
    registered.await.unwrap();
    office.place(THEIRS, OURS).await.unwrap();
    let detail = office.written().await;
    assert_eq!(detail.call.direction, Direction::Incoming);
    assert_eq!(detail.call.status, CallStatus::Completed);
    assert!(
        heard(&detail, Speaker::Customer) >= 4,
        "who called is the customer"
    );
}

#[tokio::test]
async fn a_captured_session_is_carried_as_the_call_that_it_is_of() {
    let office = Office::open(|_| {}).await;
    let text = std::fs::read_to_string(fixture("sessions/clean.jsonl")).unwrap();
    let account = text.split("\\\"accountSid\\\":\\\"").nth(1).unwrap();
    let text = text.replace(&account[..34], ACCOUNT);
    let steps = player::parse_capture(&text).unwrap();
    let sid = player::call_of(&steps).expect("a call");
    let options = Options {
        call_sid: sid.clone(),
        speed: f64::INFINITY,
        ..Options::fresh()
    };
    let parties = Parties {
        from: "client:replay".to_owned(),
        to: THEIRS.to_owned(),
    };
    let exchange = office.exchange(AUTH_TOKEN, BASE);
    let placed = exchange.place(&parties, Sound::Captured(&steps), options);
    assert!(patient("the call", placed).await.unwrap().is_whole);
    let has_words = async || !office.store.segments(&sid).await.unwrap().is_empty();
    eventually("words", has_words).await;
}

#[tokio::test]
async fn a_server_that_does_not_believe_or_does_not_connect_says_so() {
    let office = Office::open(|_| {}).await;
    let stranger = office.exchange("ffffffffffffffffffffffffffffffff", BASE);
    let elsewhere = office.exchange(AUTH_TOKEN, "https://elsewhere.example.org");
    for exchange in [stranger, elsewhere] {
        let refused = office.place_by(&exchange, "client:replay", THEIRS).await;
        let error = refused.unwrap_err();
        assert!(matches!(error, ExchangeError::NotBelieved(_)), "{error}");
    }
    let refused = office.place("client:replay", "+33123456789").await;
    let Err(ExchangeError::Refused(said)) = refused else {
        panic!("{refused:?}");
    };
    assert!(said.contains("countr"), "{said}");
    let nobody = office.place(THEIRS, OURS).await;
    let Err(ExchangeError::Refused(said)) = nobody else {
        panic!("{nobody:?}");
    };
    assert!(
        said.starts_with("Sorry, nobody can take your call"),
        "{said}"
    );
    let deaf = Office::open(|parts| parts.desk.source = TranscriptionSource::Off).await;
    let error = deaf.place("client:replay", THEIRS).await.unwrap_err();
    assert!(matches!(error, ExchangeError::NoStream), "{error}");
}
