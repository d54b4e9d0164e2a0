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
    let p = &parameters;
    let (d, embeddings) = (p.audio_state, [p.vocabulary, p.text_state]);

    let positions = [p.audio_context, d];
    layout.add_tensor(
        "encoder.positional_embedding",
        "encoder/position_encodings/encodings",
        &positions,
    )?;
    for (i, shape) in [(1, [d, p.bands, 3]), (2, [d, d, 3])] {
        layout.add_tensor(
            &format!("encoder.conv{i}.weight"),
            &format!("encoder/conv{i}/weight"),
            &shape,
        )?;
        layout.add_tensor(
            &format!("encoder.conv{i}.bias"),
            &format!("encoder/conv{i}/bias"),
            &[d],
        )?;
    }
    for i in 0..p.audio_layers {
        let (name, source) = (format!("encoder.blocks.{i}"), format!("encoder/layer_{i}"));
        layout.add_self_attention(&name, &source, d)?;
        layout.add_mlp(&name, &source, d)?;
    }
    layout.add_layer_norm("encoder.ln_post", "encoder/layer_norm", d)?;

    let positions = [p.text_context, d];
    layout.add_tensor(
        "decoder.positional_embedding",
        "decoder/position_encodings/encodings",
        &positions,
    )?;
    layout.add_tensor(
        "decoder.token_embedding.weight",
        "decoder/embeddings/weight",
        &embeddings,
    )?;
    for i in 0..p.text_layers {
        let (name, source) = (format!("decoder.blocks.{i}"), format!("decoder/layer_{i}"));
        layout.add_self_attention(&name, &source, d)?;
        layout.add_cross_attention(&name, &source, d)?;
        layout.add_mlp(&name, &source, d)?;
    }
    layout.add_layer_norm("decoder.ln", "decoder/layer_norm", d)?;
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
mod tests {
    use std::collections::BTreeMap;
    use std::sync::LazyLock;

    use half::f16;
    use proptest::prelude::*;

    use super::*;
    use crate::models::folder::ChecksumMatch;
    use crate::models::mel;
    use crate::models::synthetic::{
        LAYERS, STATE, StoredType, SyntheticModel, VOCABULARY, value, vocabulary,
    };

    /// A parsed ggml file, by an independent parser.
    struct GgmlContents {
        numbers: Vec<u32>,
        filters: Vec<f32>,
        tokens: Vec<Vec<u8>>,
        /// Dimensions, innermost first; type; values.
        tensors: BTreeMap<String, (Vec<u32>, u32, Vec<f32>)>,
    }

    fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
        let (head, tail) = bytes.split_at(count);
        *bytes = tail;
        head
    }

    fn number(bytes: &mut &[u8]) -> u32 {
        u32::from_le_bytes(take(bytes, 4).try_into().unwrap())
    }

    fn float(bytes: &mut &[u8], kind: u32) -> f32 {
        match kind {
            0 => f32::from_le_bytes(take(bytes, 4).try_into().unwrap()),
            1 => f16::from_le_bytes(take(bytes, 2).try_into().unwrap()).to_f32(),
            _ => panic!("type {kind}"),
        }
    }

    fn parse(mut bytes: &[u8]) -> GgmlContents {
        let b = &mut bytes;
        let numbers: Vec<u32> = (0..14).map(|_| number(b)).collect();
        let filters = (0..numbers[12] * numbers[13])
            .map(|_| float(b, 0))
            .collect();
        let tokens = (0..number(b)).map(|_| {
            let length = number(b) as usize;
            take(b, length).to_vec()
        });
        let tokens = tokens.collect();
        let mut tensors = BTreeMap::new();
        while !b.is_empty() {
            let (rank, length, kind) = (number(b), number(b) as usize, number(b));
            let dims: Vec<u32> = (0..rank).map(|_| number(b)).collect();
            let name = String::from_utf8(take(b, length).to_vec()).unwrap();
            let values = (0..dims.iter().product()).map(|_| float(b, kind)).collect();
            assert!(tensors.insert(name, (dims, kind, values)).is_none());
        }
        GgmlContents {
            numbers,
            filters,
            tokens,
            tensors,
        }
    }

    fn import_model(model: &SyntheticModel) -> Result<Vec<u8>, ModelFileError> {
        let folder = tempfile::tempdir().unwrap();
        model.write(folder.path());
        let output = folder.path().join("out/ggml-x.bin");
        let imported = import(folder.path(), &output, &ProgressReporter::silent());
        let left: Vec<_> = match std::fs::read_dir(folder.path().join("out")) {
            Ok(entries) => entries.map(|e| e.unwrap().file_name()).collect(),
            Err(_) => Vec::new(),
        };
        match imported {
            Ok(imported) => {
                assert_eq!(left.len(), 2, "the file and its note: {left:?}");
                assert!(matches!(
                    folder::verify(&output).unwrap(),
                    ChecksumMatch::RecordedOrigin { .. }
                ));
                let bytes = std::fs::read(&output).unwrap();
                assert_eq!(bytes.len() as u64, imported.bytes);
                Ok(bytes)
            }
            Err(error) => {
                assert!(left.is_empty(), "a failed import leaves {left:?}");
                Err(error)
            }
        }
    }

    fn refusal(change: impl FnOnce(&mut SyntheticModel)) -> String {
        let mut model = SyntheticModel::new(StoredType::F16);
        change(&mut model);
        import_model(&model).unwrap_err().to_string()
    }

    #[test]
    fn the_parameters_filters_and_tokens_are_where_whisper_cpp_reads_them() {
        let ggml = parse(&import_model(&SyntheticModel::new(StoredType::F16)).unwrap());
        let (v, d, l) = (VOCABULARY, STATE, LAYERS);
        assert_eq!(
            ggml.numbers,
            [0x6767_6d6c, v, 6, d, 2, l, 8, d, 2, l, 80, 1, 80, 201]
        );
        assert_eq!(ggml.filters, mel::filterbank(80));
        assert_eq!(ggml.tokens.len(), 50_257);
        assert_eq!(ggml.tokens[50_256], b"t50256");
    }

    #[test]
    fn fused_projections_come_apart_and_key_biases_stay_behind() {
        let mut model = SyntheticModel::new(StoredType::F16);
        let ggml = parse(&import_model(&model).unwrap());
        let d = STATE as usize;
        let mut check = |name: &str, source: &str, first: usize, count: usize| {
            let (i, _) = model.tensor(source);
            let expected: Vec<f32> = (first..first + count)
                .map(|place| value(i, place))
                .collect();
            assert_eq!(ggml.tensors[name].2, expected, "{name}");
        };
        let fused = "decoder/layer_3/self_attention/linear_0";
        for (nth, part) in ["query", "key", "value"].into_iter().enumerate() {
            let name = format!("decoder.blocks.3.attn.{part}.weight");
            check(&name, &format!("{fused}/weight"), nth * d * d, d * d);
        }
        check(
            "decoder.blocks.3.attn.query.bias",
            &format!("{fused}/bias"),
            0,
            d,
        );
        check(
            "decoder.blocks.3.attn.value.bias",
            &format!("{fused}/bias"),
            2 * d,
            d,
        );
        let fused = "decoder/layer_0/attention/linear_1";
        check(
            "decoder.blocks.0.cross_attn.key.weight",
            &format!("{fused}/weight"),
            0,
            d * d,
        );
        let weight = format!("{fused}/weight");
        check(
            "decoder.blocks.0.cross_attn.value.weight",
            &weight,
            d * d,
            d * d,
        );
        check(
            "decoder.blocks.0.cross_attn.value.bias",
            &format!("{fused}/bias"),
            d,
            d,
        );
        let source = "encoder/layer_1/ffn/layer_norm/beta";
        check("encoder.blocks.1.mlp_ln.bias", source, 0, d);
        check("decoder.ln.weight", "decoder/layer_norm/gamma", 0, d);
        assert!(!ggml.tensors.keys().any(|name| name.ends_with("key.bias")));
        // 2 positions, 1 embedding, 4 of convolutions, 4 of the last norms; 15 and 24 for each layer.
        assert_eq!(ggml.tensors.len(), 11 + 4 * (15 + 24));
    }

    #[test]
    fn weights_are_16_bit_and_the_rest_is_32_bit_in_the_shapes_of_whisper_cpp() {
        let ggml = parse(&import_model(&SyntheticModel::new(StoredType::F16)).unwrap());
        let shape = |name: &str| (ggml.tensors[name].0.clone(), ggml.tensors[name].1);
        assert_eq!(shape("encoder.conv1.weight"), (vec![3, 80, STATE], 1));
        assert_eq!(shape("encoder.conv2.bias"), (vec![1, STATE], 0));
        assert_eq!(shape("encoder.positional_embedding"), (vec![STATE, 6], 0));
        assert_eq!(shape("decoder.positional_embedding"), (vec![STATE, 8], 0));
        assert_eq!(
            shape("decoder.token_embedding.weight"),
            (vec![STATE, VOCABULARY], 1)
        );
        assert_eq!(
            shape("encoder.blocks.0.mlp.0.weight"),
            (vec![STATE, 4 * STATE], 1)
        );
        assert_eq!(shape("encoder.blocks.0.mlp.0.bias"), (vec![4 * STATE], 0));
        assert_eq!(shape("encoder.ln_post.weight"), (vec![STATE], 0));
    }

    #[test]
    fn every_kind_of_float_gives_the_same_file() {
        let reference = import_model(&SyntheticModel::new(StoredType::F16)).unwrap();
        assert_eq!(
            import_model(&SyntheticModel::new(StoredType::F32)).unwrap(),
            reference
        );
        assert_eq!(
            import_model(&SyntheticModel::new(StoredType::Bf16)).unwrap(),
            reference
        );
    }

    #[test]
    fn whisper_cpp_accepts_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ggml-x.bin");
        std::fs::write(
            &path,
            import_model(&SyntheticModel::new(StoredType::F16)).unwrap(),
        )
        .unwrap();
        let parameters = whisper_rs::WhisperContextParameters::default();
        let context = whisper_rs::WhisperContext::new_with_params(&path, parameters).unwrap();
        assert_eq!(context.n_vocab(), VOCABULARY.cast_signed());
        assert_eq!(context.model_n_text_layer(), LAYERS.cast_signed());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let says = |text: &str, needle: &str| assert!(text.contains(needle), "{text}");
        let weight = "encoder/layer_2/ffn/linear_0/weight";
        says(&refusal(|m| m.tensors.retain(|t| t.name != weight)), weight);
        says(
            &refusal(|m| m.tensor(weight).1.dims = vec![4, 16]),
            "[4, 16] instead of [16, 4]",
        );
        let nan =
            |m: &mut SyntheticModel| m.tensor(weight).1.bytes[10..12].copy_from_slice(&[0, 0x7E]);
        says(&refusal(nan), "not a finite number at byte");
        says(&refusal(|m| m.version = 3), "version 3");
        says(
            &refusal(|m| m.specification = "BertSpec".to_owned()),
            "BertSpec",
        );
        says(
            &refusal(|m| m.aliases[0].1 = "nowhere".to_owned()),
            "nowhere",
        );
        says(
            &refusal(|m| m.tensor("decoder/num_heads").1.bytes = vec![3, 0]),
            "3 heads",
        );
        says(&refusal(|m| m.tensors[0].kind = 77), "unknown type 77");
        says(&refusal(|m| m.tensors[0].dims.push(u32::MAX)), "bytes");
        says(
            &refusal(|m| m.tensors[0].name = "x".repeat(2_000)),
            "a tensor's name is 2001 bytes",
        );
        says(
            &refusal(|m| m.tensors.push(m.tensors[0].clone())),
            "a second time",
        );
        let untied = |m: &mut SyntheticModel| {
            let mut copy = m.tensor("decoder/embeddings/weight").1.clone();
            copy.name = "decoder/projection/weight".to_owned();
            m.tensors.push(copy);
            m.aliases.clear();
        };
        says(&refusal(untied), "decoder/projection/weight");
        let rows = |m: &mut SyntheticModel| {
            let embedding = m.tensor("decoder/embeddings/weight").1;
            embedding.dims = vec![1_000, STATE];
            embedding.bytes.truncate(8_000);
        };
        says(&refusal(rows), "has 1000 rows");
    }

    #[test]
    fn a_quantised_model_is_refused_in_words() {
        let error = import_model(&SyntheticModel::new(StoredType::I8))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("quantised") && error.contains("float16"),
            "{error}"
        );
    }

    #[test]
    fn a_value_that_16_bits_cannot_hold_is_refused() {
        let mut model = SyntheticModel::new(StoredType::F32);
        let name = "decoder/layer_1/ffn/linear_1/weight";
        model.tensor(name).1.bytes[..4].copy_from_slice(&1e9_f32.to_le_bytes());
        let error = import_model(&model).unwrap_err().to_string();
        assert!(
            error.contains(name) && error.contains("1000000000"),
            "{error}"
        );
    }

    #[test]
    fn an_import_that_fails_leaves_the_file_that_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("ggml-x.bin");
        std::fs::write(&output, "precious").unwrap();
        let mut model = SyntheticModel::new(StoredType::F16);
        model.tensors.truncate(20);
        model.aliases.clear();
        model.write(folder.path());
        assert!(import(folder.path(), &output, &ProgressReporter::silent()).is_err());
        assert_eq!(std::fs::read(&output).unwrap(), b"precious");
    }

    /// Parses `bytes` as a `model.bin`, plans the output, and reads every value.
    fn read_all(bytes: &[u8]) -> Result<(), ModelFileError> {
        let mut weights = Ct2Weights::open(io::Cursor::new(bytes), Path::new("model.bin"))?;
        let (_, pieces) = plan_tensors(&mut weights)?;
        for piece in pieces {
            weights.for_each_chunk(&piece.source, piece.rows, |_| Ok(()))?;
        }
        Ok(())
    }

    /// The model with its embedding last, so that truncations and bit flips hit headers as often as values.
    static SMALL_FIRST: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut model = SyntheticModel::new(StoredType::F16);
        model.tensors.sort_by_key(|tensor| tensor.bytes.len());
        model.bytes()
    });

    #[test]
    fn a_cut_anywhere_is_an_error() {
        let whole = &*SMALL_FIRST;
        read_all(whole).unwrap();
        for end in (0..12_000).chain((12_000..whole.len()).step_by(4_999)) {
            assert!(read_all(&whole[..end]).is_err(), "cut at {end}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert!(
            read_all(&longer)
                .unwrap_err()
                .to_string()
                .contains("too many")
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn bytes_changed_anywhere_are_read_or_refused_but_never_panic(
            changes in prop::collection::vec((0_usize..24_000, any::<u8>()), 1..6),
        ) {
            let mut bytes = SMALL_FIRST.clone();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            if let Err(error) = read_all(&bytes) {
                prop_assert!(error.to_string().starts_with("model.bin at "), "{error}");
            }
        }

        #[test]
        fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..512)) {
            prop_assert!(read_all(&noise).is_err());
        }
    }

    #[test]
    fn a_folder_without_a_model_or_a_vocabulary_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out.bin");
        let say = || {
            import(folder.path(), &output, &ProgressReporter::silent())
                .unwrap_err()
                .to_string()
        };
        assert!(say().contains("model.bin"));
        std::fs::write(
            folder.path().join("model.bin"),
            SyntheticModel::new(StoredType::F16).bytes(),
        )
        .unwrap();
        assert!(say().contains("vocabulary.txt"));
        std::fs::write(folder.path().join("vocabulary.txt"), vocabulary()).unwrap();
        import(folder.path(), &output, &ProgressReporter::silent()).unwrap();
    }
}
