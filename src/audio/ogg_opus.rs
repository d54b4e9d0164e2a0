//! Encodes a call's two tracks as one stereo Opus stream in Ogg: on the left the audio that Twilio receives
//! (inbound), on the right the audio that it sends (outbound). Pure: no I/O; samples in, pages out.
//!
//! ```text
//!   push(track, at, samples) ─► waiting, one queue a track ─► frames of 20 ms ─► pages of 1 s
//!                                                             take_pages() ◄──────────┘
//! ```
//!
//! Sources: RFC 7845 (Opus in Ogg), <https://www.rfc-editor.org/rfc/rfc7845>, and RFC 6716 (Opus).
//!
//! # Guarantees for a file
//!
//! *Sample `n` of the call is at `n / 8000` seconds of the file.* A track that is late or absent is silent;
//! the other one waits for it no longer than [`limits::ARCHIVE_WAIT_MS_MAX`].
//!
//! *A file cut off at any byte is valid.* Pages hold at most a second and are independent of each other; a
//! crash loses only the page that was being filled and the samples that waited for the other track. Only
//! [`OggOpusEncoder::finish`] marks an end, and [`OggOpusEncoder::resume`] removes the mark again: a call
//! that gets another stream continues in the same logical stream, with granules that count on, because
//! players do not add up chained streams: of two, Chromium 156 plays the first and stops, and ffmpeg 5.1
//! shows the length of one.
//!
//! *Silence is free.* While both tracks are digitally silent the encoder may stop sending (Opus' DTX); after
//! [`SILENT_FRAMES_ENCODED`] such frames it is not called at all. Quiet sound is encoded: the decision on
//! possible speech is never left to a voice activity detector.
//!
//! # Cost
//!
//! Measured with libopus 1.3.1 on two recorded calls with their line noise: 19.3 kbit/s and 0.7 kbit/s of
//! pages, 9 MB an hour; 0.6 MB an hour of silence; 65 µs a frame, 0.3 % of a core for each call. The channel
//! of a silent party is 90 dB below the other's voice. Without further settings, libopus mixes both channels
//! into one at 16 kbit/s, so the encoder is set to keep two. Two mono streams in one packet (mapping family
//! 1) need the same bits, and not every player supports them.

use std::collections::VecDeque;
use std::time::Duration;

use audiopus::coder::Encoder;
use audiopus::{Application, Bitrate, Channels, SampleRate, Signal};

use super::ogg::{OggPage, PagePosition};
use super::{LINE_HZ, LINE_SAMPLES_PER_MS};
use crate::ids::{CallSid, Track};
use crate::limits;

/// Samples of each track in a frame: 20 ms.
const FRAME_SAMPLES: usize = 160;

/// Granules in a sample: Opus counts time in samples of 48 kHz, whatever the rate of its input.
const GRANULES_PER_SAMPLE: u64 = 48_000 / LINE_HZ as u64;

/// Granules in a frame.
const FRAME_GRANULES: u64 = FRAME_SAMPLES as u64 * GRANULES_PER_SAMPLE;

/// Samples by which the decoder's output is behind the encoder's input: libopus' lookahead at 8 kHz (2.5 ms)
/// and its delay compensation (4 ms).
const LOOKAHEAD: u64 = 52;

/// Granules that a player drops at the start, so that playback starts with sample 0.
const PRE_SKIP: u64 = LOOKAHEAD * GRANULES_PER_SAMPLE;

/// Frames in a page: one second.
const PAGE_FRAMES: usize = 50;

/// Bits a second for both tracks together, when both parties talk.
const BITRATE_BPS: i32 = 24_000;

/// Effort of the encoder, 0 to 10: 10 takes 2.5 times as long and saves no bit.
const COMPLEXITY: u8 = 3;

/// The longest packet that is requested: one entry of a page's table. A frame has 60 bytes on average.
const PACKET_BYTES_MAX: usize = 254;

/// Frames of digital silence after which the last packet is repeated instead of encoding: half a second,
/// after which the encoder has stopped sending.
const SILENT_FRAMES_ENCODED: u32 = 25;

/// `OPUS_SET_DTX_REQUEST` of `opus_defines.h`: whether the encoder may stop sending in silence.
const SET_DTX: i32 = 4_016;

/// Approximate size of the finished pages that [`OggOpusEncoder::take_pages`] returns at a time, in bytes.
const READY_BYTES_MAX: usize = 64 * 1_024;

/// Duration of a sample.
const SAMPLE_DURATION: Duration = Duration::from_micros(1_000_000 / LINE_HZ as u64);

/// End of the longest archive, in samples on the call's clock.
const END_SAMPLE_MAX: u64 = limits::ARCHIVE_MS_MAX * LINE_SAMPLES_PER_MS;

/// Counts of samples that the encoder did not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncoderCounts {
    /// Samples that arrived after their time was encoded.
    pub late: u64,
    /// Samples that did not fit into the queue, or are beyond [`limits::ARCHIVE_MS_MAX`].
    pub refused: u64,
}

/// The encoder of one call's archive.
#[derive(Debug)]
pub struct OggOpusEncoder {
    opus_encoder: Encoder,
    /// Frames in pages so far.
    frames: u64,
    /// Start of the current stream, in samples on the call's clock.
    origin: u64,
    /// End of the latest sample, on the same clock.
    end: u64,
    inbound: TrackQueue,
    outbound: TrackQueue,
    page: OggPage,
    /// Consecutive frames of digital silence.
    silent_frames: u32,
    /// The last packet of the encoder.
    packet: Vec<u8>,
    ready_bytes: Vec<u8>,
    counts: EncoderCounts,
}

/// Samples of one track that wait to be encoded.
#[derive(Debug, Default)]
struct TrackQueue {
    chunks: VecDeque<(u64, Vec<i16>)>,
    samples: usize,
    /// Position of the next sample.
    next: u64,
}

impl OggOpusEncoder {
    /// Starts an empty file; `serial` identifies its Ogg stream and may be any number.
    pub fn new(serial: u32, call: &CallSid) -> Self {
        let mut ready_bytes = Vec::new();
        let mut head = OggPage::new(serial, 0, PagePosition::First);
        head.push(&opus_head());
        head.write(&mut ready_bytes);
        let mut tags = OggPage::new(serial, 1, PagePosition::Middle);
        tags.push(&opus_tags(call));
        tags.write(&mut ready_bytes);
        Self::at_frame(
            0,
            OggPage::new(serial, 2, PagePosition::Middle),
            ready_bytes,
        )
    }

    /// Resumes a file from its last bytes, at least [`limits::ARCHIVE_TAIL_BYTES`] of them or all. Also
    /// returns how many of them to keep: bytes of an incomplete page and a mark of the end are to be cut off.
    /// `None` if the file cannot be continued.
    pub fn resume(tail: &[u8]) -> Option<(Self, usize)> {
        let (mut last, range) = OggPage::find_last(tail)?;
        if last.sequence == 0 || last.granule > END_SAMPLE_MAX * GRANULES_PER_SAMPLE {
            return None;
        }
        // The end may be inside the last frame; the next frame starts after it.
        let frames = last.granule.div_ceil(FRAME_GRANULES);
        let next = OggPage::new(
            last.serial,
            last.sequence.wrapping_add(1),
            PagePosition::Middle,
        );
        if last.position != PagePosition::Last {
            return Some((Self::at_frame(frames, next, Vec::new()), range.end));
        }
        let mut ready_bytes = Vec::new();
        last.position = PagePosition::Middle;
        last.granule = frames * FRAME_GRANULES;
        last.write(&mut ready_bytes);
        Some((Self::at_frame(frames, next, ready_bytes), range.start))
    }

    fn at_frame(frames: u64, page: OggPage, ready_bytes: Vec<u8>) -> Self {
        Self {
            opus_encoder: new_opus_encoder(),
            frames,
            origin: 0,
            end: frames * FRAME_SAMPLES as u64,
            inbound: TrackQueue::default(),
            outbound: TrackQueue::default(),
            page,
            silent_frames: 0,
            packet: Vec::new(),
            ready_bytes,
            counts: EncoderCounts::default(),
        }
    }

    /// Starts another stream at `sample` on the call's clock. Encoded audio stays: a stream that seems to
    /// start before the end of the file starts at its end.
    pub fn start_stream(&mut self, sample: u64) {
        self.origin = sample.max(self.end);
    }

    /// Takes `samples` of a track; the first is `at` samples into the stream.
    pub fn push(&mut self, track: Track, at: u64, samples: &[i16]) {
        let written = self.position();
        let waiting = match track {
            Track::Inbound => &mut self.inbound,
            Track::Outbound => &mut self.outbound,
        };
        let at = self.origin.saturating_add(at);
        let late = waiting.next.max(written).saturating_sub(at) as usize;
        let kept = samples.get(late..).unwrap_or_default();
        self.counts.late += (samples.len() - kept.len()) as u64;
        if kept.is_empty() {
            return;
        }
        let at = at + late as u64;
        let end = at.saturating_add(kept.len() as u64);
        if end > END_SAMPLE_MAX
            || waiting.samples + kept.len() > limits::ARCHIVE_WAITING_SAMPLES_MAX
        {
            self.counts.refused += kept.len() as u64;
            return;
        }
        waiting.chunks.push_back((at, kept.to_vec()));
        waiting.samples += kept.len();
        waiting.next = end;
        self.end = self.end.max(end);
    }

    /// Returns the pages that are ready. Call until it returns none: a long silence is encoded in parts.
    pub fn take_pages(&mut self) -> Vec<u8> {
        let (behind, ahead) = (self.inbound.next, self.outbound.next);
        let (behind, ahead) = (behind.min(ahead), behind.max(ahead));
        let waited = ahead.saturating_sub(limits::ARCHIVE_WAIT_MS_MAX * LINE_SAMPLES_PER_MS);
        self.encode_to(behind.max(waited));
        std::mem::take(&mut self.ready_bytes)
    }

    /// Returns the page that is being filled, too: for the case that no more audio arrives for a while.
    pub fn take_partial_page(&mut self) -> Vec<u8> {
        let mut pages = self.take_pages();
        self.close_page();
        pages.append(&mut self.ready_bytes);
        pages
    }

    /// Returns the last pages, with the mark of the end. Call [`OggOpusEncoder::take_pages`] until it returns
    /// none before.
    pub fn finish(mut self) -> Vec<u8> {
        // The decoder outputs the last sample this much later.
        let last = self.end + LOOKAHEAD;
        let mut pages = Vec::new();
        while self.position() < last {
            self.encode_to(last.next_multiple_of(FRAME_SAMPLES as u64));
            // A full page is written without the mark, unless it is the last one.
            pages.append(&mut self.ready_bytes);
        }
        self.page.position = PagePosition::Last;
        self.page.granule = PRE_SKIP + self.end * GRANULES_PER_SAMPLE;
        self.page.write(&mut pages);
        pages
    }

    /// Returns the counts of samples that were not kept.
    pub fn counts(&self) -> EncoderCounts {
        self.counts
    }

    /// Returns the position of the next frame's first sample.
    fn position(&self) -> u64 {
        self.frames * FRAME_SAMPLES as u64
    }

    /// Encodes the frames that end before `sample`, up to the limit of one call.
    fn encode_to(&mut self, sample: u64) {
        while self.position() + FRAME_SAMPLES as u64 <= sample
            && self.ready_bytes.len() < READY_BYTES_MAX
        {
            // The full page waits until another frame follows, so that the last page can be marked.
            if self.page.packets() == PAGE_FRAMES {
                self.close_page();
            }
            self.encode_frame();
        }
        if self.page.packets() == PAGE_FRAMES && self.position() < self.end {
            self.close_page();
        }
    }

    fn encode_frame(&mut self) {
        let mut stereo = [0; 2 * FRAME_SAMPLES];
        let position = self.position();
        let inbound = self.inbound.fill_channel(position, &mut stereo, 0);
        let outbound = self.outbound.fill_channel(position, &mut stereo, 1);
        let silent = !(inbound || outbound);
        if silent != (self.silent_frames > 0) {
            let set = self
                .opus_encoder
                .set_encoder_ctl_request(SET_DTX, silent.into());
            set.expect("libopus knows DTX");
        }
        self.silent_frames = if silent {
            self.silent_frames.saturating_add(1)
        } else {
            0
        };
        // A repeated packet is one of a single byte, for which the decoder fills in the silence itself.
        if self.silent_frames <= SILENT_FRAMES_ENCODED || self.packet.len() > 1 {
            self.packet.resize(PACKET_BYTES_MAX, 0);
            let length = self.opus_encoder.encode(&stereo, &mut self.packet);
            let length =
                length.expect("libopus takes any 20 ms of stereo, and keeps to the length");
            self.packet.truncate(length);
        }
        let taken = self.page.push(&self.packet);
        debug_assert!(taken, "a page has room for 255 packets");
        self.frames += 1;
        self.page.granule = self.frames * FRAME_GRANULES;
    }

    fn close_page(&mut self) {
        if self.page.packets() == 0 {
            return;
        }
        self.page.write(&mut self.ready_bytes);
        let (serial, next) = (self.page.serial, self.page.sequence.wrapping_add(1));
        self.page = OggPage::new(serial, next, PagePosition::Middle);
    }
}

impl TrackQueue {
    /// Moves the frame at `position` into one channel. Returns whether it has a sound.
    fn fill_channel(
        &mut self,
        position: u64,
        stereo: &mut [i16; 2 * FRAME_SAMPLES],
        channel: usize,
    ) -> bool {
        let end = position + FRAME_SAMPLES as u64;
        let mut sounds = false;
        while let Some((at, chunk)) = self.chunks.front_mut()
            && *at < end
        {
            // Chunks are queued in order, from `position` on.
            let offset = (*at - position) as usize;
            let taken = chunk.len().min(FRAME_SAMPLES - offset);
            for (slot, sample) in stereo[2 * offset + channel..]
                .iter_mut()
                .step_by(2)
                .zip(&chunk[..taken])
            {
                *slot = *sample;
                sounds |= *sample != 0;
            }
            self.samples -= taken;
            if taken == chunk.len() {
                self.chunks.pop_front();
            } else {
                chunk.drain(..taken);
                *at += taken as u64;
            }
        }
        sounds
    }
}

/// Returns the duration of a file from its last bytes, at least [`limits::ARCHIVE_TAIL_BYTES`] of them or
/// all; `None` if it is no archive.
pub fn duration(tail: &[u8]) -> Option<Duration> {
    let (page, _) = OggPage::find_last(tail)?;
    let samples = page.granule.saturating_sub(PRE_SKIP) / GRANULES_PER_SAMPLE;
    Some(
        Duration::from_millis(samples / LINE_SAMPLES_PER_MS)
            + SAMPLE_DURATION * (samples % LINE_SAMPLES_PER_MS) as u32,
    )
}

fn new_opus_encoder() -> Encoder {
    let encoder = || {
        let mut encoder = Encoder::new(SampleRate::Hz8000, Channels::Stereo, Application::Voip)?;
        encoder.set_bitrate(Bitrate::BitsPerSecond(BITRATE_BPS))?;
        encoder.set_complexity(COMPLEXITY)?;
        encoder.set_signal(Signal::Voice)?;
        encoder.set_force_channels(Channels::Stereo)?;
        Ok::<_, audiopus::Error>(encoder)
    };
    encoder().expect("libopus knows 8 kHz stereo and these settings")
}

/// Builds the header of RFC 7845, 5.1.
fn opus_head() -> Vec<u8> {
    let mut head = b"OpusHead\x01\x02".to_vec();
    head.extend_from_slice(&(PRE_SKIP as u16).to_le_bytes());
    head.extend_from_slice(&LINE_HZ.to_le_bytes());
    head.extend_from_slice(&[0, 0, 0]); // no gain; mapping family 0: left, right
    head
}

/// Builds the comment of RFC 7845, 5.2: this program's version, and the stub of the call's SID that may also
/// be logged.
fn opus_tags(call: &CallSid) -> Vec<u8> {
    let vendor = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
    let comment = format!("CALL={}", call.stub());
    let mut tags = b"OpusTags".to_vec();
    write_text(&mut tags, vendor);
    tags.extend_from_slice(&1_u32.to_le_bytes());
    write_text(&mut tags, &comment);
    tags
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
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
}
