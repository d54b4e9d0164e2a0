//! Fuzz targets for input from strangers and from files, with libFuzzer, in one program; the environment
//! selects the target. `make fuzz` builds it with coverage and runs every target.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;
use std::{fs, process};

use callburner::audio::{ogg, ogg_opus};
use callburner::clock;
use callburner::engine::native;
use callburner::export::{self, ExportFormat};
use callburner::ids::{CallSid, SegmentId, Track};
use callburner::models::{self, ProgressReporter};
use callburner::transcript::{Segment, Speaker};
use callburner::twilio::signature::{self, Keyring, SignedPayload, SigningKey};
use callburner::twilio::stream::message::StreamMessage;
use callburner::twilio::stream::session::{
    SessionInput, SessionOutput, StreamBinding, StreamSession,
};
use callburner::twilio::tracks::TrackSelection;
use callburner::twilio::twiml::{self, Say, StreamNoun, TwimlParameter, TwimlVerb, VoiceResponse};
use callburner::twilio::webhook;
use libfuzzer_sys::fuzz_target;

type FuzzTarget = fn(&[u8]);

/// Every target by name; `.fuzz/run` reads this list.
const TARGETS: &[(&str, FuzzTarget)] = &[
    ("media", fuzz_media),
    ("webhook", fuzz_webhook),
    ("signature", fuzz_signature),
    ("twiml", fuzz_twiml),
    ("importer", fuzz_importer),
    ("native", fuzz_native_model),
    ("subtitles", fuzz_subtitles),
    ("ogg", fuzz_ogg),
];

fuzz_target!(|data: &[u8]| selected_target()(data));

fn selected_target() -> FuzzTarget {
    static TARGET: OnceLock<FuzzTarget> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let found = TARGETS.iter().find(|(name, _)| *name == wanted);
        found
            .unwrap_or_else(|| panic!("FUZZ_TARGET names no target: {wanted:?}"))
            .1
    })
}

/// Tests lines of a Media Stream: each is parsed or refused, a parsed message can be written and parsed
/// again, and a session accepts all lines and ends once.
fn fuzz_media(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let now = clock::now();
    let mut session = StreamSession::new(now, StreamBinding::default());
    let mut has_ended = false;
    for (n, line) in text.lines().take(200).enumerate() {
        if let Ok(message) = StreamMessage::parse(line) {
            assert_eq!(StreamMessage::parse(&message.to_json()), Ok(message));
        }
        let now = now + Duration::from_millis(20 * n as u64);
        session.handle(now, SessionInput::Text(line));
        while let Some(output) = session.poll() {
            assert!(!has_ended, "{output:?} after the end");
            match output {
                SessionOutput::Timeout(_) => break,
                SessionOutput::Ended(_) => has_ended = true,
                SessionOutput::Audio { mulaw, .. } => assert!(!mulaw.is_empty()),
                SessionOutput::Started(_) | SessionOutput::PauseReading(_) => {}
            }
        }
    }
}

/// Parses a form as every kind of webhook.
fn fuzz_webhook(data: &[u8]) {
    let Ok(form) = webhook::decode_form(data) else {
        return;
    };
    webhook::parse_as_every_webhook(&form);
    for (_, value) in &form {
        if let Some(address) = webhook::CallAddress::parse(value) {
            assert_eq!(
                webhook::CallAddress::parse(&address.to_text()),
                Some(address)
            );
        }
    }
}

/// Tests a path, a form, a signature and settings, one per line: a correct signature verifies, a made-up one
/// does not.
fn fuzz_signature(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(4, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (path, form, forged, settings) = (next(), next(), next(), next());
    let url = &format!("https://calls.example.org/{path}");
    let Ok(form) = webhook::decode_form(form.as_bytes()) else {
        return;
    };
    let key = SigningKey::auth_token("0123456789abcdef0123456789abcdef");
    let right = signature::sign(&key, url.split('#').next().unwrap_or_default(), &form);
    let payload = SignedPayload::Form(&form);
    assert!(signature::verify(&key, url, payload, &right).is_ok());
    let other = SigningKey::auth_token("fedcba9876543210fedcba9876543210");
    assert!(signature::verify(&other, url, payload, &right).is_err());
    assert!(signature::verify(&key, url, payload, forged).is_err());
    let _ = signature::verify(&key, url, SignedPayload::Raw(forged.as_bytes()), &right);
    let keys = Keyring::new("0123456789abcdef0123456789abcdef").expect("it is a token");
    let keys = keys.with_shared("id", "secret").expect("it is a secret");
    let _ = keys.verify(url, payload, Some(forged), Some(settings));
}

/// Tests text from strangers in a TwiML document: it is well-formed, and contains that text and nothing more.
fn fuzz_twiml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = twiml::parse(&text);
    let (said, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let (name, value) = rest.split_once('\n').unwrap_or((rest, ""));
    let stream = StreamNoun {
        url: "wss://calls.example.org/media".to_owned(),
        name: None,
        tracks: TrackSelection::Both,
        status_callback: None,
        parameters: vec![TwimlParameter::new(name, value)],
    };
    let say = Say {
        voice: Some(value.to_owned()),
        ..Say::text(said)
    };
    let Ok(response) =
        VoiceResponse::new(vec![TwimlVerb::Say(say), TwimlVerb::StartStream(stream)])
    else {
        return;
    };
    let xml = response.to_xml();
    let read = twiml::parse(&xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
    assert_eq!(read.verbs().len(), 2, "{xml}");
    assert_eq!(read.to_xml(), xml);
}

/// Returns the folder of this process for input that is read from files.
fn fuzz_folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let fuzz_folder = std::env::temp_dir().join(format!("callburner-fuzz-{}", process::id()));
        fs::create_dir_all(&fuzz_folder).expect("the folder of temporary files takes a folder");
        fuzz_folder
    })
}

/// Tests a whole model with some bytes changed, and perhaps cut off: it is imported or refused.
fn fuzz_importer(data: &[u8]) {
    static WHOLE: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    let (weights, vocabulary) = WHOLE.get_or_init(models::synthetic_files);
    let (mut weights, mut vocabulary) = (weights.clone(), vocabulary.clone());
    // Six bytes each: the file, the position (three bytes), the change, the value.
    for patch in data.chunks_exact(6).take(64) {
        let at = usize::from(patch[1]) << 16 | usize::from(patch[2]) << 8 | usize::from(patch[3]);
        let file = if patch[0] & 1 == 0 {
            &mut weights
        } else {
            &mut vocabulary
        };
        let at = at % (file.len() + 1);
        match patch[4] % 4 {
            0 => file.truncate(at),
            1 => file.insert(at, patch[5]),
            _ => {
                if let Some(byte) = file.get_mut(at) {
                    *byte = patch[5];
                }
            }
        }
    }
    let names = ["vocabulary.txt", "vocabulary.json", "tokenizer.json"];
    for name in names {
        let _ = fs::remove_file(fuzz_folder().join(name));
    }
    let name = names[usize::from(data.first().map_or(0, |byte| byte >> 1)) % names.len()];
    fs::write(fuzz_folder().join("model.bin"), weights).expect("there is room");
    fs::write(fuzz_folder().join(name), vocabulary).expect("there is room");
    let output = fuzz_folder().join("ggml.bin");
    let imported = models::import(fuzz_folder(), &output, &ProgressReporter::silent());
    if let Ok(imported) = imported {
        let written = fs::metadata(&output).expect("it was written");
        assert_eq!(written.len(), imported.bytes);
    }
}

/// Tests a ggml file: it is loaded or refused.
fn fuzz_native_model(data: &[u8]) {
    let path = fuzz_folder().join("native.bin");
    fs::write(&path, [b"lmgg", data].concat()).expect("there is room");
    let _ = native::NativeModel::load(&path);
}

/// Tests text from strangers as subtitles: each cue is separate, and no text makes another cue.
fn fuzz_subtitles(data: &[u8]) {
    let mut segments = Vec::new();
    for (number, said) in (1..).zip(data.split(|byte| *byte == 0).take(50)) {
        let (times, text) = said.split_at(said.len().min(8));
        let time = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |time, byte| time << 8 | u64::from(*byte))
        };
        let (start_ms, long_ms) = (
            time(&times[..times.len() / 2]),
            time(&times[times.len() / 2..]),
        );
        segments.push(Segment {
            id: SegmentId::new(1, Track::Inbound, number),
            track: Track::Inbound,
            speaker: Speaker::Customer,
            start_ms,
            end_ms: start_ms + long_ms,
            text: String::from_utf8_lossy(text).into_owned(),
            words: Vec::new(),
            language: "en".to_owned(),
            latency_ms: 0,
            transcribed: true,
            echo: false,
        });
    }
    let speaks = segments
        .iter()
        .any(|segment| !segment.text.trim().is_empty());
    for named in [false, true] {
        for format in [ExportFormat::Srt, ExportFormat::Vtt] {
            let file = export::write(&segments, format, named);
            let arrows = file.matches("-->").count();
            assert_eq!(arrows > 0, speaks, "{format:?}: {file:?}");
            let is_cue = |block: &&str| block.contains("-->");
            assert_eq!(
                file.split("\n\n").filter(is_cue).count(),
                arrows,
                "{file:?}"
            );
            for line in file.lines().filter(|line| line.contains("-->")) {
                let times = line.split(" --> ").collect::<Vec<_>>();
                assert!(
                    times.len() == 2 && times[0] <= times[1] || line.len() > 29,
                    "{line}"
                );
            }
        }
        let json = export::write(&segments, ExportFormat::Json, named);
        assert!(json.starts_with(['[', '{']), "{json}");
    }
}

/// Tests the end of a file that was cut off: intact pages are found, and the archive continues after them.
fn fuzz_ogg(data: &[u8]) {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some((page, length)) = ogg::OggPage::read(data) {
        assert!(length <= data.len());
        let mut again = Vec::new();
        page.write(&mut again);
        assert!(ogg::OggPage::read(&again).is_some());
    }
    if let Some((_, place)) = ogg::OggPage::find_last(data) {
        assert!(place.end <= data.len());
    }
    let _ = ogg_opus::duration(data);
    if let Some((mut resumed, keep)) = ogg_opus::OggOpusEncoder::resume(data) {
        assert!(keep <= data.len());
        resumed.start_stream(8_000);
        resumed.push(Track::Inbound, 0, &[100; 1_600]);
        assert!(!resumed.finish().is_empty());
    }
    // Valid pages, damaged as the input determines.
    let whole = WHOLE.get_or_init(|| {
        let call = CallSid::parse("CA00000000000000000000000000000001").expect("it is one");
        let mut whole = ogg_opus::OggOpusEncoder::new(1, &call);
        whole.push(Track::Inbound, 0, &[100; 8_000]);
        whole.finish()
    });
    let mut file = whole.clone();
    for patch in data.chunks_exact(3).take(16) {
        let at = (usize::from(patch[0]) << 8 | usize::from(patch[1])) % file.len();
        file[at] ^= patch[2];
    }
    if let Some((resumed, keep)) = ogg_opus::OggOpusEncoder::resume(&file) {
        assert!(keep <= file.len());
        drop(resumed);
    }
}
