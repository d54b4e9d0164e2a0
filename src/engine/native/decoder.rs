//! What the encoder heard and the tokens so far → how likely each token is next. Pure: no I/O.
//!
//! Several hypotheses about one clip go on side by side, so that the weights, which are most of
//! the work to read, are read once for all. What a token leaves behind for those after it is a row
//! in a pool; a hypothesis is the list of its rows, so that one can branch off another for nothing.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::Unfit;
use super::algebra::Linear;
use super::algebra::Narrow;
use super::algebra::Norm;
use super::algebra::softmax;
use super::encoder::EVERY;
use super::encoder::HEAD;
use super::encoder::Memory;
use super::encoder::Rows;
use super::file::File;
use super::file::Parameters;
use super::kernel;
use super::kernel::View;
use super::kernel::WHOLE_MAX;
use super::vocabulary::Vocabulary;

/// So many of the likeliest words have their exact likelihood.
pub(super) const EXACT: usize = 16;

/// The decoder's weights.
pub(super) struct Decoder {
    width: usize,
    context: usize,
    vocabulary: Vocabulary,
    /// A row for each token; the way in and the way out.
    embedding: Vec<f16>,
    sketch: Sketch,
    positions: Vec<f32>,
    layers: Vec<Layer>,
    norm: Norm,
    /// Of remembered silence, one for each layer.
    silence: Vec<Memory>,
}

struct Layer {
    before_own: Norm,
    own: [Narrow; 3],
    own_out: Narrow,
    before_heard: Norm,
    query: Narrow,
    /// Of all rows of a clip at once.
    key: Linear,
    value: Linear,
    heard_out: Narrow,
    before_mlp: Norm,
    up: Narrow,
    down: Narrow,
}

/// The words' rows of the embedding in bytes: which words are likely, at half the reading.
struct Sketch {
    bytes: Vec<i8>,
    /// One for each row.
    scales: Vec<f32>,
}

impl Decoder {
    /// `silence`: the encoder's rows of it.
    pub(super) fn load(
        file: &mut File,
        vocabulary: Vocabulary,
        silence: &[f32],
    ) -> Result<Self, Unfit> {
        let Parameters {
            text_state: width,
            text_context: context,
            ..
        } = file.parameters;
        let mut layers = Vec::new();
        for n in 0..file.parameters.text_layers {
            layers.push(Layer::load(file, n, width)?);
        }
        let tokens = file.parameters.vocabulary;
        let embedding = file.halves("decoder.token_embedding.weight", tokens * width)?;
        let silence = layers.iter().map(|layer| layer.hear(silence)).collect();
        Ok(Self {
            width,
            context,
            vocabulary,
            sketch: Sketch::of(&embedding[..vocabulary.words() * width], width),
            embedding,
            positions: file.floats("decoder.positional_embedding", context * width)?,
            layers,
            norm: Norm::load(file, "decoder.ln", width)?,
            silence,
        })
    }

    /// Begins to listen to the encoder's rows; `silent`: remembered silence follows them.
    pub(super) fn listen(&self, rows: &[f32], silent: bool) -> Listener<'_> {
        let remembered = rows.len() / self.width / EVERY;
        Listener {
            decoder: self,
            heard: self.layers.iter().map(|layer| layer.hear(rows)).collect(),
            silence_from: silent.then_some(remembered),
            pool: self.layers.iter().map(|_| Memory::default()).collect(),
            pooled: 0,
        }
    }

    fn row(&self, token: usize) -> &[f16] {
        &self.embedding[token * self.width..][..self.width]
    }
}

impl Layer {
    fn load(file: &mut File, n: usize, width: usize) -> Result<Self, Unfit> {
        let name = |part: &str| format!("decoder.blocks.{n}.{part}");
        let mut square = |part: &str| Narrow::load(file, &name(part), width, width);
        let own = [
            square("attn.query")?,
            square("attn.key")?,
            square("attn.value")?,
        ];
        let (own_out, query) = (square("attn.out")?, square("cross_attn.query")?);
        let heard_out = square("cross_attn.out")?;
        Ok(Self {
            before_own: Norm::load(file, &name("attn_ln"), width)?,
            own,
            own_out,
            before_heard: Norm::load(file, &name("cross_attn_ln"), width)?,
            query,
            key: Linear::load(file, &name("cross_attn.key"), width, width)?,
            value: Linear::load(file, &name("cross_attn.value"), width, width)?,
            heard_out,
            before_mlp: Norm::load(file, &name("mlp_ln"), width)?,
            up: Narrow::load(file, &name("mlp.0"), width, 4 * width)?,
            down: Narrow::load(file, &name("mlp.2"), 4 * width, width)?,
        })
    }

    fn hear(&self, rows: &[f32]) -> Memory {
        Memory {
            keys: self.key.apply(rows),
            values: self.value.apply(rows),
        }
    }
}

/// One clip's way through the decoder.
pub(super) struct Listener<'m> {
    decoder: &'m Decoder,
    /// One for each layer.
    heard: Vec<Memory>,
    /// The first row of remembered silence, if it counts.
    silence_from: Option<usize>,
    /// What tokens left behind, one for each layer.
    pool: Vec<Memory>,
    pooled: usize,
}

/// A hypothesis' next token, and the rows of those before it.
#[derive(Debug, Clone, Default)]
pub(super) struct Path {
    pub(super) token: i32,
    pub(super) rows: Vec<usize>,
}

/// What may follow one hypothesis.
pub(super) struct Outlook {
    /// For each token. Of the words, only the [`EXACT`] likeliest are exact, the others within
    /// a tenth or so; −∞ for tokens that are neither words, nor the end, nor times.
    pub(super) logits: Vec<f32>,
    last: Vec<f32>,
}

impl Listener<'_> {
    /// How many tokens a hypothesis can have.
    pub(super) fn context(&self) -> usize {
        self.decoder.context
    }

    /// Takes each path's token, adds its row to the path, and tells what may follow.
    pub(super) fn step(&mut self, paths: &mut [&mut Path]) -> Vec<Outlook> {
        let rows = self.take(paths);
        self.look_out(&rows)
    }

    /// The same where what may follow is known.
    pub(super) fn take(&mut self, paths: &mut [&mut Path]) -> Vec<f32> {
        let decoder = self.decoder;
        let width = decoder.width;
        let mut hidden = Vec::with_capacity(paths.len() * width);
        for path in paths.iter_mut() {
            let position = &decoder.positions[path.rows.len() * width..][..width];
            let mut row = decoder.row(path.token as usize).to_f32_vec();
            kernel::add_scaled(&mut row, 1.0, position);
            hidden.extend(row);
            path.rows.push(self.pooled);
            self.pooled += 1;
        }
        for (n, layer) in decoder.layers.iter().enumerate() {
            let normed = layer.before_own.apply(&hidden);
            let [queries, keys, values] = layer.own.each_ref().map(|linear| linear.apply(&normed));
            let pool = &mut self.pool[n];
            pool.keys.extend(keys);
            pool.values.extend(values);
            let attended: Vec<f32> = queries
                .chunks_exact(width)
                .zip(&*paths)
                .flat_map(|(query, path)| {
                    let own = path.rows.iter().map(|&row| pool.row(row, width));
                    attend(query, width, &own.collect::<Vec<_>>(), path.rows.len())
                })
                .collect();
            kernel::add_scaled(&mut hidden, 1.0, &layer.own_out.apply(&attended));

            let queries = layer.query.apply(&layer.before_heard.apply(&hidden));
            let heard = self.heard[n].from(0, width);
            let silence = self
                .silence_from
                .map_or_else(Rows::default, |row| decoder.silence[n].from(row, width));
            let attended = attend(&queries, width, &[heard, silence], heard.0.len() / width);
            kernel::add_scaled(&mut hidden, 1.0, &layer.heard_out.apply(&attended));

            let mut wide = layer.up.apply(&layer.before_mlp.apply(&hidden));
            kernel::gelu(&mut wide);
            kernel::add_scaled(&mut hidden, 1.0, &layer.down.apply(&wide));
        }
        decoder.norm.apply(&hidden)
    }

    fn look_out(&self, rows: &[f32]) -> Vec<Outlook> {
        let decoder = self.decoder;
        let (width, vocabulary) = (decoder.width, decoder.vocabulary);
        let words = vocabulary.words();
        let times = &decoder.embedding[vocabulary.first_timestamp as usize * width..];
        let each = times.len() / width;
        let mut exact = vec![0.0; rows.len() / width * each];
        kernel::half_products(times, width, rows, &mut exact);
        let rough = decoder.sketch.products(rows, width);
        let outlook = |n: usize, row: &[f32]| {
            let mut logits = rough[n * words..][..words].to_vec();
            for token in likeliest(&logits, EXACT) {
                logits[token] = decoder.exact(row, token);
            }
            logits.resize(vocabulary.first_timestamp as usize, f32::NEG_INFINITY);
            logits.extend(&exact[n * each..][..each]);
            Outlook {
                logits,
                last: row.to_vec(),
            }
        };
        let rows = rows.chunks_exact(width).enumerate();
        rows.map(|(n, row)| outlook(n, row)).collect()
    }

    /// How likely some token is that is not among the logits: a language, or that nobody speaks.
    pub(super) fn logit(&self, outlook: &Outlook, token: i32) -> f32 {
        self.decoder.exact(&outlook.last, token as usize)
    }
}

impl Decoder {
    fn exact(&self, row: &[f32], token: usize) -> f32 {
        let mut one = [0.0];
        kernel::half_products(self.row(token), self.width, row, &mut one);
        one[0]
    }
}

/// Queries over `stretches` of rows; from row `remembered` on each counts [`EVERY`] times.
fn attend(queries: &[f32], width: usize, stretches: &[Rows<'_>], remembered: usize) -> Vec<f32> {
    let scale = (HEAD as f32).sqrt().recip();
    let queries: Vec<f32> = queries.iter().map(|x| scale * x).collect();
    let rows = stretches.iter().map(|(keys, _)| keys.len() / width).sum();
    let mut shares = vec![0.0; rows];
    let mut out = vec![0.0; queries.len()];
    // A head's keys and values stay near while one query after another looks at them.
    for head in (0..width).step_by(HEAD) {
        let part = |rows| View::new(rows, width).columns(head, HEAD);
        let place = head..head + HEAD;
        let queries = queries.chunks_exact(width);
        for (query, out) in queries.zip(out.chunks_exact_mut(width)) {
            let mut from = 0;
            for (keys, _) in stretches {
                let to = from + keys.len() / width;
                kernel::row_products(part(keys), &query[place.clone()], &mut shares[from..to]);
                from = to;
            }
            softmax(&mut shares, remembered, EVERY);
            let mut from = 0;
            for (_, values) in stretches {
                let to = from + values.len() / width;
                kernel::add_rows(&mut out[place.clone()], &shares[from..to], part(values));
                from = to;
            }
        }
    }
    out
}

impl Sketch {
    fn of(rows: &[f16], width: usize) -> Self {
        let (mut bytes, mut scales) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows.chunks_exact(width) {
            let row = row.to_f32_vec();
            let scale = largest(&row) / f32::from(i8::MAX);
            bytes.extend(row.iter().map(|x| (x / scale).round() as i8));
            scales.push(scale);
        }
        Self { bytes, scales }
    }

    /// For each of `inputs` a value for each row.
    fn products(&self, inputs: &[f32], width: usize) -> Vec<f32> {
        let (mut whole, mut units) = (Vec::with_capacity(inputs.len()), Vec::new());
        for input in inputs.chunks_exact(width) {
            let unit = largest(input) / f32::from(WHOLE_MAX);
            whole.extend(input.iter().map(|x| (x / unit).round() as i16));
            units.push(unit);
        }
        let mut sums = vec![0; units.len() * self.scales.len()];
        kernel::byte_products(&self.bytes, width, &whole, &mut sums);
        let rows = sums.chunks_exact(self.scales.len()).zip(&units);
        rows.flat_map(|(sums, unit)| {
            sums.iter()
                .zip(&self.scales)
                .map(move |(&sum, scale)| sum as f32 * scale * unit)
        })
        .collect()
    }
}

/// The largest size of a value, but never zero.
fn largest(row: &[f32]) -> f32 {
    row.iter()
        .fold(f32::MIN_POSITIVE, |most, x| most.max(x.abs()))
}

/// The places of the highest `count` values, highest first.
pub(super) fn likeliest(values: &[f32], count: usize) -> Vec<usize> {
    const BLOCK: usize = 64;
    let mut best: Vec<usize> = Vec::with_capacity(count + 1);
    let mut least = f32::NEG_INFINITY;
    for (n, block) in values.chunks(BLOCK).enumerate() {
        if kernel::highest(block) <= least {
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
    fn the_likeliest_come_first_and_are_no_more_than_asked_for() {
        let mut values: Vec<f32> = (0..1_000).map(|n| (n * 7_919 % 1_009) as f32).collect();
        values[500] = f32::NEG_INFINITY;
        let best = likeliest(&values, 5);
        let mut sorted = values.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(
            best.iter().map(|&n| values[n]).collect::<Vec<_>>(),
            sorted[..5]
        );
        assert_eq!(likeliest(&[f32::NEG_INFINITY; 3], 2), Vec::<usize>::new());
        assert_eq!(likeliest(&[1.0, 2.0], 5), [1, 0]);
    }

    #[test]
    fn a_sketch_is_near_the_truth() {
        let width = 64;
        let number = |n: usize| ((n * 7_919 % 1_009) as f32 / 504.5 - 1.0) * 0.1;
        let rows: Vec<f16> = (0..10 * width).map(|n| f16::from_f32(number(n))).collect();
        let inputs: Vec<f32> = (0..2 * width).map(|n| 20.0 * number(3 * n + 1)).collect();
        let mut exact = vec![0.0; 20];
        kernel::half_products(&rows, width, &inputs, &mut exact);
        let rough = Sketch::of(&rows, width).products(&inputs, width);
        for (rough, exact) in rough.iter().zip(&exact) {
            assert!((rough - exact).abs() < 0.02, "{rough} {exact}");
        }
    }

    #[test]
    fn attention_over_one_row_is_that_row() {
        let width = 2 * HEAD;
        let value: Vec<f32> = (0..width).map(|n| n as f32).collect();
        let (query, key) = (vec![0.1; width], vec![0.2; width]);
        assert_eq!(attend(&query, width, &[(&key, &value)], 1), value);
        let pool = Memory {
            keys: [key.clone(), key].concat(),
            values: [vec![9.0; width], value.clone()].concat(),
        };
        let nothing = Rows::default();
        let stretches = [nothing, pool.from(1, width), nothing];
        assert_eq!(attend(&query, width, &stretches, 1), value);
    }

    #[test]
    fn a_row_counts_alike_in_whatever_stretch_it_is() {
        let width = 2 * HEAD;
        let number = |n: usize| (n * 29 % 31) as f32 / 31.0 - 0.5;
        let numbers = |from: usize, rows: usize| -> Vec<f32> {
            (from..from + rows * width).map(number).collect()
        };
        let (queries, keys, values) = (numbers(3, 2), numbers(5, 7), numbers(11, 7));
        let pool = Memory { keys, values };
        let all = attend(&queries, width, &[pool.from(0, width)], 7);
        let one_by_one: Vec<Rows<'_>> = (0..7).map(|row| pool.row(row, width)).collect();
        let each = attend(&queries, width, &one_by_one, 7);
        assert_eq!(each.len(), all.len());
        for (a, b) in each.iter().zip(&all) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        let second = attend(&queries[width..], width, &one_by_one, 7);
        assert_eq!(second, each[width..]);
    }
}
