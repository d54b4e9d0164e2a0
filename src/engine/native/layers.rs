//! Layers of encoder and decoder, on rows of f32: linear, layer normalisation, softmax. Pure: no
//! I/O.

use half::f16;

use super::LoadError;
use super::ggml_file::GgmlFile;
use super::kernel;
use super::kernel::MatrixView;

/// Added to the variance, which is zero for a row of equal values.
const NORM_EPSILON: f32 = 1e-5;

/// Linear layer in f32, for many rows at once: `rows · weightᵀ + bias`.
pub(super) struct Linear {
    inputs: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Linear {
    pub(super) fn load(
        file: &mut GgmlFile,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, LoadError> {
        Self::load_stacked(file, &[name], inputs, outputs)
    }

    /// Loads several layers with the same input as one layer; its output is theirs, one after
    /// another.
    pub(super) fn load_stacked(
        file: &mut GgmlFile,
        names: &[impl AsRef<str>],
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, LoadError> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            let name = name.as_ref();
            weight.extend(file.take_f32(&format!("{name}.weight"), inputs * outputs)?);
            bias.extend(load_bias(file, name, outputs)?);
        }
        Ok(Self {
            inputs,
            weight,
            bias,
        })
    }

    pub(super) fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; rows.len() / self.inputs * self.bias.len()];
        self.add_to(&mut out, rows);
        out
    }

    /// Adds the output of [`Self::apply`] to `to`.
    pub(super) fn add_to(&self, to: &mut [f32], rows: &[f32]) {
        let outputs = self.bias.len();
        for row in to.chunks_exact_mut(outputs) {
            kernel::add_scaled(row, 1.0, &self.bias);
        }
        let (rows, weight) = (
            MatrixView::new(rows, self.inputs),
            MatrixView::new(&self.weight, self.inputs),
        );
        kernel::matmul(to, outputs, true, 1.0, rows, weight.transposed());
    }
}

/// Linear layer in f16, for a few rows at a time, where reading the weights is most of the work.
pub(super) struct HalfLinear {
    inputs: usize,
    weight: Vec<f16>,
    bias: Vec<f32>,
}

impl HalfLinear {
    pub(super) fn load(
        file: &mut GgmlFile,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            inputs,
            weight: file.take_f16(&format!("{name}.weight"), inputs * outputs)?,
            bias: load_bias(file, name, outputs)?,
        })
    }

    pub(super) fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let outputs = self.bias.len();
        let mut out = vec![0.0; rows.len() / self.inputs * outputs];
        kernel::matmul_f16(&self.weight, self.inputs, rows, &mut out);
        for row in out.chunks_exact_mut(outputs) {
            kernel::add_scaled(row, 1.0, &self.bias);
        }
        out
    }
}

/// Returns zeros for keys, which have no bias in Whisper.
fn load_bias(file: &mut GgmlFile, name: &str, outputs: usize) -> Result<Vec<f32>, LoadError> {
    if name.rsplit('.').next() == Some("key") {
        return Ok(vec![0.0; outputs]);
    }
    file.take_f32(&format!("{name}.bias"), outputs)
}

/// Layer normalisation (Ba et al. 2016, arXiv:1607.06450).
pub(super) struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl LayerNorm {
    pub(super) fn load(file: &mut GgmlFile, name: &str, width: usize) -> Result<Self, LoadError> {
        Ok(Self {
            weight: file.take_f32(&format!("{name}.weight"), width)?,
            bias: file.take_f32(&format!("{name}.bias"), width)?,
        })
    }

    pub(super) fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let width = self.weight.len();
        let mut out = Vec::with_capacity(rows.len());
        for row in rows.chunks_exact(width) {
            let mean = kernel::sum(row) / width as f32;
            let from = out.len();
            out.extend(row.iter().map(|x| x - mean));
            let row = &mut out[from..];
            let variance = kernel::dot(row, row) / width as f32;
            let scale = (variance + NORM_EPSILON).sqrt().recip();
            for (x, (weight, bias)) in row.iter_mut().zip(self.weight.iter().zip(&self.bias)) {
                *x = *x * scale * weight + bias;
            }
        }
        out
    }
}

/// Softmax in place. Columns from `repeated_from` on count `repeats` times each.
pub(super) fn softmax(row: &mut [f32], repeated_from: usize, repeats: usize) {
    let highest = kernel::max(row);
    for score in &mut *row {
        *score -= highest;
    }
    kernel::exp(row);
    for weight in &mut row[repeated_from..] {
        *weight *= repeats as f32;
    }
    let whole = kernel::sum(row).recip();
    for weight in row {
        *weight *= whole;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3)
    }

    #[test]
    fn f32_and_f16_weights_give_the_same() {
        let (inputs, outputs) = (16, 3);
        let weight: Vec<f32> = (0..inputs * outputs)
            .map(|n| (n % 7) as f32 / 8.0)
            .collect();
        let bias = vec![0.5, -1.0, 2.0];
        let rows: Vec<f32> = (0..2 * inputs).map(|n| (n % 5) as f32 - 2.0).collect();
        let f16_linear = HalfLinear {
            inputs,
            weight: weight.iter().map(|&x| f16::from_f32(x)).collect(),
            bias: bias.clone(),
        };
        let f32_linear = Linear {
            inputs,
            weight,
            bias,
        };
        let by_hand: f32 = (0..inputs).map(|n| (n % 7) as f32 / 8.0 * rows[n]).sum();
        assert!((f32_linear.apply(&rows)[0] - 0.5 - by_hand).abs() < 1e-4);
        assert!(near(&f32_linear.apply(&rows), &f16_linear.apply(&rows)));
    }

    #[test]
    fn a_normalised_row_has_no_mean_and_unit_variance() {
        let norm = LayerNorm {
            weight: vec![1.0, 1.0, 2.0],
            bias: vec![0.0, 1.0, 0.0],
        };
        let step = 1.5_f32.sqrt();
        assert!(near(
            &norm.apply(&[1.0, 3.0, 5.0]),
            &[-step, 1.0, 2.0 * step]
        ));
    }

    #[test]
    fn shares_are_of_one_and_some_count_more_than_once() {
        let mut row = [1.0, 1.0, 0.0];
        softmax(&mut row, 1, 3);
        let e = std::f32::consts::E;
        let whole = e + 3.0 * e + 3.0;
        assert!(near(&row, &[e / whole, 3.0 * e / whole, 3.0 / whole]));
    }
}
