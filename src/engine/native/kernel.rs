//! Inner loops, which take most of the time: matrix products, dot products, `exp`, GELU. With AVX2,
//! FMA and F16C they use intrinsics, so that a test build is as fast as a release build; elsewhere
//! they are plain Rust. Besides `engine/whisper.rs` this is the only file with `unsafe` code:
//! vector loads and stores, and [`gemm`], take pointers.

use half::f16;

/// Strided view of a matrix in a slice: `row_step` values from row to row, `column_step` from
/// column to column.
#[derive(Debug, Clone, Copy)]
pub(super) struct MatrixView<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

impl<'a> MatrixView<'a> {
    /// A view of consecutive rows.
    pub(super) fn new(data: &'a [f32], columns: usize) -> Self {
        Self {
            data,
            rows: data.len() / columns,
            columns,
            row_step: columns,
            column_step: 1,
        }
    }

    /// A view of `count` columns from `first` on.
    pub(super) fn column_range(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.columns, "columns out of bounds");
        Self {
            // A matrix without rows has no value at `first`.
            data: &self.data[(first * self.column_step).min(self.data.len())..],
            columns: count,
            ..self
        }
    }

    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_step: self.column_step,
            column_step: self.row_step,
            ..self
        }
    }

    fn row(&self, row: usize) -> &'a [f32] {
        &self.data[row * self.row_step..][..self.columns]
    }

    fn is_in_bounds(&self) -> bool {
        let last = self.rows.saturating_sub(1) * self.row_step
            + self.columns.saturating_sub(1) * self.column_step;
        self.rows == 0 || self.columns == 0 || last < self.data.len()
    }
}

/// Computes `into = scale · left · right`, or `into += scale · left · right` with `add`. Rows of
/// `into` are `row_step` values apart.
#[expect(unsafe_code, reason = "gemm takes pointers")]
pub(super) fn matmul(
    into: &mut [f32],
    row_step: usize,
    add: bool,
    scale: f32,
    left: MatrixView<'_>,
    right: MatrixView<'_>,
) {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    assert_eq!(k, right.rows, "the inner dimensions differ");
    if m == 0 || n == 0 {
        return;
    }
    assert!(left.is_in_bounds() && right.is_in_bounds() && (m - 1) * row_step + n <= into.len());
    // SAFETY: by the assertion above, every element that these sizes and steps reach is within its
    // slice; `into` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            into.as_mut_ptr(),
            1,
            row_step as isize,
            add,
            left.data.as_ptr(),
            left.column_step as isize,
            left.row_step as isize,
            right.data.as_ptr(),
            right.column_step as isize,
            right.row_step as isize,
            1.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Maximum number of lanes of a vector in these kernels; the lengths of rows are multiples of it.
pub(super) const LANES: usize = 16;

/// Calls the AVX2 version of a kernel if the processor supports it, otherwise the portable one.
macro_rules! dispatch {
    ($name:ident($($argument:expr),*)) => {{
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
        {
            // SAFETY: the processor supports the features that the kernel was compiled with.
            #[expect(unsafe_code, reason = "the kernel needs features of the processor")]
            return unsafe { x86::$name($($argument),*) };
        }
        portable::$name($($argument),*)
    }};
}

/// Returns the dot product of two slices of the same length.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    dispatch!(dot(a, b))
}

/// Writes the dot product of each row and `by`: `into[n] = rows[n] · by`.
pub(super) fn dot_rows(rows: MatrixView<'_>, by: &[f32], into: &mut [f32]) {
    assert!(rows.column_step == 1 && rows.rows == into.len() && rows.columns == by.len());
    assert!(rows.columns.is_multiple_of(LANES));
    dispatch!(dot_rows(rows, by, into));
}

/// `to += Σ by[n] · rows[n]`.
pub(super) fn add_weighted_rows(to: &mut [f32], by: &[f32], rows: MatrixView<'_>) {
    assert!(rows.column_step == 1 && rows.rows == by.len() && rows.columns == to.len());
    assert!(rows.columns.is_multiple_of(LANES));
    dispatch!(add_weighted_rows(to, by, rows));
}

/// `to += by · from`.
pub(super) fn add_scaled(to: &mut [f32], by: f32, from: &[f32]) {
    assert_eq!(to.len(), from.len());
    dispatch!(add_scaled(to, by, from));
}

/// Multiplies f16 `rows` (`n × width`) by `inputs` (`m × width`); `into` is `m × n`. Each row is
/// read once for all inputs.
pub(super) fn matmul_f16(rows: &[f16], width: usize, inputs: &[f32], into: &mut [f32]) {
    let (count, each) = (inputs.len() / width, rows.len() / width);
    assert!(width.is_multiple_of(LANES) && into.len() == count * each);
    dispatch!(matmul_f16(rows, width, inputs, into));
}

/// Does the same for int8 rows and integer inputs of at most [`QUANTIZED_INPUT_MAX`].
pub(super) fn matmul_i8(rows: &[i8], width: usize, inputs: &[i16], into: &mut [i32]) {
    let (count, each) = (inputs.len() / width, rows.len() / width);
    assert!(width.is_multiple_of(LANES) && into.len() == count * each);
    dispatch!(matmul_i8(rows, width, inputs, into));
}

/// Largest input of [`matmul_i8`]: 32 bits hold the sum of 2,048 products.
pub(super) const QUANTIZED_INPUT_MAX: i16 = 8_191;

pub(super) fn sum(row: &[f32]) -> f32 {
    dispatch!(sum(row))
}

/// Returns the highest value of a row; −∞ if it is empty.
pub(super) fn max(row: &[f32]) -> f32 {
    dispatch!(max(row))
}

/// Replaces each `x` by `e^x`, to 1 in 10⁶; by 0 where that is below the smallest normal number.
/// Source: the Cephes library's `expf`.
pub(super) fn exp(row: &mut [f32]) {
    dispatch!(exp(row));
}

/// Applies GELU with the hyperbolic tangent, as whisper.cpp computes it. Source: Hendrycks and
/// Gimpel 2016, arXiv:1606.08415.
pub(super) fn gelu(row: &mut [f32]) {
    dispatch!(gelu(row));
}

#[expect(
    clippy::inline_always,
    reason = "the callers in `x86` compile them with AVX2"
)]
mod portable {
    use super::MatrixView;
    use super::f16;

    pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    pub(super) fn dot_rows(rows: MatrixView<'_>, by: &[f32], into: &mut [f32]) {
        for (r, product) in into.iter_mut().enumerate() {
            *product = dot(rows.row(r), by);
        }
    }

    pub(super) fn add_weighted_rows(to: &mut [f32], by: &[f32], rows: MatrixView<'_>) {
        for (r, &by) in by.iter().enumerate() {
            add_scaled(to, by, rows.row(r));
        }
    }

    #[inline(always)]
    pub(super) fn add_scaled(to: &mut [f32], by: f32, from: &[f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to += by * from;
        }
    }

    pub(super) fn matmul_f16(rows: &[f16], width: usize, inputs: &[f32], into: &mut [f32]) {
        let each = rows.len() / width;
        for (r, row) in rows.chunks_exact(width).enumerate() {
            for (i, input) in inputs.chunks_exact(width).enumerate() {
                let products = row.iter().zip(input).map(|(w, x)| w.to_f32() * x);
                into[i * each + r] = products.sum();
            }
        }
    }

    pub(super) fn matmul_i8(rows: &[i8], width: usize, inputs: &[i16], into: &mut [i32]) {
        let each = rows.len() / width;
        for (r, row) in rows.chunks_exact(width).enumerate() {
            for (i, input) in inputs.chunks_exact(width).enumerate() {
                let products = row
                    .iter()
                    .zip(input)
                    .map(|(&w, &x)| i32::from(w) * i32::from(x));
                into[i * each + r] = products.sum();
            }
        }
    }

    #[inline(always)]
    pub(super) fn sum(row: &[f32]) -> f32 {
        let (chunks, rest) = row.as_chunks::<32>();
        let mut sums = [0.0; 32];
        for chunk in chunks {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *sum += x;
            }
        }
        sums.iter().chain(rest).sum()
    }

    #[inline(always)]
    pub(super) fn max(row: &[f32]) -> f32 {
        let (chunks, rest) = row.as_chunks::<32>();
        let mut highest = [f32::NEG_INFINITY; 32];
        for chunk in chunks {
            for (highest, &x) in highest.iter_mut().zip(chunk) {
                *highest = if x > *highest { x } else { *highest };
            }
        }
        let all = highest.iter().chain(rest);
        all.copied().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    pub(super) fn exp(row: &mut [f32]) {
        for x in row {
            *x = exp_scalar(*x);
        }
    }

    #[inline(always)]
    pub(super) fn gelu(row: &mut [f32]) {
        for x in row {
            let inner = 0.797_884_6 * *x * (1.0 + 0.044_715 * *x * *x);
            // (1 + tanh y) / 2 is 1 / (1 + e^−2y).
            *x /= 1.0 + exp_scalar(-2.0 * inner);
        }
    }

    #[inline(always)]
    fn exp_scalar(x: f32) -> f32 {
        // Adding and subtracting 1.5 · 2²³ rounds to an integer.
        const ROUND: f32 = 12_582_912.0;
        let clamped = x.clamp(-87.0, 88.0);
        let whole = (clamped * std::f32::consts::LOG2_E + ROUND) - ROUND;
        // ln 2 is split in two: the first part has few bits, so that its product is exact.
        let rest = clamped - whole * 0.693_359_4 - whole * -2.121_944_4e-4;
        let mut series = 1.987_569_2e-4;
        for term in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
            series = series * rest + term;
        }
        let fraction = series * rest * rest + rest + 1.0;
        let power = f32::from_bits(((whole as i32 + 127) as u32) << 23);
        if x < -87.0 { 0.0 } else { fraction * power }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vectors are loaded through pointers")]
mod x86 {
    use std::arch::x86_64::{
        __m128, __m256, __m256i, _mm_add_epi32, _mm_add_ps, _mm_add_ss, _mm_cvtsi128_si32,
        _mm_cvtss_f32, _mm_loadu_si128, _mm_movehl_ps, _mm_shuffle_epi32, _mm_shuffle_ps,
        _mm_storeu_ps, _mm256_add_epi32, _mm256_add_ps, _mm256_castps256_ps128,
        _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_cvtph_ps, _mm256_extractf128_ps,
        _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_hadd_ps, _mm256_loadu_ps,
        _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_ps, _mm256_setzero_ps,
        _mm256_setzero_si256, _mm256_storeu_ps,
    };

    use super::MatrixView;
    use super::f16;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn load(from: &[f32; 8]) -> __m256 {
        // SAFETY: `from` holds eight values.
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn load_f16(from: &[f16; 8]) -> __m256 {
        // SAFETY: `from` holds eight values of two bytes.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn load_i8(from: &[i8; 16]) -> __m256i {
        // SAFETY: `from` holds sixteen bytes.
        _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(from.as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn load_i16(from: &[i16; 16]) -> __m256i {
        // SAFETY: `from` holds sixteen values of two bytes.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn sum_lanes(v: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn sum_lanes_i32(v: __m256i) -> i32 {
        let four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
        let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
        _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
        let mut sums = [_mm256_setzero_ps(); 4];
        let (a32, a_rest) = a.as_chunks::<32>();
        let (b32, b_rest) = b.as_chunks::<32>();
        for (a, b) in a32.iter().zip(b32) {
            let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
            sums[0] = _mm256_fmadd_ps(load(&a[0]), load(&b[0]), sums[0]);
            sums[1] = _mm256_fmadd_ps(load(&a[1]), load(&b[1]), sums[1]);
            sums[2] = _mm256_fmadd_ps(load(&a[2]), load(&b[2]), sums[2]);
            sums[3] = _mm256_fmadd_ps(load(&a[3]), load(&b[3]), sums[3]);
        }
        let pairs = [
            _mm256_add_ps(sums[0], sums[1]),
            _mm256_add_ps(sums[2], sums[3]),
        ];
        let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
        sum_lanes(_mm256_add_ps(pairs[0], pairs[1])) + rest
    }

    /// Returns the sums of the lanes of four vectors.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn sum_lanes_of_four(v: [__m256; 4]) -> __m128 {
        let (front, back) = (_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
        let halves = _mm256_hadd_ps(front, back);
        let upper = _mm256_extractf128_ps::<1>(halves);
        _mm_add_ps(_mm256_castps256_ps128(halves), upper)
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn dot_rows(rows: MatrixView<'_>, by: &[f32], into: &mut [f32]) {
        let (fours, rest) = into.as_chunks_mut::<4>();
        let first_rest = 4 * fours.len();
        for (n, four) in fours.iter_mut().enumerate() {
            let rows: [&[[f32; 8]]; 4] = std::array::from_fn(|i| rows.row(4 * n + i).as_chunks().0);
            let mut sums = [_mm256_setzero_ps(); 4];
            for (k, by) in by.as_chunks::<8>().0.iter().enumerate() {
                let by = load(by);
                for (sum, row) in sums.iter_mut().zip(rows) {
                    *sum = _mm256_fmadd_ps(by, load(&row[k]), *sum);
                }
            }
            // SAFETY: `four` holds four values.
            unsafe { _mm_storeu_ps(four.as_mut_ptr(), sum_lanes_of_four(sums)) };
        }
        for (n, product) in rest.iter_mut().enumerate() {
            *product = dot(by, rows.row(first_rest + n));
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn add_weighted_rows(to: &mut [f32], by: &[f32], rows: MatrixView<'_>) {
        const TOGETHER: usize = 8;
        let (whole, rest) = to.as_chunks_mut::<{ 8 * TOGETHER }>();
        let first_rest = 8 * TOGETHER * whole.len();
        for (n, to) in whole.iter_mut().enumerate() {
            let mut sums: [__m256; TOGETHER] = std::array::from_fn(|k| load(&to.as_chunks().0[k]));
            for (r, &by) in by.iter().enumerate() {
                let by = _mm256_set1_ps(by);
                let row = rows.row(r)[8 * TOGETHER * n..].as_chunks::<8>().0;
                for (sum, row) in sums.iter_mut().zip(row) {
                    *sum = _mm256_fmadd_ps(by, load(row), *sum);
                }
            }
            for (sum, to) in sums.into_iter().zip(to.as_chunks_mut::<8>().0) {
                // SAFETY: `to` holds eight values.
                unsafe { _mm256_storeu_ps(to.as_mut_ptr(), sum) };
            }
        }
        for (r, &by) in by.iter().enumerate() {
            super::portable::add_scaled(rest, by, &rows.row(r)[first_rest..]);
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn add_scaled(to: &mut [f32], by: f32, from: &[f32]) {
        super::portable::add_scaled(to, by, from);
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn matmul_f16(rows: &[f16], width: usize, inputs: &[f32], into: &mut [f32]) {
        let each = rows.len() / width;
        let mut row = vec![0.0; width];
        for (r, halves) in rows.chunks_exact(width).enumerate() {
            let eights = row.as_chunks_mut::<8>().0;
            for (to, from) in eights.iter_mut().zip(halves.as_chunks::<8>().0) {
                // SAFETY: `to` holds eight values.
                unsafe { _mm256_storeu_ps(to.as_mut_ptr(), load_f16(from)) };
            }
            for (i, input) in inputs.chunks_exact(width).enumerate() {
                into[i * each + r] = dot(&row, input);
            }
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn matmul_i8(rows: &[i8], width: usize, inputs: &[i16], into: &mut [i32]) {
        let each = rows.len() / width;
        let mut row = vec![_mm256_setzero_si256(); width / 16];
        for (r, bytes) in rows.chunks_exact(width).enumerate() {
            for (to, from) in row.iter_mut().zip(bytes.as_chunks::<16>().0) {
                *to = load_i8(from);
            }
            for (i, input) in inputs.chunks_exact(width).enumerate() {
                let mut sum = _mm256_setzero_si256();
                for (weights, input) in row.iter().zip(input.as_chunks::<16>().0) {
                    let products = _mm256_madd_epi16(*weights, load_i16(input));
                    sum = _mm256_add_epi32(sum, products);
                }
                into[i * each + r] = sum_lanes_i32(sum);
            }
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn sum(row: &[f32]) -> f32 {
        super::portable::sum(row)
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn max(row: &[f32]) -> f32 {
        super::portable::max(row)
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn exp(row: &mut [f32]) {
        super::portable::exp(row);
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn gelu(row: &mut [f32]) {
        super::portable::gelu(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic numbers from −1 to 1 without a simple pattern.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 37 + seed * 101) % 113) as f32 / 56.0 - 1.0)
            .collect()
    }

    fn assert_near(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        for (n, (a, b)) in a.iter().zip(b).enumerate() {
            assert!((a - b).abs() <= 1e-4 * (1.0 + b.abs()), "{n}: {a} {b}");
        }
    }

    #[test]
    fn products_are_those_of_the_schoolbook() {
        let (m, k, n) = (3, 5, 4);
        let (left_numbers, right_numbers) = (numbers(m * k, 1), numbers(n * k, 2));
        let by_hand = |r: usize, c: usize| -> f32 {
            (0..k)
                .map(|i| left_numbers[r * k + i] * right_numbers[c * k + i])
                .sum()
        };
        let expected: Vec<f32> = (0..m * n).map(|i| 2.0 * by_hand(i / n, i % n)).collect();
        let mut into = vec![7.0; m * n];
        let (left, right) = (
            MatrixView::new(&left_numbers, k),
            MatrixView::new(&right_numbers, k).transposed(),
        );
        matmul(&mut into, n, false, 2.0, left, right);
        assert_near(&into, &expected);

        let twice: Vec<f32> = expected.iter().map(|x| 2.0 * x).collect();
        matmul(&mut into, n, true, 2.0, left, right);
        assert_near(&into, &twice);

        let mut some = vec![0.0; m * n];
        let (left, right) = (
            left.column_range(2, 3),
            MatrixView::new(&right_numbers, k).column_range(2, 3),
        );
        matmul(&mut some, n, false, 1.0, left, right.transposed());
        let part: f32 = (2..5)
            .map(|i| left_numbers[k + i] * right_numbers[3 * k + i])
            .sum();
        assert_near(&some[n + 3..n + 4], &[part]);
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn a_product_that_would_leave_its_slice_is_refused() {
        let numbers = numbers(12, 1);
        let view = MatrixView::new(&numbers, 4);
        matmul(&mut [0.0; 8], 3, false, 1.0, view, view.transposed());
    }

    #[test]
    fn each_kernel_matches_portable_rust() {
        let (width, rows, inputs) = (96, 7, 3);
        let x = numbers(inputs * width, 3);
        let w: Vec<f16> = numbers(rows * width, 4)
            .into_iter()
            .map(f16::from_f32)
            .collect();
        let (mut ours, mut expected_products) =
            (vec![0.0; inputs * rows], vec![0.0; inputs * rows]);
        matmul_f16(&w, width, &x, &mut ours);
        portable::matmul_f16(&w, width, &x, &mut expected_products);
        assert_near(&ours, &expected_products);

        let bytes: Vec<i8> = (0..rows * width).map(|i| (i * 31 % 255) as i8).collect();
        let whole: Vec<i16> = (0..inputs * width)
            .map(|i| (i * 397 % (QUANTIZED_INPUT_MAX as usize + 1)) as i16)
            .collect();
        let (mut ours, mut expected_products) = (vec![0; inputs * rows], vec![0; inputs * rows]);
        matmul_i8(&bytes, width, &whole, &mut ours);
        portable::matmul_i8(&bytes, width, &whole, &mut expected_products);
        assert_eq!(ours, expected_products);

        let row = numbers(77, 5);
        assert_near(&[dot(&row, &row)], &[portable::dot(&row, &row)]);

        let (data, by) = (numbers(rows * 3 * width, 5), numbers(width, 6));
        let part = MatrixView::new(&data, 3 * width).column_range(width, width);
        let (mut ours, mut expected_products) = (vec![0.0; rows], vec![0.0; rows]);
        dot_rows(part, &by, &mut ours);
        portable::dot_rows(part, &by, &mut expected_products);
        assert_near(&ours, &expected_products);

        let (mut ours, mut expected_products) = (numbers(width, 7), numbers(width, 7));
        let shares = numbers(rows, 8);
        add_weighted_rows(&mut ours, &shares, part);
        portable::add_weighted_rows(&mut expected_products, &shares, part);
        assert_near(&ours, &expected_products);
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn rows_that_leave_their_slice_are_refused() {
        let numbers = numbers(40, 1);
        let view = MatrixView {
            rows: 3,
            ..MatrixView::new(&numbers, 16)
        };
        dot_rows(view, &numbers[..16], &mut [0.0; 3]);
    }

    #[test]
    fn sum_and_max_are_of_the_whole_row() {
        let mut row = numbers(77, 8);
        let expected: f64 = row.iter().map(|&x| f64::from(x)).sum();
        assert!((f64::from(sum(&row)) - expected).abs() < 1e-4);
        for at in [0, 40, 76] {
            row[at] += 10.0;
            assert_near(&[max(&row)], &[row[at]]);
            row[at] -= 20.0;
        }
        assert_eq!((sum(&[]), max(&[])), (0.0, f32::NEG_INFINITY));
    }

    #[test]
    fn exponentials_and_gelu_are_exact_enough() {
        let x: Vec<f32> = (-1_000..=880).map(|i| i as f32 / 10.0).collect();
        let mut powers = x.clone();
        exp(&mut powers);
        for (x, power) in x.iter().zip(&powers) {
            let (expected, near) = (x.exp(), f32::MIN_POSITIVE * 2.0);
            assert!(
                (power - expected).abs() <= 1e-6 * expected + near,
                "{x}: {power}"
            );
        }
        let mut small = numbers(64, 7);
        let expected: Vec<f32> = small
            .iter()
            .map(|x| 0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh()))
            .collect();
        gelu(&mut small);
        assert_near(&small, &expected);
        let mut far = [-60.0, 60.0];
        gelu(&mut far);
        assert_near(&far, &[0.0, 60.0]);
    }

    #[test]
    fn no_rows_and_no_columns_are_no_trouble() {
        let none = MatrixView::new(&[], 4).column_range(2, 2);
        matmul(
            &mut [],
            3,
            false,
            1.0,
            none,
            MatrixView::new(&[0.0; 12], 4)
                .column_range(0, 2)
                .transposed(),
        );
    }
}
