//! Reads CTranslate2's `model.bin`: first the index of its tensors, then the values of one at a
//! time. Nothing in the file is believed before it is checked against the file's own length, so
//! a lie costs an error and never an allocation.
//!
//! The format, little-endian throughout (`TEXT` is a u16 length that counts a closing NUL):
//! `u32` version, `TEXT` specification, `u32` revision; `u32` tensors, each `TEXT` name, `u8`
//! rank, `u32` for each dimension, `u8` type, `u32` bytes, the values; then `u32` aliases, each
//! two `TEXT`s: the alias and the tensor it stands for.
//! Source: <https://github.com/OpenNMT/CTranslate2>, `python/ctranslate2/specs/model_spec.py`.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::{bf16, f16};

use crate::limits::{TENSOR_NAME_BYTES_MAX, TENSOR_RANK_MAX, TENSORS_MAX};
use crate::models::ModelError;

/// Versions of the format that carry a type with each tensor.
const VERSIONS: Range<u32> = 4..7;

/// Values that are decoded at a time.
const CHUNK_VALUES: usize = 16 * 1024;

/// How a tensor's values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    F32,
    I8,
    I16,
    I32,
    F16,
    Bf16,
}

/// Where a tensor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) kind: Type,
    /// Outermost first; empty for a single value.
    pub(super) dims: Vec<u32>,
    at: u64,
}

/// An open `model.bin`.
#[derive(Debug)]
pub(super) struct Weights<R> {
    source: BufReader<R>,
    path: PathBuf,
    /// Every name, aliases resolved.
    tensors: BTreeMap<String, Tensor>,
    /// The names in it that are aliases.
    aliases: Vec<String>,
}

impl Type {
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

impl<R: Read + Seek> Weights<R> {
    /// Reads the index. `path` is for the words of errors alone.
    pub(super) fn open(mut source: R, path: &Path) -> Result<Self, ModelError> {
        let length = source
            .seek(SeekFrom::End(0))
            .map_err(ModelError::io("read", path))?;
        source.rewind().map_err(ModelError::io("read", path))?;
        let mut scan = Scan {
            source: BufReader::new(source),
            path,
            at: 0,
            length,
        };
        scan.header()?;
        let mut tensors = BTreeMap::new();
        let count = scan.u32("the number of tensors")?;
        if count > TENSORS_MAX {
            return Err(scan.wrong(format!("{count} tensors announced; at most {TENSORS_MAX}")));
        }
        for _ in 0..count {
            let (name, tensor) = scan.tensor()?;
            if tensors.insert(name.clone(), tensor).is_some() {
                return Err(scan.wrong(format!("the tensor {name} comes a second time")));
            }
        }
        let aliases = scan.aliases(&mut tensors)?;
        if scan.at != length {
            return Err(scan.wrong(format!("{} bytes too many follow", length - scan.at)));
        }
        Ok(Self {
            source: scan.source,
            path: path.to_owned(),
            tensors,
            aliases,
        })
    }

    /// The tensor of that name, through an alias if need be.
    pub(super) fn find(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Whether `name` is there as a tensor of its own rather than an alias.
    pub(super) fn is_own(&self, name: &str) -> bool {
        self.tensors.contains_key(name) && !self.aliases.iter().any(|alias| alias == name)
    }

    /// Whether any tensor's name begins so.
    pub(super) fn has_prefix(&self, prefix: &str) -> bool {
        self.tensors
            .range(prefix.to_owned()..)
            .next()
            .is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// A single integer; `None` when there is no such tensor.
    pub(super) fn integer(&mut self, name: &str) -> Result<Option<i64>, ModelError> {
        let Some(tensor) = self.tensors.get(name).cloned() else {
            return Ok(None);
        };
        if !tensor.dims.is_empty() {
            return Err(self.wrong(name, "is not a single value"));
        }
        let mut bytes = [0; 4];
        let bytes = &mut bytes[..tensor.kind.bytes()];
        self.read_at(tensor.at, bytes)?;
        let value = match (tensor.kind, &*bytes) {
            (Type::I8, &[a]) => i64::from(a.cast_signed()),
            (Type::I16, &[a, b]) => i64::from(i16::from_le_bytes([a, b])),
            (Type::I32, &[a, b, c, d]) => i64::from(i32::from_le_bytes([a, b, c, d])),
            _ => return Err(self.wrong(name, "is not an integer")),
        };
        Ok(Some(value))
    }

    /// Hands out the values of `rows` (along the outermost dimension) as 32-bit floats, a chunk
    /// at a time. The caller has checked that the tensor is there and has those rows.
    pub(super) fn values(
        &mut self,
        name: &str,
        rows: Range<u32>,
        mut take: impl FnMut(&[f32]) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let tensor = self
            .tensors
            .get(name)
            .cloned()
            .ok_or_else(|| self.missing(name))?;
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
            decode(tensor.kind, bytes, &mut floats).map_err(|e| self.wrong(name, e))?;
            if let Some(i) = floats.iter().position(|v| !v.is_finite()) {
                let byte = at + (i * size) as u64;
                return Err(self.wrong(name, format!("is not a finite number at byte {byte}")));
            }
            take(&floats)?;
            left -= count as u64;
            at += (count * size) as u64;
        }
        Ok(())
    }

    pub(super) fn missing(&self, name: &str) -> ModelError {
        self.wrong(name, "is missing")
    }

    pub(super) fn wrong(&self, name: &str, problem: impl Into<String>) -> ModelError {
        ModelError::malformed(&self.path, format!("tensor {name}"), problem)
    }

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<(), ModelError> {
        let done = self
            .source
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.source.read_exact(into));
        done.map_err(ModelError::io("read", &self.path))
    }
}

fn decode(kind: Type, bytes: &[u8], into: &mut Vec<f32>) -> Result<(), String> {
    match kind {
        Type::F32 => into.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
        Type::F16 => {
            into.extend(
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&b| f16::from_le_bytes(b).to_f32()),
            );
        }
        Type::Bf16 => {
            into.extend(
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&b| bf16::from_le_bytes(b).to_f32()),
            );
        }
        Type::I8 | Type::I16 | Type::I32 => {
            return Err("is quantised to integers, and the importer reads floats only".to_owned());
        }
    }
    Ok(())
}

/// A walk through the file from its beginning, which knows where it is.
struct Scan<'a, R> {
    source: BufReader<R>,
    path: &'a Path,
    at: u64,
    length: u64,
}

impl<R: Read + Seek> Scan<'_, R> {
    fn header(&mut self) -> Result<(), ModelError> {
        let version = self.u32("the format's version")?;
        if !VERSIONS.contains(&version) {
            let known = format!("{} to {}", VERSIONS.start, VERSIONS.end - 1);
            return Err(self.wrong(format!("version {version} of the format, not {known}")));
        }
        let specification = self.text("the specification's name")?;
        if specification != "WhisperSpec" {
            return Err(self.wrong(format!("a model of kind {specification:?}, not Whisper")));
        }
        self.u32("the specification's revision")?;
        Ok(())
    }

    fn tensor(&mut self) -> Result<(String, Tensor), ModelError> {
        let name = self.text("a tensor's name")?;
        let rank = self.u8("a tensor's rank")?;
        if rank > TENSOR_RANK_MAX {
            return Err(self.wrong(format!("{name} has {rank} dimensions")));
        }
        let mut dims = Vec::with_capacity(usize::from(rank));
        for _ in 0..rank {
            dims.push(self.u32("a tensor's dimension")?);
        }
        let id = self.u8("a tensor's type")?;
        let kind = Type::parse(id)
            .ok_or_else(|| self.wrong(format!("{name} has the unknown type {id}")))?;
        let bytes = u64::from(self.u32("a tensor's size")?);
        let expected = dims.iter().try_fold(kind.bytes() as u64, |product, &d| {
            product.checked_mul(u64::from(d))
        });
        if expected != Some(bytes) {
            return Err(self.wrong(format!("{name} of shape {dims:?} has {bytes} bytes")));
        }
        if bytes > self.length - self.at {
            let left = self.length - self.at;
            return Err(self.wrong(format!("{name} has {bytes} bytes, but {left} are left")));
        }
        let at = self.at;
        // Less than 2^32, by its type.
        self.source
            .seek_relative(bytes.cast_signed())
            .map_err(ModelError::io("read", self.path))?;
        self.at += bytes;
        Ok((name, Tensor { kind, dims, at }))
    }

    fn aliases(
        &mut self,
        tensors: &mut BTreeMap<String, Tensor>,
    ) -> Result<Vec<String>, ModelError> {
        let count = self.u32("the number of aliases")?;
        if count > TENSORS_MAX {
            return Err(self.wrong(format!("{count} aliases announced; at most {TENSORS_MAX}")));
        }
        let mut aliases = Vec::new();
        for _ in 0..count {
            let alias = self.text("an alias")?;
            let name = self.text("the tensor that an alias stands for")?;
            let Some(tensor) = tensors.get(&name).cloned() else {
                return Err(self.wrong(format!("{alias} stands for {name}, which is missing")));
            };
            if tensors.insert(alias.clone(), tensor).is_some() {
                return Err(self.wrong(format!("{alias} is both an alias and a tensor")));
            }
            aliases.push(alias);
        }
        Ok(aliases)
    }

    fn text(&mut self, what: &str) -> Result<String, ModelError> {
        let length = usize::from(u16::from_le_bytes(self.take(what)?));
        if length == 0 || length > TENSOR_NAME_BYTES_MAX + 1 {
            return Err(self.wrong(format!("{what} is {length} bytes long")));
        }
        if length as u64 > self.length - self.at {
            return Err(self.wrong(format!("the file ends inside {what}")));
        }
        let mut bytes = vec![0; length];
        self.source
            .read_exact(&mut bytes)
            .map_err(ModelError::io("read", self.path))?;
        let text = (bytes.pop() == Some(0)).then(|| String::from_utf8(bytes));
        let Some(Ok(text)) = text else {
            return Err(self.wrong(format!("{what} is not text that ends in NUL")));
        };
        self.at += length as u64;
        Ok(text)
    }

    fn u8(&mut self, what: &str) -> Result<u8, ModelError> {
        self.take(what).map(|[byte]| byte)
    }

    fn u32(&mut self, what: &str) -> Result<u32, ModelError> {
        self.take(what).map(u32::from_le_bytes)
    }

    fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N], ModelError> {
        if N as u64 > self.length - self.at {
            return Err(self.wrong(format!("the file ends inside {what}")));
        }
        let mut bytes = [0; N];
        self.source
            .read_exact(&mut bytes)
            .map_err(ModelError::io("read", self.path))?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn wrong(&self, problem: impl Into<String>) -> ModelError {
        ModelError::malformed(self.path, format!("byte {}", self.at), problem)
    }
}
