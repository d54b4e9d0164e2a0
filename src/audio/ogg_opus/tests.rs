//! Tests of `audio/ogg_opus.rs`.

use std::f64::consts::TAU;
use std::io::Cursor;
use std::process::Command;

use audiopus::coder::{Decoder, GenericCtl};
use ogg::PacketReader;
use proptest::prelude::*;

use super::*;
use crate::audio::recording::RecordingReader;
use crate::audio::to_i16;

const SECOND: usize = LINE_HZ as usize;

fn call() -> CallSid {
    CallSid::parse("CA0000000000000000000000000000cdEF").unwrap()
}

fn tone(hz: f64, samples: usize) -> Vec<i16> {
    let sample = |n| ((TAU * hz * n as f64 / f64::from(LINE_HZ)).sin() * 8_000.0) as i16;
    (0..samples).map(sample).collect()
}

/// Both tracks of a recorded call, of the same length.
fn cards() -> [Vec<i16>; 2] {
    ["inbound", "outbound"].map(|track| {
        let root = env!("CARGO_MANIFEST_DIR");
        let path = format!("{root}/fixtures/calls/cards_{track}.wav");
        to_i16(&RecordingReader::read_all(path.as_ref(), LINE_HZ).unwrap()[0])
    })
}

fn take_all(encoder: &mut OggOpusEncoder, file: &mut Vec<u8>) {
    loop {
        let pages = encoder.take_pages();
        if pages.is_empty() {
            return;
        }
        file.extend_from_slice(&pages);
    }
}

/// Pushes both tracks in frames of 20 ms, in turn, as a stream does.
fn play(encoder: &mut OggOpusEncoder, tracks: &[Vec<i16>; 2], file: &mut Vec<u8>) {
    let frames = tracks.each_ref().map(|track| track.chunks(FRAME_SAMPLES));
    let [inbound, outbound] = frames;
    for (n, (inbound, outbound)) in inbound.zip(outbound).enumerate() {
        encoder.push(Track::Inbound, (n * FRAME_SAMPLES) as u64, inbound);
        encoder.push(Track::Outbound, (n * FRAME_SAMPLES) as u64, outbound);
        take_all(encoder, file);
    }
}

fn record(tracks: &[Vec<i16>; 2]) -> Vec<u8> {
    let mut encoder = OggOpusEncoder::new(7, &call());
    let mut file = Vec::new();
    play(&mut encoder, tracks, &mut file);
    file.extend_from_slice(&encoder.finish());
    file
}

/// Decodes a file as a player does: each channel from sample 0 on, cut at the mark of the end. The crate
/// `ogg` finds the packets.
fn listen(file: &[u8]) -> [Vec<i16>; 2] {
    let mut reader = PacketReader::new(Cursor::new(file));
    let mut opus = Decoder::new(SampleRate::Hz8000, Channels::Stereo).unwrap();
    let mut heard = [Vec::new(), Vec::new()];
    let first = reader.read_packet_expected().unwrap();
    assert!(first.first_in_stream() && first.data == opus_head());
    assert!(
        reader
            .read_packet_expected()
            .unwrap()
            .data
            .starts_with(b"OpusTags")
    );
    let mut frames = 0;
    while let Ok(Some(packet)) = reader.read_packet() {
        let mut stereo = [0; 2 * FRAME_SAMPLES];
        let decoded = opus.decode(Some(&packet.data), &mut stereo[..], false);
        assert_eq!(decoded, Ok(FRAME_SAMPLES));
        for pair in stereo.chunks(2) {
            heard[0].push(pair[0]);
            heard[1].push(pair[1]);
        }
        frames += 1;
        if packet.last_in_stream() {
            let end = packet.absgp_page() / GRANULES_PER_SAMPLE;
            for channel in &mut heard {
                channel.truncate(end as usize);
            }
        } else if packet.last_in_page() {
            assert_eq!(packet.absgp_page(), frames * FRAME_GRANULES);
        }
    }
    heard.map(|channel| channel[LOOKAHEAD as usize..].to_vec())
}

fn power(samples: &[i16]) -> f64 {
    let squares = samples.iter().map(|&sample| f64::from(sample).powi(2));
    squares.sum::<f64>() / samples.len() as f64
}

/// 1: the same except for loudness; 0: unrelated.
fn likeness(one: &[i16], other: &[i16]) -> f64 {
    let pairs = one.iter().zip(other);
    let common: f64 = pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    common / one.len().min(other.len()) as f64 / (power(one) * power(other)).sqrt()
}

#[test]
fn the_pre_skip_is_what_libopus_is_late_by() {
    assert_eq!(
        u64::from(new_opus_encoder().lookahead().unwrap()),
        LOOKAHEAD
    );
    assert_eq!(new_opus_encoder().sample_rate(), Ok(SampleRate::Hz8000));
    let head = opus_head();
    assert_eq!(head.len(), 19);
    assert_eq!(head[..12], *b"OpusHead\x01\x02\x38\x01");
    assert_eq!(head[12..], [0x40, 0x1f, 0, 0, 0, 0, 0]);
}

#[test]
fn tags_name_the_call_by_its_stub_alone() {
    let tags = opus_tags(&call());
    let text = String::from_utf8_lossy(&tags);
    assert!(text.contains("CALL=CA…cdEF"), "{text}");
    assert!(!text.contains("0000"), "{text}");
}

#[test]
fn each_track_is_heard_in_its_own_channel_at_its_own_time() {
    let tracks = cards();
    let heard = listen(&record(&tracks));
    for channel in 0..2 {
        assert_eq!(heard[channel].len(), tracks[channel].len());
        let likeness_at =
            |lag: usize| likeness(&tracks[channel][..20 * SECOND], &heard[channel][lag..]);
        let here = likeness_at(0);
        assert!(here > 0.9, "channel {channel}: {here}");
        assert!(here > likeness_at(2), "channel {channel} is late");
        let late = likeness(&tracks[channel][2..], &heard[channel]);
        assert!(here > late, "channel {channel} is early");
        let other = likeness(&tracks[1 - channel], &heard[channel]);
        assert!(
            other < 0.1,
            "channel {channel} holds the other party: {other}"
        );
    }
}

#[test]
fn a_party_who_is_silent_stays_silent_while_the_other_talks() {
    let talk = tone(440.0, 2 * SECOND);
    let heard = listen(&record(&[talk.clone(), vec![0; 2 * SECOND]]));
    assert!(likeness(&heard[0], &talk) > 0.9);
    assert!(
        power(&heard[1]) < power(&heard[0]) / 10_000.0,
        "{}",
        power(&heard[1])
    );
}

#[test]
fn an_hour_of_talk_is_nine_megabytes() {
    let tracks = cards();
    let hour = record(&tracks).len() as f64 * 3_600.0 / (tracks[0].len() / SECOND) as f64;
    assert!((7e6..10e6).contains(&hour), "{hour} bytes");
}

#[test]
fn a_file_cut_anywhere_gives_what_came_before() {
    let file = record(&cards());
    let whole = listen(&file);
    let mut seconds_seen = 0;
    for cut in (0..file.len()).rev().step_by(97) {
        let Some((page, range)) = OggPage::find_last(&file[..cut]) else {
            continue;
        };
        let lost = cut - range.end;
        assert!(lost < file.len() / 10, "{lost} bytes of a page lost");
        if page.sequence < 2 {
            continue;
        }
        let heard = listen(&file[..range.end]);
        let seconds = page.sequence as usize - 1;
        seconds_seen = seconds_seen.max(seconds);
        assert_eq!(heard[0].len(), seconds * SECOND - LOOKAHEAD as usize);
        for channel in 0..2 {
            assert!(whole[channel].starts_with(&heard[channel]), "cut at {cut}");
        }
        let length = duration(&file[..cut]).unwrap().as_secs_f64();
        assert!(
            (length - seconds as f64).abs() < 0.02,
            "{length} s of {seconds}"
        );
    }
    assert_eq!(seconds_seen, 25);
    assert_eq!(duration(&file), Some(Duration::from_secs(25)));
}

#[test]
fn a_track_that_is_late_is_silence_and_does_not_hold_up_the_other() {
    let mut encoder = OggOpusEncoder::new(7, &call());
    let mut file = Vec::new();
    encoder.push(Track::Inbound, 0, &tone(440.0, 5 * SECOND));
    take_all(&mut encoder, &mut file);
    let written = duration(&file).unwrap();
    let held_back = 5_000 - written.as_millis() as u64;
    assert!(
        held_back <= limits::ARCHIVE_WAIT_MS_MAX + 20,
        "{held_back} ms"
    );
    let late = tone(880.0, 5 * SECOND);
    encoder.push(Track::Outbound, 0, &late);
    assert_eq!(encoder.counts().late, 4 * SECOND as u64);
    file.extend_from_slice(&encoder.finish());
    let heard = listen(&file);
    assert_eq!(heard[0].len(), 5 * SECOND);
    let leaked = power(&heard[1][..3 * SECOND]) / power(&heard[0]);
    assert!(leaked < 1e-4, "{leaked}");
    let last = 4 * SECOND + FRAME_SAMPLES..5 * SECOND;
    assert!(likeness(&heard[1][last.clone()], &late[last]) > 0.9);
}

#[test]
fn an_hour_of_silence_costs_next_to_nothing_and_speech_after_it_is_clear() {
    let mut encoder = OggOpusEncoder::new(7, &call());
    let mut file = Vec::new();
    let talk = tone(440.0, SECOND);
    let hour = 3_600 * SECOND as u64;
    for at in [0, hour] {
        for track in Track::ALL {
            encoder.push(track, at, &talk);
        }
        take_all(&mut encoder, &mut file);
    }
    file.extend_from_slice(&encoder.finish());
    assert!(file.len() < 700_000, "{} bytes", file.len());
    assert_eq!(duration(&file), Some(Duration::from_secs(3_601)));
    for channel in listen(&file) {
        let after = &channel[hour as usize..];
        assert!(likeness(after, &talk) > 0.9, "{}", likeness(after, &talk));
        let silence = power(&channel[2 * SECOND..hour as usize]);
        assert!(silence < 100.0, "{silence}");
    }
}

#[test]
fn a_whole_day_fits() {
    let mut encoder = OggOpusEncoder::new(7, &call());
    let mut file = Vec::new();
    let day = 24 * 3_600 * SECOND as u64;
    encoder.push(
        Track::Inbound,
        day - FRAME_SAMPLES as u64,
        &tone(440.0, FRAME_SAMPLES),
    );
    take_all(&mut encoder, &mut file);
    let bytes = file.len();
    assert!(bytes < 17_000_000, "{bytes} bytes");
    let end = encoder.finish();
    assert_eq!(duration(&end), Some(Duration::from_hours(24)));
    assert_eq!(OggPage::find_last(&end).unwrap().0.sequence, 2 + 24 * 3_600);
}

#[test]
fn pages_come_in_parts_so_that_a_silence_does_not_fill_the_memory() {
    let mut encoder = OggOpusEncoder::new(7, &call());
    encoder.push(Track::Inbound, 10_000 * SECOND as u64, &[1]);
    let part = encoder.take_pages();
    assert!((READY_BYTES_MAX..READY_BYTES_MAX + 1_000).contains(&part.len()));
    assert!(!encoder.take_pages().is_empty());
}

#[test]
fn what_nobody_takes_is_refused_after_two_minutes() {
    let mut encoder = OggOpusEncoder::new(7, &call());
    for n in 0..130 {
        encoder.push(Track::Inbound, n * SECOND as u64, &[1; SECOND]);
    }
    assert_eq!(encoder.counts().refused, 10 * SECOND as u64);
    encoder.push(Track::Outbound, u64::MAX - 1, &[1; 2]);
    encoder.push(Track::Outbound, END_SAMPLE_MAX, &[1]);
    assert_eq!(encoder.counts().refused, 10 * SECOND as u64 + 3);
}

#[test]
fn a_call_goes_on_in_the_same_stream_after_its_end() {
    let talk = [tone(440.0, 2 * SECOND + 77), tone(880.0, 2 * SECOND + 77)];
    let mut file = record(&talk);
    let (mut encoder, keep) = OggOpusEncoder::resume(&file).unwrap();
    file.truncate(keep);
    let begin = 5 * SECOND;
    encoder.start_stream(begin as u64);
    play(&mut encoder, &talk, &mut file);
    file.extend_from_slice(&encoder.finish());

    let heard = listen(&file);
    let after = begin..begin + talk[0].len();
    for channel in 0..2 {
        assert_eq!(heard[channel].len(), after.end);
        assert!(likeness(&heard[channel][..talk[0].len()], &talk[channel]) > 0.9);
        let silence = power(&heard[channel][3 * SECOND..begin - FRAME_SAMPLES]);
        assert!(silence < 100.0, "{silence}");
        assert!(likeness(&heard[channel][after.clone()], &talk[channel]) > 0.9);
    }
    let mut at = 0;
    let mut sequence = 0;
    while let Some((page, length)) = OggPage::read(&file[at..]) {
        at += length;
        assert_eq!((page.sequence, page.serial), (sequence, 7));
        assert_eq!(page.position == PagePosition::Last, at == file.len());
        sequence += 1;
    }
    assert_eq!(at, file.len());
}

#[test]
fn a_call_goes_on_after_a_crash_wherever_its_file_was_cut() {
    let tracks = cards();
    let file = record(&tracks);
    for cut in (0..file.len()).step_by(1_013) {
        let Some((mut encoder, keep)) = OggOpusEncoder::resume(&file[..cut]) else {
            assert!(cut < 200, "a file of {cut} bytes was given up");
            continue;
        };
        let mut resumed = file[..keep].to_vec();
        // It seems to start before the end, so it starts at the end.
        encoder.start_stream(0);
        encoder.push(Track::Inbound, 0, &tone(440.0, SECOND));
        resumed.extend_from_slice(&encoder.finish());
        let seconds = |file: &[u8]| duration(file).unwrap().as_secs_f64();
        let gained = seconds(&resumed) - seconds(&file[..cut]);
        assert!((0.99..1.03).contains(&gained), "{gained} s");
        listen(&resumed);
    }
}

#[test]
fn a_page_of_another_encoder_is_not_resumed() {
    let mut file = Vec::new();
    let mut page = OggPage::new(1, 5, PagePosition::Last);
    page.granule = u64::MAX;
    page.write(&mut file);
    assert!(OggOpusEncoder::resume(&file).is_none());
    assert!(duration(&file) > Some(Duration::from_hours(24)));
    for none in [&b""[..], b"OggS", &[0; 1_000]] {
        assert!(OggOpusEncoder::resume(none).is_none() && duration(none).is_none());
    }
}

#[test]
fn a_part_of_a_page_can_be_had_early() {
    let mut encoder = OggOpusEncoder::new(7, &call());
    for track in Track::ALL {
        encoder.push(track, 0, &tone(440.0, SECOND / 2));
    }
    let mut file = encoder.take_pages();
    assert_eq!(duration(&file), Some(Duration::ZERO));
    file.extend_from_slice(&encoder.take_partial_page());
    assert_eq!(duration(&file), Some(Duration::from_micros(493_500)));
    assert!(encoder.take_partial_page().is_empty());
    file.extend_from_slice(&encoder.finish());
    assert_eq!(duration(&file), Some(Duration::from_millis(500)));
    assert_eq!(listen(&file)[0].len(), SECOND / 2);
}

#[test]
fn opus_tools_find_nothing_wrong_with_a_file_and_hear_the_same() {
    let tracks = cards();
    let folder = tempfile::tempdir().unwrap();
    let (path, wav) = (
        folder.path().join("call.ogg"),
        folder.path().join("call.wav"),
    );
    std::fs::write(&path, record(&tracks)).unwrap();
    let run = |command: &mut Command| {
        let output = command
            .output()
            .expect("this test needs the package `opus-tools`");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let report = run(Command::new("opusinfo").arg(&path));
    assert!(report.contains("Playback length: 0m:25.000s"), "{report}");
    assert!(report.contains("Channels: 2"), "{report}");
    assert!(!report.to_lowercase().contains("warning"), "{report}");
    run(Command::new("opusdec")
        .args(["--quiet", "--rate", "8000"])
        .arg(&path)
        .arg(&wav));
    let heard = RecordingReader::read_all(&wav, LINE_HZ).unwrap();
    for (heard, track) in heard.iter().zip(&tracks) {
        assert_eq!(heard.len(), track.len());
        // The conversion from 48 kHz moves every sound by half a sample.
        assert!(likeness(&to_i16(heard), track) > 0.8);
    }
}

proptest! {
    #[test]
    fn whatever_comes_in_whatever_order_the_file_is_sound(
        pushes in prop::collection::vec((any::<bool>(), 0..40_000_u64, 0..2_000_usize), 0..40),
        begins in prop::collection::vec(0..40_u64, 0..3),
    ) {
        let mut encoder = OggOpusEncoder::new(7, &call());
        let mut file = Vec::new();
        let mut end = 0;
        for (n, (inbound, at, length)) in pushes.into_iter().enumerate() {
            if begins.contains(&(n as u64)) {
                encoder.start_stream(at);
                end += 1;
            }
            let track = if inbound { Track::Inbound } else { Track::Outbound };
            encoder.push(track, at, &tone(440.0, length));
            if n % 3 == 0 {
                take_all(&mut encoder, &mut file);
            }
        }
        let samples = encoder.end;
        file.extend_from_slice(&encoder.finish());
        prop_assert!(end <= begins.len());
        prop_assert_eq!(listen(&file)[0].len() as u64, samples);
        prop_assert_eq!(duration(&file).unwrap().as_micros() as u64, samples * 125);
    }
}
