//! Text decoder: encoder rows and previous tokens → logits of the next token. Pure: no I/O.
//!
//! The hypotheses of one clip (the beams) are evaluated as one batch: reading the weights is most
//! of the work, and a batch reads them once. The self-attention keys and values of all tokens of
//! all hypotheses are rows of one pool. A hypothesis is a list of its rows ([`KvPath`]), so that a
//! branch copies no keys and no values.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::LoadError;
use super::encoder::HEAD_DIM;
use super::encoder::KeyValueSlice;
use super::encoder::KeyValues;
use super::encoder::SILENCE_STRIDE;
use super::ggml_file::GgmlFile;
use super::ggml_file::ModelDimensions;
use super::kernel;
use super::kernel::MatrixView;
use super::kernel::QUANTIZED_INPUT_MAX;
use super::layers::HalfLinear;
use super::layers::LayerNorm;
use super::layers::Linear;
use super::layers::softmax;
use super::special_tokens::SpecialTokens;

/// Number of text tokens, the likeliest ones, with exact logits.
pub(super) const EXACT_LOGITS: usize = 16;

/// Weights of the decoder, and the cross-attention cache of silence.
pub(super) struct Decoder {
    width: usize,
    context_tokens: usize,
    special_tokens: SpecialTokens,
    /// `vocabulary × width`: maps tokens to rows, and (tied) the last rows to logits.
    token_embedding: Vec<f16>,
    int8_embedding: Int8Embedding,
    positional_embedding: Vec<f32>,
    blocks: Vec<DecoderBlock>,
    ln: LayerNorm,
    /// Keys and values of the cached silence, one entry per layer.
    silence_cross_kv: Vec<KeyValues>,
}

struct DecoderBlock {
    self_attn_ln: LayerNorm,
    self_attn_qkv: [HalfLinear; 3],
    self_attn_out: HalfLinear,
    cross_attn_ln: LayerNorm,
    cross_attn_query: HalfLinear,
    /// In f32: applied to all rows of a clip at once.
    cross_attn_key: Linear,
    cross_attn_value: Linear,
    cross_attn_out: HalfLinear,
    mlp_ln: LayerNorm,
    mlp_up: HalfLinear,
    mlp_down: HalfLinear,
}

/// Rows of the text tokens' embedding, quantised to int8: estimates which tokens are likely while
/// reading half as many bytes.
struct Int8Embedding {
    bytes: Vec<i8>,
    /// One per row.
    scales: Vec<f32>,
}

impl Decoder {
    /// Loads the weights. `silence` holds the encoder's output rows for silence (`rows × width`).
    pub(super) fn load(
        file: &mut GgmlFile,
        special_tokens: SpecialTokens,
        silence: &[f32],
    ) -> Result<Self, LoadError> {
        let ModelDimensions {
            text_state: width,
            text_context: context_tokens,
            ..
        } = file.dimensions;
        let mut blocks = Vec::new();
        for n in 0..file.dimensions.text_layers {
            blocks.push(DecoderBlock::load(file, n, width)?);
        }
        let tokens = file.dimensions.vocab_size;
        let token_embedding = file.take_f16("decoder.token_embedding.weight", tokens * width)?;
        let silence_cross_kv = blocks
            .iter()
            .map(|block| block.project_cross_kv(silence))
            .collect();
        Ok(Self {
            width,
            context_tokens,
            special_tokens,
            int8_embedding: Int8Embedding::quantize(
                &token_embedding[..special_tokens.text_token_count() * width],
                width,
            ),
            token_embedding,
            positional_embedding: file
                .take_f32("decoder.positional_embedding", context_tokens * width)?,
            blocks,
            ln: LayerNorm::load(file, "decoder.ln", width)?,
            silence_cross_kv,
        })
    }

    /// Computes the cross-attention keys and values of the encoder's `rows` (`rows × width`). With
    /// `has_cached_silence`, the cached silence follows them, up to the end of the window.
    pub(super) fn new_state(&self, rows: &[f32], has_cached_silence: bool) -> DecoderState<'_> {
        let silence_from = rows.len() / self.width / SILENCE_STRIDE;
        DecoderState {
            decoder: self,
            cross_kv: self
                .blocks
                .iter()
                .map(|block| block.project_cross_kv(rows))
                .collect(),
            silence_from: has_cached_silence.then_some(silence_from),
            self_kv: self.blocks.iter().map(|_| KeyValues::default()).collect(),
            self_kv_rows: 0,
        }
    }

    fn row(&self, token: usize) -> &[f16] {
        &self.token_embedding[token * self.width..][..self.width]
    }
}

impl DecoderBlock {
    fn load(file: &mut GgmlFile, n: usize, width: usize) -> Result<Self, LoadError> {
        let name = |part: &str| format!("decoder.blocks.{n}.{part}");
        let mut square = |part: &str| HalfLinear::load(file, &name(part), width, width);
        let self_attn_qkv = [
            square("attn.query")?,
            square("attn.key")?,
            square("attn.value")?,
        ];
        let (self_attn_out, cross_attn_query) = (square("attn.out")?, square("cross_attn.query")?);
        let cross_attn_out = square("cross_attn.out")?;
        Ok(Self {
            self_attn_ln: LayerNorm::load(file, &name("attn_ln"), width)?,
            self_attn_qkv,
            self_attn_out,
            cross_attn_ln: LayerNorm::load(file, &name("cross_attn_ln"), width)?,
            cross_attn_query,
            cross_attn_key: Linear::load(file, &name("cross_attn.key"), width, width)?,
            cross_attn_value: Linear::load(file, &name("cross_attn.value"), width, width)?,
            cross_attn_out,
            mlp_ln: LayerNorm::load(file, &name("mlp_ln"), width)?,
            mlp_up: HalfLinear::load(file, &name("mlp.0"), width, 4 * width)?,
            mlp_down: HalfLinear::load(file, &name("mlp.2"), 4 * width, width)?,
        })
    }

    fn project_cross_kv(&self, rows: &[f32]) -> KeyValues {
        KeyValues {
            keys: self.cross_attn_key.apply(rows),
            values: self.cross_attn_value.apply(rows),
        }
    }
}

/// Key/value caches of one clip.
pub(super) struct DecoderState<'m> {
    decoder: &'m Decoder,
    /// Keys and values of the encoder's rows, one entry per layer.
    cross_kv: Vec<KeyValues>,
    /// First attended row of the cached silence; `None` if there is no cached silence.
    silence_from: Option<usize>,
    /// Keys and values of the tokens of all hypotheses, one entry per layer.
    self_kv: Vec<KeyValues>,
    self_kv_rows: usize,
}

/// Next input token of a hypothesis, and the rows of its previous tokens in the key/value pool.
#[derive(Debug, Clone, Default)]
pub(super) struct KvPath {
    pub(super) token: i32,
    pub(super) kv_rows: Vec<usize>,
}

/// Logits of the tokens that may follow one hypothesis.
pub(super) struct Logits {
    /// One per token. Timestamps and the [`EXACT_LOGITS`] likeliest text tokens are exact, other
    /// text tokens within a tenth or so; −∞ for tokens that are neither text, nor end of text, nor
    /// timestamps.
    pub(super) values: Vec<f32>,
    hidden: Vec<f32>,
}

impl DecoderState<'_> {
    /// Maximum number of tokens of a hypothesis, prompt included.
    pub(super) fn context_tokens(&self) -> usize {
        self.decoder.context_tokens
    }

    /// Feeds each path's token, appends its row to the path, and returns the logits, one per path.
    pub(super) fn forward(&mut self, paths: &mut [&mut KvPath]) -> Vec<Logits> {
        let rows = self.forward_hidden(paths);
        self.compute_logits(&rows)
    }

    /// Does the same without logits, and returns the hidden rows (`paths × width`).
    pub(super) fn forward_hidden(&mut self, paths: &mut [&mut KvPath]) -> Vec<f32> {
        let decoder = self.decoder;
        let width = decoder.width;
        let mut hidden = Vec::with_capacity(paths.len() * width);
        for path in paths.iter_mut() {
            let position = &decoder.positional_embedding[path.kv_rows.len() * width..][..width];
            let mut row = decoder.row(path.token as usize).to_f32_vec();
            kernel::add_scaled(&mut row, 1.0, position);
            hidden.extend(row);
            path.kv_rows.push(self.self_kv_rows);
            self.self_kv_rows += 1;
        }
        for (n, block) in decoder.blocks.iter().enumerate() {
            let normed = block.self_attn_ln.apply(&hidden);
            let [queries, keys, values] = block
                .self_attn_qkv
                .each_ref()
                .map(|linear| linear.apply(&normed));
            let self_kv = &mut self.self_kv[n];
            self_kv.keys.extend(keys);
            self_kv.values.extend(values);
            let attention: Vec<f32> = queries
                .chunks_exact(width)
                .zip(&*paths)
                .flat_map(|(query, path)| {
                    let key_values = path.kv_rows.iter().map(|&row| self_kv.row(row, width));
                    multi_head_attention(
                        query,
                        width,
                        &key_values.collect::<Vec<_>>(),
                        path.kv_rows.len(),
                    )
                })
                .collect();
            kernel::add_scaled(&mut hidden, 1.0, &block.self_attn_out.apply(&attention));

            let queries = block
                .cross_attn_query
                .apply(&block.cross_attn_ln.apply(&hidden));
            let audio = self.cross_kv[n].rows_from(0, width);
            let silence = self
                .silence_from
                .map_or_else(KeyValueSlice::default, |row| {
                    decoder.silence_cross_kv[n].rows_from(row, width)
                });
            let attention =
                multi_head_attention(&queries, width, &[audio, silence], audio.0.len() / width);
            kernel::add_scaled(&mut hidden, 1.0, &block.cross_attn_out.apply(&attention));

            let mut mlp_hidden = block.mlp_up.apply(&block.mlp_ln.apply(&hidden));
            kernel::gelu(&mut mlp_hidden);
            kernel::add_scaled(&mut hidden, 1.0, &block.mlp_down.apply(&mlp_hidden));
        }
        decoder.ln.apply(&hidden)
    }

    fn compute_logits(&self, rows: &[f32]) -> Vec<Logits> {
        let decoder = self.decoder;
        let (width, special_tokens) = (decoder.width, decoder.special_tokens);
        let words = special_tokens.text_token_count();
        let times = &decoder.token_embedding[special_tokens.timestamp_begin as usize * width..];
        let each = times.len() / width;
        let mut exact = vec![0.0; rows.len() / width * each];
        kernel::matmul_f16(times, width, rows, &mut exact);
        let approximate = decoder.int8_embedding.approximate_logits(rows, width);
        let logits_of = |n: usize, row: &[f32]| {
            let mut values = approximate[n * words..][..words].to_vec();
            for token in top_k(&values, EXACT_LOGITS) {
                values[token] = decoder.exact_logit(row, token);
            }
            values.resize(special_tokens.timestamp_begin as usize, f32::NEG_INFINITY);
            values.extend(&exact[n * each..][..each]);
            Logits {
                values,
                hidden: row.to_vec(),
            }
        };
        let rows = rows.chunks_exact(width).enumerate();
        rows.map(|(n, row)| logits_of(n, row)).collect()
    }

    /// Returns the exact logit of one token that [`Logits::values`] leaves out: a language, or no
    /// speech.
    pub(super) fn token_logit(&self, logits: &Logits, token: i32) -> f32 {
        self.decoder.exact_logit(&logits.hidden, token as usize)
    }
}

impl Decoder {
    fn exact_logit(&self, row: &[f32], token: usize) -> f32 {
        let mut one = [0.0];
        kernel::matmul_f16(self.row(token), self.width, row, &mut one);
        one[0]
    }
}

/// Attention of `queries` (`rows × width`) to the rows of `key_values`. Each row from
/// `repeated_from` on counts as [`SILENCE_STRIDE`] equal rows.
fn multi_head_attention(
    queries: &[f32],
    width: usize,
    key_values: &[KeyValueSlice<'_>],
    repeated_from: usize,
) -> Vec<f32> {
    let scale = (HEAD_DIM as f32).sqrt().recip();
    let queries: Vec<f32> = queries.iter().map(|x| scale * x).collect();
    let rows = key_values.iter().map(|(keys, _)| keys.len() / width).sum();
    let mut weights = vec![0.0; rows];
    let mut out = vec![0.0; queries.len()];
    // Head by head, so that all queries find its keys and values in the processor's cache.
    for head in (0..width).step_by(HEAD_DIM) {
        let part = |rows| MatrixView::new(rows, width).column_range(head, HEAD_DIM);
        let head_columns = head..head + HEAD_DIM;
        let queries = queries.chunks_exact(width);
        for (query, out) in queries.zip(out.chunks_exact_mut(width)) {
            let mut from = 0;
            for (keys, _) in key_values {
                let to = from + keys.len() / width;
                kernel::dot_rows(
                    part(keys),
                    &query[head_columns.clone()],
                    &mut weights[from..to],
                );
                from = to;
            }
            softmax(&mut weights, repeated_from, SILENCE_STRIDE);
            let mut from = 0;
            for (_, values) in key_values {
                let to = from + values.len() / width;
                kernel::add_weighted_rows(
                    &mut out[head_columns.clone()],
                    &weights[from..to],
                    part(values),
                );
                from = to;
            }
        }
    }
    out
}

impl Int8Embedding {
    fn quantize(rows: &[f16], width: usize) -> Self {
        let (mut bytes, mut scales) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows.chunks_exact(width) {
            let row = row.to_f32_vec();
            let scale = max_abs(&row) / f32::from(i8::MAX);
            bytes.extend(row.iter().map(|x| (x / scale).round() as i8));
            scales.push(scale);
        }
        Self { bytes, scales }
    }

    /// Returns one logit per row of the embedding for each of `inputs` (`n × width`).
    fn approximate_logits(&self, inputs: &[f32], width: usize) -> Vec<f32> {
        let (mut quantized, mut units) = (Vec::with_capacity(inputs.len()), Vec::new());
        for input in inputs.chunks_exact(width) {
            let unit = max_abs(input) / f32::from(QUANTIZED_INPUT_MAX);
            quantized.extend(input.iter().map(|x| (x / unit).round() as i16));
            units.push(unit);
        }
        let mut sums = vec![0; units.len() * self.scales.len()];
        kernel::matmul_i8(&self.bytes, width, &quantized, &mut sums);
        let rows = sums.chunks_exact(self.scales.len()).zip(&units);
        rows.flat_map(|(sums, unit)| {
            sums.iter()
                .zip(&self.scales)
                .map(move |(&sum, scale)| sum as f32 * scale * unit)
        })
        .collect()
    }
}

/// Returns the largest absolute value, or the smallest positive one instead of zero: callers divide
/// by it.
fn max_abs(row: &[f32]) -> f32 {
    row.iter()
        .fold(f32::MIN_POSITIVE, |most, x| most.max(x.abs()))
}

/// Returns the indices of the `count` highest values, highest first; −∞ is never among them.
pub(super) fn top_k(values: &[f32], count: usize) -> Vec<usize> {
    const BLOCK: usize = 64;
    let mut best: Vec<usize> = Vec::with_capacity(count + 1);
    let mut least = f32::NEG_INFINITY;
    for (n, block) in values.chunks(BLOCK).enumerate() {
        if kernel::max(block) <= least {
            continue;
        }
        for (place, &value) in block.iter().enumerate() {
            if value <= least {
                continue;
            }
            let at = best.partition_point(|&other| values[other] >= value);
            best.insert(at, n * BLOCK + place);
            best.truncate(count);
            if best.len() == count {
                least = values[best[count - 1]];
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_k_gives_the_highest_first_and_no_more_than_asked_for() {
        let mut values: Vec<f32> = (0..1_000).map(|n| (n * 7_919 % 1_009) as f32).collect();
        values[500] = f32::NEG_INFINITY;
        let best = top_k(&values, 5);
        let mut sorted = values.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(
            best.iter().map(|&n| values[n]).collect::<Vec<_>>(),
            sorted[..5]
        );
        assert_eq!(top_k(&[f32::NEG_INFINITY; 3], 2), Vec::<usize>::new());
        assert_eq!(top_k(&[1.0, 2.0], 5), [1, 0]);
    }

    #[test]
    fn int8_logits_are_near_the_exact_ones() {
        let width = 64;
        let number = |n: usize| ((n * 7_919 % 1_009) as f32 / 504.5 - 1.0) * 0.1;
        let rows: Vec<f16> = (0..10 * width).map(|n| f16::from_f32(number(n))).collect();
        let inputs: Vec<f32> = (0..2 * width).map(|n| 20.0 * number(3 * n + 1)).collect();
        let mut exact = vec![0.0; 20];
        kernel::matmul_f16(&rows, width, &inputs, &mut exact);
        let approximate = Int8Embedding::quantize(&rows, width).approximate_logits(&inputs, width);
        for (approximate, exact) in approximate.iter().zip(&exact) {
            assert!((approximate - exact).abs() < 0.02, "{approximate} {exact}");
        }
    }

    #[test]
    fn attention_over_one_row_is_that_row() {
        let width = 2 * HEAD_DIM;
        let value: Vec<f32> = (0..width).map(|n| n as f32).collect();
        let (query, key) = (vec![0.1; width], vec![0.2; width]);
        assert_eq!(
            multi_head_attention(&query, width, &[(&key, &value)], 1),
            value
        );
        let pool = KeyValues {
            keys: [key.clone(), key].concat(),
            values: [vec![9.0; width], value.clone()].concat(),
        };
        let nothing = KeyValueSlice::default();
        let key_values = [nothing, pool.rows_from(1, width), nothing];
        assert_eq!(multi_head_attention(&query, width, &key_values, 1), value);
    }

    #[test]
    fn a_row_counts_alike_in_whatever_slice_it_is() {
        let width = 2 * HEAD_DIM;
        let number = |n: usize| (n * 29 % 31) as f32 / 31.0 - 0.5;
        let numbers = |from: usize, rows: usize| -> Vec<f32> {
            (from..from + rows * width).map(number).collect()
        };
        let (queries, keys, values) = (numbers(3, 2), numbers(5, 7), numbers(11, 7));
        let pool = KeyValues { keys, values };
        let all = multi_head_attention(&queries, width, &[pool.rows_from(0, width)], 7);
        let one_by_one: Vec<KeyValueSlice<'_>> = (0..7).map(|row| pool.row(row, width)).collect();
        let each = multi_head_attention(&queries, width, &one_by_one, 7);
        assert_eq!(each.len(), all.len());
        for (a, b) in each.iter().zip(&all) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        let second = multi_head_attention(&queries[width..], width, &one_by_one, 7);
        assert_eq!(second, each[width..]);
    }
}
