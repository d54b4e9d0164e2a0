//! Recordings on disk: reads WAV (PCM, float, μ-law, A-law), MP3, FLAC, Ogg Vorbis and Ogg Opus, block by
//! block, so that a file of any length needs the memory of one block; writes μ-law WAV.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::path::PathBuf;

use symphonia::core::audio::Channels;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::AudioDecoder;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::codecs::audio::well_known::CODEC_ID_MP3;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::FormatOptions;
use symphonia::core::formats::FormatReader;
use symphonia::core::formats::TrackType;
use symphonia::core::formats::probe::Hint;
use symphonia::core::io::MediaSourceStream;
use symphonia::core::io::MediaSourceStreamOptions;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use crate::audio::LINE_HZ;
use crate::audio::opus::OpusStream;
use crate::audio::resample::RATE_HZ_MAX;
use crate::audio::resample::RateConverter;
use crate::limits;

/// Most channels of a recording. More is a sign of a broken header.
pub const CHANNELS_MAX: usize = 32;

/// Longest recording that [`RecordingReader::read_all`] keeps in memory. Reached: an error; read such a
/// recording block by block.
pub const READ_ALL_SECONDS_MAX: u64 = 4 * 60 * 60;

/// Consecutive broken packets after which reading fails. A player skips a few.
const BROKEN_PACKETS_MAX: u32 = 100;

/// Bytes of a WAV header with the `fmt`, `fact` and `data` chunks that G.711 needs.
const MULAW_HEADER_BYTES: usize = 58;

/// The reason that a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file does not exist, or access is denied.
    #[error("cannot open {}", path.display())]
    Open {
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An unknown format, or a codec that is not supported.
    #[error(
        "{} cannot be read as a recording ({cause}); supported formats are WAV, MP3, FLAC, Ogg Vorbis and Ogg Opus",
        path.display()
    )]
    Unknown {
        /// Path of the file.
        path: PathBuf,
        /// The decoder's error.
        cause: String,
    },
    /// The start of the file is valid, and a later part is not.
    #[error("{} is damaged after {seconds:.1} s: {cause}", path.display())]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// Duration of the part that was read.
        seconds: f64,
        /// The decoder's error.
        cause: String,
    },
    /// The recording is longer than [`READ_ALL_SECONDS_MAX`].
    #[error("{} is longer than {READ_ALL_SECONDS_MAX} s; cut it into parts", path.display())]
    TooLong {
        /// Path of the file.
        path: PathBuf,
    },
}

/// The error of one packet.
enum PacketError {
    /// Only this packet is broken; the next one may be valid.
    Packet(String),
    /// All following packets are unreadable, too.
    Stream(String),
}

/// Reads the samples of a recording, block by block.
pub struct RecordingReader {
    path: PathBuf,
    format: Box<dyn FormatReader>,
    decoder: PacketDecoder,
    track_id: u32,
    rate_hz: u32,
    channels: usize,
    /// Samples of each channel, by the header or by the file's size.
    frame_count: Option<u64>,
    /// Whether `frame_count` is reliable.
    is_frame_count_known: bool,
    block: Vec<Vec<f32>>,
    frames_read: u64,
    packets_skipped: u64,
    is_cut_off: bool,
}

enum PacketDecoder {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(OpusStream),
}

impl PacketDecoder {
    fn new(params: &AudioCodecParameters) -> Result<Self, String> {
        if params.codec == CODEC_ID_OPUS {
            let head = params.extra_data.as_deref().unwrap_or_default();
            return Ok(Self::Opus(OpusStream::new(head)?));
        }
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(params, &AudioDecoderOptions::default());
        Ok(Self::Symphonia(decoder.map_err(|error| error.to_string())?))
    }
}

/// Detects the format of a file by its content; the extension of its name is a hint.
fn probe_format(path: &Path, file: File) -> Result<Box<dyn FormatReader>, String> {
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
        hint.with_extension(extension);
    }
    let source = MediaSourceStream::new(Box::new(file), MediaSourceStreamOptions::default());
    let probed = symphonia::default::get_probe().probe(
        &hint,
        source,
        FormatOptions::default(),
        MetadataOptions::default(),
    );
    probed.map_err(|error| error.to_string())
}

impl fmt::Debug for RecordingReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("path", &self.path)
            .field("rate_hz", &self.rate_hz)
            .field("channels", &self.channels)
            .field("frames_read", &self.frames_read)
            .finish_non_exhaustive()
    }
}

impl RecordingReader {
    /// Opens a file and detects its format. An error when it cannot be opened or its format is not supported.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let file = File::open(path).map_err(|source| RecordingError::Open {
            path: path.to_owned(),
            source,
        })?;
        Self::from_file(path, file).map_err(|cause| RecordingError::Unknown {
            path: path.to_owned(),
            cause,
        })
    }

    /// Detects the format of an open file, and creates its decoder. An error is the reason that the format is
    /// not supported.
    fn from_file(path: &Path, file: File) -> Result<Self, String> {
        let format = probe_format(path, file)?;
        let track = format
            .default_track(TrackType::Audio)
            .ok_or("it has no audio")?;
        let params = track
            .codec_params
            .as_ref()
            .and_then(CodecParameters::audio)
            .ok_or("it does not say how its audio is coded")?;
        let rate_hz = params.sample_rate.unwrap_or(0);
        let channels = params.channels.as_ref().map_or(0, Channels::count);
        if !(1..=RATE_HZ_MAX).contains(&rate_hz) || !(1..=CHANNELS_MAX).contains(&channels) {
            return Err(format!("it claims {channels} channels at {rate_hz} Hz"));
        }
        let decoder = PacketDecoder::new(params)?;
        Ok(Self {
            path: path.to_owned(),
            track_id: track.id,
            frame_count: track.num_frames,
            // The length of an MP3 without a header for it is estimated from its first frames.
            is_frame_count_known: params.codec != CODEC_ID_MP3 || track.delay.is_some(),
            format,
            decoder,
            rate_hz,
            channels,
            block: Vec::new(),
            frames_read: 0,
            packets_skipped: 0,
            is_cut_off: false,
        })
    }

    /// Returns the sample rate in Hz.
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Returns the number of channels; each block has as many.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Returns the approximate duration, if the file states it.
    pub fn seconds(&self) -> Option<f64> {
        let frames = self.frame_count.filter(|&frames| frames > 0)?;
        Some(frames as f64 / f64::from(self.rate_hz))
    }

    /// Returns the duration of the part that was read.
    pub fn seconds_read(&self) -> f64 {
        self.frames_read as f64 / f64::from(self.rate_hz)
    }

    /// Returns the number of broken packets that were skipped so far.
    pub fn packets_skipped(&self) -> u64 {
        self.packets_skipped
    }

    /// Whether the file is shorter than its header states.
    pub fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Returns the next samples, −1 to 1, one vector for each channel, all of one length; `None` at the end.
    /// Blocks are as long as the format's packets: a few thousand samples at most.
    pub fn next_block(&mut self) -> Result<Option<&[Vec<f32>]>, RecordingError> {
        let mut broken = 0;
        loop {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => {
                    self.is_cut_off |= self.is_short();
                    return Ok(None);
                }
                Err(SymphoniaError::IoError(error))
                    if error.kind() == io::ErrorKind::UnexpectedEof =>
                {
                    self.is_cut_off = true;
                    return Ok(None);
                }
                Err(error) => return Err(self.damaged_error(&error.to_string())),
            };
            if packet.track_id != self.track_id {
                continue;
            }
            match self.decode_packet(&packet) {
                Ok(0) => {}
                Ok(frames) if frames > limits::RECORDING_BLOCK_FRAMES_MAX => {
                    return Err(self.damaged_error(&format!("it has a packet of {frames} samples")));
                }
                Ok(frames) => {
                    self.frames_read += frames as u64;
                    return Ok(Some(&self.block));
                }
                Err(PacketError::Packet(cause)) if broken < BROKEN_PACKETS_MAX => {
                    tracing::debug!(cause, "left out a broken packet of a recording");
                    broken += 1;
                    self.packets_skipped += 1;
                }
                Err(PacketError::Packet(cause) | PacketError::Stream(cause)) => {
                    return Err(self.damaged_error(&cause));
                }
            }
        }
    }

    /// Whether more than a second is missing. Encoders miscount by a packet or two.
    fn is_short(&self) -> bool {
        let promised = self
            .frame_count
            .filter(|_| self.is_frame_count_known)
            .unwrap_or(0);
        self.frames_read + u64::from(self.rate_hz) < promised
    }

    /// Fills the block; returns the number of samples in one channel.
    fn decode_packet(&mut self, packet: &Packet) -> Result<usize, PacketError> {
        let audio = match &mut self.decoder {
            PacketDecoder::Opus(stream) => {
                let padding = packet.trim_end.get() as usize;
                let decoded = stream.decode(&packet.data, padding, &mut self.block);
                decoded.map_err(PacketError::Packet)?;
                return Ok(self.block[0].len());
            }
            PacketDecoder::Symphonia(decoder) => decoder.decode(packet),
        };
        let audio = audio.map_err(|error| {
            if let SymphoniaError::DecodeError(cause) = error {
                PacketError::Packet(cause.to_owned())
            } else {
                PacketError::Stream(error.to_string())
            }
        })?;
        let (rate_hz, channels) = (audio.spec().rate(), audio.num_planes());
        if audio.frames() > 0 && (rate_hz != self.rate_hz || channels != self.channels) {
            let now = format!("it changes to {channels} channels at {rate_hz} Hz");
            return Err(PacketError::Stream(now));
        }
        audio.copy_to_vecs_planar(&mut self.block);
        Ok(audio.frames())
    }

    /// Reads a whole file at `to_hz`; returns one vector for each channel. An error when it is longer than
    /// [`READ_ALL_SECONDS_MAX`].
    pub fn read_all(path: &Path, to_hz: u32) -> Result<Vec<Vec<f32>>, RecordingError> {
        let mut recording = ResampledRecording::new(Self::open(path)?, to_hz)?;
        let mut whole = vec![Vec::new(); recording.channels()];
        while let Some(block) = recording.next_block()? {
            for (samples, channel) in block.iter().zip(&mut whole) {
                channel.extend_from_slice(samples);
            }
            if recording.seconds_read() > READ_ALL_SECONDS_MAX as f64 {
                return Err(RecordingError::TooLong {
                    path: path.to_owned(),
                });
            }
        }
        Ok(whole)
    }

    fn damaged_error(&self, cause: &str) -> RecordingError {
        RecordingError::Damaged {
            path: self.path.clone(),
            seconds: self.seconds_read(),
            cause: cause.to_owned(),
        }
    }
}

/// Reads a recording at another sample rate, block by block.
#[derive(Debug)]
pub struct ResampledRecording {
    recording: RecordingReader,
    /// One for each channel; empty where the rate is already right.
    converters: Vec<RateConverter>,
    block: Vec<Vec<f32>>,
    ended: bool,
}

impl ResampledRecording {
    /// Creates a reader that continues at the current position of `recording`.
    pub fn new(recording: RecordingReader, to_hz: u32) -> Result<Self, RecordingError> {
        let mut converters = Vec::new();
        if recording.rate_hz != to_hz {
            for _ in 0..recording.channels {
                let converter = RateConverter::new(recording.rate_hz, to_hz);
                converters.push(converter.map_err(|error| RecordingError::Unknown {
                    path: recording.path.clone(),
                    cause: error.to_string(),
                })?);
            }
        }
        Ok(Self {
            block: vec![Vec::new(); recording.channels],
            recording,
            converters,
            ended: false,
        })
    }

    /// Returns the next samples, as [`RecordingReader::next_block`] does. A block may be empty: converters
    /// wait until theirs is full.
    pub fn next_block(&mut self) -> Result<Option<&[Vec<f32>]>, RecordingError> {
        if self.ended {
            return Ok(None);
        }
        for channel in &mut self.block {
            channel.clear();
        }
        if let Some(block) = self.recording.next_block()? {
            for (channel, (samples, out)) in block.iter().zip(&mut self.block).enumerate() {
                match self.converters.get_mut(channel) {
                    Some(converter) => converter.push(samples, out),
                    None => out.extend_from_slice(samples),
                }
            }
        } else {
            self.ended = true;
            for (converter, out) in self.converters.iter_mut().zip(&mut self.block) {
                converter.flush(out);
            }
        }
        Ok(Some(&self.block))
    }
}

impl Deref for ResampledRecording {
    type Target = RecordingReader;

    fn deref(&self) -> &RecordingReader {
        &self.recording
    }
}

/// Returns a WAV file with one channel of μ-law at 8 kHz. `None` for more than the 4 GiB that the format can
/// count.
///
/// Layout: <https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html>, format 7.
pub fn wav_from_mulaw(codes: &[u8]) -> Option<Vec<u8>> {
    let padding = codes.len() % 2;
    let data_bytes = u32::try_from(codes.len()).ok()?;
    let riff_bytes = u32::try_from(MULAW_HEADER_BYTES - 8 + codes.len() + padding).ok()?;
    let mut wav = Vec::with_capacity(MULAW_HEADER_BYTES + codes.len() + padding);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&riff_bytes.to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&18_u32.to_le_bytes());
    wav.extend_from_slice(&7_u16.to_le_bytes()); // μ-law
    wav.extend_from_slice(&1_u16.to_le_bytes()); // channels
    wav.extend_from_slice(&LINE_HZ.to_le_bytes());
    wav.extend_from_slice(&LINE_HZ.to_le_bytes()); // bytes a second
    wav.extend_from_slice(&1_u16.to_le_bytes()); // bytes a frame
    wav.extend_from_slice(&8_u16.to_le_bytes()); // bits a sample
    wav.extend_from_slice(&0_u16.to_le_bytes()); // no extension
    wav.extend_from_slice(b"fact");
    wav.extend_from_slice(&4_u32.to_le_bytes());
    wav.extend_from_slice(&data_bytes.to_le_bytes()); // frames
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&data_bytes.to_le_bytes());
    wav.extend_from_slice(codes);
    wav.resize(wav.len() + padding, 0);
    Some(wav)
}

/// Returns the codes in a file of [`wav_from_mulaw`]; `None` for any other file.
pub fn mulaw_from_wav(wav: &[u8]) -> Option<&[u8]> {
    let data_bytes = wav.get(MULAW_HEADER_BYTES - 4..MULAW_HEADER_BYTES)?;
    let data_bytes = u32::from_le_bytes(data_bytes.try_into().ok()?) as usize;
    let codes = wav.get(MULAW_HEADER_BYTES..)?.get(..data_bytes)?;
    (wav_from_mulaw(codes)? == wav).then_some(codes)
}

#[cfg(test)]
mod tests;
