//! Parser of the ggml file of a Whisper model: dimensions, mel filters, vocabulary, and tensors in
//! f32, f16 or quantised blocks. The format is described where it is written: `models::ggml` and
//! `models::quantise`.

use std::collections::HashMap;
use std::path::Path;

use half::f16;
use half::slice::HalfFloatSliceExt;
use half::vec::HalfFloatVecExt;

use super::LoadError;

/// Magic number of the format: `ggml`.
const GGML_MAGIC: u32 = 0x6767_6d6c;

/// Values per block of a quantised tensor.
const BLOCK_VALUES: usize = 32;

/// Dimensions of a model, in the order of the file's header.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModelDimensions {
    pub(super) vocab_size: usize,
    pub(super) audio_context: usize,
    pub(super) audio_state: usize,
    pub(super) audio_heads: usize,
    pub(super) audio_layers: usize,
    pub(super) text_context: usize,
    pub(super) text_state: usize,
    pub(super) text_heads: usize,
    pub(super) text_layers: usize,
    pub(super) mel_bands: usize,
}

/// Contents of a model file. The tensors are taken out one by one.
pub(super) struct GgmlFile {
    pub(super) dimensions: ModelDimensions,
    /// FFT bins of each mel filter.
    pub(super) filter_bins: usize,
    /// Mel filters (`bands × bins`).
    pub(super) mel_filters: Vec<f32>,
    /// Bytes of the tokens that have a spelling.
    pub(super) tokens: Vec<Vec<u8>>,
    f16_tensors: HashMap<String, Vec<f16>>,
    f32_tensors: HashMap<String, Vec<f32>>,
}

impl GgmlFile {
    /// Reads a whole file. An error if it is damaged, or quantised in a way that is not known here.
    pub(super) fn read(path: &Path) -> Result<Self, LoadError> {
        let bytes = std::fs::read(path).map_err(|error| LoadError::Broken(error.to_string()))?;
        let mut reader = ByteReader(&bytes);
        if reader.read_u32()? != GGML_MAGIC {
            return Err(broken_file("the magic number of ggml is missing"));
        }
        let mut next = || reader.read_u32().map(|number| number as usize);
        let dimensions = ModelDimensions {
            vocab_size: next()?,
            audio_context: next()?,
            audio_state: next()?,
            audio_heads: next()?,
            audio_layers: next()?,
            text_context: next()?,
            text_state: next()?,
            text_heads: next()?,
            text_layers: next()?,
            mel_bands: next()?,
        };
        let (_weights_type, filter_rows, filter_bins) = (next()?, next()?, next()?);
        if filter_rows != dimensions.mel_bands {
            return Err(broken_file("the mel filters have another number of bands"));
        }
        let mel_filters = reader.read_f32s(filter_rows.saturating_mul(filter_bins))?;
        let count = reader.read_u32()? as usize;
        let mut tokens = Vec::new();
        for _ in 0..count {
            let length = reader.read_u32()? as usize;
            tokens.push(reader.read_bytes(length)?.to_vec());
        }
        let mut file = Self {
            dimensions,
            filter_bins,
            mel_filters,
            tokens,
            f16_tensors: HashMap::new(),
            f32_tensors: HashMap::new(),
        };
        while !reader.0.is_empty() {
            file.read_tensor(&mut reader)?;
        }
        Ok(file)
    }

    fn read_tensor(&mut self, reader: &mut ByteReader<'_>) -> Result<(), LoadError> {
        let (rank, length, ggml_type) = (
            reader.read_u32()?,
            reader.read_u32()? as usize,
            reader.read_u32()?,
        );
        let mut count = 1_usize;
        for _ in 0..rank {
            count = count.saturating_mul(reader.read_u32()? as usize);
        }
        let name = String::from_utf8_lossy(reader.read_bytes(length)?).into_owned();
        match ggml_type {
            0 => {
                let values = reader.read_f32s(count)?;
                self.f32_tensors.insert(name, values);
            }
            1 => {
                let bytes = reader.read_bytes(count.saturating_mul(2))?;
                let halves = bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&two| f16::from_le_bytes(two));
                self.f16_tensors.insert(name, halves.collect());
            }
            _ => {
                let Some(blocks) = QuantizedBlocks::from_ggml_type(ggml_type) else {
                    let reason = format!("unsupported ggml type {ggml_type} of tensor {name}");
                    return Err(LoadError::Unsupported(reason));
                };
                if !count.is_multiple_of(BLOCK_VALUES) {
                    return Err(broken_file(&format!("tensor {name} has a partial block")));
                }
                let bytes = reader
                    .read_bytes((count / BLOCK_VALUES).saturating_mul(blocks.block_bytes()))?;
                self.f16_tensors.insert(name, blocks.dequantise(bytes));
            }
        }
        Ok(())
    }

    /// Removes a tensor and returns its values as f32. An error if it is missing (or already
    /// taken), or does not have `count` values.
    pub(super) fn take_f32(&mut self, name: &str, count: usize) -> Result<Vec<f32>, LoadError> {
        let values = match self.f32_tensors.remove(name) {
            Some(values) => values,
            None => self.take_tensor(name)?.to_f32_vec(),
        };
        check_length(values, name, count)
    }

    /// Does the same as [`Self::take_f32`], in f16.
    pub(super) fn take_f16(&mut self, name: &str, count: usize) -> Result<Vec<f16>, LoadError> {
        let values = match self.f32_tensors.remove(name) {
            Some(values) => Vec::from_f32_slice(&values),
            None => self.take_tensor(name)?,
        };
        check_length(values, name, count)
    }

    fn take_tensor(&mut self, name: &str) -> Result<Vec<f16>, LoadError> {
        let tensor = self.f16_tensors.remove(name);
        tensor.ok_or_else(|| broken_file(&format!("tensor {name} is missing")))
    }
}

/// Layout of the blocks of a quantised tensor: a scale (f16), an offset (f16) in some types, the
/// fifth bits in some types, then the values.
#[derive(Debug, Clone, Copy)]
struct QuantizedBlocks {
    bits: usize,
    has_offset: bool,
}

impl QuantizedBlocks {
    /// Returns the layout of ggml's types 2 (`q4_0`), 3 (`q4_1`), 6 (`q5_0`), 7 (`q5_1`) and 8
    /// (`q8_0`); `None` for all others.
    fn from_ggml_type(ggml_type: u32) -> Option<Self> {
        let (bits, has_offset) = match ggml_type {
            2 => (4, false),
            3 => (4, true),
            6 => (5, false),
            7 => (5, true),
            8 => (8, false),
            _ => return None,
        };
        Some(Self { bits, has_offset })
    }

    fn block_bytes(self) -> usize {
        2 + if self.has_offset { 2 } else { 0 } + self.bits * BLOCK_VALUES / 8
    }

    fn dequantise(self, bytes: &[u8]) -> Vec<f16> {
        let mut halves = Vec::with_capacity(bytes.len() / self.block_bytes() * BLOCK_VALUES);
        for block in bytes.chunks_exact(self.block_bytes()) {
            let half = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
            let scale = half(0);
            let (offset, levels) = if self.has_offset {
                (half(2), &block[4..])
            } else {
                (0.0, &block[2..])
            };
            let value = |n| f16::from_f32(self.unpack_level(levels, n) * scale + offset);
            halves.extend((0..BLOCK_VALUES).map(value));
        }
        halves
    }

    /// Returns the `n`th value of a block before scaling. Without an offset, values are centred on
    /// zero.
    fn unpack_level(self, levels: &[u8], n: usize) -> f32 {
        if self.bits == 8 {
            return f32::from(levels[n] as i8);
        }
        let (fifth_bits, nibbles) =
            levels.split_at(if self.bits == 5 { BLOCK_VALUES / 8 } else { 0 });
        let nibble =
            nibbles[n % (BLOCK_VALUES / 2)] >> if n < BLOCK_VALUES / 2 { 0 } else { 4 } & 15;
        let fifth = fifth_bits.get(n / 8).map_or(0, |bits| bits >> (n % 8) & 1);
        let middle = if self.has_offset {
            0
        } else {
            1 << (self.bits - 1)
        };
        f32::from(nibble | fifth << 4) - f32::from(middle as u8)
    }
}

fn check_length<T>(values: Vec<T>, name: &str, count: usize) -> Result<Vec<T>, LoadError> {
    if values.len() == count {
        return Ok(values);
    }
    let (found, wanted) = (values.len(), count);
    Err(broken_file(&format!(
        "tensor {name} has {found} values instead of {wanted}"
    )))
}

fn broken_file(reason: &str) -> LoadError {
    LoadError::Broken(reason.to_owned())
}

/// The bytes that are left to read.
struct ByteReader<'a>(&'a [u8]);

impl<'a> ByteReader<'a> {
    fn read_bytes(&mut self, count: usize) -> Result<&'a [u8], LoadError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| broken_file("the file ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn read_u32(&mut self) -> Result<u32, LoadError> {
        let bytes = self
            .read_bytes(4)?
            .try_into()
            .expect("four bytes were taken");
        Ok(u32::from_le_bytes(bytes))
    }

    fn read_f32s(&mut self, count: usize) -> Result<Vec<f32>, LoadError> {
        let bytes = self.read_bytes(count.saturating_mul(4))?;
        Ok(bytes
            .as_chunks()
            .0
            .iter()
            .map(|&four| f32::from_le_bytes(four))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::whisper::reference;

    fn le_bytes(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    /// One band of two bins, one token, and a tensor of each `ggml_type`.
    fn file_bytes() -> Vec<u8> {
        let mut bytes = le_bytes(&[GGML_MAGIC, 9, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 1, 2]);
        bytes.extend([0.25_f32, 0.5].iter().flat_map(|x| x.to_le_bytes()));
        bytes.extend(le_bytes(&[1, 2]));
        bytes.extend(b"hi");
        bytes.extend(le_bytes(&[1, 1, 0, 2]));
        bytes.extend(b"a");
        bytes.extend([1.5_f32, -2.0].iter().flat_map(|x| x.to_le_bytes()));
        bytes.extend(le_bytes(&[2, 1, 1, 1, 2]));
        bytes.extend(b"b");
        bytes.extend([0x00, 0x3C, 0x00, 0xC0]);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<GgmlFile, LoadError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        GgmlFile::read(file.path())
    }

    #[test]
    fn everything_is_found_in_either_width() {
        let mut file = read(&file_bytes()).unwrap();
        assert_eq!(file.dimensions.vocab_size, 9);
        assert_eq!(
            (file.dimensions.text_layers, file.dimensions.mel_bands),
            (8, 1)
        );
        assert_eq!(
            (file.filter_bins, &file.mel_filters[..]),
            (2, &[0.25, 0.5][..])
        );
        assert_eq!(file.tokens, [b"hi".to_vec()]);
        assert_eq!(file.take_f32("a", 2).unwrap(), [1.5, -2.0]);
        assert_eq!(file.take_f32("b", 2).unwrap(), [1.0, -2.0]);
        let error = file.take_f32("b", 2).unwrap_err();
        assert!(matches!(error, LoadError::Broken(reason) if reason.contains("tensor b")));
    }

    #[test]
    fn a_tensor_of_another_length_is_named() {
        let error = read(&file_bytes()).unwrap().take_f16("a", 3).unwrap_err();
        assert!(
            matches!(error, LoadError::Broken(reason) if reason == "tensor a has 2 values instead of 3")
        );
    }

    #[test]
    fn a_file_that_ends_anywhere_but_between_tensors_is_broken() {
        let bytes = file_bytes();
        let whole = [0, 1, 2].map(|tensors| bytes.len() - 25 * tensors);
        for end in 0..bytes.len() {
            let read = read(&bytes[..end]);
            assert_eq!(
                read.is_ok(),
                whole.contains(&end),
                "{end} of {}",
                bytes.len()
            );
        }
    }

    #[test]
    fn blocks_are_read_as_ggml_reads_them() {
        let wave = |n: usize| (n as f32 / 5.0).sin() * (n % 37) as f32 / 10.0;
        let values: Vec<f32> = (0..8 * BLOCK_VALUES).map(wave).collect();
        for ggml_type in [2, 3, 6, 7, 8] {
            let blocks = reference::quantise(ggml_type, &values);
            let layout = QuantizedBlocks::from_ggml_type(ggml_type).unwrap();
            assert_eq!(blocks.len(), 8 * layout.block_bytes(), "type {ggml_type}");
            let expected = reference::dequantise(ggml_type, &blocks, values.len());
            let halves = layout.dequantise(&blocks);
            let expected: Vec<f16> = expected.into_iter().map(f16::from_f32).collect();
            assert_eq!(halves, expected, "type {ggml_type}");
        }
    }

    #[test]
    fn a_quantised_tensor_is_read_whole_or_not_at_all() {
        let mut bytes = file_bytes();
        bytes.extend(le_bytes(&[1, 1, 8, 32]));
        bytes.extend(b"c");
        bytes.extend(f16::from_f32(0.5).to_le_bytes());
        bytes.extend((0..32).map(|n| 10_u8.wrapping_sub(n)));
        let mut file = read(&bytes).unwrap();
        let values = file.take_f32("c", 32).unwrap();
        assert_eq!((values[0], values[10], values[31]), (5.0, 0.0, -10.5));
        let short = read(&bytes[..bytes.len() - 1]);
        assert!(matches!(short, Err(LoadError::Broken(reason)) if reason.contains("too early")));
    }

    #[test]
    fn tensors_in_blocks_that_are_not_known_are_left_to_others() {
        let mut bytes = file_bytes();
        let ggml_type = bytes.len() - 17;
        assert_eq!(bytes[ggml_type], 1);
        bytes[ggml_type] = 10;
        assert!(matches!(read(&bytes), Err(LoadError::Unsupported(_))));
    }
}
