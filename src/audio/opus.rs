//! Decodes the packets of an Opus stream, at 48 kHz. Pure: no I/O; the caller reads the container. Sources:
//! RFC 7845 (Opus in Ogg), <https://www.rfc-editor.org/rfc/rfc7845>, and RFC 6716.

use audiopus::coder::Decoder;
use audiopus::{Channels, SampleRate};

/// Samples of the longest packet: 120 ms.
const PACKET_SAMPLES_MAX: usize = 5_760;

/// Bytes of the shortest header.
const HEAD_BYTES: usize = 19;

/// The decoder of one stream.
#[derive(Debug)]
pub struct OpusStream {
    decoder: Decoder,
    channels: usize,
    /// Samples at the start that remain to be dropped: the decoder warms up on them (RFC 7845, pre-skip).
    pre_skip: usize,
    gain: f32,
    interleaved: Vec<f32>,
}

impl OpusStream {
    /// Creates the decoder from the stream's header, `OpusHead`. An error when the header is broken or the
    /// stream has more than two channels.
    pub fn new(head: &[u8]) -> Result<Self, String> {
        let head = head
            .first_chunk::<HEAD_BYTES>()
            .filter(|head| head.starts_with(b"OpusHead"))
            .ok_or("its Opus header is broken")?;
        let (channels, decoder_channels) = match (head[9], head[18]) {
            (1, 0) => (1, Channels::Mono),
            (2, 0) => (2, Channels::Stereo),
            (channels, family) => {
                return Err(format!(
                    "its Opus stream has {channels} channels of mapping family {family}, but only \
                     one or two of family 0 are supported"
                ));
            }
        };
        let gain_256ths_db = f32::from(i16::from_le_bytes([head[16], head[17]]));
        Ok(Self {
            decoder: Decoder::new(SampleRate::Hz48000, decoder_channels)
                .map_err(|error| error.to_string())?,
            channels,
            pre_skip: usize::from(u16::from_le_bytes([head[10], head[11]])),
            gain: 10_f32.powf(gain_256ths_db / (20.0 * 256.0)),
            interleaved: vec![0.0; PACKET_SAMPLES_MAX * channels],
        })
    }

    /// Decodes a packet into `block`: one vector of −1 to 1 for each channel, all of one length. Drops the
    /// last `padding` samples. An error when the packet is broken.
    pub fn decode(
        &mut self,
        packet: &[u8],
        padding: usize,
        block: &mut Vec<Vec<f32>>,
    ) -> Result<(), String> {
        let samples = self
            .decoder
            .decode_float(Some(packet), &mut self.interleaved[..], false)
            .map_err(|error| error.to_string())?;
        let skipped = self.pre_skip.min(samples);
        self.pre_skip -= skipped;
        let kept = skipped..samples.saturating_sub(padding).max(skipped);
        block.resize_with(self.channels, Vec::new);
        for (channel, out) in block.iter_mut().enumerate() {
            let heard = self.interleaved[channel..]
                .iter()
                .step_by(self.channels)
                .skip(kept.start)
                .take(kept.len());
            out.clear();
            out.extend(heard.map(|sample| sample * self.gain));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(channels: u8, gain: i16, family: u8) -> Vec<u8> {
        let mut head = b"OpusHead\x01".to_vec();
        head.push(channels);
        head.extend(312_u16.to_le_bytes());
        head.extend(8_000_u32.to_le_bytes());
        head.extend(gain.to_le_bytes());
        head.push(family);
        head
    }

    /// One frame of 20 ms of a tone, in one channel.
    fn packets(count: usize) -> Vec<Vec<u8>> {
        use audiopus::Application;
        use audiopus::coder::Encoder;
        let encoder = Encoder::new(SampleRate::Hz48000, Channels::Mono, Application::Audio);
        let encoder = encoder.unwrap();
        (0..count)
            .map(|n| {
                let at = |k: usize| (n * 960 + k) as f32 * 440.0 / 48_000.0;
                let tone: Vec<f32> = (0..960)
                    .map(|k| (at(k) * std::f32::consts::TAU).sin() / 4.0)
                    .collect();
                let mut packet = vec![0; 1_000];
                let length = encoder.encode_float(&tone, &mut packet).unwrap();
                packet.truncate(length);
                packet
            })
            .collect()
    }

    fn decode(head: &[u8], last_padding: usize) -> Vec<f32> {
        let mut stream = OpusStream::new(head).unwrap();
        let (mut block, mut sound) = (Vec::new(), Vec::new());
        let packets = packets(10);
        for (n, packet) in packets.iter().enumerate() {
            let padding = if n == 9 { last_padding } else { 0 };
            stream.decode(packet, padding, &mut block).unwrap();
            sound.extend_from_slice(&block[0]);
        }
        sound
    }

    #[test]
    fn what_is_no_sound_is_dropped_at_both_ends() {
        assert_eq!(decode(&head(1, 0, 0), 0).len(), 9_600 - 312);
        assert_eq!(decode(&head(1, 0, 0), 100).len(), 9_600 - 312 - 100);
        assert_eq!(decode(&head(1, 0, 0), 5_000).len(), 9 * 960 - 312);
    }

    #[test]
    fn the_gain_of_the_header_is_heeded() {
        let power = |samples: &[f32]| samples.iter().map(|s| s * s).sum::<f32>();
        let (plain, quiet) = (decode(&head(1, 0, 0), 0), decode(&head(1, -20 * 256, 0), 0));
        let ratio = power(&quiet) / power(&plain);
        assert!((ratio - 0.01).abs() < 1e-4, "{ratio}");
    }

    #[test]
    fn headers_that_cannot_be_followed_are_refused() {
        for (bad, cause) in [
            (head(6, 0, 1), "6 channels of mapping family 1"),
            (head(0, 0, 0), "0 channels"),
            (head(1, 0, 0)[..18].to_vec(), "broken"),
            (b"OpusTags, and no more of it".to_vec(), "broken"),
        ] {
            let error = OpusStream::new(&bad).unwrap_err();
            assert!(error.contains(cause), "{error}");
        }
    }

    #[test]
    fn a_packet_that_is_none_is_an_error() {
        let mut stream = OpusStream::new(&head(1, 0, 0)).unwrap();
        let broken = [0xff, 0xff, 0xff];
        assert!(stream.decode(&broken, 0, &mut Vec::new()).is_err());
        assert!(stream.decode(&[], 0, &mut Vec::new()).is_err());
    }
}
