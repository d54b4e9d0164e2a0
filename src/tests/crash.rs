//! `kill -9` during a call: the transcript is kept, and the next server continues the call.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::browser::LiveClient;
use super::calls::{OURS, THEIRS, endpoint, url_of, uuid, with_twilio_account};
use super::phone::{MediaClient, eventually, speech};
use super::request;
use super::scenarios::call;
use super::sign_in::database;
use super::twilio_api::{ACCOUNT, AUTH_TOKEN, FakeTwilio};
use crate::access::secret::Secret;
use crate::app::{App, ServerConfig};
use crate::clock;
use crate::engine::Engine;
use crate::engine::recognizer::ScriptedRecognizer;
use crate::engine::track::TrackConfig;
use crate::store::{Role, Store, TranscriptState};
use crate::tasks::Tasks;
use crate::transcript::EndReason;
use crate::twilio::api::TwilioClient;
use crate::twilio::signature::SigningKey;

/// The environment variable with the database of the process to kill.
const DOOMED: &str = "CALLBURNER_TEST_DOOMED_SERVER";

/// Time after which a final is in the database.
const KEPT_WITHIN: Duration = Duration::from_secs(1);

/// Starts the whole server with this database.
async fn serve(database: &str, twilio_client: Option<TwilioClient>) -> App {
    let store = Store::open(database).await.unwrap();
    let engine = Engine::start(vec![Box::new(ScriptedRecognizer::default())]);
    let mut server_config = ServerConfig::behind(endpoint(), store, engine, TrackConfig::default());
    with_twilio_account(&mut server_config, twilio_client);
    App::start(server_config).await.unwrap()
}

#[test]
#[ignore = "is the process that the next test kills"]
fn a_server_that_is_killed() {
    let Ok(database) = std::env::var(DOOMED) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let app = serve(&database, None).await;
        println!("\nlistening {}", app.address());
        // Until the test has ended, which is after the kill.
        let wait = || std::io::stdin().read_line(&mut String::new());
        tokio::task::spawn_blocking(wait).await.unwrap().unwrap();
    });
}

/// Signs a user in; returns the cookie, and the browser's identity at Twilio.
async fn alice(database: &str) -> String {
    let store = Store::open(database).await.unwrap();
    let now = clock::utc_now();
    let alice = store
        .add_user("alice", "none", Role::User, now)
        .await
        .unwrap();
    let secret = Secret::random();
    store
        .open_session(&secret.hash(), alice.id, now)
        .await
        .unwrap();
    store.close().await;
    format!("__Host-callburner={}", secret.expose())
}

async fn listen(addr: SocketAddr, cookie: &str) -> LiveClient {
    let origin = ("origin", "https://calls.example.org");
    let browser = LiveClient::open(addr, "", &[origin, ("cookie", cookie)]).await;
    let mut browser = browser.ok().unwrap();
    browser.subscribe(&call(1)).await;
    browser
}

async fn get(addr: SocketAddr, path: &str, cookie: &str) -> Value {
    let answer = request(addr, "GET", path, &format!("Cookie: {cookie}\r\n"), "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// Places the first call from this cookie's browser, up to its open stream.
async fn begin(twilio: &FakeTwilio, addr: SocketAddr, cookie: &str) -> MediaClient {
    let token = get(addr, "/api/token", cookie).await;
    let from = format!("client:{}", token["identity"].as_str().unwrap());
    let sid = call(1);
    let form = [
        ("AccountSid", ACCOUNT),
        ("CallSid", sid.as_str()),
        ("From", &from),
        ("To", THEIRS),
        ("CallStatus", "ringing"),
    ];
    let voice = twilio.callback("https://calls.example.org/voice", &form);
    let twiml = twilio.deliver(addr, &voice).await.body;
    let child = call(2);
    let form = [
        ("AccountSid", ACCOUNT),
        ("CallSid", child.as_str()),
        ("ParentCallSid", sid.as_str()),
        ("CallStatus", "in-progress"),
    ];
    let answered = twilio.callback("https://calls.example.org/api/calls/status", &form);
    assert_eq!(twilio.deliver(addr, &answered).await.status, 204);
    twilio.add_call(&sid);
    let key = SigningKey::auth_token(AUTH_TOKEN);
    let mut stream = MediaClient::dial(addr, &url_of(&twiml), Some(&key))
        .await
        .unwrap();
    stream.begin(1, 1).await;
    stream
}

#[tokio::test]
async fn words_outlive_a_server_that_is_killed_in_mid_call_and_the_next_one_goes_on() {
    let folder = TempDir::new().unwrap();
    let database = database(&folder);
    let cookie = alice(&database).await;
    let tasks = Tasks::default();
    let twilio = FakeTwilio::start(&tasks);
    speak_and_die(&twilio, &database, &cookie).await;
    go_on(&twilio, &database, &cookie).await;
}

/// Sends one utterance and the start of another to a server, which is then killed.
async fn speak_and_die(twilio: &FakeTwilio, database: &str, cookie: &str) {
    let mut doomed = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("tests::crash::a_server_that_is_killed")
        .env(DOOMED, database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(doomed.stdout.take().unwrap());
    let address = said
        .lines()
        .find_map(|line| line.unwrap().strip_prefix("listening ").map(str::to_owned));
    let addr: SocketAddr = address.expect("it does not listen").parse().unwrap();
    let mut stream = begin(twilio, addr, cookie).await;
    let mut browser = listen(addr, cookie).await;
    let silence = vec![0xff; 16_000];
    stream.send_audio(&[&speech()[..], &silence].concat()).await;
    browser
        .until(&call(1), |page| page.segments.len() == 1)
        .await;
    let settled = clock::now();
    let path = format!("/api/calls/{}", call(1).as_str());
    let is_kept = async || {
        !get(addr, &path, cookie).await["segments"]
            .as_array()
            .unwrap()
            .is_empty()
    };
    eventually("the words in the database", is_kept).await;
    let took = settled.elapsed();
    assert!(took < KEPT_WITHIN, "{took:?}");
    // The next utterance is not final at the kill, so it is lost.
    stream.send_audio(&speech()[..12_000]).await;
    doomed.kill().unwrap();
    doomed.wait().unwrap();
}

/// Checks that the next server has the transcript, and appends to it.
async fn go_on(twilio: &FakeTwilio, database: &str, cookie: &str) {
    let app = serve(database, Some(twilio.client())).await;
    let addr = app.address();
    let mut browser = listen(addr, cookie).await;
    browser.next_event().await;
    let page = browser.page(&call(1));
    assert_eq!(
        (page.texts(), page.ended),
        (vec!["one two three"], Some(EndReason::Dropped))
    );
    // The server requests another stream for the call, which may still be in progress.
    let again = async || !twilio.streams(&call(1)).is_empty();
    eventually("another stream", again).await;
    let asked = twilio
        .requests()
        .into_iter()
        .rev()
        .find(|seen| seen.path.ends_with("/Streams.json"))
        .unwrap();
    let form = reqwest::Url::parse(&format!("http://form/?{}", asked.body)).unwrap();
    let url = form
        .query_pairs()
        .find(|(name, _)| name == "Url")
        .unwrap()
        .1
        .into_owned();
    let mut stream = MediaClient::dial(addr, &url, Some(&SigningKey::auth_token(AUTH_TOKEN)))
        .await
        .unwrap();
    stream.begin(2, 1).await;
    stream.send_audio(&speech()).await;
    stream.stop().await;
    let page = browser
        .until(&call(1), |page| page.ended == Some(EndReason::Stopped))
        .await;
    assert_eq!(page.ids(), ["1-inbound-1", "2-inbound-1"]);
    let store = app.store().clone();
    eventually("the whole transcript", async || {
        store
            .call_record(&call(1))
            .await
            .unwrap()
            .unwrap()
            .transcript
            == TranscriptState::Complete
    })
    .await;
    assert_eq!(store.segments(&call(1)).await.unwrap().len(), 2);
    app.stop().await;
}

#[tokio::test]
async fn a_call_that_ended_while_no_server_ran_is_over_at_the_next_start() {
    let folder = TempDir::new().unwrap();
    let database = database(&folder);
    let cookie = alice(&database).await;
    let tasks = Tasks::default();
    let twilio = FakeTwilio::start(&tasks);
    let app = serve(&database, None).await;
    let mut stream = begin(&twilio, app.address(), &cookie).await;
    stream.settle().await;
    app.stop().await;
    twilio.end_call(&call(1));

    let app = serve(&database, Some(twilio.client())).await;
    let store = app.store().clone();
    let is_over = async || {
        store
            .call_record(&call(1))
            .await
            .unwrap()
            .unwrap()
            .status
            .is_over()
    };
    eventually("its end", is_over).await;
    let kept = store.call_record(&call(1)).await.unwrap().unwrap();
    assert_eq!(kept.transcript, TranscriptState::Interrupted);
    app.stop().await;
}

#[tokio::test]
async fn after_a_restart_the_first_call_rings_the_browsers_that_twilio_still_has() {
    let folder = TempDir::new().unwrap();
    let database = database(&folder);
    let cookie = alice(&database).await;
    let tasks = Tasks::default();
    let twilio = FakeTwilio::start(&tasks);
    let app = serve(&database, None).await;
    let token = get(app.address(), "/api/token", &cookie).await;
    let said = json!({ "id": uuid(), "expiresAt": token["expiresAt"] });
    let headers = format!(
        "Origin: https://calls.example.org\r\nContent-Type: application/json\r\nCookie: {cookie}\r\n"
    );
    let path = "/api/registrations";
    let answer = request(app.address(), "POST", path, &headers, &said.to_string()).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    app.stop().await;

    let app = serve(&database, None).await;
    let rung = ring(&twilio, app.address(), 1).await;
    let identity = token["identity"].as_str().unwrap();
    assert!(
        rung.contains(&format!("<Identity>{identity}</Identity>")),
        "{rung}"
    );
    // The next server does not ring users that were signed out while no server ran.
    app.stop().await;
    let store = Store::open(&database).await.unwrap();
    let (user, _) = store.credentials("alice").await.unwrap().unwrap();
    store.close_sessions(user.id).await.unwrap();
    store.close().await;
    let app = serve(&database, None).await;
    let rung = ring(&twilio, app.address(), 2).await;
    assert!(!rung.contains("<Dial"), "{rung}");
    app.stop().await;
}

/// Lets a number call the server as the `n`th call; returns the TwiML.
async fn ring(twilio: &FakeTwilio, addr: SocketAddr, n: u32) -> String {
    let sid = call(n);
    let form = [
        ("AccountSid", ACCOUNT),
        ("CallSid", sid.as_str()),
        ("From", THEIRS),
        ("To", OURS),
        ("CallStatus", "ringing"),
    ];
    let voice = twilio.callback("https://calls.example.org/voice", &form);
    twilio.deliver(addr, &voice).await.body
}
