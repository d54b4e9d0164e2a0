//! G.711 μ-law: converts the telephone network's 8-bit codes to linear samples and back. Pure: no I/O.
//!
//! Source: ITU-T G.711 (<https://www.itu.int/rec/T-REC-G.711>); Media Streams carry it as `audio/x-mulaw`
//! (<https://www.twilio.com/docs/voice/media-streams/websocket-messages>).

/// Added to a magnitude before it is split into a power of two and four bits, so that the smallest segment is
/// linear.
const BIAS: i32 = 0x84;

/// Largest magnitude that has a code; louder samples are clipped to it.
const MAGNITUDE_MAX: i32 = i16::MAX as i32 - BIAS;

/// The sample of each of the 256 codes.
const TABLE: [i16; 256] = table();

/// Decodes one μ-law byte to a sample, −32,124 to 32,124. 0xFF and 0x7F both decode to zero.
pub fn decode(code: u8) -> i16 {
    TABLE[usize::from(code)]
}

/// Encodes a sample as the code of the interval that contains it. [`decode`] returns the interval's centre,
/// so the error is at most half a step of the sample's segment. Zero is encoded as 0xFF.
pub fn encode(sample: i16) -> u8 {
    let sample = i32::from(sample);
    let biased = sample.abs().min(MAGNITUDE_MAX) + BIAS;
    // 7 bits below the highest one of the smallest segment (0x84 = 1000_0100b).
    let segment = 31 - biased.leading_zeros() - 7;
    let step = (biased >> (segment + 3)) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | (segment << 4) as u8 | step as u8)
}

const fn table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !(code as u8) as i32;
        let magnitude = (((bits & 0x0f) << 3) + BIAS) << ((bits & 0x70) >> 4);
        table[code] = if bits & 0x80 == 0 {
            magnitude - BIAS
        } else {
            BIAS - magnitude
        } as i16;
        code += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use sha2::Digest;
    use sha2::Sha256;

    use super::*;

    #[test]
    fn the_table_is_the_one_that_others_decode_with() {
        let bytes: Vec<u8> = (0..=255)
            .flat_map(|code| decode(code).to_le_bytes())
            .collect();
        let mut hex = String::new();
        for byte in Sha256::digest(&bytes) {
            write!(hex, "{byte:02x}").unwrap();
        }
        assert_eq!(
            hex,
            "3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827"
        );
    }

    #[test]
    fn the_landmarks_of_the_table_are_where_g711_puts_them() {
        for (code, sample) in [
            (0xff, 0),
            (0x7f, 0),
            (0x00, -32_124),
            (0x80, 32_124),
            (0xfe, 8),
            (0x7e, -8),
            (0x01, -31_100),
            (0xf8, 56),
        ] {
            assert_eq!(decode(code), sample, "code {code:#04x}");
        }
    }

    #[test]
    fn every_code_but_minus_zero_comes_back_from_its_sample() {
        for code in (0..=255).filter(|&code| code != 0x7f) {
            assert_eq!(encode(decode(code)), code, "code {code:#04x}");
        }
        assert_eq!(encode(decode(0x7f)), 0xff, "there is one zero");
    }

    #[test]
    fn every_sample_is_off_by_half_a_step_at_most() {
        for sample in i16::MIN..=i16::MAX {
            let code = encode(sample);
            let half_step = 4 << ((!code & 0x70) >> 4);
            let clipped = i32::from(sample).clamp(-MAGNITUDE_MAX, MAGNITUDE_MAX);
            let error = (i32::from(decode(code)) - clipped).abs();
            assert!(error <= half_step, "sample {sample} is off by {error}");
        }
    }

    #[test]
    fn louder_samples_never_become_quieter_codes() {
        for sample in i16::MIN..i16::MAX {
            assert!(
                decode(encode(sample)) <= decode(encode(sample + 1)),
                "sample {sample}"
            );
        }
    }

    #[test]
    fn a_sample_and_its_negative_differ_in_the_sign_bit_alone() {
        for sample in 1..=i16::MAX {
            assert_eq!(encode(sample) ^ encode(-sample), 0x80, "sample {sample}");
        }
    }
}
