//! Makes a model file smaller by storing its matrices in blocks of 32 values with a few bits each.
//!
//! The same tensors are quantised that whisper.cpp expects to be: every matrix except the two positional
//! embeddings. Convolutions, biases and norms are copied. Sources: <https://github.com/ggml-org/ggml>,
//! `src/ggml-quants.c` (`quantize_row_q4_0_ref` and its siblings), and
//! <https://github.com/ggml-org/whisper.cpp>, `examples/quantize`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::Path;

use half::f16;
use sha2::{Digest, Sha256};

use super::folder::{self, ModelOrigin};
use super::ggml::MAGIC;
use crate::limits;
use crate::models::{ModelFileError, ProgressEvent, ProgressReporter, WrittenModel};

/// Number of values in a block.
pub(crate) const BLOCK: usize = 32;

/// Number of blocks that are converted at a time.
const BLOCKS_AT_ONCE: usize = 4_096;

/// Tensors with two dimensions that are plain floats nevertheless.
const UNQUANTISED_TENSORS: [&str; 4] = [
    "encoder.conv1.bias",
    "encoder.conv2.bias",
    "encoder.positional_embedding",
    "decoder.positional_embedding",
];

/// ggml's version of the block layout, as encoded in the file type.
const QUANTISATION_VERSION: u32 = 2_000;

/// The number of bits of a value, with ggml's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Quantisation {
    /// 4.5 bits a value.
    #[value(name = "q4_0")]
    Q4,
    /// 5.5 bits a value.
    #[value(name = "q5_0")]
    Q5,
    /// 8.5 bits a value.
    #[value(name = "q8_0")]
    Q8,
}

impl Quantisation {
    /// All quantisations, smallest first.
    pub const ALL: [Self; 3] = [Self::Q4, Self::Q5, Self::Q8];

    /// Returns ggml's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q4 => "q4_0",
            Self::Q5 => "q5_0",
            Self::Q8 => "q8_0",
        }
    }

    /// Returns ggml's number of the tensor type.
    pub(crate) fn tensor_type(self) -> u32 {
        match self {
            Self::Q4 => 2,
            Self::Q5 => 6,
            Self::Q8 => 8,
        }
    }

    /// Returns ggml's number of the file type.
    fn file_type(self) -> u32 {
        QUANTISATION_VERSION
            + match self {
                Self::Q4 => 2,
                Self::Q5 => 8,
                Self::Q8 => 7,
            }
    }

    /// Quantises a block and appends it to `out`.
    pub(crate) fn quantise_block(self, values: &[f32; BLOCK], out: &mut Vec<u8>) {
        match self {
            Self::Q4 => {
                let (scale, levels) = quantise_levels(values, 8);
                out.extend(scale.to_le_bytes());
                out.extend(pack_nibbles(&levels));
            }
            Self::Q5 => {
                let (scale, levels) = quantise_levels(values, 16);
                let fifth_bits = (0..BLOCK)
                    .map(|n| u32::from(levels[n] >> 4) << n)
                    .sum::<u32>();
                out.extend(scale.to_le_bytes());
                out.extend(fifth_bits.to_le_bytes());
                out.extend(pack_nibbles(&levels));
            }
            Self::Q8 => {
                let largest = values
                    .iter()
                    .fold(0_f32, |largest, value| largest.max(value.abs()));
                let scale = largest / 127.0;
                let by = reciprocal(scale);
                out.extend(f16::from_f32(scale).to_le_bytes());
                out.extend(values.iter().map(|value| (value * by).round() as i8 as u8));
            }
        }
    }
}

/// Returns the scale that maps the value farthest from zero to −`half`, and all values scaled, rounded and
/// offset by `half`.
fn quantise_levels(values: &[f32; BLOCK], half: u8) -> (f16, [u8; BLOCK]) {
    let farthest = values.iter().fold(0_f32, |farthest, &value| {
        if value.abs() > farthest.abs() {
            value
        } else {
            farthest
        }
    });
    let scale = farthest / -f32::from(half);
    let by = reciprocal(scale);
    let middle = f32::from(half) + 0.5;
    let level = |value: f32| ((value * by + middle) as u8).min(2 * half - 1);
    (f16::from_f32(scale), values.map(level))
}

fn reciprocal(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// Packs the lower four bits of each value: those of the first half of the block into the low nibbles, those
/// of the second half into the high nibbles.
fn pack_nibbles(levels: &[u8; BLOCK]) -> [u8; BLOCK / 2] {
    std::array::from_fn(|n| (levels[n] & 15) | (levels[n + BLOCK / 2] & 15) << 4)
}

/// Writes the unquantised model at `input` to `output` with its matrices quantised, and an origin record
/// beside it. `output` is replaced only by a complete file.
///
/// Blocks the thread while it reads and writes the model.
pub fn quantise(
    input: &Path,
    kind: Quantisation,
    output: &Path,
    progress: &ProgressReporter,
) -> Result<WrittenModel, ModelFileError> {
    let part = folder::with_suffix(output, ".quantise.part");
    let made = convert(input, kind, &part, progress);
    let WrittenModel { bytes, sha256 } = match made {
        Ok(made) => made,
        Err(error) => {
            // The first error matters more than a left-over temporary file.
            let _ = std::fs::remove_file(part);
            return Err(error);
        }
    };
    let from = format!("quantised from {}", input.display());
    let origin = ModelOrigin {
        from,
        bytes,
        sha256: sha256.clone(),
    };
    folder::install(&part, output, &origin)?;
    Ok(WrittenModel { bytes, sha256 })
}

fn convert(
    input: &Path,
    kind: Quantisation,
    part: &Path,
    progress: &ProgressReporter,
) -> Result<WrittenModel, ModelFileError> {
    let file = File::open(input).map_err(ModelFileError::io("read", input))?;
    let total = file
        .metadata()
        .map_err(ModelFileError::io("read", input))?
        .len();
    let draft = File::create(part).map_err(ModelFileError::io("write", part))?;
    let mut quantiser = GgmlQuantiser {
        from: BufReader::new(file),
        to: BufWriter::new(draft),
        read: 0,
        written: 0,
        sum: Sha256::new(),
    };
    let unfit = |reason: String| ModelFileError::Unquantisable {
        path: input.to_owned(),
        reason,
    };
    quantiser.convert_header(kind).map_err(unfit)?;
    while quantiser.read < total {
        quantiser.convert_tensor(kind).map_err(unfit)?;
        let done = quantiser.read;
        progress.report(ProgressEvent::Quantising { done, total });
    }
    quantiser
        .to
        .flush()
        .map_err(ModelFileError::io("write", part))?;
    Ok(WrittenModel {
        bytes: quantiser.written,
        sha256: folder::hex_digest(quantiser.sum),
    })
}

/// A conversion from one file to another. Errors are messages for people.
struct GgmlQuantiser {
    from: BufReader<File>,
    to: BufWriter<File>,
    read: u64,
    written: u64,
    sum: Sha256,
}

impl GgmlQuantiser {
    /// Converts the header: eleven parameters, the filters, the tokens.
    fn convert_header(&mut self, kind: Quantisation) -> Result<(), String> {
        if self.read_u32()? != MAGIC {
            return Err("it does not start like a ggml file".to_owned());
        }
        self.write_all(&MAGIC.to_le_bytes())?;
        self.copy(10 * 4)?;
        let file_type = self.read_u32()?;
        if file_type > 1 {
            return Err("it is quantised already; use the unquantised model".to_owned());
        }
        self.write_all(&kind.file_type().to_le_bytes())?;
        let (bands, bins) = (self.copy_u32()?, self.copy_u32()?);
        self.copy(u64::from(bands) * u64::from(bins) * 4)?;
        for _ in 0..self.copy_u32()? {
            let length = self.copy_u32()?;
            self.copy(length.into())?;
        }
        Ok(())
    }

    fn convert_tensor(&mut self, kind: Quantisation) -> Result<(), String> {
        let (rank, length, stored) = (self.read_u32()?, self.read_u32()?, self.read_u32()?);
        if rank > u32::from(limits::TENSOR_RANK_MAX)
            || length as usize > limits::TENSOR_NAME_BYTES_MAX
        {
            return Err("a tensor's header is damaged".to_owned());
        }
        let dims = (0..rank)
            .map(|_| self.read_u32())
            .collect::<Result<Vec<u32>, _>>()?;
        let mut name = vec![0; length as usize];
        self.read_exact(&mut name)?;
        let name = String::from_utf8_lossy(&name).into_owned();
        let width = match stored {
            0 => 4,
            1 => 2,
            _ => {
                return Err(format!(
                    "{name} is quantised already; use the unquantised model"
                ));
            }
        };
        let is_matrix = rank == 2 && !UNQUANTISED_TENSORS.contains(&name.as_str());
        let new_type = if is_matrix {
            kind.tensor_type()
        } else {
            stored
        };
        for number in [rank, length, new_type].iter().chain(&dims) {
            self.write_all(&number.to_le_bytes())?;
        }
        self.write_all(name.as_bytes())?;
        let values: u64 = dims.iter().map(|&dim| u64::from(dim)).product();
        if !is_matrix {
            return self.copy(values.saturating_mul(width));
        }
        if !(dims[0] as usize).is_multiple_of(BLOCK) {
            return Err(format!(
                "{name} has rows of {} values, no multiple of {BLOCK}",
                dims[0]
            ));
        }
        self.convert_blocks(values, width as usize, kind)
    }

    /// Quantises `values` floats of `width` bytes.
    fn convert_blocks(
        &mut self,
        values: u64,
        width: usize,
        kind: Quantisation,
    ) -> Result<(), String> {
        let mut left = values / BLOCK as u64;
        let mut bytes = Vec::new();
        let mut out = Vec::new();
        while left > 0 {
            let count = left.min(BLOCKS_AT_ONCE as u64);
            bytes.resize(count as usize * BLOCK * width, 0);
            self.read_exact(&mut bytes)?;
            out.clear();
            for block in bytes.chunks_exact(BLOCK * width) {
                let mut floats = [0.0; BLOCK];
                for (float, bytes) in floats.iter_mut().zip(block.chunks_exact(width)) {
                    *float = match bytes {
                        &[a, b] => f16::from_le_bytes([a, b]).to_f32(),
                        bytes => f32::from_le_bytes(bytes.try_into().expect("four bytes")),
                    };
                }
                kind.quantise_block(&floats, &mut out);
            }
            self.write_all(&out)?;
            left -= count;
        }
        Ok(())
    }

    fn read_u32(&mut self) -> Result<u32, String> {
        let mut bytes = [0; 4];
        self.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn copy_u32(&mut self) -> Result<u32, String> {
        let number = self.read_u32()?;
        self.write_all(&number.to_le_bytes())?;
        Ok(number)
    }

    fn copy(&mut self, mut bytes: u64) -> Result<(), String> {
        let mut piece = vec![0; 64 * 1_024];
        while bytes > 0 {
            let count = bytes.min(piece.len() as u64) as usize;
            self.read_exact(&mut piece[..count])?;
            self.write_all(&piece[..count])?;
            bytes -= count as u64;
        }
        Ok(())
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        self.from.read_exact(bytes).map_err(|error| {
            if error.kind() == ErrorKind::UnexpectedEof {
                "it ends too early".to_owned()
            } else {
                error.to_string()
            }
        })?;
        self.read += bytes.len() as u64;
        Ok(())
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), String> {
        let written = self.to.write_all(bytes);
        written.map_err(|error: io::Error| format!("the copy cannot be written: {error}"))?;
        self.written += bytes.len() as u64;
        self.sum.update(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    fn tensor(name: &str, dims: &[u32], kind: u32, bytes: &[u8]) -> Vec<u8> {
        let mut out = numbers(&[dims.len() as u32, name.len() as u32, kind]);
        out.extend(numbers(dims));
        out.extend(name.as_bytes());
        out.extend(bytes);
        out
    }

    fn head(file_type: u32) -> Vec<u8> {
        let mut head = numbers(&[MAGIC, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, file_type, 1, 2]);
        head.extend([0.25_f32, 0.5].iter().flat_map(|x| x.to_le_bytes()));
        head.extend(numbers(&[1, 2]));
        head.extend(b"hi");
        head
    }

    fn floats(count: usize) -> Vec<u8> {
        let float = |n: usize| (n as f32 / 7.0).sin().to_le_bytes();
        (0..count).flat_map(float).collect()
    }

    fn run(bytes: &[u8], kind: Quantisation) -> Result<Vec<u8>, String> {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("in.bin"), folder.path().join("out.bin"));
        std::fs::write(&input, bytes).unwrap();
        let made = quantise(&input, kind, &output, &ProgressReporter::silent());
        let made = made.map_err(|error| error.to_string())?;
        folder::verify(&output).unwrap();
        let bytes = std::fs::read(&output).unwrap();
        assert_eq!(made.bytes, bytes.len() as u64);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
        Ok(bytes)
    }

    #[test]
    fn matrices_become_blocks_and_all_else_stays() {
        let (positions, matrix) = (
            "decoder.positional_embedding",
            "decoder.token_embedding.weight",
        );
        let mut bytes = head(1);
        bytes.extend(tensor(positions, &[32, 2], 0, &floats(64)));
        bytes.extend(tensor("encoder.conv1.bias", &[1, 8], 0, &floats(8)));
        bytes.extend(tensor(matrix, &[64, 3], 0, &floats(192)));
        bytes.extend(tensor("decoder.ln.bias", &[64], 0, &floats(64)));
        for (kind, numbers, block_bytes) in [
            (Quantisation::Q4, (2_002, 2), 18),
            (Quantisation::Q5, (2_008, 6), 22),
            (Quantisation::Q8, (2_007, 8), 34),
        ] {
            let made = run(&bytes, kind).unwrap();
            let mut expected = head(numbers.0);
            expected.extend(tensor(positions, &[32, 2], 0, &floats(64)));
            expected.extend(tensor("encoder.conv1.bias", &[1, 8], 0, &floats(8)));
            expected.extend(tensor(matrix, &[64, 3], numbers.1, &[]));
            assert_eq!(made[..expected.len()], expected);
            let rest = &made[expected.len() + 6 * block_bytes..];
            assert_eq!(rest, tensor("decoder.ln.bias", &[64], 0, &floats(64)));
        }
    }

    #[test]
    fn what_cannot_be_quantised_is_told_and_leaves_nothing() {
        let plain = [head(1), tensor("m", &[32, 1], 1, &[0; 64])].concat();
        assert!(run(&plain, Quantisation::Q5).is_ok());
        for (bytes, cause) in [
            (head(2_007), "quantised already"),
            (
                [head(1), tensor("m", &[32, 1], 8, &[0; 34])].concat(),
                "m is quantised already",
            ),
            (
                [head(1), tensor("m", &[31, 1], 1, &[0; 62])].concat(),
                "no multiple of 32",
            ),
            (plain[..plain.len() - 1].to_vec(), "ends too early"),
            ([head(1), numbers(&[9, 1, 1])].concat(), "header is damaged"),
            (b"RIFF and so on".to_vec(), "does not start"),
        ] {
            let error = run(&bytes, Quantisation::Q5).unwrap_err();
            assert!(error.contains(cause) && error.contains("in.bin"), "{error}");
        }
    }
}
