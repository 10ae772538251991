//! The inner loops, on plain slices.
//!
//! Sums run over fixed lanes, so a result depends on the data alone: not on the thread count, not on the compiler's mood.

const LANES: usize = 8;

/// Gives `e^x` to about seven digits, in a form the compiler can turn into vector instructions.
///
/// # Source
/// The polynomial of the Cephes library's `expf`.
#[inline]
pub(crate) fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to a whole number held in the low bits.
    const MAGIC_BITS: i32 = 0x4B40_0000;
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let whole = shifted - MAGIC;
    let r = x - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let mut poly = 1.987_569_1e-4;
    poly = poly * r + 1.398_2e-3;
    poly = poly * r + 8.333_452e-3;
    poly = poly * r + 4.166_579_6e-2;
    poly = poly * r + 1.666_666_5e-1;
    poly = poly * r + 0.5;
    let fraction = poly * r * r + r + 1.0;
    let power = shifted.to_bits().cast_signed() - MAGIC_BITS;
    fraction * f32::from_bits(((power + 127) << 23).cast_unsigned())
}

/// Gives the sum of the products.
#[inline]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    fold(lanes) + rest
}

/// Gives the sum.
#[inline]
pub(crate) fn sum(a: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for x in chunks {
        for lane in 0..LANES {
            lanes[lane] += x[lane];
        }
    }
    fold(lanes) + rest.iter().sum::<f32>()
}

/// Gives the largest value; negative infinity for none.
#[inline]
pub(crate) fn max(a: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for x in chunks {
        for lane in 0..LANES {
            if x[lane] > lanes[lane] {
                lanes[lane] = x[lane];
            }
        }
    }
    lanes
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |most, &x| if x > most { x } else { most })
}

#[inline]
fn fold(lanes: [f32; LANES]) -> f32 {
    ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]))
}

/// Adds `scale * a` to `out`.
#[inline]
pub(crate) fn add_scaled(out: &mut [f32], a: &[f32], scale: f32) {
    for (out, a) in out.iter_mut().zip(a) {
        *out += scale * a;
    }
}

/// Turns scores into probabilities in place and gives nothing back; an empty row stays empty.
#[inline]
pub(crate) fn softmax(row: &mut [f32], scale: f32) {
    let most = max(row);
    for x in row.iter_mut() {
        *x = exp((*x - most) * scale);
    }
    let share = 1.0 / sum(row);
    for x in row.iter_mut() {
        *x *= share;
    }
}

/// Gives `1 / sqrt(mean(x^2) + eps)`.
#[inline]
pub(crate) fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt()
}

/// The angles of rotary positions.
///
/// # Shape
/// `cos` and `sin`: positions by half a head.
///
/// # Source
/// transformers `models/llama/modeling_llama.py`, `LlamaRotaryEmbedding` and `rotate_half`.
#[derive(Debug)]
pub(crate) struct Rope {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rope {
    /// Computes the angles of the first `positions` places.
    pub(crate) fn new(head_dim: usize, theta: f64, positions: usize) -> Self {
        let half = head_dim / 2;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to single precision is meant"
        )]
        let frequencies: Vec<f32> = (0..half)
            .map(|pair| theta.powf(-2.0 * pair as f64 / head_dim as f64) as f32)
            .collect();
        let mut cos = Vec::with_capacity(positions * half);
        let mut sin = Vec::with_capacity(positions * half);
        for position in 0..positions {
            for frequency in &frequencies {
                // Torch works the angle out in single precision; long texts show the difference.
                let angle = position as f32 * frequency;
                cos.push(angle.cos());
                sin.push(angle.sin());
            }
        }
        Self { half, cos, sin }
    }

    /// Gives the number of places covered.
    pub(crate) fn positions(&self) -> usize {
        self.cos.len() / self.half.max(1)
    }

    /// Writes `head` turned to its place; `back` turns the other way, which is the gradient.
    #[inline]
    pub(crate) fn rotate(&self, head: &[f32], out: &mut [f32], position: usize, back: bool) {
        let range = position * self.half..(position + 1) * self.half;
        let (cos, sin) = (&self.cos[range.clone()], &self.sin[range]);
        let (low, high) = head.split_at(self.half);
        let (out_low, out_high) = out.split_at_mut(self.half);
        let sign = if back { -1.0 } else { 1.0 };
        for i in 0..self.half {
            let s = sign * sin[i];
            out_low[i] = low[i] * cos[i] - high[i] * s;
            out_high[i] = high[i] * cos[i] + low[i] * s;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_over_the_whole_range() {
        for step in -8700_i16..8800 {
            let x = f32::from(step) / 100.0;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            assert!(((got - want) / want).abs() < 3e-7, "{x}: {got} {want}");
        }
        assert!(exp(-1e30) < 1e-37);
        assert!(exp(f32::INFINITY).is_finite());
    }

    #[test]
    fn sums_agree_with_the_plain_way_at_every_length() {
        for length in 0..40 {
            let a: Vec<f32> = (0..length).map(|i| i as f32 * 0.5 - 3.0).collect();
            let want: f32 = a.iter().sum();
            assert!((sum(&a) - want).abs() < 1e-3);
            let want: f32 = a.iter().map(|x| x * x).sum();
            assert!((dot(&a, &a) - want).abs() < 1e-2);
        }
    }

    #[test]
    fn a_rotation_and_its_inverse_cancel() {
        let rope = Rope::new(8, 10_000.0, 20);
        let head: Vec<f32> = (0..8).map(|i| i as f32).collect();
        let (mut turned, mut back) = (vec![0.0; 8], vec![0.0; 8]);
        rope.rotate(&head, &mut turned, 13, false);
        rope.rotate(&turned, &mut back, 13, true);
        assert!(head.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-5));
        assert_ne!(head, turned);
    }
}
