//! Attention, softmax(q·kᵀ·scale)·v, without the (queries, keys) map in memory.
//!
//! In: q (B, heads, queries, d), k and v (B, heads, keys, d), as views of the projections. Out: (B, queries, heads·d),
//! or the map's mean over the heads, (B, 1, queries, keys).
//!
//! A register holds one number of several *queries*: the scores of a key, their running maximum and sum, and a column of
//! the output are whole vectors, so the softmax needs no sums across a register, and both products are one kernel,
//! six numbers of the packed keys (or values) times two vectors of queries. A panel of queries goes through the keys in
//! blocks that stay in the second cache for several panels, with a running maximum (as in flash attention).

mod kernel;
mod packed;
#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor, bail};
use pulp::Arch;
use rayon::prelude::*;

use self::{
    kernel::{Attend, MeanMap, PANELS, Task, panel_width},
    packed::{Packed, Rows},
};
use super::vector::{check, floats};

/// Numbers of all heads' keys and values that stay in the second cache.
const HEADS_FLOATS: usize = 131_072;

/// softmax(q·kᵀ·scale)·v.
///
/// q is (B, heads, queries, d), k and v (B, heads, keys, d), f32 on the CPU, of any strides: views with a last stride of
/// 1 are read in place. The result is (B, queries, heads·d), contiguous.
///
/// # Errors
///
/// Where the shapes do not go together, and where a tensor is not f32 on the CPU.
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> Result<Tensor> {
    let (q, k, v) = (rows_in_place(q, "q")?, rows_in_place(k, "k")?, rows_in_place(v, "v")?);
    let sizes = Sizes::new(&q, &k)?;
    if v.dims() != k.dims() {
        bail!("the values {:?} must have the keys' shape {:?}", v.dims(), k.dims());
    }
    let ((q_storage, q_layout), (k_storage, k_layout), (v_storage, v_layout)) =
        (q.storage_and_layout(), k.storage_and_layout(), v.storage_and_layout());
    let q_rows = Rows::new(floats(&q_storage)?, q_layout);
    let packed = Packed::new(
        &sizes,
        &Rows::new(floats(&k_storage)?, k_layout),
        Some(&Rows::new(floats(&v_storage)?, v_layout)),
        scale,
    );

    let Sizes {
        batch,
        heads,
        queries,
        keys,
        depth,
    } = sizes;
    let mut output = vec![0.0_f32; batch * queries * heads * depth];
    let block = PANELS * panel_width();
    let blocks = queries.div_ceil(block);
    // Few keys stay in the second cache for all heads, which then go through a block of queries while it is there; many
    // keys of one head stay in a cache for all blocks of queries.
    let heads_inside = 2 * heads * keys * depth <= HEADS_FLOATS;
    let place = |image: usize, head: usize, block: usize| match heads_inside {
        true => (image * blocks + block) * heads + head,
        false => (image * heads + head) * blocks + block,
    };
    // A task's rows lie apart in the output, where the heads are joined.
    let empty = |_| Task {
        head: 0,
        queries: Vec::with_capacity(block),
        output: Vec::with_capacity(block),
    };
    let mut tasks: Vec<Task> = (0..batch * heads * blocks).map(empty).collect();
    for (row, joined) in output.chunks_exact_mut(heads * depth).enumerate() {
        let (image, query) = (row / queries, row % queries);
        for (head, piece) in joined.chunks_exact_mut(depth).enumerate() {
            let task = &mut tasks[place(image, head, query / block)];
            task.head = image * heads + head;
            task.queries.push(q_rows.row(image, head, query));
            task.output.push(piece);
        }
    }
    tasks.into_par_iter().for_each(|task| {
        Arch::new().dispatch(Attend {
            keys: packed.head(task.head),
            task,
        })
    });
    Tensor::from_vec(output, (batch, queries, heads * depth), q.device())
}

/// The mean over the heads of softmax(q·kᵀ·scale).
///
/// q is (B, heads, queries, d), k (B, heads, keys, d), f32 on the CPU, of any strides. The result is
/// (B, 1, queries, keys), contiguous.
pub(crate) fn mean_map(q: &Tensor, k: &Tensor, scale: f64) -> Result<Tensor> {
    let (q, k) = (rows_in_place(q, "q")?, rows_in_place(k, "k")?);
    let sizes = Sizes::new(&q, &k)?;
    let ((q_storage, q_layout), (k_storage, k_layout)) = (q.storage_and_layout(), k.storage_and_layout());
    let q_rows = Rows::new(floats(&q_storage)?, q_layout);
    let packed = Packed::new(&sizes, &Rows::new(floats(&k_storage)?, k_layout), None, scale);

    let Sizes {
        batch,
        heads,
        queries,
        keys,
        ..
    } = sizes;
    let panel = panel_width();
    let mut output = vec![0.0_f32; batch * queries * keys];
    output
        .par_chunks_mut(queries * keys)
        .enumerate()
        .for_each(|(image, map)| {
            map.par_chunks_mut(panel * keys)
                .enumerate()
                .for_each(|(index, output)| {
                    let start = index * panel;
                    let rows = start..start + output.len() / keys;
                    Arch::new().dispatch(MeanMap {
                        q: &q_rows,
                        image,
                        heads,
                        rows,
                        packed: &packed,
                        output,
                    });
                });
        });
    Tensor::from_vec(output, (batch, 1, queries, keys), q.device())
}

/// `x` with its rows contiguous, without a copy where they are.
fn rows_in_place(x: &Tensor, what: &str) -> Result<Tensor> {
    check(x, what)?;
    match x.stride() {
        [_, _, _, 1] => Ok(x.clone()),
        [_, _, _, _] => x.contiguous(),
        _ => bail!("{what} must be (B, heads, rows, d), not {:?}", x.dims()),
    }
}

struct Sizes {
    batch: usize,
    heads: usize,
    queries: usize,
    keys: usize,
    depth: usize,
}

impl Sizes {
    fn new(q: &Tensor, k: &Tensor) -> Result<Self> {
        let ((batch, heads, queries, depth), (k_batch, k_heads, keys, k_depth)) = (q.dims4()?, k.dims4()?);
        if (batch, heads, depth) != (k_batch, k_heads, k_depth) {
            bail!("queries {:?} and keys {:?} do not go together", q.dims(), k.dims());
        }
        if q.elem_count() == 0 || keys == 0 {
            bail!(
                "attention of {:?} over {:?} has nothing to attend to",
                q.dims(),
                k.dims()
            );
        }
        Ok(Self {
            batch,
            heads,
            queries,
            keys,
            depth,
        })
    }
}
