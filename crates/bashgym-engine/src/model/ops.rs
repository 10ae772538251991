//! The model's operations as candle operations, each with its gradient.
//!
//! candle's own fused forms (`RmsNorm::forward`, `softmax_last_dim`, `rotary_emb`) have no gradient and would silently
//! stop the learning, and its differentiable forms make a temporary tensor per step. These do neither.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};

use super::kernels::{self, Rope};

/// Gives a contiguous tensor's numbers.
fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&values[from..to]),
        None => bail!("the tensor is not contiguous"),
    }
}

/// Runs a function on a tensor's numbers, without copying them.
pub(crate) fn with_values<R>(tensor: &Tensor, run: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(storage) => Ok(run(slice(storage, layout)?)),
        _ => bail!("the tensor is not on the CPU"),
    }
}

/// Keeps every matrix multiplication on the thread that asks for it.
///
/// Work is shared out in larger parts here (a part of a batch, a request), and gemm's own way of splitting doubles the
/// processor time of such a part even where it has one thread to split for. The setting holds for the whole process.
pub(crate) fn multiply_on_one_thread() {
    gemm::set_threading_threshold(usize::MAX);
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// A batch of equally shaped matrices, each possibly read as its transpose.
struct Matrices<'a> {
    values: &'a CpuStorage,
    layout: Layout,
}

impl<'a> Matrices<'a> {
    fn new(values: &'a CpuStorage, shape: (usize, usize, usize)) -> Self {
        Self {
            values,
            layout: Layout::contiguous(shape),
        }
    }

    fn transposed(values: &'a CpuStorage, shape: (usize, usize, usize)) -> Result<Self> {
        Ok(Self {
            values,
            layout: Layout::contiguous(shape).transpose(1, 2)?,
        })
    }

    fn multiply(&self, other: &Self) -> Result<CpuStorage> {
        let (batch, m, k) = self.layout.shape().dims3()?;
        let n = other.layout.dims()[2];
        self.values
            .matmul(other.values, (batch, m, n, k), &self.layout, &other.layout)
    }
}

fn into_values(storage: CpuStorage) -> Result<Vec<f32>> {
    match storage {
        CpuStorage::F32(values) => Ok(values),
        _ => bail!("not single precision"),
    }
}

/// `x * weight^T`, with both gradients in the weight's own order.
struct Linear;

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, inputs) = x_layout.shape().dims2()?;
        let (outputs, _) = weight_layout.shape().dims2()?;
        let out = if rows == 1 {
            // One token: too little work to share out between threads.
            let (x, weight) = (slice(x, x_layout)?, slice(weight, weight_layout)?);
            CpuStorage::F32(
                weight
                    .chunks_exact(inputs)
                    .map(|row| kernels::dot(row, x))
                    .collect(),
            )
        } else {
            x.matmul(
                weight,
                (1, rows, outputs, inputs),
                x_layout,
                &weight_layout.transpose(0, 1)?,
            )?
        };
        Ok((out, (rows, outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        Ok((
            Some(grad.matmul(&weight.detach())?),
            Some(grad.t()?.matmul(&x.detach())?),
        ))
    }
}

/// Multiplies rows by a weight.
///
/// # Shape
/// `x`: rows by inputs; `weight`: outputs by inputs; result: rows by outputs.
pub(crate) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.apply_op2(weight, Linear)
}

struct RmsNorm {
    eps: f32,
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (slice(x, x_layout)?, slice(weight, weight_layout)?);
        let mut out = vec![0.0; x.len()];
        for (x, out) in x
            .chunks_exact(weight.len())
            .zip(out.chunks_exact_mut(weight.len()))
        {
            let scale = kernels::inverse_rms(x, self.eps);
            for i in 0..weight.len() {
                out[i] = x[i] * scale * weight[i];
            }
        }
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = weight.elem_count();
        let mut grad_x = vec![0.0; x.elem_count()];
        let mut grad_weight = vec![0.0; width];
        with_values(x, |x_values| {
            with_values(weight, |weight| {
                with_values(grad, |grad| {
                    let mut scaled = vec![0.0; width];
                    for ((x, grad), out) in x_values
                        .chunks_exact(width)
                        .zip(grad.chunks_exact(width))
                        .zip(grad_x.chunks_exact_mut(width))
                    {
                        let scale = kernels::inverse_rms(x, self.eps);
                        for i in 0..width {
                            grad_weight[i] += grad[i] * x[i] * scale;
                            scaled[i] = grad[i] * weight[i];
                        }
                        let along = kernels::dot(&scaled, x) * scale * scale / width as f32;
                        for i in 0..width {
                            out[i] = scale * (scaled[i] - x[i] * along);
                        }
                    }
                })
            })
        })???;
        Ok((
            Some(tensor(grad_x, x.shape())?),
            Some(tensor(grad_weight, width)?),
        ))
    }
}

/// Scales each row to length one on average, then by the weight.
pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
    x.apply_op2(weight, RmsNorm { eps })
}

/// `silu(gate) * up`.
struct SwiGlu;

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (slice(gate, gate_layout)?, slice(up, up_layout)?);
        let out = gate
            .iter()
            .zip(up)
            .map(|(&gate, &up)| gate * up / (1.0 + kernels::exp(-gate)))
            .collect();
        Ok((CpuStorage::F32(out), gate_layout.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut grad_gate = vec![0.0; gate.elem_count()];
        let mut grad_up = vec![0.0; gate.elem_count()];
        with_values(gate, |gate| {
            with_values(up, |up| {
                with_values(grad, |grad| {
                    let outs = grad_gate.iter_mut().zip(grad_up.iter_mut());
                    for (((&gate, &up), &grad), (grad_gate, grad_up)) in
                        gate.iter().zip(up).zip(grad).zip(outs)
                    {
                        let sigmoid = 1.0 / (1.0 + kernels::exp(-gate));
                        let silu = gate * sigmoid;
                        *grad_up = grad * silu;
                        *grad_gate = grad * up * (sigmoid + silu * (1.0 - sigmoid));
                    }
                })
            })
        })???;
        Ok((
            Some(tensor(grad_gate, gate.shape())?),
            Some(tensor(grad_up, gate.shape())?),
        ))
    }
}

/// Gates one half of the feed-forward part with the other.
pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.apply_op2(up, SwiGlu)
}

/// Picks rows by index; the gradient adds up where an index repeats.
struct PickRows {
    rows: Arc<[u32]>,
}

impl CustomOp1 for PickRows {
    fn name(&self) -> &'static str {
        "pick-rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (count, width) = layout.shape().dims2()?;
        let x = slice(x, layout)?;
        let mut out = Vec::with_capacity(self.rows.len() * width);
        for &row in self.rows.iter() {
            let row = row as usize;
            if row >= count {
                bail!("row {row} of {count} rows");
            }
            out.extend_from_slice(&x[row * width..(row + 1) * width]);
        }
        Ok((CpuStorage::F32(out), (self.rows.len(), width).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, width) = x.dims2()?;
        let mut out = vec![0.0; x.elem_count()];
        with_values(grad, |grad| {
            for (&row, grad) in self.rows.iter().zip(grad.chunks_exact(width)) {
                let row = row as usize;
                kernels::add_scaled(&mut out[row * width..(row + 1) * width], grad, 1.0);
            }
        })?;
        Ok(Some(tensor(out, x.shape())?))
    }
}

/// Picks rows of a matrix by index.
pub(crate) fn pick_rows(x: &Tensor, rows: Arc<[u32]>) -> Result<Tensor> {
    x.apply_op1(PickRows { rows })
}

/// Cross-entropy of the targets, summed and scaled. Its gradient is worked out on the way and kept.
struct CrossEntropy {
    targets: Arc<[u32]>,
    scale: f32,
    gradient: Option<Mutex<Vec<f32>>>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        let logits = slice(logits, layout)?;
        if self.targets.len() != rows || self.targets.iter().any(|&target| target as usize >= width) {
            bail!("the targets do not fit the logits");
        }
        let mut total = 0.0_f64;
        let mut gradient = Vec::with_capacity(if self.gradient.is_some() { logits.len() } else { 0 });
        let mut shares = vec![0.0; width];
        for (logits, &target) in logits.chunks_exact(width).zip(self.targets.iter()) {
            let most = kernels::max(logits);
            for (share, &logit) in shares.iter_mut().zip(logits) {
                *share = kernels::exp(logit - most);
            }
            let sum = kernels::sum(&shares);
            total += f64::from(sum.ln() + most - logits[target as usize]);
            if self.gradient.is_some() {
                let factor = self.scale / sum;
                let from = gradient.len();
                gradient.extend(shares.iter().map(|share| share * factor));
                gradient[from + target as usize] -= self.scale;
            }
        }
        if let Some(slot) = &self.gradient {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = gradient;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the loss is single precision like all tensors"
        )]
        let loss = (total * f64::from(self.scale)) as f32;
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let Some(slot) = &self.gradient else {
            bail!("this loss was made without a gradient")
        };
        let mut gradient = std::mem::take(&mut *slot.lock().unwrap_or_else(PoisonError::into_inner));
        let factor = grad.to_scalar::<f32>()?;
        if factor.to_bits() != 1.0_f32.to_bits() {
            for value in &mut gradient {
                *value *= factor;
            }
        }
        Ok(Some(tensor(gradient, logits.shape())?))
    }
}

/// Gives the cross-entropy of the targets: summed over the rows, times `scale`.
///
/// # Shape
/// `logits`: rows by vocabulary; `targets`: one a row; result: a scalar.
pub(crate) fn cross_entropy(
    logits: &Tensor,
    targets: Arc<[u32]>,
    scale: f32,
    with_gradient: bool,
) -> Result<Tensor> {
    let gradient = with_gradient.then(|| Mutex::new(Vec::new()));
    logits.apply_op1(CrossEntropy {
        targets,
        scale,
        gradient,
    })
}

/// What attention needs to know besides its numbers.
#[derive(Debug, Clone)]
pub(crate) struct AttentionShape {
    /// Number of sequences.
    pub(crate) batch: usize,
    /// Tokens in each.
    pub(crate) length: usize,
    /// Query heads.
    pub(crate) heads: usize,
    /// Key and value heads.
    pub(crate) kv_heads: usize,
    /// Width of a head.
    pub(crate) head_dim: usize,
    /// For each token of the batch, the first token of its document within the sequence: attention stays inside.
    pub(crate) starts: Arc<[u32]>,
    /// The angles.
    pub(crate) rope: Arc<Rope>,
}

impl AttentionShape {
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Reorders `[batch, length, heads * dim]` to `[batch, kv_heads, group, length, dim]`, turned to positions.
    fn split(&self, x: &[f32], heads: usize, rotated: bool) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        self.each_head(heads, |token_at, head_at, position| {
            let from = &x[token_at..token_at + self.head_dim];
            let to = &mut out[head_at..head_at + self.head_dim];
            if rotated {
                self.rope.rotate(from, to, position, false);
            } else {
                to.copy_from_slice(from);
            }
        });
        out
    }

    /// The way back of [`AttentionShape::split`].
    fn merge(&self, x: &[f32], heads: usize, rotated: bool) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        self.each_head(heads, |token_at, head_at, position| {
            let from = &x[head_at..head_at + self.head_dim];
            let to = &mut out[token_at..token_at + self.head_dim];
            if rotated {
                self.rope.rotate(from, to, position, true);
            } else {
                to.copy_from_slice(from);
            }
        });
        out
    }

    fn each_head(&self, heads: usize, mut run: impl FnMut(usize, usize, usize)) {
        for sequence in 0..self.batch {
            for position in 0..self.length {
                for head in 0..heads {
                    let token_at = ((sequence * self.length + position) * heads + head) * self.head_dim;
                    let head_at = ((sequence * heads + head) * self.length + position) * self.head_dim;
                    run(token_at, head_at, position);
                }
            }
        }
    }

    fn queries(&self) -> (usize, usize, usize) {
        (
            self.batch * self.kv_heads,
            self.group() * self.length,
            self.head_dim,
        )
    }

    fn keys(&self) -> (usize, usize, usize) {
        (self.batch * self.kv_heads, self.length, self.head_dim)
    }

    fn scores(&self) -> (usize, usize, usize) {
        (
            self.batch * self.kv_heads,
            self.group() * self.length,
            self.length,
        )
    }

    /// Calls with each row of the scores and the range of keys it may see.
    fn each_row(&self, scores: &mut [f32], mut run: impl FnMut(&mut [f32], usize, usize)) {
        let rows_per_sequence = self.heads * self.length;
        for (index, row) in scores.chunks_exact_mut(self.length).enumerate() {
            let position = index % self.length;
            let sequence = index / rows_per_sequence;
            let start = self.starts[sequence * self.length + position] as usize;
            run(row, start.min(position), position + 1);
        }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }
}

/// What the forward pass of attention leaves for the backward pass.
struct Saved {
    queries: CpuStorage,
    keys: CpuStorage,
    values: CpuStorage,
    shares: CpuStorage,
}

/// Causal attention within documents, positions included.
struct Attention {
    shape: AttentionShape,
    saved: Option<Mutex<Option<Saved>>>,
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = &self.shape;
        if shape.length > shape.rope.positions() {
            bail!(
                "{} tokens, and positions for {}",
                shape.length,
                shape.rope.positions()
            );
        }
        let queries = CpuStorage::F32(shape.split(slice(q, q_layout)?, shape.heads, true));
        let keys = CpuStorage::F32(shape.split(slice(k, k_layout)?, shape.kv_heads, true));
        let values = CpuStorage::F32(shape.split(slice(v, v_layout)?, shape.kv_heads, false));
        let scores =
            Matrices::new(&queries, shape.queries()).multiply(&Matrices::transposed(&keys, shape.keys())?)?;
        let mut shares = into_values(scores)?;
        let scale = shape.scale();
        shape.each_row(&mut shares, |row, from, to| {
            row[..from].fill(0.0);
            kernels::softmax(&mut row[from..to], scale);
            row[to..].fill(0.0);
        });
        let shares = CpuStorage::F32(shares);
        let out = Matrices::new(&shares, shape.scores()).multiply(&Matrices::new(&values, shape.keys()))?;
        let out = shape.merge(&into_values(out)?, shape.heads, false);
        if let Some(slot) = &self.saved {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Saved {
                queries,
                keys,
                values,
                shares,
            });
        }
        Ok((CpuStorage::F32(out), q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let shape = &self.shape;
        let saved = self
            .saved
            .as_ref()
            .and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(Saved {
            queries,
            keys,
            values,
            shares,
        }) = saved
        else {
            bail!("this attention was made without a gradient");
        };
        let grad = CpuStorage::F32(with_values(grad, |grad| shape.split(grad, shape.heads, false))?);
        let grad_matrices = Matrices::new(&grad, shape.queries());
        let grad_values = Matrices::transposed(&shares, shape.scores())?.multiply(&grad_matrices)?;
        let grad_shares = grad_matrices.multiply(&Matrices::transposed(&values, shape.keys())?)?;
        let mut grad_scores = into_values(grad_shares)?;
        let shares = into_values(shares)?;
        let scale = shape.scale();
        let mut rows = shares.chunks_exact(shape.length);
        shape.each_row(&mut grad_scores, |row, from, to| {
            let Some(shares) = rows.next() else { return };
            let shares = &shares[from..to];
            let along = kernels::dot(shares, &row[from..to]);
            row[..from].fill(0.0);
            for (grad, share) in row[from..to].iter_mut().zip(shares) {
                *grad = share * (*grad - along) * scale;
            }
            row[to..].fill(0.0);
        });
        let grad_scores = CpuStorage::F32(grad_scores);
        let grad_queries =
            Matrices::new(&grad_scores, shape.scores()).multiply(&Matrices::new(&keys, shape.keys()))?;
        let grad_keys = Matrices::transposed(&grad_scores, shape.scores())?
            .multiply(&Matrices::new(&queries, shape.queries()))?;
        let grad_q = shape.merge(&into_values(grad_queries)?, shape.heads, true);
        let grad_k = shape.merge(&into_values(grad_keys)?, shape.kv_heads, true);
        let grad_v = shape.merge(&into_values(grad_values)?, shape.kv_heads, false);
        Ok((
            Some(tensor(grad_q, q.shape())?),
            Some(tensor(grad_k, k.shape())?),
            Some(tensor(grad_v, v.shape())?),
        ))
    }
}

/// Lets every token look at the earlier ones of its document.
///
/// # Shape
/// `q`: tokens by heads times head width; `k`, `v`: tokens by key heads times head width; result: as `q`.
pub(crate) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    shape: AttentionShape,
    with_gradient: bool,
) -> Result<Tensor> {
    let saved = with_gradient.then(|| Mutex::new(None));
    q.apply_op3(k, v, Attention { shape, saved })
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::rng::Rng;

    fn random(seed: u64, shape: impl Into<Shape>) -> Var {
        let shape = shape.into();
        let mut rng = Rng::new(seed, 0);
        #[expect(clippy::cast_possible_truncation, reason = "test data")]
        let values = (0..shape.elem_count()).map(|_| rng.normal() as f32).collect();
        Var::from_tensor(&tensor(values, shape).unwrap()).unwrap()
    }

    /// Compares the gradient of `sum(f(inputs) * fixed weights)` with finite differences at every input number.
    fn check_gradients(inputs: &[Var], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
        let tensors = |inputs: &[Var]| inputs.iter().map(|it| it.as_tensor().clone()).collect::<Vec<_>>();
        let out = f(&tensors(inputs)).unwrap();
        let weights = random(99, out.shape()).as_tensor().detach();
        let loss = |inputs: &[Tensor]| f(inputs).unwrap().mul(&weights).unwrap().sum_all().unwrap();
        let grads = loss(&tensors(inputs)).backward().unwrap();
        for (index, input) in inputs.iter().enumerate() {
            let gradient = grads
                .get(input)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap();
            let values = input.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for at in 0..values.len() {
                let moved = |by: f32| {
                    let mut values = values.clone();
                    values[at] += by;
                    let mut inputs = tensors(inputs);
                    inputs[index] = tensor(values, input.shape()).unwrap();
                    f64::from(loss(&inputs).to_scalar::<f32>().unwrap())
                };
                let want = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                let got = f64::from(gradient[at]);
                assert!(
                    (got - want).abs() < 2e-2 + 2e-2 * want.abs(),
                    "input {index} at {at}: {got} {want}"
                );
            }
        }
    }

    #[test]
    fn linear_has_the_right_gradient() {
        check_gradients(&[random(1, (3, 4)), random(2, (5, 4))], |x| linear(&x[0], &x[1]));
    }

    #[test]
    fn rms_norm_has_the_right_gradient() {
        check_gradients(&[random(1, (3, 9)), random(2, 9)], |x| {
            rms_norm(&x[0], &x[1], 1e-5)
        });
    }

    #[test]
    fn swiglu_has_the_right_gradient() {
        check_gradients(&[random(1, (3, 5)), random(2, (3, 5))], |x| swiglu(&x[0], &x[1]));
    }

    #[test]
    fn picked_rows_have_the_right_gradient() {
        check_gradients(&[random(1, (4, 3))], |x| {
            pick_rows(&x[0], Arc::from([2, 0, 2, 2]))
        });
    }

    #[test]
    fn cross_entropy_has_the_right_gradient() {
        check_gradients(&[random(1, (3, 11))], |x| {
            cross_entropy(&x[0], Arc::from([4, 0, 10]), 0.5, true)
        });
    }

    #[test]
    fn attention_has_the_right_gradient() {
        let shape = AttentionShape {
            batch: 2,
            length: 5,
            heads: 4,
            kv_heads: 2,
            head_dim: 4,
            starts: Arc::from([0, 0, 0, 3, 3, 0, 1, 1, 1, 4]),
            rope: Arc::new(Rope::new(4, 100.0, 5)),
        };
        check_gradients(
            &[random(1, (10, 16)), random(2, (10, 8)), random(3, (10, 8))],
            |x| attention(&x[0], &x[1], &x[2], shape.clone(), true),
        );
    }

    #[test]
    fn an_index_outside_is_an_error() {
        assert!(pick_rows(&random(1, (4, 3)), Arc::from([4])).is_err());
        assert!(cross_entropy(&random(1, (1, 3)), Arc::from([3]), 1.0, false).is_err());
    }
}
