//! Measures the cost of publishing one event to a call's listeners, one of them never reading.

use std::hint::black_box;

use callburner::hub::{Hub, Subscription};
use callburner::ids::{CallSid, SegmentId, Track};
use callburner::transcript::{Event, Partial, Segment, Speaker, Word};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const LISTENERS: [usize; 3] = [1, 10, 100];

/// The events of ten utterances, repeated: three partials, then the final.
fn event(n: u32) -> Event {
    let (utterance, step) = (n / 4, n % 4);
    let id = SegmentId::new(1, Track::Inbound, utterance);
    let said = [
        "I", "would", "like", "to", "ask", "about", "my", "last", "bill,", "please.",
    ];
    let (track, speaker, start_ms) = (Track::Inbound, Speaker::Agent, u64::from(utterance) * 4_000);
    if step < 3 {
        let (stable, unstable) = said.split_at(step as usize * 3);
        let (stable, unstable) = (stable.join(" "), unstable[..2].join(" "));
        let revision = step + 1;
        let segment_id = id;
        return Event::Partial {
            partial: Partial {
                segment_id,
                revision,
                track,
                speaker,
                start_ms,
                stable,
                unstable,
                echo: false,
            },
        };
    }
    let word = |(text, n): (&&str, u64)| Word {
        text: (*text).to_owned(),
        start_ms: start_ms + n * 300,
        end_ms: start_ms + n * 300 + 250,
        confidence: 0.9,
    };
    Event::Segment {
        segment: Segment {
            id,
            track,
            speaker,
            start_ms,
            end_ms: start_ms + 3_000,
            text: said.join(" "),
            words: said.iter().zip(0..).map(word).collect(),
            language: "en".to_owned(),
            latency_ms: 500,
            transcribed: true,
            echo: false,
        },
    }
}

struct FanOutBench {
    hub: Hub,
    call: CallSid,
    active_readers: Vec<Subscription>,
    /// A listener beside the readers that never reads.
    _idle_reader: Subscription,
    published: u32,
}

impl FanOutBench {
    fn new(active_readers: usize) -> Self {
        let hub = Hub::new();
        let call = CallSid::parse(&format!("CA{:032x}", 1)).expect("a well-formed SID");
        hub.open_stream(&call, 1);
        let listen = || {
            hub.subscribe(&call, None)
                .expect("one channel is never too many")
        };
        let (active_readers, idle_reader) =
            ((0..active_readers).map(|_| listen()).collect(), listen());
        Self {
            hub: hub.clone(),
            call: call.clone(),
            active_readers,
            _idle_reader: idle_reader,
            published: 0,
        }
    }

    fn publish(&mut self) {
        let offset = self.hub.publish(&self.call, event(self.published));
        self.published += 1;
        assert!(
            offset.is_some(),
            "the channel takes every event of this bench"
        );
    }
}

fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("hub/publish");
    for listeners in LISTENERS {
        let mut fan_out_bench = FanOutBench::new(listeners);
        group.bench_function(BenchmarkId::from_parameter(listeners), |b| {
            b.iter(|| fan_out_bench.publish());
        });
    }
    group.finish();
}

fn fan_out(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a small runtime");
    for (name, as_json) in [("hub/fan_out", false), ("hub/fan_out_json", true)] {
        let mut group = c.benchmark_group(name);
        for listeners in LISTENERS {
            let mut fan_out_bench = FanOutBench::new(listeners);
            group.throughput(Throughput::Elements(listeners as u64));
            group.bench_function(BenchmarkId::from_parameter(listeners), |b| {
                b.iter(|| {
                    fan_out_bench.publish();
                    runtime.block_on(async {
                        for reader in &mut fan_out_bench.active_readers {
                            for event in reader.next().await {
                                if as_json {
                                    black_box(serde_json::to_string(&*event).expect("plain data"));
                                } else {
                                    black_box(event);
                                }
                            }
                        }
                    });
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, publish, fan_out);
criterion_main!(benches);
