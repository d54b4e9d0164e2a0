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
mod tests;
