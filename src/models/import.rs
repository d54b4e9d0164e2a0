//! Converts a `CTranslate2` Whisper folder (the format of faster-whisper) to a ggml file, one chunk of one
//! tensor at a time, so that memory use is small for every model.
//!
//! Both formats store the same weights in different layouts. `CTranslate2` fuses the projections of query,
//! key and value (of key and value in cross attention) into one matrix; ggml stores them separately. ggml has
//! no key bias; omitting it loses nothing: it adds the same amount to every score of a query, which cancels
//! out in the softmax.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::ops::Range;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::ct2::{Ct2Weights, ElementType};
use super::folder::{self, ModelOrigin};
use super::ggml::{HyperParameters, TensorHeader};
use super::vocabulary;
use crate::limits::MODEL_LAYERS_MAX;
use crate::models::{ModelFileError, ProgressEvent, ProgressReporter};

/// Sizes of Whisper's vocabularies: English, multilingual, multilingual with Cantonese. whisper.cpp derives
/// the number of languages from them, so that no other size would work.
const VOCABULARIES: Range<u32> = 51_864..51_867;

/// Width of an attention head in every Whisper model, for folders that do not state the number of heads.
const HEAD_WIDTH: u32 = 64;

/// A ggml file that has been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenModel {
    /// Size of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, in lower-case hexadecimal digits.
    pub sha256: String,
}

/// Converts the `CTranslate2` model in `folder` (`model.bin`, and `vocabulary.txt`, `vocabulary.json` or
/// `tokenizer.json`) to ggml with 16-bit weights at `output`, with an origin record beside it. `output` is
/// replaced only by a complete file.
///
/// Blocks the thread while it reads and writes the model.
pub fn import(
    folder: &Path,
    output: &Path,
    progress: &ProgressReporter,
) -> Result<WrittenModel, ModelFileError> {
    if let Some(parent) = output.parent() {
        std::fs::create_dir_all(parent).map_err(ModelFileError::io("write", parent))?;
    }
    let part = folder::with_suffix(output, ".import.part");
    let imported = convert(folder, &part, progress)?;
    let WrittenModel { bytes, sha256 } = imported.clone();
    let from = format!("imported from {}", folder.display());
    folder::install(
        &part,
        output,
        &ModelOrigin {
            from,
            bytes,
            sha256,
        },
    )?;
    Ok(imported)
}

/// Writes the model in `folder` to `part`; removes `part` if that fails.
pub(super) fn convert(
    folder: &Path,
    part: &Path,
    progress: &ProgressReporter,
) -> Result<WrittenModel, ModelFileError> {
    let path = folder.join("model.bin");
    let file = File::open(&path).map_err(ModelFileError::io("read", &path))?;
    let mut weights = Ct2Weights::open(file, &path)?;
    let (parameters, pieces) = plan_tensors(&mut weights)?;
    let tokens = vocabulary::read(folder, parameters.vocabulary)?;
    let written = write_ggml(&mut weights, &parameters, &tokens, &pieces, part, progress);
    if written.is_err() {
        // The first error matters more than a left-over temporary file.
        let _ = std::fs::remove_file(part);
    }
    written
}

/// A tensor of the output, and the location of its values.
#[derive(Debug)]
struct TensorPlan {
    header: TensorHeader,
    source: String,
    rows: Range<u32>,
}

/// Reads the model's dimensions and plans the output; checks that every tensor is present and valid before
/// anything is written.
fn plan_tensors<R: Read + Seek>(
    weights: &mut Ct2Weights<R>,
) -> Result<(HyperParameters, Vec<TensorPlan>), ModelFileError> {
    let parameters = read_hyper_parameters(weights)?;
    // Must be an alias: Whisper's output layer is its token embedding, and ggml supports no other.
    if weights.is_stored("decoder/projection/weight") {
        return Err(weights.tensor_error("decoder/projection/weight", "is not the token embedding"));
    }
    let mut layout = TensorLayout {
        weights,
        pieces: Vec::new(),
    };
    layout.add_encoder(&parameters)?;
    layout.add_decoder(&parameters)?;
    let pieces = layout.pieces;
    Ok((parameters, pieces))
}

/// Reads the model's dimensions from its tensors.
fn read_hyper_parameters<R: Read + Seek>(
    weights: &mut Ct2Weights<R>,
) -> Result<HyperParameters, ModelFileError> {
    let [audio_context, audio_state] =
        tensor_dims(weights, "encoder/position_encodings/encodings")?;
    let [text_context, text_state] = tensor_dims(weights, "decoder/position_encodings/encodings")?;
    let [vocabulary, _] = tensor_dims(weights, "decoder/embeddings/weight")?;
    let [_, bands, _] = tensor_dims(weights, "encoder/conv1/weight")?;
    if ![80, 128].contains(&bands) {
        let problem = format!("takes {bands} mel bands; Whisper has 80 or 128");
        return Err(weights.tensor_error("encoder/conv1/weight", problem));
    }
    if !VOCABULARIES.contains(&vocabulary) {
        let problem = format!("has {vocabulary} rows; Whisper has 51864 to 51866");
        return Err(weights.tensor_error("decoder/embeddings/weight", problem));
    }
    if audio_state != text_state {
        let problem = format!("has width {text_state}, but the encoder has {audio_state}");
        return Err(weights.tensor_error("decoder/position_encodings/encodings", problem));
    }
    Ok(HyperParameters {
        vocabulary,
        audio_context,
        audio_state,
        audio_heads: head_count(weights, "encoder", audio_state)?,
        audio_layers: layer_count(weights, "encoder")?,
        text_context,
        text_state,
        text_heads: head_count(weights, "decoder", text_state)?,
        text_layers: layer_count(weights, "decoder")?,
        bands,
    })
}

/// Returns the dimensions of a tensor with a known rank; an error if one is zero.
fn tensor_dims<R: Read + Seek, const N: usize>(
    weights: &Ct2Weights<R>,
    name: &str,
) -> Result<[u32; N], ModelFileError> {
    let found = weights
        .find(name)
        .ok_or_else(|| weights.missing_tensor(name))?;
    match <[u32; N]>::try_from(found.dims.as_slice()) {
        Ok(dims) if !dims.contains(&0) => Ok(dims),
        _ => Err(weights.tensor_error(name, format!("has the shape {:?}", found.dims))),
    }
}

fn head_count<R: Read + Seek>(
    weights: &mut Ct2Weights<R>,
    side: &str,
    state: u32,
) -> Result<u32, ModelFileError> {
    let name = format!("{side}/num_heads");
    let heads = weights
        .read_integer(&name)?
        .unwrap_or_else(|| i64::from(state / HEAD_WIDTH));
    match u32::try_from(heads) {
        Ok(heads) if heads > 0 && state.is_multiple_of(heads) => Ok(heads),
        _ => Err(weights.tensor_error(
            &name,
            format!("the width {state} is not a multiple of {heads} heads"),
        )),
    }
}

fn layer_count<R: Read + Seek>(weights: &Ct2Weights<R>, side: &str) -> Result<u32, ModelFileError> {
    let count = (0..=MODEL_LAYERS_MAX)
        .take_while(|i| weights.has_prefix(&format!("{side}/layer_{i}/")))
        .count();
    if count == 0 || count > MODEL_LAYERS_MAX {
        let problem = format!("is missing, or there are more than {MODEL_LAYERS_MAX} layers");
        return Err(weights.tensor_error(&format!("{side}/layer_0"), problem));
    }
    Ok(count as u32)
}

/// Plans the tensors of the output in order.
struct TensorLayout<'a, R> {
    weights: &'a Ct2Weights<R>,
    pieces: Vec<TensorPlan>,
}

impl<R: Read + Seek> TensorLayout<'_, R> {
    fn add_encoder(&mut self, p: &HyperParameters) -> Result<(), ModelFileError> {
        let d = p.audio_state;
        let positions = [p.audio_context, d];
        self.add_tensor(
            "encoder.positional_embedding",
            "encoder/position_encodings/encodings",
            &positions,
        )?;
        for (i, shape) in [(1, [d, p.bands, 3]), (2, [d, d, 3])] {
            self.add_tensor(
                &format!("encoder.conv{i}.weight"),
                &format!("encoder/conv{i}/weight"),
                &shape,
            )?;
            self.add_tensor(
                &format!("encoder.conv{i}.bias"),
                &format!("encoder/conv{i}/bias"),
                &[d],
            )?;
        }
        for i in 0..p.audio_layers {
            let (name, source) = (format!("encoder.blocks.{i}"), format!("encoder/layer_{i}"));
            self.add_self_attention(&name, &source, d)?;
            self.add_mlp(&name, &source, d)?;
        }
        self.add_layer_norm("encoder.ln_post", "encoder/layer_norm", d)
    }

    fn add_decoder(&mut self, p: &HyperParameters) -> Result<(), ModelFileError> {
        let d = p.text_state;
        let positions = [p.text_context, d];
        self.add_tensor(
            "decoder.positional_embedding",
            "decoder/position_encodings/encodings",
            &positions,
        )?;
        self.add_tensor(
            "decoder.token_embedding.weight",
            "decoder/embeddings/weight",
            &[p.vocabulary, d],
        )?;
        for i in 0..p.text_layers {
            let (name, source) = (format!("decoder.blocks.{i}"), format!("decoder/layer_{i}"));
            self.add_self_attention(&name, &source, d)?;
            self.add_cross_attention(&name, &source, d)?;
            self.add_mlp(&name, &source, d)?;
        }
        self.add_layer_norm("decoder.ln", "decoder/layer_norm", d)
    }

    fn add_self_attention(
        &mut self,
        name: &str,
        source: &str,
        d: u32,
    ) -> Result<(), ModelFileError> {
        let (name, source) = (format!("{name}.attn"), format!("{source}/self_attention"));
        let fused = format!("{source}/linear_0");
        for (i, part, has_bias) in [(0, "query", true), (1, "key", false), (2, "value", true)] {
            self.add_linear_part(&format!("{name}.{part}"), &fused, d, (i, 3), has_bias)?;
        }
        self.add_linear(
            &format!("{name}.out"),
            &format!("{source}/linear_1"),
            [d, d],
        )?;
        self.add_layer_norm(&format!("{name}_ln"), &format!("{source}/layer_norm"), d)
    }

    fn add_cross_attention(
        &mut self,
        name: &str,
        source: &str,
        d: u32,
    ) -> Result<(), ModelFileError> {
        let (name, source) = (format!("{name}.cross_attn"), format!("{source}/attention"));
        self.add_linear(
            &format!("{name}.query"),
            &format!("{source}/linear_0"),
            [d, d],
        )?;
        let fused = format!("{source}/linear_1");
        for (i, part, has_bias) in [(0, "key", false), (1, "value", true)] {
            self.add_linear_part(&format!("{name}.{part}"), &fused, d, (i, 2), has_bias)?;
        }
        self.add_linear(
            &format!("{name}.out"),
            &format!("{source}/linear_2"),
            [d, d],
        )?;
        self.add_layer_norm(&format!("{name}_ln"), &format!("{source}/layer_norm"), d)
    }

    fn add_mlp(&mut self, name: &str, source: &str, d: u32) -> Result<(), ModelFileError> {
        let source = format!("{source}/ffn");
        let wide = d.saturating_mul(4);
        self.add_linear(
            &format!("{name}.mlp.0"),
            &format!("{source}/linear_0"),
            [wide, d],
        )?;
        self.add_linear(
            &format!("{name}.mlp.2"),
            &format!("{source}/linear_1"),
            [d, wide],
        )?;
        self.add_layer_norm(
            &format!("{name}.mlp_ln"),
            &format!("{source}/layer_norm"),
            d,
        )
    }

    fn add_layer_norm(&mut self, name: &str, source: &str, d: u32) -> Result<(), ModelFileError> {
        self.add_tensor(&format!("{name}.weight"), &format!("{source}/gamma"), &[d])?;
        self.add_tensor(&format!("{name}.bias"), &format!("{source}/beta"), &[d])
    }

    fn add_linear(
        &mut self,
        name: &str,
        source: &str,
        shape: [u32; 2],
    ) -> Result<(), ModelFileError> {
        self.add_tensor(
            &format!("{name}.weight"),
            &format!("{source}/weight"),
            &shape,
        )?;
        self.add_tensor(
            &format!("{name}.bias"),
            &format!("{source}/bias"),
            &shape[..1],
        )
    }

    /// Adds part `nth` of `of` square matrices that are stacked in one tensor.
    fn add_linear_part(
        &mut self,
        name: &str,
        source: &str,
        d: u32,
        part: (u32, u32),
        has_bias: bool,
    ) -> Result<(), ModelFileError> {
        self.add_tensor_part(
            &format!("{name}.weight"),
            &format!("{source}/weight"),
            &[d, d],
            part,
        )?;
        if has_bias {
            self.add_tensor_part(
                &format!("{name}.bias"),
                &format!("{source}/bias"),
                &[d],
                part,
            )?;
        }
        Ok(())
    }

    fn add_tensor(
        &mut self,
        name: &str,
        source: &str,
        shape: &[u32],
    ) -> Result<(), ModelFileError> {
        self.add_tensor_part(name, source, shape, (0, 1))
    }

    fn add_tensor_part(
        &mut self,
        name: &str,
        source: &str,
        shape: &[u32],
        (nth, of): (u32, u32),
    ) -> Result<(), ModelFileError> {
        let found = self
            .weights
            .find(source)
            .ok_or_else(|| self.weights.missing_tensor(source))?;
        if matches!(
            found.kind,
            ElementType::I8 | ElementType::I16 | ElementType::I32
        ) {
            let problem = "is quantised to integers, but the importer only reads floats";
            return Err(self.weights.tensor_error(source, problem));
        }
        let mut whole = shape.to_vec();
        whole[0] = whole[0].saturating_mul(of);
        if found.dims != whole {
            let problem = format!("has the shape {:?} instead of {whole:?}", found.dims);
            return Err(self.weights.tensor_error(source, problem));
        }
        // whisper.cpp computes with these in 32 bits, and expects a convolution's bias as a column.
        let column = ["encoder.conv1.bias", "encoder.conv2.bias"].contains(&name);
        let exact = column || name.ends_with(".positional_embedding");
        let mut dims = shape.to_vec();
        if column {
            dims.push(1);
        }
        let half = dims.len() > 1 && !exact;
        // At most `whole[0]`, which is a dimension in the file.
        let rows = nth * shape[0]..(nth + 1) * shape[0];
        let header = TensorHeader {
            name: name.to_owned(),
            dims,
            half,
        };
        self.pieces.push(TensorPlan {
            header,
            source: source.to_owned(),
            rows,
        });
        Ok(())
    }
}

fn write_ggml<R: Read + Seek>(
    weights: &mut Ct2Weights<R>,
    parameters: &HyperParameters,
    tokens: &[Vec<u8>],
    pieces: &[TensorPlan],
    path: &Path,
    progress: &ProgressReporter,
) -> Result<WrittenModel, ModelFileError> {
    let file = File::create(path).map_err(ModelFileError::io("write", path))?;
    let tensors: u64 = pieces.iter().map(|piece| piece.header.bytes()).sum();
    let total = parameters.bytes(tokens) + tensors;
    let mut to = HashingWriter {
        to: BufWriter::new(file),
        sum: Sha256::new(),
        bytes: 0,
    };
    parameters
        .write(tokens, &mut to)
        .map_err(ModelFileError::io("write", path))?;
    for piece in pieces {
        piece
            .header
            .write(&mut to)
            .map_err(ModelFileError::io("write", path))?;
        let mut too_large = None;
        weights.for_each_chunk(&piece.source, piece.rows.clone(), |values| {
            too_large = too_large.or_else(|| piece.header.too_large(values));
            let done = piece.header.write_values(values, &mut to);
            done.map_err(ModelFileError::io("write", path))?;
            progress.report(ProgressEvent::Importing {
                done: to.bytes,
                total,
            });
            Ok(())
        })?;
        if let Some(value) = too_large {
            let problem = format!("holds {value}, too large for a 16-bit float");
            return Err(weights.tensor_error(&piece.source, problem));
        }
    }
    let HashingWriter { to, sum, bytes } = to;
    debug_assert_eq!(bytes, total);
    let file = to
        .into_inner()
        .map_err(|e| ModelFileError::io("write", path)(e.into_error()))?;
    file.sync_all().map_err(ModelFileError::io("write", path))?;
    Ok(WrittenModel {
        bytes,
        sha256: folder::hex_digest(sum),
    })
}

/// A writer that counts and hashes the bytes.
struct HashingWriter<W> {
    to: W,
    sum: Sha256,
    bytes: u64,
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.sum.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests;
