//! Reads the ggml file of a Whisper model: parameters, mel filters, vocabulary, tensors of 16- and
//! 32-bit floats, and of blocks of fewer bits. The format is described where it is written, in
//! `models::ggml` and `models::quantise`.

use std::collections::HashMap;
use std::path::Path;

use half::f16;
use half::slice::HalfFloatSliceExt;
use half::vec::HalfFloatVecExt;

use super::Unfit;

/// "ggml", as a number.
const MAGIC: u32 = 0x6767_6d6c;

/// Values in a block of a quantised tensor.
const BLOCK: usize = 32;

/// Numbers of the parameters in a row, before those of the filters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters {
    pub(super) vocabulary: usize,
    pub(super) audio_context: usize,
    pub(super) audio_state: usize,
    pub(super) audio_heads: usize,
    pub(super) audio_layers: usize,
    pub(super) text_context: usize,
    pub(super) text_state: usize,
    pub(super) text_heads: usize,
    pub(super) text_layers: usize,
    pub(super) bands: usize,
}

/// A model file, taken apart.
pub(super) struct File {
    pub(super) parameters: Parameters,
    /// Bins of the transform that the filters are for.
    pub(super) bins: usize,
    /// A row of weights for each band.
    pub(super) filters: Vec<f32>,
    /// The spelling of the tokens that have one.
    pub(super) tokens: Vec<Vec<u8>>,
    tensors: HashMap<String, Vec<f16>>,
    exact: HashMap<String, Vec<f32>>,
}

impl File {
    /// Reads the whole file.
    pub(super) fn read(path: &Path) -> Result<Self, Unfit> {
        let bytes = std::fs::read(path).map_err(|error| Unfit::Broken(error.to_string()))?;
        let mut rest = Bytes(&bytes);
        if rest.number()? != MAGIC {
            return Err(broken("it does not begin as a ggml file does"));
        }
        let mut next = || rest.number().map(|number| number as usize);
        let parameters = Parameters {
            vocabulary: next()?,
            audio_context: next()?,
            audio_state: next()?,
            audio_heads: next()?,
            audio_layers: next()?,
            text_context: next()?,
            text_state: next()?,
            text_heads: next()?,
            text_layers: next()?,
            bands: next()?,
        };
        let (_kind, filter_rows, bins) = (next()?, next()?, next()?);
        if filter_rows != parameters.bands {
            return Err(broken("its filters are for another number of bands"));
        }
        let filters = rest.floats(filter_rows.saturating_mul(bins))?;
        let count = rest.number()? as usize;
        let mut tokens = Vec::new();
        for _ in 0..count {
            let length = rest.number()? as usize;
            tokens.push(rest.take(length)?.to_vec());
        }
        let mut file = Self {
            parameters,
            bins,
            filters,
            tokens,
            tensors: HashMap::new(),
            exact: HashMap::new(),
        };
        while !rest.0.is_empty() {
            file.read_tensor(&mut rest)?;
        }
        Ok(file)
    }

    fn read_tensor(&mut self, rest: &mut Bytes<'_>) -> Result<(), Unfit> {
        let (rank, length, kind) = (rest.number()?, rest.number()? as usize, rest.number()?);
        let mut count = 1_usize;
        for _ in 0..rank {
            count = count.saturating_mul(rest.number()? as usize);
        }
        let name = String::from_utf8_lossy(rest.take(length)?).into_owned();
        match kind {
            0 => {
                let values = rest.floats(count)?;
                self.exact.insert(name, values);
            }
            1 => {
                let bytes = rest.take(count.saturating_mul(2))?;
                let halves = bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&two| f16::from_le_bytes(two));
                self.tensors.insert(name, halves.collect());
            }
            _ => {
                let Some(blocks) = Blocks::of(kind) else {
                    let reason = format!("{name} is quantised in a way of its own");
                    return Err(Unfit::Unsupported(reason));
                };
                if !count.is_multiple_of(BLOCK) {
                    return Err(broken(&format!("{name} does not fill its blocks")));
                }
                let bytes = rest.take((count / BLOCK).saturating_mul(blocks.bytes()))?;
                self.tensors.insert(name, blocks.halves(bytes));
            }
        }
        Ok(())
    }

    /// A tensor of `count` values, which nobody asks for twice.
    pub(super) fn floats(&mut self, name: &str, count: usize) -> Result<Vec<f32>, Unfit> {
        let values = match self.exact.remove(name) {
            Some(values) => values,
            None => self.take(name)?.to_f32_vec(),
        };
        of_length(values, name, count)
    }

    /// The same in 16 bits.
    pub(super) fn halves(&mut self, name: &str, count: usize) -> Result<Vec<f16>, Unfit> {
        let values = match self.exact.remove(name) {
            Some(values) => Vec::from_f32_slice(&values),
            None => self.take(name)?,
        };
        of_length(values, name, count)
    }

    fn take(&mut self, name: &str) -> Result<Vec<f16>, Unfit> {
        let tensor = self.tensors.remove(name);
        tensor.ok_or_else(|| broken(&format!("it has no {name}")))
    }
}

/// How a quantised tensor's blocks are laid out: a scale, an offset for some, a fifth bit for some,
/// then the values.
#[derive(Debug, Clone, Copy)]
struct Blocks {
    bits: usize,
    has_offset: bool,
}

impl Blocks {
    /// By the number of the type that ggml gives to `q4_0`, `q4_1`, `q5_0`, `q5_1`, `q8_0`.
    fn of(kind: u32) -> Option<Self> {
        let (bits, has_offset) = match kind {
            2 => (4, false),
            3 => (4, true),
            6 => (5, false),
            7 => (5, true),
            8 => (8, false),
            _ => return None,
        };
        Some(Self { bits, has_offset })
    }

    fn bytes(self) -> usize {
        2 + if self.has_offset { 2 } else { 0 } + self.bits * BLOCK / 8
    }

    fn halves(self, bytes: &[u8]) -> Vec<f16> {
        let mut halves = Vec::with_capacity(bytes.len() / self.bytes() * BLOCK);
        for block in bytes.chunks_exact(self.bytes()) {
            let half = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
            let scale = half(0);
            let (offset, levels) = if self.has_offset {
                (half(2), &block[4..])
            } else {
                (0.0, &block[2..])
            };
            let value = |n| f16::from_f32(self.level(levels, n) * scale + offset);
            halves.extend((0..BLOCK).map(value));
        }
        halves
    }

    /// The `n`th value of a block before it is scaled; without an offset, zero is in the middle.
    fn level(self, levels: &[u8], n: usize) -> f32 {
        if self.bits == 8 {
            return f32::from(levels[n] as i8);
        }
        let (fifth_bits, nibbles) = levels.split_at(if self.bits == 5 { BLOCK / 8 } else { 0 });
        let nibble = nibbles[n % (BLOCK / 2)] >> if n < BLOCK / 2 { 0 } else { 4 } & 15;
        let fifth = fifth_bits.get(n / 8).map_or(0, |bits| bits >> (n % 8) & 1);
        let middle = if self.has_offset {
            0
        } else {
            1 << (self.bits - 1)
        };
        f32::from(nibble | fifth << 4) - f32::from(middle as u8)
    }
}

fn of_length<T>(values: Vec<T>, name: &str, count: usize) -> Result<Vec<T>, Unfit> {
    if values.len() == count {
        return Ok(values);
    }
    let (found, wanted) = (values.len(), count);
    Err(broken(&format!(
        "{name} has {found} values instead of {wanted}"
    )))
}

fn broken(reason: &str) -> Unfit {
    Unfit::Broken(reason.to_owned())
}

/// What is still to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Unfit> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| broken("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, Unfit> {
        let bytes = self.take(4)?.try_into().expect("four bytes were taken");
        Ok(u32::from_le_bytes(bytes))
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>, Unfit> {
        let bytes = self.take(count.saturating_mul(4))?;
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

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    /// One band of two bins, one token, and a tensor of each kind.
    fn bytes() -> Vec<u8> {
        let mut bytes = numbers(&[MAGIC, 9, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 1, 2]);
        bytes.extend([0.25_f32, 0.5].iter().flat_map(|x| x.to_le_bytes()));
        bytes.extend(numbers(&[1, 2]));
        bytes.extend(b"hi");
        bytes.extend(numbers(&[1, 1, 0, 2]));
        bytes.extend(b"a");
        bytes.extend([1.5_f32, -2.0].iter().flat_map(|x| x.to_le_bytes()));
        bytes.extend(numbers(&[2, 1, 1, 1, 2]));
        bytes.extend(b"b");
        bytes.extend([0x00, 0x3C, 0x00, 0xC0]);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<File, Unfit> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        File::read(file.path())
    }

    #[test]
    fn everything_is_found_in_either_width() {
        let mut file = read(&bytes()).unwrap();
        assert_eq!(file.parameters.vocabulary, 9);
        assert_eq!((file.parameters.text_layers, file.parameters.bands), (8, 1));
        assert_eq!((file.bins, &file.filters[..]), (2, &[0.25, 0.5][..]));
        assert_eq!(file.tokens, [b"hi".to_vec()]);
        assert_eq!(file.floats("a", 2).unwrap(), [1.5, -2.0]);
        assert_eq!(file.floats("b", 2).unwrap(), [1.0, -2.0]);
        let error = file.floats("b", 2).unwrap_err();
        assert!(matches!(error, Unfit::Broken(reason) if reason.contains("no b")));
    }

    #[test]
    fn a_tensor_of_another_length_is_named() {
        let error = read(&bytes()).unwrap().halves("a", 3).unwrap_err();
        assert!(matches!(error, Unfit::Broken(reason) if reason == "a has 2 values instead of 3"));
    }

    #[test]
    fn a_file_that_ends_anywhere_but_between_tensors_is_broken() {
        let bytes = bytes();
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
        let values: Vec<f32> = (0..8 * BLOCK).map(wave).collect();
        for kind in [2, 3, 6, 7, 8] {
            let blocks = reference::quantise(kind, &values);
            let layout = Blocks::of(kind).unwrap();
            assert_eq!(blocks.len(), 8 * layout.bytes(), "type {kind}");
            let expected = reference::dequantise(kind, &blocks, values.len());
            let halves = layout.halves(&blocks);
            let expected: Vec<f16> = expected.into_iter().map(f16::from_f32).collect();
            assert_eq!(halves, expected, "type {kind}");
        }
    }

    #[test]
    fn a_quantised_tensor_is_read_whole_or_not_at_all() {
        let mut bytes = bytes();
        bytes.extend(numbers(&[1, 1, 8, 32]));
        bytes.extend(b"c");
        bytes.extend(f16::from_f32(0.5).to_le_bytes());
        bytes.extend((0..32).map(|n| 10_u8.wrapping_sub(n)));
        let mut file = read(&bytes).unwrap();
        let values = file.floats("c", 32).unwrap();
        assert_eq!((values[0], values[10], values[31]), (5.0, 0.0, -10.5));
        let short = read(&bytes[..bytes.len() - 1]);
        assert!(matches!(short, Err(Unfit::Broken(reason)) if reason.contains("too early")));
    }

    #[test]
    fn tensors_in_blocks_that_are_not_known_are_left_to_others() {
        let mut bytes = bytes();
        let kind = bytes.len() - 17;
        assert_eq!(bytes[kind], 1);
        bytes[kind] = 10;
        assert!(matches!(read(&bytes), Err(Unfit::Unsupported(_))));
    }
}
