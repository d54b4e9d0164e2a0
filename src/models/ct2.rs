//! Parses CTranslate2's `model.bin`: first the index of its tensors, then the values of one tensor at a time.
//! Every length in the file is checked against the length of the file itself, so that a false one causes an
//! error and never an allocation.
//!
//! The format, little-endian throughout (`TEXT` is a u16 length, including a terminating NUL, and the text):
//! `u32` version, `TEXT` specification, `u32` revision; `u32` tensors, each `TEXT` name, `u8` rank, `u32` for
//! each dimension, `u8` type, `u32` bytes, the values; then `u32` aliases, each two `TEXT`s: the alias and
//! the name of its tensor.
//! Source: <https://github.com/OpenNMT/CTranslate2>, `python/ctranslate2/specs/model_spec.py`.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::{bf16, f16};

use crate::limits::{TENSOR_NAME_BYTES_MAX, TENSOR_RANK_MAX, TENSORS_MAX};
use crate::models::ModelFileError;

/// Versions of the format that have a type for each tensor.
const VERSIONS: Range<u32> = 4..7;

/// Number of values that are decoded at a time.
const CHUNK_VALUES: usize = 16 * 1024;

/// The type of a tensor's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ElementType {
    F32,
    I8,
    I16,
    I32,
    F16,
    Bf16,
}

/// The type, dimensions and location of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorEntry {
    pub(super) kind: ElementType,
    /// Outermost first; empty for a single value.
    pub(super) dims: Vec<u32>,
    at: u64,
}

/// An open `model.bin`.
#[derive(Debug)]
pub(super) struct Ct2Weights<R> {
    source: BufReader<R>,
    path: PathBuf,
    /// The tensors by name; aliases are resolved.
    tensors: BTreeMap<String, TensorEntry>,
    /// The names in `tensors` that are aliases.
    aliases: Vec<String>,
}

impl ElementType {
    fn parse(id: u8) -> Option<Self> {
        [
            Self::F32,
            Self::I8,
            Self::I16,
            Self::I32,
            Self::F16,
            Self::Bf16,
        ]
        .get(usize::from(id))
        .copied()
    }

    fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::I8 => 1,
            Self::I16 | Self::F16 | Self::Bf16 => 2,
        }
    }
}

impl<R: Read + Seek> Ct2Weights<R> {
    /// Reads the index. `path` is only for error messages.
    pub(super) fn open(mut source: R, path: &Path) -> Result<Self, ModelFileError> {
        let length = source
            .seek(SeekFrom::End(0))
            .map_err(ModelFileError::io("read", path))?;
        source.rewind().map_err(ModelFileError::io("read", path))?;
        let mut parser = Ct2Parser {
            source: BufReader::new(source),
            path,
            at: 0,
            length,
        };
        parser.parse_header()?;
        let mut tensors = BTreeMap::new();
        let count = parser.read_u32("the number of tensors")?;
        if count > TENSORS_MAX {
            return Err(
                parser.error_here(format!("{count} tensors announced; at most {TENSORS_MAX}"))
            );
        }
        for _ in 0..count {
            let (name, tensor) = parser.parse_tensor()?;
            if tensors.insert(name.clone(), tensor).is_some() {
                return Err(parser.error_here(format!("the tensor {name} is duplicated")));
            }
        }
        let aliases = parser.parse_aliases(&mut tensors)?;
        if parser.at != length {
            return Err(parser.error_here(format!("{} surplus bytes follow", length - parser.at)));
        }
        Ok(Self {
            source: parser.source,
            path: path.to_owned(),
            tensors,
            aliases,
        })
    }

    /// Finds the tensor with this name or alias.
    pub(super) fn find(&self, name: &str) -> Option<&TensorEntry> {
        self.tensors.get(name)
    }

    /// Returns whether `name` is a tensor rather than an alias.
    pub(super) fn is_stored(&self, name: &str) -> bool {
        self.tensors.contains_key(name) && !self.aliases.iter().any(|alias| alias == name)
    }

    /// Returns whether any tensor's name starts with `prefix`.
    pub(super) fn has_prefix(&self, prefix: &str) -> bool {
        self.tensors
            .range(prefix.to_owned()..)
            .next()
            .is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// Reads a single integer; `None` if there is no such tensor.
    pub(super) fn read_integer(&mut self, name: &str) -> Result<Option<i64>, ModelFileError> {
        let Some(tensor) = self.tensors.get(name).cloned() else {
            return Ok(None);
        };
        if !tensor.dims.is_empty() {
            return Err(self.tensor_error(name, "is not a single value"));
        }
        let mut bytes = [0; 4];
        let bytes = &mut bytes[..tensor.kind.bytes()];
        self.read_at(tensor.at, bytes)?;
        let value = match (tensor.kind, &*bytes) {
            (ElementType::I8, &[a]) => i64::from(a.cast_signed()),
            (ElementType::I16, &[a, b]) => i64::from(i16::from_le_bytes([a, b])),
            (ElementType::I32, &[a, b, c, d]) => i64::from(i32::from_le_bytes([a, b, c, d])),
            _ => return Err(self.tensor_error(name, "is not an integer")),
        };
        Ok(Some(value))
    }

    /// Passes on the values of `rows` (along the outermost dimension) as 32-bit floats, one chunk at a time.
    /// The caller has checked that the tensor exists and has those rows.
    pub(super) fn for_each_chunk(
        &mut self,
        name: &str,
        rows: Range<u32>,
        mut take: impl FnMut(&[f32]) -> Result<(), ModelFileError>,
    ) -> Result<(), ModelFileError> {
        let tensor = self
            .tensors
            .get(name)
            .cloned()
            .ok_or_else(|| self.missing_tensor(name))?;
        let row: u64 = tensor.dims.iter().skip(1).map(|&d| u64::from(d)).product();
        let size = tensor.kind.bytes();
        let mut left = row * u64::from(rows.end - rows.start);
        let mut at = tensor.at + row * u64::from(rows.start) * size as u64;
        let mut bytes = vec![0; CHUNK_VALUES * size];
        let mut floats = Vec::with_capacity(CHUNK_VALUES);
        while left > 0 {
            let count = left.min(CHUNK_VALUES as u64) as usize;
            let bytes = &mut bytes[..count * size];
            self.read_at(at, bytes)?;
            floats.clear();
            decode(tensor.kind, bytes, &mut floats).map_err(|e| self.tensor_error(name, e))?;
            if let Some(i) = floats.iter().position(|v| !v.is_finite()) {
                let byte = at + (i * size) as u64;
                return Err(
                    self.tensor_error(name, format!("is not a finite number at byte {byte}"))
                );
            }
            take(&floats)?;
            left -= count as u64;
            at += (count * size) as u64;
        }
        Ok(())
    }

    pub(super) fn missing_tensor(&self, name: &str) -> ModelFileError {
        self.tensor_error(name, "is missing")
    }

    pub(super) fn tensor_error(&self, name: &str, problem: impl Into<String>) -> ModelFileError {
        ModelFileError::malformed(&self.path, format!("tensor {name}"), problem)
    }

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<(), ModelFileError> {
        let done = self
            .source
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.source.read_exact(into));
        done.map_err(ModelFileError::io("read", &self.path))
    }
}

fn decode(kind: ElementType, bytes: &[u8], into: &mut Vec<f32>) -> Result<(), String> {
    match kind {
        ElementType::F32 => into.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
        ElementType::F16 => {
            into.extend(
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&b| f16::from_le_bytes(b).to_f32()),
            );
        }
        ElementType::Bf16 => {
            into.extend(
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&b| bf16::from_le_bytes(b).to_f32()),
            );
        }
        ElementType::I8 | ElementType::I16 | ElementType::I32 => {
            return Err("is quantised to integers, but the importer only reads floats".to_owned());
        }
    }
    Ok(())
}

/// A sequential parser of the file that tracks its offset.
struct Ct2Parser<'a, R> {
    source: BufReader<R>,
    path: &'a Path,
    at: u64,
    length: u64,
}

impl<R: Read + Seek> Ct2Parser<'_, R> {
    fn parse_header(&mut self) -> Result<(), ModelFileError> {
        let version = self.read_u32("the format's version")?;
        if !VERSIONS.contains(&version) {
            let known = format!("{} to {}", VERSIONS.start, VERSIONS.end - 1);
            return Err(self.error_here(format!(
                "the format has version {version}; supported are {known}"
            )));
        }
        let specification = self.read_text("the specification's name")?;
        if specification != "WhisperSpec" {
            return Err(self.error_here(format!("the model is {specification:?}, not Whisper")));
        }
        self.read_u32("the specification's revision")?;
        Ok(())
    }

    fn parse_tensor(&mut self) -> Result<(String, TensorEntry), ModelFileError> {
        let name = self.read_text("a tensor's name")?;
        let rank = self.read_u8("a tensor's rank")?;
        if rank > TENSOR_RANK_MAX {
            return Err(self.error_here(format!("{name} has {rank} dimensions")));
        }
        let mut dims = Vec::with_capacity(usize::from(rank));
        for _ in 0..rank {
            dims.push(self.read_u32("a tensor's dimension")?);
        }
        let id = self.read_u8("a tensor's type")?;
        let kind = ElementType::parse(id)
            .ok_or_else(|| self.error_here(format!("{name} has the unknown type {id}")))?;
        let bytes = u64::from(self.read_u32("a tensor's size")?);
        let expected = dims.iter().try_fold(kind.bytes() as u64, |product, &d| {
            product.checked_mul(u64::from(d))
        });
        if expected != Some(bytes) {
            return Err(self.error_here(format!("{name} of shape {dims:?} has {bytes} bytes")));
        }
        if bytes > self.length - self.at {
            let left = self.length - self.at;
            return Err(self.error_here(format!("{name} has {bytes} bytes, but {left} are left")));
        }
        let at = self.at;
        // Less than 2^32, by its type.
        self.source
            .seek_relative(bytes.cast_signed())
            .map_err(ModelFileError::io("read", self.path))?;
        self.at += bytes;
        Ok((name, TensorEntry { kind, dims, at }))
    }

    fn parse_aliases(
        &mut self,
        tensors: &mut BTreeMap<String, TensorEntry>,
    ) -> Result<Vec<String>, ModelFileError> {
        let count = self.read_u32("the number of aliases")?;
        if count > TENSORS_MAX {
            return Err(
                self.error_here(format!("{count} aliases announced; at most {TENSORS_MAX}"))
            );
        }
        let mut aliases = Vec::new();
        for _ in 0..count {
            let alias = self.read_text("an alias")?;
            let name = self.read_text("the tensor of an alias")?;
            let Some(tensor) = tensors.get(&name).cloned() else {
                return Err(
                    self.error_here(format!("{alias} is an alias of {name}, which is missing"))
                );
            };
            if tensors.insert(alias.clone(), tensor).is_some() {
                return Err(self.error_here(format!("{alias} is both an alias and a tensor")));
            }
            aliases.push(alias);
        }
        Ok(aliases)
    }

    fn read_text(&mut self, what: &str) -> Result<String, ModelFileError> {
        let length = usize::from(u16::from_le_bytes(self.read_array(what)?));
        if length == 0 || length > TENSOR_NAME_BYTES_MAX + 1 {
            return Err(self.error_here(format!("{what} is {length} bytes long")));
        }
        if length as u64 > self.length - self.at {
            return Err(self.error_here(format!("the file ends inside {what}")));
        }
        let mut bytes = vec![0; length];
        self.source
            .read_exact(&mut bytes)
            .map_err(ModelFileError::io("read", self.path))?;
        let text = (bytes.pop() == Some(0)).then(|| String::from_utf8(bytes));
        let Some(Ok(text)) = text else {
            return Err(self.error_here(format!("{what} is not text that ends in NUL")));
        };
        self.at += length as u64;
        Ok(text)
    }

    fn read_u8(&mut self, what: &str) -> Result<u8, ModelFileError> {
        self.read_array(what).map(|[byte]| byte)
    }

    fn read_u32(&mut self, what: &str) -> Result<u32, ModelFileError> {
        self.read_array(what).map(u32::from_le_bytes)
    }

    fn read_array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], ModelFileError> {
        if N as u64 > self.length - self.at {
            return Err(self.error_here(format!("the file ends inside {what}")));
        }
        let mut bytes = [0; N];
        self.source
            .read_exact(&mut bytes)
            .map_err(ModelFileError::io("read", self.path))?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn error_here(&self, problem: impl Into<String>) -> ModelFileError {
        ModelFileError::malformed(self.path, format!("byte {}", self.at), problem)
    }
}
