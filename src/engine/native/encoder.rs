//! Audio encoder: log-mel frames → one row of `width` values for each 20 ms, by two convolutions
//! and a stack of self-attention blocks. Pure: no I/O.
//!
//! # Cached silence
//!
//! Whisper reads windows of 30 s. A turn on the phone fills three seconds, the rest is silence.
//! Without this silence the model fails, because it was never trained without; computing it is nine
//! tenths of the work. So only the rows of the clip are computed, and the silence is cached: its
//! rows depend hardly at all on the speech before them, so that the keys and values of a window of
//! pure silence, computed once for each layer, replace them. Adjacent rows of silence are much
//! alike, so one of every [`SILENCE_STRIDE`] rows is kept, and attention counts it that many times.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::LoadError;
use super::ggml_file::GgmlFile;
use super::ggml_file::ModelDimensions;
use super::kernel;
use super::kernel::MatrixView;
use super::layers::LayerNorm;
use super::layers::Linear;
use super::layers::softmax;
use super::mel::SILENCE;

/// Rows of silence per cached row.
pub(super) const SILENCE_STRIDE: usize = 4;

/// Values per attention head.
pub(super) const HEAD_DIM: usize = 64;

/// Taps of a convolution.
const KERNEL_SIZE: usize = 3;

/// Weights of the encoder, and the cache of silence.
pub(super) struct Encoder {
    width: usize,
    context: usize,
    mel_bands: usize,
    conv1: Linear,
    conv2: Linear,
    positional_embedding: Vec<f32>,
    blocks: Vec<EncoderBlock>,
    ln_post: LayerNorm,
    /// One entry per layer.
    silence_cache: Vec<KeyValues>,
}

struct EncoderBlock {
    self_attn_ln: LayerNorm,
    /// Queries, keys and values in one matrix.
    self_attn_qkv: Linear,
    self_attn_out: Linear,
    mlp_ln: LayerNorm,
    mlp_up: Linear,
    mlp_down: Linear,
}

/// Attention keys and values (`rows × width` each).
#[derive(Default)]
pub(super) struct KeyValues {
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
}

/// Keys and values of consecutive rows.
pub(super) type KeyValueSlice<'a> = (&'a [f32], &'a [f32]);

impl KeyValues {
    /// Returns the rows from `row` to the last one.
    pub(super) fn rows_from(&self, row: usize, width: usize) -> KeyValueSlice<'_> {
        (&self.keys[row * width..], &self.values[row * width..])
    }

    pub(super) fn row(&self, row: usize, width: usize) -> KeyValueSlice<'_> {
        let place = row * width..(row + 1) * width;
        (&self.keys[place.clone()], &self.values[place])
    }
}

/// How the window is filled after the computed rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WindowPadding {
    /// With cached silence.
    CachedSilence,
    /// Not at all: attention sees only the computed rows.
    None,
}

impl Encoder {
    /// Loads the weights and encodes a window of silence. Returns the encoder, and the cached rows
    /// of that window's output (`rows × width`), which the decoder attends to.
    pub(super) fn load(file: &mut GgmlFile) -> Result<(Self, Vec<f32>), LoadError> {
        let ModelDimensions {
            audio_state: width,
            audio_context: context,
            mel_bands,
            ..
        } = file.dimensions;
        let mut blocks = Vec::new();
        for n in 0..file.dimensions.audio_layers {
            let name = |part: &str| format!("encoder.blocks.{n}.{part}");
            blocks.push(EncoderBlock {
                self_attn_ln: LayerNorm::load(file, &name("attn_ln"), width)?,
                self_attn_qkv: Linear::load_stacked(
                    file,
                    &["query", "key", "value"].map(|part| name(&format!("attn.{part}"))),
                    width,
                    width,
                )?,
                self_attn_out: Linear::load(file, &name("attn.out"), width, width)?,
                mlp_ln: LayerNorm::load(file, &name("mlp_ln"), width)?,
                mlp_up: Linear::load(file, &name("mlp.0"), width, 4 * width)?,
                mlp_down: Linear::load(file, &name("mlp.2"), 4 * width, width)?,
            });
        }
        let mut encoder = Self {
            width,
            context,
            mel_bands,
            conv1: Linear::load(file, "encoder.conv1", KERNEL_SIZE * mel_bands, width)?,
            conv2: Linear::load(file, "encoder.conv2", KERNEL_SIZE * width, width)?,
            positional_embedding: file.take_f32("encoder.positional_embedding", context * width)?,
            blocks,
            ln_post: LayerNorm::load(file, "encoder.ln_post", width)?,
            silence_cache: Vec::new(),
        };
        let silence = encoder.encode_silence();
        Ok((encoder, silence))
    }

    /// Rows of a whole window: 1,500, each of 20 ms.
    pub(super) fn context(&self) -> usize {
        self.context
    }

    /// Number of mel frames that [`Self::encode`] needs for `rows`.
    pub(super) fn frames(&self, rows: usize) -> usize {
        // The convolution of the last row reads one more frame, if there is one.
        (2 * rows + 1).min(2 * self.context)
    }

    /// Encodes a window of silence. Caches every [`SILENCE_STRIDE`]th row of the keys and values of
    /// each layer, and returns the same rows of the output.
    fn encode_silence(&mut self) -> Vec<f32> {
        let (width, never) = (self.width, AtomicBool::new(false));
        let window = vec![SILENCE; self.frames(self.context) * self.mel_bands];
        let mut silence = Vec::new();
        let encoded = self.encode(&window, self.context, WindowPadding::None, &never, |qkv| {
            silence.push(KeyValues {
                keys: self.subsample_rows(qkv, 3 * width, width),
                values: self.subsample_rows(qkv, 3 * width, 2 * width),
            });
        });
        let rows = self.subsample_rows(&encoded.unwrap_or_default(), width, 0);
        self.silence_cache = silence;
        rows
    }

    /// Keeps the middle row of each [`SILENCE_STRIDE`]: `width` values from `offset` on, of rows
    /// that are `step` values apart.
    fn subsample_rows(&self, rows: &[f32], step: usize, offset: usize) -> Vec<f32> {
        let kept = rows
            .chunks_exact(step)
            .skip(SILENCE_STRIDE / 2)
            .step_by(SILENCE_STRIDE);
        kept.flat_map(|row| &row[offset..offset + self.width])
            .copied()
            .collect()
    }

    /// Encodes the first `rows` rows of a window that starts with `frames`. Returns `rows × width`
    /// values, or `None` if the request is cancelled. `on_qkv` receives the queries, keys and
    /// values of each layer (`rows × 3 · width`).
    pub(super) fn encode(
        &self,
        frames: &[f32],
        rows: usize,
        padding: WindowPadding,
        cancelled: &AtomicBool,
        mut on_qkv: impl FnMut(&[f32]),
    ) -> Option<Vec<f32>> {
        debug_assert_eq!(frames.len(), self.frames(rows) * self.mel_bands);
        debug_assert!(rows.is_multiple_of(SILENCE_STRIDE));
        let width = self.width;
        let mut hidden = self.apply_convolutions(frames, rows);
        for (n, block) in self.blocks.iter().enumerate() {
            if cancelled.load(Ordering::Relaxed) {
                return None;
            }
            let qkv = block
                .self_attn_qkv
                .apply(&block.self_attn_ln.apply(&hidden));
            on_qkv(&qkv);
            let silence = match padding {
                WindowPadding::CachedSilence => {
                    self.silence_cache[n].rows_from(rows / SILENCE_STRIDE, width)
                }
                WindowPadding::None => (&[][..], &[][..]),
            };
            let attention = multi_head_attention(&qkv, width, silence);
            block.self_attn_out.add_to(&mut hidden, &attention);
            let mut mlp_hidden = block.mlp_up.apply(&block.mlp_ln.apply(&hidden));
            kernel::gelu(&mut mlp_hidden);
            block.mlp_down.add_to(&mut hidden, &mlp_hidden);
        }
        Some(self.ln_post.apply(&hidden))
    }

    fn apply_convolutions(&self, frames: &[f32], rows: usize) -> Vec<f32> {
        let mut first = self.conv1.apply(&im2col(frames, self.mel_bands, 1));
        kernel::gelu(&mut first);
        let mut second = im2col(&first, self.width, 2);
        second.truncate(rows * KERNEL_SIZE * self.width);
        let mut hidden = self.conv2.apply(&second);
        kernel::gelu(&mut hidden);
        for (value, position) in hidden.iter_mut().zip(&self.positional_embedding) {
            *value += position;
        }
        hidden
    }
}

/// Returns, for every `stride`th row, the values of the row and its two neighbours, channel by
/// channel: the layout of the convolution weights. Rows beyond both ends are zero.
fn im2col(rows: &[f32], channels: usize, stride: usize) -> Vec<f32> {
    let count = rows.len() / channels;
    let mut out = Vec::with_capacity(count.div_ceil(stride) * channels * KERNEL_SIZE);
    for row in (0..count).step_by(stride) {
        for channel in 0..channels {
            for tap in 0..KERNEL_SIZE {
                let neighbour = (row + tap).checked_sub(1).filter(|&n| n < count);
                out.push(neighbour.map_or(0.0, |n| rows[n * channels + channel]));
            }
        }
    }
    out
}

/// Self-attention of the rows in `qkv` (`rows × 3 · width`) to each other and to cached silence.
/// Returns `rows × width` values.
fn multi_head_attention(qkv: &[f32], width: usize, silence: KeyValueSlice<'_>) -> Vec<f32> {
    let (rows, silent) = (qkv.len() / (3 * width), silence.0.len() / width);
    let columns = rows + silent;
    let qkv = MatrixView::new(qkv, 3 * width);
    let (silent_keys, silent_values) = (
        MatrixView::new(silence.0, width),
        MatrixView::new(silence.1, width),
    );
    let scale = (HEAD_DIM as f32).sqrt().recip();
    let mut scores = vec![0.0; rows * columns];
    let mut out = vec![0.0; rows * width];
    for head in (0..width).step_by(HEAD_DIM) {
        let part_of_head = |part: usize| qkv.column_range(part * width + head, HEAD_DIM);
        let (queries, keys, values) = (part_of_head(0), part_of_head(1), part_of_head(2));
        let silent_keys = silent_keys.column_range(head, HEAD_DIM);
        kernel::matmul(
            &mut scores,
            columns,
            false,
            scale,
            queries,
            keys.transposed(),
        );
        let silent_scores = &mut scores[rows..];
        kernel::matmul(
            silent_scores,
            columns,
            false,
            scale,
            queries,
            silent_keys.transposed(),
        );
        for row in scores.chunks_exact_mut(columns) {
            softmax(row, rows, SILENCE_STRIDE);
        }
        let scores = MatrixView::new(&scores, columns);
        let into = &mut out[head..];
        kernel::matmul(
            into,
            width,
            false,
            1.0,
            scores.column_range(0, rows),
            values,
        );
        let silent = scores.column_range(rows, silent);
        kernel::matmul(
            into,
            width,
            true,
            1.0,
            silent,
            silent_values.column_range(head, HEAD_DIM),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn im2col_gives_a_row_and_its_neighbours_channel_by_channel() {
        let rows = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0];
        let expected = [
            [0.0, 1.0, 2.0, 0.0, 10.0, 20.0],
            [1.0, 2.0, 3.0, 10.0, 20.0, 30.0],
            [2.0, 3.0, 0.0, 20.0, 30.0, 0.0],
        ];
        assert_eq!(im2col(&rows, 2, 1), expected.concat());
        assert_eq!(im2col(&rows, 2, 2), [expected[0], expected[2]].concat());
    }

    #[test]
    fn a_cached_row_counts_as_many_rows_that_are_alike() {
        let width = HEAD_DIM;
        let number = |n: usize| (n * 29 % 31) as f32 / 31.0 - 0.5;
        let row = |n: usize| (0..3 * width).map(move |i| number(i + 7 * n));
        let spoken: Vec<f32> = (0..4).flat_map(row).collect();
        let silent: Vec<f32> = row(9).collect();
        let mut whole = spoken.clone();
        for _ in 0..SILENCE_STRIDE {
            whole.extend(&silent);
        }
        let expected = multi_head_attention(&whole, width, (&[], &[]));
        let (keys, values) = (&silent[width..2 * width], &silent[2 * width..]);
        let remembered = multi_head_attention(&spoken, width, (keys, values));
        for (a, b) in remembered.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        assert_eq!(remembered.len(), 4 * width);
    }
}
