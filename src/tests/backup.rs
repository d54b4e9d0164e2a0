//! The behaviour that the Twilio Functions that replace this server while it is down (`functions/`) share
//! with it: access tokens, decisions and TwiML, in files that their tests read.

use std::fmt::Write;
use std::fs;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
use phonenumber::metadata::DATABASE;
use phonenumber::{Metadata, Type};
use serde_json::{Value, json};

use super::calls::{OURS, THEIRS, TestAccount};
use super::phone::fixture;
use super::scenarios::call;
use super::twilio_api::{ACCOUNT, KEY, KEY_SECRET};
use crate::app::ServerConfig;
use crate::clock::UtcTime;
use crate::config::TranscriptionSource;
use crate::dialing::DialingPolicy;
use crate::ids::{AccountSid, ApiKeySid, ApplicationSid, E164, UserId};
use crate::store::Role;
use crate::twilio::token::{self, LIFETIME, SessionTag, TokenKeys, VoiceGrant};

/// Asserts that a file equals the server's present output.
fn assert_kept(file: &str, said: &str) {
    let path = fixture(&format!("backup/{file}"));
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&path, said).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == said,
        "fixtures/backup/{file} is not what the server says any more; if that is meant, write it \
         anew with UPDATE_FIXTURES=1 cargo test --lib backup, and see to functions/"
    );
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

#[test]
fn a_token_has_the_same_claims() {
    let application = format!("AP{:032}", 1);
    let keys = TokenKeys {
        account_sid: AccountSid::parse(ACCOUNT).unwrap(),
        api_key_sid: ApiKeySid::parse(KEY).unwrap(),
        secret: KEY_SECRET.into(),
        region: None,
    };
    let now = UtcTime::from_millis(1_763_800_000_250);
    let identity = token::identity_for(UserId(42), "Jo", SessionTag(0xc0_ffee), None);
    let grant = VoiceGrant {
        identity: &identity,
        application_sid: &ApplicationSid::parse(&application).unwrap(),
        incoming: true,
    };
    let minted = token::mint(&keys, &grant, now, LIFETIME).unwrap();
    let part = |n| {
        let json = BASE64_URL.decode(minted.jwt.split('.').nth(n).unwrap());
        serde_json::from_slice::<Value>(&json.unwrap()).unwrap()
    };
    let golden = json!({
        "settings": {
            "ACCOUNT_SID": ACCOUNT, "TWILIO_API_KEY": KEY, "TWILIO_API_SECRET": KEY_SECRET,
            "TWILIO_TWIML_APP_SID": application,
        },
        "nowMs": now.millis(),
        "header": part(0),
        "claims": part(1),
        "answer": {"token": minted.jwt, "identity": identity, "expiresAt": minted.expires_at},
    });
    assert_kept("token.json", &pretty(&golden));
}

/// Caller ID, allowed countries, whether special numbers are allowed, and the called numbers.
const CALLED: [(&str, &str, bool, &[&str]); 5] = [
    (
        "+14155550123",
        "US,GB,DE",
        false,
        &[
            "+14155550199",
            "+1 (415) 555-0199",
            "tel:+44-20-7946-0958",
            "\u{202a}+44\u{a0}20\u{a0}7946\u{2011}0958\u{202c}",
            "+4915123456789",
            "",
            "+",
            "tel:",
            "alice",
            "client:alice",
            "411",
            "5550199",
            "+1 415 555 019",
            "+1 415 555 01999",
            "+1 000 555 0199",
            "+999 12345678",
            "+1 415 555 0199 ext. 5",
            "+1 415 555 0199 x5",
            "+1 415 555 0199;ext=5",
            "+1 415 555 0199,,5",
            "+1 800 FLOWERS",
            "*67 415 555 0199",
            "#31#4155550199",
            "+1+4155550199",
            "+44 20 7946 0958\n+1 900 555 0199",
            "+１４１５５５５０１９９",
            "+0000000000000000000000000000000000000000000000000000000000000000000",
            "+1 416 555 0199",
            "+1 876 555 0199",
            "+1 268 464 1234",
            "+53 7 866 1234",
            "+44 1481 256789",
            "+371 67 123456",
            "+1 900 555 0199",
            "+44 909 879 0000",
            "+44 845 464 0000",
            "+44 70 1234 5678",
            "+44 76 4012 3456",
            "+49 900 1 123456",
            "+870 773 111 632",
            "+881 6 1234 5678",
            "+882 34 21234",
            "+883 5100 12345678",
            "+979 1 2345 6789",
            "+878 10 123456789 0",
            "+808 1234 5678",
            "911",
            "9-1-1",
            " 9 1 1 ",
            "tel:911",
            "+911",
            "+1911",
            "+1 911",
            "1911",
            "011 1 911",
            "011 49 112",
            "112#",
            "988",
            "+1988",
            "15",
            "000",
            "110",
            "+44 999",
            "+46 90000",
            "+3315",
            "90000",
            "9111",
            "+14159111234",
            "+1 911 555 0123",
            "+49 112 3456",
        ],
    ),
    (
        "+14155550123",
        "US",
        true,
        &[
            "+1 900 555 0199",
            "+881 6 1234 5678",
            "+44 909 879 0000",
            "911",
        ],
    ),
    (
        "+14165550123",
        "",
        false,
        &["+16045550199", "+14155550199", "112"],
    ),
    (
        "+4930901820",
        "DE",
        false,
        &["110", "0112", "+49112", "0049112", "49112", "+4930901820"],
    ),
    (
        "+46812345678",
        "SE",
        false,
        &["90000", "+46 90000", "090000", "+46701740605"],
    ),
];

fn judged(callers: &str, countries: &str, special: bool, to: &str) -> String {
    let caller_id = E164::parse(callers).unwrap();
    let policy = DialingPolicy::new(Some(countries), special, Some(&caller_id)).unwrap();
    match policy.check_number(to, &caller_id) {
        Ok(number) => number.as_str().to_owned(),
        Err(refusal) => refusal.code().to_owned(),
    }
}

#[test]
fn numbers_are_judged_alike() {
    let mut tsv = "callerId\tcountries\tspecial\tto\toutcome\n".to_owned();
    let mut judge = |callers: &str, countries: &str, special: bool, to: &str| {
        let outcome = judged(callers, countries, special, to);
        let to = serde_json::to_string(to).unwrap();
        writeln!(tsv, "{callers}\t{countries}\t{special}\t{to}\t{outcome}").unwrap();
    };
    for (callers, countries, special, called) in CALLED {
        for to in called {
            judge(callers, countries, special, to);
        }
    }
    // libphonenumber's own examples, country by country.
    for region in DATABASE.iter().filter(|region| region.id() != "001") {
        let code = region.country_code();
        let sharing = DATABASE.by_code(&code).unwrap();
        let ids: Vec<&str> = sharing.into_iter().map(Metadata::id).collect();
        for kind in [
            Type::FixedLine,
            Type::Mobile,
            Type::TollFree,
            Type::PremiumRate,
            Type::SharedCost,
            Type::PersonalNumber,
            Type::Pager,
            Type::Uan,
        ] {
            let kind = region.descriptors().get(kind);
            let example = kind.and_then(|kind| kind.example());
            let to = format!("+{code}{}", example.unwrap_or_default());
            if example.is_some() && E164::parse(&to).is_ok() {
                judge("+14155550123", &ids.join(","), false, &to);
            }
        }
    }
    assert_kept("numbers.tsv", &tsv);
}

/// A browser's identity, in place of the random one.
const ALICE: &str = "u1_0000000000c0ffee_alice";

/// A test account without transcription, like the functions that replace it.
async fn silent(change: impl FnOnce(&mut ServerConfig)) -> TestAccount {
    TestAccount::open_with(|server_config| {
        server_config.calls.transcription_source = TranscriptionSource::Off;
        change(server_config);
    })
    .await
}

#[tokio::test]
async fn calls_are_answered_alike() {
    let usual = json!({"TWILIO_CALLER_ID": OURS});
    let mut answers = Vec::new();
    let mut keep = |settings: &Value, form: Value, twiml: String| {
        answers.push(json!({"settings": settings, "form": form, "twiml": twiml}));
    };
    let outgoing = |n, identity: &str, to: &str| json!({"CallSid": call(n), "From": format!("client:{identity}"), "To": to});
    let incoming = |n| json!({"CallSid": call(n), "From": THEIRS, "To": OURS});

    let account = silent(|_| {}).await;
    let ended = [
        ("completed", true),
        ("answered", true),
        ("busy", true),
        ("no-answer", true),
        ("failed", false),
        ("canceled", true),
    ];
    for (n, (status, child)) in (1..).zip(ended) {
        let form =
            json!({"CallSid": call(n), "From": THEIRS, "To": OURS, "DialCallStatus": status});
        let twiml = account
            .post_dial_ended(n, child.then_some(100 + n), status)
            .await;
        keep(&usual, form, twiml);
    }
    keep(&usual, incoming(20), account.ring(20).await);
    let cookie = account.app.session("alice", Role::User).await;
    let alice = account.online(&cookie).await;
    for (n, to) in (31..).zip([
        THEIRS,
        "911",
        "+1 415 555 019",
        "+442079460958",
        "+19005550199",
        "client:alice",
    ]) {
        let twiml = account.dial(n, &alice, to).await;
        account.post_dial_ended(n, None, "completed").await;
        keep(&usual, outgoing(n, ALICE, to), twiml);
    }
    let rung = json!({"TWILIO_CALLER_ID": OURS, "INCOMING_TO": ALICE});
    let twiml = account.ring(21).await.replace(&alice, ALICE);
    keep(&rung, incoming(21), twiml);

    let short = silent(|server_config| {
        server_config.calls.ring_seconds_max = 20;
        server_config.calls.limits.call_seconds_max = 60 * 60;
    })
    .await;
    let settings =
        json!({"TWILIO_CALLER_ID": OURS, "RING_SECONDS_MAX": "20", "CALL_MINUTES_MAX": "60"});
    let cookie = short.app.session("alice", Role::User).await;
    let identity = short.identity(&cookie).await;
    let twiml = short.dial(1, &identity, THEIRS).await;
    keep(&settings, outgoing(1, ALICE, THEIRS), twiml);

    let nameless = silent(|server_config| server_config.calls.caller_id = None).await;
    let twiml = nameless.dial(1, ALICE, THEIRS).await;
    keep(&json!({}), outgoing(1, ALICE, THEIRS), twiml);

    assert_kept("voice.json", &pretty(&Value::Array(answers)));
}
