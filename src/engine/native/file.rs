//! Reads the ggml file of a Whisper model: parameters, mel filters, vocabulary, tensors of 16- and
//! 32-bit floats. The format is described where it is written, in `models::ggml`.

use std::collections::HashMap;
use std::path::Path;

use half::f16;
use half::slice::HalfFloatSliceExt;
use half::vec::HalfFloatVecExt;

use super::Unfit;

/// "ggml", as a number.
const MAGIC: u32 = 0x6767_6d6c;

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
                let reason = format!("{name} is quantised");
                return Err(Unfit::Unsupported(reason));
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
    fn quantised_tensors_are_left_to_others() {
        let mut bytes = bytes();
        let kind = bytes.len() - 17;
        bytes[kind] = 8;
        assert!(matches!(read(&bytes), Err(Unfit::Unsupported(_))));
    }
}
