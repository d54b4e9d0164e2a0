//! Mel frames → what the decoder listens to: two convolutions and a stack of attention, of which
//! only the rows of the clip are computed. Pure: no I/O.
//!
//! Whisper hears windows of 30 s, of which a phone turn fills three; the rest is silence. Left
//! out, the model goes astray: it was never trained without. Computed, it is nine tenths of the
//! work. Here it is remembered: the rows of silence take hardly any notice of what was said, so
//! their keys and values, layer by layer, are those of a window of nothing but silence, made once.
//! Neighbouring rows of silence being much alike, one in [`EVERY`] is kept and counts as many
//! times.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::Unfit;
use super::algebra::Linear;
use super::algebra::Norm;
use super::algebra::softmax;
use super::file::File;
use super::file::Parameters;
use super::kernel;
use super::kernel::View;
use super::mel::SILENCE;

/// Of so many rows of silence, one is remembered.
pub(super) const EVERY: usize = 4;

/// Values of one head.
pub(super) const HEAD: usize = 64;

/// Taps of a convolution.
const TAPS: usize = 3;

/// The encoder's weights.
pub(super) struct Encoder {
    width: usize,
    rows: usize,
    bands: usize,
    first: Linear,
    second: Linear,
    positions: Vec<f32>,
    layers: Vec<Layer>,
    norm: Norm,
    /// One for each layer.
    silence: Vec<Memory>,
}

struct Layer {
    before_attention: Norm,
    /// Queries, keys and values, one after another.
    query_key_value: Linear,
    attended: Linear,
    before_mlp: Norm,
    up: Linear,
    down: Linear,
}

/// Keys and values of rows that are attended to.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
}

/// The keys and the values of some rows that follow each other.
pub(super) type Rows<'a> = (&'a [f32], &'a [f32]);

impl Memory {
    /// From a row on.
    pub(super) fn from(&self, row: usize, width: usize) -> Rows<'_> {
        (&self.keys[row * width..], &self.values[row * width..])
    }

    /// One row.
    pub(super) fn row(&self, row: usize, width: usize) -> Rows<'_> {
        let place = row * width..(row + 1) * width;
        (&self.keys[place.clone()], &self.values[place])
    }
}

/// What becomes of a window's rows that nobody speaks in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// They are remembered silence.
    Remembered,
    /// They are not there.
    Absent,
}

impl Encoder {
    /// The encoder, and the rows of silence that it remembers, as they come out at the end.
    pub(super) fn load(file: &mut File) -> Result<(Self, Vec<f32>), Unfit> {
        let Parameters {
            audio_state: width,
            audio_context: rows,
            bands,
            ..
        } = file.parameters;
        let mut layers = Vec::new();
        for n in 0..file.parameters.audio_layers {
            let name = |part: &str| format!("encoder.blocks.{n}.{part}");
            layers.push(Layer {
                before_attention: Norm::load(file, &name("attn_ln"), width)?,
                query_key_value: Linear::stacked(
                    file,
                    &["query", "key", "value"].map(|part| name(&format!("attn.{part}"))),
                    width,
                    width,
                )?,
                attended: Linear::load(file, &name("attn.out"), width, width)?,
                before_mlp: Norm::load(file, &name("mlp_ln"), width)?,
                up: Linear::load(file, &name("mlp.0"), width, 4 * width)?,
                down: Linear::load(file, &name("mlp.2"), 4 * width, width)?,
            });
        }
        let mut encoder = Self {
            width,
            rows,
            bands,
            first: Linear::load(file, "encoder.conv1", TAPS * bands, width)?,
            second: Linear::load(file, "encoder.conv2", TAPS * width, width)?,
            positions: file.floats("encoder.positional_embedding", rows * width)?,
            layers,
            norm: Norm::load(file, "encoder.ln_post", width)?,
            silence: Vec::new(),
        };
        let silence = encoder.listen_to_silence();
        Ok((encoder, silence))
    }

    /// Rows of a whole window: 1,500, each of 20 ms.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The frames that [`Self::encode`] wants for so many rows.
    pub(super) fn frames(&self, rows: usize) -> usize {
        // The last row looks one frame further, if there is one.
        (2 * rows + 1).min(2 * self.rows)
    }

    /// Remembers, layer by layer, the rows of a window of nothing but silence; they themselves, as
    /// they come out at the end.
    fn listen_to_silence(&mut self) -> Vec<f32> {
        let (width, never) = (self.width, AtomicBool::new(false));
        let window = vec![SILENCE; self.frames(self.rows) * self.bands];
        let mut silence = Vec::new();
        let encoded = self.encode(&window, self.rows, Rest::Absent, &never, |qkv| {
            silence.push(Memory {
                keys: self.thinned(qkv, 3 * width, width),
                values: self.thinned(qkv, 3 * width, 2 * width),
            });
        });
        let rows = self.thinned(&encoded.unwrap_or_default(), width, 0);
        self.silence = silence;
        rows
    }

    /// The middle one of every few rows: `width` values from `offset` on, of rows that are `step`
    /// apart.
    fn thinned(&self, rows: &[f32], step: usize, offset: usize) -> Vec<f32> {
        let kept = rows.chunks_exact(step).skip(EVERY / 2).step_by(EVERY);
        kept.flat_map(|row| &row[offset..offset + self.width])
            .copied()
            .collect()
    }

    /// The first `rows` rows of a window that begins with these mel frames. `None`: called off.
    /// `see` is shown each layer's queries, keys and values.
    pub(super) fn encode(
        &self,
        frames: &[f32],
        rows: usize,
        rest: Rest,
        cancelled: &AtomicBool,
        mut see: impl FnMut(&[f32]),
    ) -> Option<Vec<f32>> {
        debug_assert_eq!(frames.len(), self.frames(rows) * self.bands);
        debug_assert!(rows.is_multiple_of(EVERY));
        let width = self.width;
        let mut hidden = self.convolve(frames, rows);
        for (n, layer) in self.layers.iter().enumerate() {
            if cancelled.load(Ordering::Relaxed) {
                return None;
            }
            let qkv = layer
                .query_key_value
                .apply(&layer.before_attention.apply(&hidden));
            see(&qkv);
            let silence = match rest {
                Rest::Remembered => self.silence[n].from(rows / EVERY, width),
                Rest::Absent => (&[][..], &[][..]),
            };
            let heard = attend(&qkv, width, silence);
            layer.attended.add_to(&mut hidden, &heard);
            let mut wide = layer.up.apply(&layer.before_mlp.apply(&hidden));
            kernel::gelu(&mut wide);
            layer.down.add_to(&mut hidden, &wide);
        }
        Some(self.norm.apply(&hidden))
    }

    fn convolve(&self, frames: &[f32], rows: usize) -> Vec<f32> {
        let mut first = self.first.apply(&patches(frames, self.bands, 1));
        kernel::gelu(&mut first);
        let mut second = patches(&first, self.width, 2);
        second.truncate(rows * TAPS * self.width);
        let mut hidden = self.second.apply(&second);
        kernel::gelu(&mut hidden);
        for (value, position) in hidden.iter_mut().zip(&self.positions) {
            *value += position;
        }
        hidden
    }
}

/// For every `stride`th row the values of it and its neighbours, channel by channel, as
/// convolutions weigh them. Beyond both ends is nothing.
fn patches(rows: &[f32], channels: usize, stride: usize) -> Vec<f32> {
    let count = rows.len() / channels;
    let mut out = Vec::with_capacity(count.div_ceil(stride) * channels * TAPS);
    for row in (0..count).step_by(stride) {
        for channel in 0..channels {
            for tap in 0..TAPS {
                let neighbour = (row + tap).checked_sub(1).filter(|&n| n < count);
                out.push(neighbour.map_or(0.0, |n| rows[n * channels + channel]));
            }
        }
    }
    out
}

/// Rows of queries, keys and values attend to each other and to remembered silence.
fn attend(qkv: &[f32], width: usize, silence: Rows<'_>) -> Vec<f32> {
    let (rows, silent) = (qkv.len() / (3 * width), silence.0.len() / width);
    let columns = rows + silent;
    let qkv = View::new(qkv, 3 * width);
    let (silent_keys, silent_values) = (View::new(silence.0, width), View::new(silence.1, width));
    let scale = (HEAD as f32).sqrt().recip();
    let mut scores = vec![0.0; rows * columns];
    let mut out = vec![0.0; rows * width];
    for head in (0..width).step_by(HEAD) {
        let of = |part: usize| qkv.columns(part * width + head, HEAD);
        let (queries, keys, values) = (of(0), of(1), of(2));
        let silent_keys = silent_keys.columns(head, HEAD);
        kernel::product(
            &mut scores,
            columns,
            false,
            scale,
            queries,
            keys.transposed(),
        );
        let beside = &mut scores[rows..];
        kernel::product(
            beside,
            columns,
            false,
            scale,
            queries,
            silent_keys.transposed(),
        );
        for row in scores.chunks_exact_mut(columns) {
            softmax(row, rows, EVERY);
        }
        let scores = View::new(&scores, columns);
        let into = &mut out[head..];
        kernel::product(into, width, false, 1.0, scores.columns(0, rows), values);
        let silent = scores.columns(rows, silent);
        kernel::product(
            into,
            width,
            true,
            1.0,
            silent,
            silent_values.columns(head, HEAD),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_a_row_and_its_neighbours_channel_by_channel() {
        let rows = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0];
        let expected = [
            [0.0, 1.0, 2.0, 0.0, 10.0, 20.0],
            [1.0, 2.0, 3.0, 10.0, 20.0, 30.0],
            [2.0, 3.0, 0.0, 20.0, 30.0, 0.0],
        ];
        assert_eq!(patches(&rows, 2, 1), expected.concat());
        assert_eq!(patches(&rows, 2, 2), [expected[0], expected[2]].concat());
    }

    #[test]
    fn a_remembered_row_counts_as_many_rows_that_are_alike() {
        let width = HEAD;
        let number = |n: usize| (n * 29 % 31) as f32 / 31.0 - 0.5;
        let row = |n: usize| (0..3 * width).map(move |i| number(i + 7 * n));
        let spoken: Vec<f32> = (0..4).flat_map(row).collect();
        let silent: Vec<f32> = row(9).collect();
        let mut whole = spoken.clone();
        for _ in 0..EVERY {
            whole.extend(&silent);
        }
        let expected = attend(&whole, width, (&[], &[]));
        let (keys, values) = (&silent[width..2 * width], &silent[2 * width..]);
        let remembered = attend(&spoken, width, (keys, values));
        for (a, b) in remembered.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        assert_eq!(remembered.len(), 4 * width);
    }
}
