//! `callburner doctor`: correct installations, and their faults.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use clap::Parser;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::twilio_api::{ACCOUNT, AUTH_TOKEN, FakeTwilio, KEY, KEY_SECRET};
use super::{RunningServer, serve};
use crate::access::proxies::TrustedProxies;
use crate::cli::doctor::account;
use crate::cli::doctor::connectivity::{PortOwner, check_port, check_public_address, http_client};
use crate::cli::doctor::findings::{CheckVerdict, Finding};
use crate::cli::doctor::{DoctorInput, run_checks};
use crate::config::{EndpointConfig, ServerSettings, TwilioConfig, TwilioSettings};
use crate::engine::recognizer::ScriptedRecognizer;
use crate::ids::{AccountSid, ApplicationSid, E164};
use crate::store::Store;
use crate::tasks::Tasks;
use crate::twilio::api::TwilioClient;
use crate::twilio::public_url::{PublicUrl, RETRIES};
use crate::twilio::signature::{Keyring, SigningKey};

const NUMBER: &str = "+14155550123";
const BASE: &str = "https://calls.example.org";

#[derive(clap::Parser)]
struct DoctorCommand {
    #[command(flatten)]
    settings: ServerSettings,
}

/// Returns the findings that are not good, as `part: found`.
fn complaints(findings: &[Finding]) -> Vec<String> {
    let bad = findings
        .iter()
        .filter(|finding| finding.verdict != CheckVerdict::Ok);
    bad.map(|finding| format!("{}: {}", finding.part, finding.found))
        .collect()
}

#[track_caller]
fn finding<'a>(findings: &'a [Finding], part: &str, words: &str) -> &'a Finding {
    let found = findings
        .iter()
        .find(|f| f.part == part && f.found.contains(words));
    found.unwrap_or_else(|| panic!("no {words:?} of {part:?} in {findings:#?}"))
}

// The account.

/// An account as `callburner setup` configures it.
struct DoctorFixture {
    twilio: FakeTwilio,
    settings: TwilioSettings,
    endpoint: EndpointConfig,
}

impl DoctorFixture {
    async fn new() -> Self {
        let twilio = FakeTwilio::start(&Tasks::default());
        let application = twilio.add_application(&[
            ("friendly_name", "CallBurner"),
            ("voice_url", &format!("{BASE}/voice{RETRIES}")),
            ("voice_method", "POST"),
            (
                "status_callback",
                &format!("{BASE}/api/calls/status{RETRIES}"),
            ),
            ("status_callback_method", "POST"),
        ]);
        twilio.add_incoming_number(NUMBER, "", "");
        let client = TwilioClient::new(twilio.config()).unwrap();
        let number = client
            .find_incoming_number(&E164::parse(NUMBER).unwrap())
            .await;
        let number = number.unwrap().expect("the number is owned");
        let sid = ApplicationSid::parse(&application).unwrap();
        client.assign_application(&number, &sid).await.unwrap();
        let settings = TwilioSettings {
            twilio_account_sid: Some(ACCOUNT.to_owned()),
            twilio_auth_token: Some(AUTH_TOKEN.into()),
            twilio_api_key: Some(KEY.to_owned()),
            twilio_api_secret: Some(KEY_SECRET.into()),
            twilio_twiml_app_sid: Some(application),
            twilio_caller_id: Some(NUMBER.to_owned()),
            twilio_api_base_url: Some(twilio.config().base_url.parse().unwrap()),
            ..TwilioSettings::default()
        };
        let mut endpoint = EndpointConfig::local(([127, 0, 0, 1], 0).into());
        endpoint.public_base_url = Some(BASE.parse().unwrap());
        endpoint.public_url = BASE.parse().unwrap();
        Self {
            twilio,
            settings,
            endpoint,
        }
    }

    fn account(&self) -> TwilioConfig {
        self.settings
            .validate()
            .unwrap()
            .expect("an account is set")
    }

    async fn examine(&self) -> Vec<Finding> {
        account::check_account(&self.account(), &self.endpoint).await
    }
}

#[tokio::test]
async fn nothing_is_wrong_with_an_account_as_setup_leaves_it() {
    let app = DoctorFixture::new().await;
    let changes = app.twilio.changes().len();
    let findings = app.examine().await;
    assert_eq!(complaints(&findings), Vec::<String>::new());
    finding(&findings, "clock", "matches Twilio's");
    finding(&findings, "Twilio account", "My account (Full, active)");
    finding(&findings, "TwiML app", "its URLs point to this server");
    finding(&findings, "caller ID", "the account owns it");
    finding(&findings, "caller ID", "calls to it reach this server");
    finding(&findings, "API key", "has access to Twilio's REST API");
    assert_eq!(app.twilio.changes().len(), changes, "it only looks");
}

#[tokio::test]
async fn a_region_is_named_and_credentials_of_another_are_told() {
    let mut app = DoctorFixture::new().await;
    app.settings.twilio_region = Some("ie1".to_owned());
    let findings = app.examine().await;
    assert_eq!(complaints(&findings), Vec::<String>::new());
    finding(&findings, "region", "ie1 through the edge dublin");
    // For example, the token of another region.
    app.settings.twilio_auth_token = Some("another".into());
    let findings = app.examine().await;
    let account = finding(&findings, "Twilio account", "401");
    let advice = account.advice.as_deref().unwrap();
    assert!(advice.contains("TWILIO_REGION"), "{advice}");
}

#[tokio::test]
async fn credentials_that_do_not_fit_are_told_apart() {
    let mut app = DoctorFixture::new().await;
    app.settings.twilio_api_secret = Some("another".into());
    let findings = app.examine().await;
    assert_eq!(complaints(&findings).len(), 1, "{findings:?}");
    let key = finding(&findings, "API key", "401");
    assert!(
        key.advice.as_deref().unwrap().contains("TWILIO_API_SECRET"),
        "{key}"
    );

    app.settings.twilio_auth_token = Some("another".into());
    let findings = app.examine().await;
    let account = finding(&findings, "Twilio account", "401");
    assert_eq!(account.verdict, CheckVerdict::Failure);
    assert_eq!(
        complaints(&findings).len(),
        1,
        "nothing else can be asked: {findings:?}"
    );
}

#[tokio::test]
async fn a_server_that_moved_or_was_never_set_up_is_sent_to_setup() {
    let mut app = DoctorFixture::new().await;
    app.endpoint.public_base_url = Some("https://new.example.org".parse().unwrap());
    let findings = app.examine().await;
    let moved = finding(&findings, "TwiML app", "https://new.example.org/voice");
    assert_eq!(
        (moved.verdict, moved.advice.as_deref()),
        (CheckVerdict::Failure, Some("run callburner setup"))
    );

    app.settings.twilio_twiml_app_sid = Some(format!("AP{}", "9".repeat(32)));
    let findings = app.examine().await;
    let gone = finding(&findings, "TwiML app", "is not in this account");
    assert_eq!(gone.verdict, CheckVerdict::Failure);

    let mut bare = DoctorFixture::new().await;
    bare.settings.twilio_twiml_app_sid = None;
    bare.settings.twilio_api_key = None;
    bare.settings.twilio_api_secret = None;
    bare.settings.twilio_caller_id = None;
    let findings = bare.examine().await;
    finding(&findings, "TwiML app", "exists, but is not in the settings");
    finding(&findings, "API key", "there is none");
    finding(&findings, "caller ID", "is not set");
}

#[tokio::test]
async fn a_caller_id_is_owned_verified_or_of_no_use() {
    const OTHER: &str = "+442071838750";
    let mut app = DoctorFixture::new().await;
    app.settings.twilio_caller_id = Some(OTHER.to_owned());
    let findings = app.examine().await;
    let stranger = finding(
        &findings,
        "caller ID",
        "neither owned by the account nor verified",
    );
    assert_eq!(stranger.verdict, CheckVerdict::Failure);
    assert!(!format!("{findings:?}").contains(OTHER));
    app.twilio.add_verified_caller_id(OTHER);
    let findings = app.examine().await;
    assert_eq!(
        finding(&findings, "caller ID", "verified").verdict,
        CheckVerdict::Ok
    );

    app.twilio
        .add_incoming_number(OTHER, "https://elsewhere/voice", "");
    let findings = app.examine().await;
    let elsewhere = finding(&findings, "caller ID", "https://elsewhere/voice");
    assert_eq!(elsewhere.verdict, CheckVerdict::Warning);
}

#[tokio::test]
async fn twilio_out_of_reach_is_one_failure() {
    let mut app = DoctorFixture::new().await;
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    app.settings.twilio_api_base_url = Some(format!("http://{nobody}").parse().unwrap());
    let findings = app.examine().await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    finding(&findings, "Twilio account", "cannot be reached");
}

// The connections.

/// A proxy that forwards connections to a configurable address, and removes some headers.
struct FaultyProxy {
    url: PublicUrl,
    target: Arc<OnceLock<SocketAddr>>,
}

impl FaultyProxy {
    async fn start(tasks: &Tasks, taken: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = Arc::new(OnceLock::new());
        let (to, own) = (target.clone(), tasks.clone());
        tasks.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let to: Option<&SocketAddr> = to.get();
                let to = *to.expect("the proxy is pointed somewhere");
                own.spawn(async move {
                    // Either end may close at any time.
                    let _ = pass(socket, to, taken).await;
                });
            }
        });
        Self {
            url: url.parse().unwrap(),
            target,
        }
    }

    fn point(&self, to: SocketAddr) {
        self.target.set(to).unwrap();
    }
}

async fn pass(mut from: TcpStream, to: SocketAddr, taken: &[&str]) -> std::io::Result<()> {
    let mut to = TcpStream::connect(to).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    for line in head.split_inclusive("\r\n") {
        let name = line.split(':').next().unwrap_or_default().to_lowercase();
        if !taken.contains(&name.as_str()) {
            to.write_all(line.as_bytes()).await?;
        }
    }
    copy_bidirectional(&mut from, &mut to).await.map(drop)
}

fn key() -> SigningKey {
    SigningKey::auth_token(AUTH_TOKEN)
}

/// Starts a server that accepts Twilio's requests at this URL.
async fn server_at(url: &PublicUrl) -> RunningServer {
    let mut endpoint = EndpointConfig::local(([127, 0, 0, 1], 0).into());
    endpoint.public_url = url.clone();
    endpoint.keyring = Some(Keyring::new(AUTH_TOKEN).unwrap());
    endpoint.account_sid = Some(AccountSid::parse(ACCOUNT).unwrap());
    let store = Store::open("sqlite::memory:").await.unwrap();
    RunningServer::start_behind(
        endpoint,
        store,
        vec![Box::new(ScriptedRecognizer::default())],
        |_| {},
    )
}

#[tokio::test]
async fn a_free_port_is_stood_in_for_so_that_the_way_can_be_tried() {
    let (tasks, client) = (Tasks::default(), http_client().unwrap());
    let proxy = FaultyProxy::start(&tasks, &[]).await;
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let (found, port_owner) = check_port(&client, free, &TrustedProxies::default(), &tasks).await;
    assert_eq!(found.verdict, CheckVerdict::Ok, "{found}");
    assert!(matches!(port_owner, PortOwner::Stub(_)));
    proxy.point(free);
    let silent = FaultyProxy::start(&tasks, &["x-twilio-signature"]).await;
    silent.point(free);
    let findings = check_public_address(&client, &silent.url, Some(&key()), &port_owner).await;
    let unsigned = finding(&findings, "sockets", "without X-Twilio-Signature");
    assert_eq!(unsigned.verdict, CheckVerdict::Failure);
    let findings = check_public_address(&client, &proxy.url, Some(&key()), &port_owner).await;
    finding(&findings, "public address", "reaches this server");
    assert_eq!(
        finding(&findings, "sockets", "pass").verdict,
        CheckVerdict::Ok
    );
    // The address of this machine, which a test cannot avoid, causes the only complaint.
    assert_eq!(complaints(&findings).len(), 1, "{findings:?}");
    finding(&findings, "public address", "resolves to 127.0.0.1");
}

#[tokio::test]
async fn a_running_server_is_known_and_its_settings_compared() {
    let (tasks, client) = (Tasks::default(), http_client().unwrap());
    let proxy = FaultyProxy::start(&tasks, &[]).await;
    let server = server_at(&proxy.url).await;
    proxy.point(server.addr);
    let (found, port_owner) =
        check_port(&client, server.addr, &TrustedProxies::default(), &tasks).await;
    assert!(matches!(port_owner, PortOwner::Server), "{found}");
    let findings = check_public_address(&client, &proxy.url, Some(&key()), &port_owner).await;
    assert_eq!(
        finding(
            &findings,
            "sockets",
            "accepts signatures made with these settings"
        )
        .verdict,
        CheckVerdict::Ok
    );
    let other = SigningKey::auth_token("another");
    let findings = check_public_address(&client, &proxy.url, Some(&other), &port_owner).await;
    let differs = finding(
        &findings,
        "sockets",
        "does not accept signatures made with these settings",
    );
    assert_eq!(differs.verdict, CheckVerdict::Failure);
}

#[tokio::test]
async fn a_proxy_that_strips_headers_is_told_what_to_pass() {
    let (tasks, client) = (Tasks::default(), http_client().unwrap());
    for (taken, words, advice) in [
        (
            &["upgrade", "connection"][..],
            "Upgrade header is removed",
            "nginx",
        ),
        (
            &["x-twilio-signature"],
            "does not accept",
            "X-Twilio-Signature",
        ),
    ] {
        let proxy = FaultyProxy::start(&tasks, taken).await;
        let server = server_at(&proxy.url).await;
        proxy.point(server.addr);
        let findings =
            check_public_address(&client, &proxy.url, Some(&key()), &PortOwner::Server).await;
        let told = finding(&findings, "sockets", words);
        assert_eq!(told.verdict, CheckVerdict::Failure);
        assert!(told.advice.as_deref().unwrap().contains(advice), "{told}");
    }
}

#[tokio::test]
async fn a_way_that_leads_elsewhere_is_told_where() {
    let (tasks, client) = (Tasks::default(), http_client().unwrap());
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let moved = Router::new().fallback(get(|| async {
        Redirect::permanent("https://new.example.org/")
    }));
    let page = Router::new().fallback(get(|| async { "welcome" }));
    let other = RunningServer::start().await;
    for (addr, words) in [
        (nobody, "cannot be reached"),
        (
            serve(moved, &tasks),
            "redirects to https://new.example.org/",
        ),
        (serve(page, &tasks), "not a CallBurner server"),
        (other.addr, "another CallBurner server"),
    ] {
        let url: PublicUrl = format!("http://{addr}").parse().unwrap();
        let port_owner = PortOwner::Stub(Arc::default());
        let findings = check_public_address(&client, &url, None, &port_owner).await;
        let told = finding(&findings, "public address", words);
        assert_eq!(told.verdict, CheckVerdict::Failure);
        assert!(
            !findings.iter().any(|f| f.part == "sockets"),
            "{findings:?}"
        );
    }
    let nowhere: PublicUrl = "https://nowhere.invalid".parse().unwrap();
    let findings = check_public_address(&client, &nowhere, None, &PortOwner::Nobody).await;
    assert_eq!(findings.len(), 1);
    finding(&findings, "public address", "nowhere.invalid");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let (tasks, client) = (Tasks::default(), http_client().unwrap());
    let taken = serve(Router::new(), &tasks);
    let (found, port_owner) = check_port(&client, taken, &TrustedProxies::default(), &tasks).await;
    assert!(found.found.contains("another program"), "{found}");
    assert!(matches!(port_owner, PortOwner::Nobody));
    let (found, _) = check_port(
        &client,
        ([192, 0, 2, 1], 4_000).into(),
        &TrustedProxies::default(),
        &tasks,
    )
    .await;
    assert!(found.found.contains("cannot listen at"), "{found}");
}

// The whole command.

fn input(arguments: &[&str]) -> DoctorInput {
    let arguments = std::iter::once(&"doctor").chain(arguments);
    DoctorInput {
        settings: DoctorCommand::try_parse_from(arguments).unwrap().settings,
        sources: Vec::new(),
        config_warnings: Vec::new(),
        fix_nothing: false,
    }
}

#[tokio::test]
async fn a_broken_set_up_is_looked_at_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::default();
    let taken = serve(Router::new(), &tasks);
    let data = format!("--data-dir={}", folder.path().join("data").display());
    let models = format!("--models-dir={}", folder.path().display());
    let (number, secret) = ("+14155550100", "a-secret-token");
    let port = format!("--port={}", taken.port());
    let caller_id = format!("--twilio-caller-id={number}");
    let mut input = input(&[
        &data,
        &models,
        &port,
        "--model=tiny.en",
        &caller_id,
        "--call-minutes-max=999",
        "--archive",
        "--transcription-source=off",
    ]);
    input.settings.twilio.twilio_auth_token = Some(SecretString::from(secret));
    let mut shown = Vec::new();
    let mut show = |finding: &Finding| {
        shown.push(finding.to_string());
        Ok(())
    };
    let report = run_checks(input, &mut show).await.unwrap();
    assert!(!report.well, "{report:#?}");
    for (part, words) in [
        ("settings", "CALL_MINUTES_MAX"),
        ("settings", "ARCHIVE is on"),
        ("model", "the model tiny.en is not in"),
        ("data folder", "is writable"),
        ("database", "opens"),
        ("users", "there are none"),
        ("port", "another program"),
    ] {
        finding(&report.findings, part, words);
    }
    assert_eq!(shown.len(), report.findings.len());
    for finding in &report.findings {
        assert_eq!(
            finding.advice.is_none(),
            finding.verdict == CheckVerdict::Ok,
            "{finding}"
        );
    }
    let json = serde_json::to_string(&report).unwrap();
    assert!(!json.contains(secret) && !json.contains(number), "{json}");
}
