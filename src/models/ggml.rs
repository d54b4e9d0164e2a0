//! Writes the ggml file that whisper.cpp reads: parameters, mel filters, vocabulary, tensors.
//!
//! Little-endian `i32`s unless noted otherwise: magic; eleven parameters; bands, bins, the filters as `f32`;
//! the number of spelled-out tokens, each a length and its bytes; then, to the end of the file, tensors:
//! rank, the name's length, type (0: `f32`, 1: `f16`), the dimensions, innermost first, the name, the values.
//! Source: <https://github.com/ggml-org/whisper.cpp>, `models/convert-pt-to-ggml.py` and `whisper_model_load`
//! in `src/whisper.cpp`.

use std::io::{self, Write};

use half::f16;

use super::mel;

/// "ggml", as a number.
pub(super) const MAGIC: u32 = 0x6767_6d6c;

/// The hyperparameters that precede the tensors, in the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HyperParameters {
    pub(super) vocabulary: u32,
    pub(super) audio_context: u32,
    pub(super) audio_state: u32,
    pub(super) audio_heads: u32,
    pub(super) audio_layers: u32,
    pub(super) text_context: u32,
    pub(super) text_state: u32,
    pub(super) text_heads: u32,
    pub(super) text_layers: u32,
    pub(super) bands: u32,
}

/// The header of a tensor in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorHeader {
    pub(super) name: String,
    /// Outermost first.
    pub(super) dims: Vec<u32>,
    /// Whether values are 16-bit rather than 32-bit floats.
    pub(super) half: bool,
}

impl HyperParameters {
    /// Writes everything that precedes the first tensor.
    pub(super) fn write(&self, tokens: &[Vec<u8>], to: &mut impl Write) -> io::Result<()> {
        let f16_weights = 1;
        let numbers = [
            MAGIC,
            self.vocabulary,
            self.audio_context,
            self.audio_state,
            self.audio_heads,
            self.audio_layers,
            self.text_context,
            self.text_state,
            self.text_heads,
            self.text_layers,
            self.bands,
            f16_weights,
            self.bands,
            mel::BINS as u32,
        ];
        write_numbers(&numbers, to)?;
        for weight in mel::filterbank(self.bands as usize) {
            to.write_all(&weight.to_le_bytes())?;
        }
        write_numbers(&[tokens.len() as u32], to)?;
        for token in tokens {
            write_numbers(&[token.len() as u32], to)?;
            to.write_all(token)?;
        }
        Ok(())
    }

    /// Returns the number of bytes that [`Self::write`] writes.
    pub(super) fn bytes(&self, tokens: &[Vec<u8>]) -> u64 {
        let numbers = 14 + u64::from(self.bands) * mel::BINS as u64 + 1 + tokens.len() as u64;
        4 * numbers + tokens.iter().map(|token| token.len() as u64).sum::<u64>()
    }
}

impl TensorHeader {
    /// Writes the header, which precedes the values.
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let rank = self.dims.len() as u32;
        write_numbers(&[rank, self.name.len() as u32, u32::from(self.half)], to)?;
        for &dim in self.dims.iter().rev() {
            write_numbers(&[dim], to)?;
        }
        to.write_all(self.name.as_bytes())
    }

    /// Returns the first value that the tensor's type cannot represent.
    pub(super) fn too_large(&self, values: &[f32]) -> Option<f32> {
        let beyond = |value: &&f32| self.half && !f16::from_f32(**value).is_finite();
        values.iter().find(beyond).copied()
    }

    /// Writes some of the values; none may be [too large](Self::too_large).
    pub(super) fn write_values(&self, values: &[f32], to: &mut impl Write) -> io::Result<()> {
        let bytes: Vec<u8> = if self.half {
            values
                .iter()
                .flat_map(|&value| f16::from_f32(value).to_le_bytes())
                .collect()
        } else {
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        };
        to.write_all(&bytes)
    }

    /// Returns the number of values.
    pub(super) fn values(&self) -> u64 {
        self.dims.iter().map(|&dim| u64::from(dim)).product()
    }

    /// Returns the size in the file, of header and values, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let header = 4 * (3 + self.dims.len() as u64) + self.name.len() as u64;
        header + self.values() * if self.half { 2 } else { 4 }
    }
}

fn write_numbers(numbers: &[u32], to: &mut impl Write) -> io::Result<()> {
    for number in numbers {
        to.write_all(&number.to_le_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_goes_out_with_its_dimensions_turned_round() {
        let header = TensorHeader {
            name: "ab".to_owned(),
            dims: vec![2, 3],
            half: true,
        };
        let mut out = Vec::new();
        header.write(&mut out).unwrap();
        header
            .write_values(&[1.0, -2.0, 0.5, 0.0, 65_504.0, 1e-8], &mut out)
            .unwrap();
        let expected = [
            &[
                2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, b'a', b'b',
            ][..],
            &[
                0x00, 0x3C, 0x00, 0xC0, 0x00, 0x38, 0x00, 0x00, 0xFF, 0x7B, 0x00, 0x00,
            ],
        ];
        assert_eq!(out, expected.concat());
        assert_eq!(out.len() as u64, header.bytes());
    }

    #[test]
    fn a_value_beyond_sixteen_bits_is_noticed_before_it_becomes_infinite() {
        let mut header = TensorHeader {
            name: "x".to_owned(),
            dims: vec![1],
            half: true,
        };
        assert_eq!(
            header.too_large(&[65_504.0, -65_504.0, -65_520.0]),
            Some(-65_520.0)
        );
        assert_eq!(header.too_large(&[65_504.0]), None);
        header.half = false;
        assert_eq!(header.too_large(&[1e6]), None);
    }

    #[test]
    fn the_size_is_known_before_writing() {
        let parameters = HyperParameters {
            vocabulary: 51_864,
            audio_context: 1_500,
            audio_state: 384,
            audio_heads: 6,
            audio_layers: 4,
            text_context: 448,
            text_state: 384,
            text_heads: 6,
            text_layers: 4,
            bands: 80,
        };
        let tokens = [b"one".to_vec(), Vec::new(), b" two".to_vec()];
        let mut out = Vec::new();
        parameters.write(&tokens, &mut out).unwrap();
        assert_eq!(out.len() as u64, parameters.bytes(&tokens));
        assert_eq!(&out[..8], [0x6C, 0x6D, 0x67, 0x67, 0x98, 0xCA, 0, 0]);
        assert_eq!(&out[out.len() - 8..], b"\x04\0\0\0 two");
    }
}
