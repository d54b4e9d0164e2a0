//! Measures how many samples a second the stages between Twilio's bytes and 16 kHz process on one core. A
//! live track needs 8,000.

use std::hint::black_box;

use callburner::audio::mulaw;
use callburner::audio::resample::Upsampler;
use callburner::audio::timeline::Timeline;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;

const FRAME: usize = 160;
const FRAMES: u64 = 50 * 60;

/// A minute of all codes in turn.
fn codes() -> Vec<u8> {
    (0..=255).cycle().take(FRAME * FRAMES as usize).collect()
}

fn decode(criterion: &mut Criterion) {
    let codes = codes();
    let mut group = criterion.benchmark_group("audio");
    group.throughput(Throughput::Elements(codes.len() as u64));
    group.bench_function("mulaw decode", |bencher| {
        let mut samples = Vec::with_capacity(codes.len());
        bencher.iter(|| {
            samples.clear();
            samples.extend(black_box(&codes).iter().map(|&code| mulaw::decode(code)));
            black_box(&samples);
        });
    });
    group.finish();
}

fn timeline(criterion: &mut Criterion) {
    let samples: Vec<i16> = codes().into_iter().map(mulaw::decode).collect();
    let mut group = criterion.benchmark_group("audio");
    group.throughput(Throughput::Elements(samples.len() as u64));
    // Jitter of some milliseconds, and one of a hundred frames lost.
    group.bench_function("timeline push", |bencher| {
        let mut out = Vec::with_capacity(2 * FRAME);
        bencher.iter(|| {
            let mut line = Timeline::new();
            for (n, frame) in (0..).zip(black_box(&samples).chunks_exact(FRAME)) {
                if n % 100 != 99 {
                    out.clear();
                    line.push(100 + 20 * n + n * 7 % 5, frame, &mut out);
                    black_box(&out);
                }
            }
        });
    });
    group.finish();
}

fn upsample(criterion: &mut Criterion) {
    let samples: Vec<i16> = codes().into_iter().map(mulaw::decode).collect();
    let mut group = criterion.benchmark_group("audio");
    group.throughput(Throughput::Elements(samples.len() as u64));
    group.bench_function("upsample", |bencher| {
        let mut upsampler = Upsampler::new();
        let mut out = Vec::with_capacity(4 * FRAME);
        bencher.iter(|| {
            for frame in black_box(&samples).chunks_exact(FRAME) {
                out.clear();
                upsampler.push(frame, &mut out);
                black_box(&out);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, decode, timeline, upsample);
criterion_main!(benches);
