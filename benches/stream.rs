//! One minute of a call's Media Stream, both tracks, as text through the session: 6,003 messages.

use std::hint::black_box;
use std::time::Duration;
use std::time::Instant;

use callburner::clock;
use callburner::ids::CallSid;
use callburner::ids::StreamSid;
use callburner::player;
use callburner::player::Act;
use callburner::player::Call;
use callburner::player::Options;
use callburner::twilio::stream::message::Message;
use callburner::twilio::stream::session::Admission;
use callburner::twilio::stream::session::Input;
use callburner::twilio::stream::session::Output;
use callburner::twilio::stream::session::Session;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;

/// What Twilio would send for a minute of two voices, each text with its time.
fn minute() -> Vec<(Duration, String)> {
    let codes: Vec<u8> = (0..=255).cycle().take(8_000 * 60).collect();
    let call = Call {
        inbound: codes.clone(),
        outbound: codes,
    };
    let call_sid = CallSid::parse("CA00000000000000000000000000000001").expect("a call SID");
    let stream_sid = StreamSid::parse("MZ00000000000000000000000000000001").expect("a stream SID");
    let options = Options::new(call_sid, stream_sid);
    player::steps_of(&call, &options)
        .filter_map(|step| match step.act {
            Act::Text(text) => Some((Duration::from_millis(step.at_ms), text)),
            Act::Binary(_) | Act::Close | Act::Drop => None,
        })
        .collect()
}

fn run(began: Instant, texts: &[(Duration, String)]) -> u64 {
    let mut session = Session::new(began, Admission::default());
    for (at, text) in texts {
        session.handle(began + *at, Input::Text(text));
        while let Some(output) = session.poll() {
            if let Output::Audio { mulaw, .. } = output {
                black_box(mulaw);
            }
        }
    }
    session.counts().media
}

fn stream(criterion: &mut Criterion) {
    let texts = minute();
    let began = clock::now();
    assert_eq!(run(began, &texts), 6_000, "the session lost audio");
    let mut group = criterion.benchmark_group("stream");
    group.throughput(Throughput::Elements(texts.len() as u64));
    group.bench_function("parse a minute", |bencher| {
        bencher.iter(|| {
            for (_, text) in black_box(&texts) {
                black_box(Message::parse(text)).expect("a message");
            }
        });
    });
    group.bench_function("session of a minute", |bencher| {
        bencher.iter(|| run(began, black_box(&texts)));
    });
    group.finish();
}

criterion_group!(benches, stream);
criterion_main!(benches);
