//! The blocks of a network, and whether they stay in memory. Those of a network that is larger than the memory for weights are
//! read in every pass, each while the one before it computes.

use std::{collections::HashMap, fmt, panic::resume_unwind, sync::Arc, thread};

use candle_core::{DType, Device};

use crate::{
    device::{give_pages_back, weights_memory},
    error::{Error, Result},
    nn::adaptable::{Adaptable, Visit},
    weights::Store,
};

const MIB: f64 = (1_u64 << 20) as f64;
/// Blocks of a streamed network that are in memory at a time: one computes, the next is read.
const BLOCKS_AT_ONCE: usize = 2;

/// How the weights of a network are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    /// All of them, from the first pass on.
    Whole,
    /// Block by block. As much of the files as there is room for is kept beside, in their own format.
    Streamed,
}

impl Holding {
    /// How a network is held that computes in `dtype` on a device, after the memory for weights. `stacks` are what stands
    /// before the numbers of its blocks, such as `transformer_blocks.`.
    ///
    /// # Errors
    ///
    /// Where there is not enough for two blocks and what is beside the blocks.
    pub(crate) fn of(store: &Store, stacks: &[&str], dtype: DType, device: &Device) -> Result<Self> {
        let Some(most) = weights_memory(device) else {
            return Ok(Self::Whole);
        };
        let need = Need::of(store, stacks, dtype);
        if need.whole <= most {
            return Ok(Self::Whole);
        }
        let Some(room) = most.checked_sub(need.streamed) else {
            let mib = |bytes: usize| bytes as f64 / MIB;
            return Err(Error::usage(format!(
                "{}: read block by block its weights take {:.1} MiB at a time in this format, and {:.1} MiB may be taken: close \
                 other programs, or raise the limit (--weights-memory)",
                store.label(),
                mib(need.streamed),
                mib(most)
            )));
        };
        store.keep(room);
        Ok(Self::Streamed)
    }
}

/// Bytes that a network takes.
#[derive(Debug, PartialEq, Eq)]
struct Need {
    whole: usize,
    /// Read block by block.
    streamed: usize,
}

impl Need {
    fn of(store: &Store, stacks: &[&str], dtype: DType) -> Self {
        let mut blocks = HashMap::<(usize, &str), usize>::new();
        let (mut whole, mut beside) = (0_usize, 0_usize);
        for name in store.names() {
            let numbers = store.shape(name).unwrap_or_default().iter().product::<usize>();
            let bytes = numbers.saturating_mul(dtype.size_in_bytes());
            whole = whole.saturating_add(bytes);
            let block = stacks.iter().enumerate().find_map(|(stack, prefix)| {
                let (number, _) = name.strip_prefix(prefix)?.split_once('.')?;
                Some((stack, number))
            });
            match block {
                Some(block) => *blocks.entry(block).or_default() += bytes,
                None => beside += bytes,
            }
        }
        let largest = blocks.into_values().max().unwrap_or(0);
        Self {
            whole,
            streamed: beside.saturating_add(largest.saturating_mul(BLOCKS_AT_ONCE)),
        }
    }
}

/// What makes a block of its number.
type Read<T> = Arc<dyn Fn(usize) -> Result<T> + Send + Sync>;

/// The blocks of a network, in their order.
pub(crate) struct Blocks<T>(State<T>);

enum State<T> {
    Held(Vec<T>),
    Streamed { count: usize, read: Read<T> },
}

impl<T: Send> Blocks<T> {
    /// So many blocks, made by `read` of their numbers: now, or in every pass.
    ///
    /// # Errors
    ///
    /// Where one that is made now cannot be.
    pub(crate) fn new(
        count: usize,
        holding: Holding,
        read: impl Fn(usize) -> Result<T> + Send + Sync + 'static,
    ) -> Result<Self> {
        Ok(Self(match holding {
            Holding::Whole => State::Held((0..count).map(read).collect::<Result<_>>()?),
            Holding::Streamed => State::Streamed {
                count,
                read: Arc::new(read),
            },
        }))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            State::Held(blocks) => blocks.len(),
            State::Streamed { count, .. } => *count,
        }
    }

    /// Visits one after the other; an error ends the way.
    ///
    /// # Errors
    ///
    /// That of `visit`, and where a block cannot be read.
    pub(crate) fn each<E: From<Error>>(&self, mut visit: impl FnMut(&T) -> Result<(), E>) -> Result<(), E> {
        let (count, read) = match &self.0 {
            State::Held(blocks) => return blocks.iter().try_for_each(visit),
            State::Streamed { count, read } => (*count, read),
        };
        thread::scope(|scope| {
            let begin = |index: usize| (index < count).then(|| scope.spawn(move || read(index)));
            let mut next = begin(0);
            for index in 1..=count {
                let Some(reading) = next.take() else { break };
                let block = reading.join().unwrap_or_else(|panic| resume_unwind(panic))?;
                next = begin(index);
                visit(&block)?;
                drop(block);
                // What it took is in the allocator's hands, in as many places as threads have read.
                give_pages_back();
            }
            Ok(())
        })
    }
}

impl<T: fmt::Debug> fmt::Debug for Blocks<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Held(blocks) => out.debug_list().entries(blocks).finish(),
            State::Streamed { count, .. } => write!(out, "{count} blocks, read in every pass"),
        }
    }
}

/// Adapters are put on what is held.
impl<T: Adaptable> Adaptable for Blocks<T> {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        if let State::Held(blocks) = &mut self.0 {
            blocks.each_layer(visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn blocks_come_in_their_order_however_they_are_held() -> Result<()> {
        for holding in [Holding::Whole, Holding::Streamed] {
            let made = Arc::new(AtomicUsize::new(0));
            let blocks = {
                let made = Arc::clone(&made);
                Blocks::new(4, holding, move |index| {
                    made.fetch_add(1, Ordering::Relaxed);
                    Ok(10 * index)
                })?
            };
            assert_eq!(blocks.len(), 4);
            for _ in 0..2 {
                let mut met = Vec::new();
                blocks.each(|block| {
                    met.push(*block);
                    Ok::<_, Error>(())
                })?;
                assert_eq!(met, [0, 10, 20, 30]);
            }
            let times = if holding == Holding::Whole { 1 } else { 2 };
            assert_eq!(made.load(Ordering::Relaxed), 4 * times);
        }
        Ok(())
    }

    #[test]
    fn an_error_ends_the_way_and_what_is_read_ahead_is_one_block() -> Result<()> {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        let blocks = Blocks::new(100, Holding::Streamed, move |index| {
            counted.fetch_add(1, Ordering::Relaxed);
            match index {
                50 => Err(Error::failed("block 50 cannot be read")),
                index => Ok(index),
            }
        })?;
        let stopped = blocks.each(|block| if *block == 2 { Err(Error::Cancelled) } else { Ok(()) });
        assert_eq!(stopped, Err(Error::Cancelled));
        assert_eq!(made.load(Ordering::Relaxed), 4);
        let unread = blocks.each(|_| Ok::<_, Error>(()));
        assert!(unread.is_err_and(|error| error.to_string().contains("block 50")));
        Ok(())
    }
}
