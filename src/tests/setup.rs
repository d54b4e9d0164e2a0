//! `callburner setup` against the fake of Twilio's API.

use std::fs;
use std::path::PathBuf;

use secrecy::ExposeSecret;

use super::twilio_api::{FakeTwilio, KEY};
use crate::cli::setup::plan::{DesiredSetup, NumberAction};
use crate::cli::setup::{SetupRequest, apply_setup};
use crate::ids::{ApiKeySid, ApplicationSid, E164};
use crate::tasks::Tasks;
use crate::twilio::api::TwilioClient;
use crate::twilio::api::account::ApplicationSettings;

const NUMBER: &str = "+14155550123";

fn request() -> SetupRequest {
    SetupRequest {
        desired: DesiredSetup {
            application: ApplicationSettings {
                friendly_name: "CallBurner".to_owned(),
                voice_url: "https://x/voice".to_owned(),
                voice_method: "POST".to_owned(),
                status_callback: "https://x/api/calls/status".to_owned(),
                status_callback_method: "POST".to_owned(),
                ..ApplicationSettings::default()
            },
            application_sid: None,
            number: Some(E164::parse(NUMBER).unwrap()),
            number_action: NumberAction::PointIfFree,
            has_key: false,
            new_key: false,
        },
        env_file: None,
        dry_run: false,
    }
}

/// Returns the command's output and its error.
async fn run(
    twilio: &FakeTwilio,
    request: &SetupRequest,
    says_yes: bool,
) -> (String, Option<String>) {
    let client = TwilioClient::new(twilio.config()).unwrap();
    let mut out = Vec::new();
    let done = apply_setup(&client, request, &mut out, &mut |_| says_yes).await;
    let error = done.err().map(|error| format!("{error:#}"));
    (String::from_utf8(out).unwrap(), error)
}

#[tokio::test]
async fn a_first_run_makes_all_and_a_second_finds_nothing_to_do() {
    let twilio = FakeTwilio::start(&Tasks::default());
    twilio.add_incoming_number(NUMBER, "https://demo.twilio.com/welcome/voice/", "");
    // Also found by a search for the number, though it is another one.
    twilio.add_incoming_number("+141555501234", "https://elsewhere/voice", "");
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join(".env");
    fs::write(&path, "PORT=4000\n#TWILIO_API_KEY=\n").unwrap();
    let mut request = SetupRequest {
        env_file: Some(path.clone()),
        ..request()
    };

    let (said, error) = run(&twilio, &request, false).await;
    assert_eq!(error, None, "{said}");
    assert_eq!(twilio.changes().len(), 3);
    let applications = twilio.applications();
    let [application] = applications.as_slice() else {
        panic!("{applications:?}");
    };
    assert_eq!(
        &twilio.number_field(NUMBER, "voice_application_sid"),
        application
    );
    assert_eq!(
        twilio.number_field("+141555501234", "voice_application_sid"),
        ""
    );
    let (name, secret) = twilio.keys().pop().unwrap();
    assert_eq!(name, "CallBurner");
    assert!(!said.contains(&secret), "{said}");
    let env = fs::read_to_string(&path).unwrap();
    assert!(env.starts_with("PORT=4000\nTWILIO_API_KEY=SK"), "{env}");
    assert!(
        env.contains(&format!("\nTWILIO_API_SECRET={secret}\n")),
        "{env}"
    );
    assert!(
        env.contains(&format!("\nTWILIO_TWIML_APP_SID={application}\n")),
        "{env}"
    );

    // As the settings are afterwards.
    request.desired.has_key = true;
    request.desired.application_sid = Some(ApplicationSid::parse(application).unwrap());
    for application_sid in [request.desired.application_sid.clone(), None] {
        request.desired.application_sid = application_sid;
        let (said, error) = run(&twilio, &request, false).await;
        assert_eq!(error, None, "{said}");
        assert!(said.ends_with("Nothing to change.\n"), "{said}");
    }
    assert_eq!(twilio.changes().len(), 3);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4);
}

#[tokio::test]
async fn a_dry_run_shows_the_steps_and_takes_none() {
    let twilio = FakeTwilio::start(&Tasks::default());
    twilio.add_incoming_number(NUMBER, "", "");
    let request = SetupRequest {
        dry_run: true,
        ..request()
    };
    let (said, error) = run(&twilio, &request, true).await;
    assert_eq!(error, None, "{said}");
    for step in [
        "Application: create one",
        "Number: point",
        "API key: create one",
    ] {
        assert!(said.contains(step), "{said}");
    }
    assert!(twilio.changes().is_empty());
}

#[tokio::test]
async fn a_number_that_someone_uses_is_left_and_all_else_done() {
    let twilio = FakeTwilio::start(&Tasks::default());
    twilio.add_incoming_number(
        NUMBER,
        "https://elsewhere/voice",
        "TK00000000000000000000000000000001",
    );
    let (said, error) = run(&twilio, &request(), true).await;
    assert!(said.contains("the SIP trunk TK"), "{said}");
    assert!(error.is_some(), "{said}");
    assert_eq!(twilio.number_field(NUMBER, "voice_application_sid"), "");
    assert_eq!(twilio.applications().len(), 1);

    let mut request = request();
    request.desired.number_action = NumberAction::TakeOver;
    request.desired.has_key = true;
    let (said, error) = run(&twilio, &request, false).await;
    assert_eq!(error, None, "{said}");
    let application = twilio.number_field(NUMBER, "voice_application_sid");
    assert_eq!(twilio.applications(), [application]);
    assert_eq!(twilio.number_field(NUMBER, "trunk_sid"), "");
}

#[tokio::test]
async fn a_number_is_offered_and_taken_at_a_yes() {
    let twilio = FakeTwilio::start(&Tasks::default());
    twilio.add_incoming_number(NUMBER, "", "");
    let mut request = request();
    request.desired.number_action = NumberAction::Report;
    request.desired.has_key = true;
    let (said, error) = run(&twilio, &request, false).await;
    assert_eq!(error, None, "{said}");
    assert!(said.contains("--number points it to this server"), "{said}");
    assert_eq!(twilio.number_field(NUMBER, "voice_application_sid"), "");
    run(&twilio, &request, true).await;
    let application = twilio.number_field(NUMBER, "voice_application_sid");
    assert_eq!(twilio.applications(), [application]);
}

#[tokio::test]
async fn a_moved_server_updates_its_application() {
    let twilio = FakeTwilio::start(&Tasks::default());
    let application = twilio.add_application(&[
        ("friendly_name", "CallBurner"),
        ("voice_url", "https://old/voice"),
        ("voice_method", "POST"),
        ("status_callback", "https://old/api/calls/status"),
        ("status_callback_method", "POST"),
    ]);
    let mut request = request();
    request.desired.has_key = true;
    request.desired.number_action = NumberAction::Report;
    let (said, error) = run(&twilio, &request, false).await;
    assert_eq!(error, None, "{said}");
    assert!(
        said.contains("https://x/voice  (was https://old/voice)"),
        "{said}"
    );
    assert!(
        said.contains(&format!("TWILIO_TWIML_APP_SID={application}\n")),
        "{said}"
    );
    assert_eq!(
        twilio.changes(),
        [format!("POST /Applications/{application}.json")]
    );
}

#[tokio::test]
async fn a_secret_that_cannot_be_written_down_is_shown() {
    let twilio = FakeTwilio::start(&Tasks::default());
    let folder = tempfile::tempdir().unwrap();
    let mut request = request();
    request.env_file = Some(folder.path().join("missing").join(".env"));
    request.desired.number_action = NumberAction::Report;
    let application = twilio.add_application(&[("friendly_name", "CallBurner")]);
    request.desired.application_sid = Some(ApplicationSid::parse(&application).unwrap());
    let (said, error) = run(&twilio, &request, false).await;
    let (_, secret) = twilio.keys().pop().unwrap();
    assert!(
        said.contains(&format!("TWILIO_API_SECRET={secret}\n")),
        "{said}"
    );
    assert!(error.unwrap().contains("by hand"));
    let client = TwilioClient::new(twilio.config()).unwrap();
    let made = client.create_key("x").await.unwrap();
    assert!(!format!("{made:?}").contains(made.secret.expose_secret()));
    assert_ne!(made.sid, ApiKeySid::parse(KEY).unwrap());
}
