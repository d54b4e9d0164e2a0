//! Measures the session with one minute of a call's Media Stream, both tracks, as text: 6,003 messages.

use std::hint::black_box;
use std::time::Duration;
use std::time::Instant;

use callburner::clock;
use callburner::ids::CallSid;
use callburner::ids::StreamSid;
use callburner::twilio::stream::message::StreamMessage;
use callburner::twilio::stream::session::SessionInput;
use callburner::twilio::stream::session::SessionOutput;
use callburner::twilio::stream::session::StreamBinding;
use callburner::twilio::stream::session::StreamSession;
use callburner::twilio_sim;
use callburner::twilio_sim::RecordedCall;
use callburner::twilio_sim::SocketAction;
use callburner::twilio_sim::StreamOptions;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;

/// The messages that Twilio would send for a minute of two tracks, each with its time.
fn minute() -> Vec<(Duration, String)> {
    let codes: Vec<u8> = (0..=255).cycle().take(8_000 * 60).collect();
    let call = RecordedCall {
        inbound: codes.clone(),
        outbound: codes,
    };
    let call_sid = CallSid::parse("CA00000000000000000000000000000001").expect("a call SID");
    let stream_sid = StreamSid::parse("MZ00000000000000000000000000000001").expect("a stream SID");
    let options = StreamOptions::new(call_sid, stream_sid);
    twilio_sim::socket_steps(&call, &options)
        .filter_map(|step| match step.action {
            SocketAction::Text(text) => Some((Duration::from_millis(step.at_ms), text)),
            SocketAction::Binary(_) | SocketAction::Close | SocketAction::Drop => None,
        })
        .collect()
}

fn run(began: Instant, texts: &[(Duration, String)]) -> u64 {
    let mut session = StreamSession::new(began, StreamBinding::default());
    for (at, text) in texts {
        session.handle(began + *at, SessionInput::Text(text));
        while let Some(output) = session.poll() {
            if let SessionOutput::Audio { mulaw, .. } = output {
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
                black_box(StreamMessage::parse(text)).expect("a message");
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
