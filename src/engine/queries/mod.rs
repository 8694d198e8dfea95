//! Queries about the maps that are kept, a file for each: the question, the answer, and the function that leads from one to
//! the other. A question is a type, which says on which lane it is answered; [`ViewRequest`] is any of them.

pub mod channel;
pub mod channels;
pub mod cka;
pub mod compare;
pub mod content_shift;
pub mod heat;
pub mod matches;
pub mod pca;
pub mod rank;
pub mod save_basis;
pub mod save_heat;
pub mod save_map;
pub mod save_page;
pub mod save_pca;
pub mod strip;

use std::{
    fmt,
    mem::discriminant,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    channel_mask::ChannelMask,
    ids::TaskKind,
    map_store::{MapStore, Unavailable},
};
use crate::error::Result;

/// A thread that answers queries, named by how long its answers take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// What follows the pointer.
    Instant,
    /// What fits a basis on some maps.
    Colours,
    /// What scores every activation of some pictures.
    Ranking,
    /// What compares many maps with each other.
    Long,
}

/// What a request leads to.
pub enum Outcome {
    /// An answer, or a part of one.
    Answer(Answer),
    /// A file that was written.
    Saved(PathBuf),
}

/// Called between the parts of a long answer: an error as soon as a newer question of its kind waits.
pub type Step<'a> = dyn FnMut() -> Result<(), Unavailable> + 'a;

/// A question about the maps that are kept. Of those of one type the latest counts.
pub trait Query: Sized {
    /// What comes of it, whole or in parts.
    type Answer: Clone + PartialEq + fmt::Debug;
    /// The thread that answers it.
    const LANE: Lane;
    /// The kind of work it is.
    const TASK: TaskKind = TaskKind::View;
    /// Whether it is answered before all others of its lane.
    const GOES_FIRST: bool = false;

    /// Computes the answer and emits it; one that takes long emits what there is of it on the way.
    fn answer(&self, work: &mut Answering<'_, Self::Answer>) -> Result<(), Unavailable>;
}

/// What the answers of one lane leave for later ones. A query that remembers something has its field here.
#[derive(Default)]
pub struct Memory {
    masks: ChannelMask,
    pca: pca::PcaMemory,
    strips: strip::Strips,
}

/// A question of the table.
pub trait Listed: Query {
    /// The answer to a question of this kind, if it is one.
    fn find(answer: &Answer) -> Option<&Self::Answer>;
}

/// What an answer is computed with.
pub struct Answering<'a, A> {
    /// The maps that are kept.
    pub maps: &'a MapStore,
    /// What earlier answers left.
    pub memory: &'a mut Memory,
    /// See [`Self::step`].
    pub step: &'a mut Step<'a>,
    /// See [`Self::emit`].
    pub emit: &'a mut dyn FnMut(A),
}

impl<A> Answering<'_, A> {
    /// An error as soon as a newer question of the same kind waits: called between the parts of a long answer.
    pub fn step(&mut self) -> Result<(), Unavailable> {
        (self.step)()
    }

    /// Sends an answer, or what there is of it.
    pub fn emit(&mut self, answer: A) {
        (self.emit)(answer);
    }
}

/// A file to be written of the maps that are kept. Every one is written.
pub trait Save {
    /// The thread that writes it.
    const LANE: Lane;

    /// The file.
    fn path(&self) -> &Path;

    /// Writes it.
    fn save(&self, maps: &MapStore, memory: &mut Memory) -> Result<(), Unavailable>;
}

/// Makes the table of queries and saves into what crosses the channels.
macro_rules! registry {
    (queries { $($query:ident($question:ty);)+ } saves { $($save:ident($file:ty);)+ }) => {
        /// Asked of the lanes. The latest of each kind wins; every save is done.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub enum ViewRequest {
            $(#[allow(missing_docs, reason = "the question has its own")] $query($question),)+
            $(#[allow(missing_docs, reason = "what is saved has its own")] $save($file),)+
        }

        /// An answer to a question, or a part of one.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub enum Answer {
            $(#[allow(missing_docs, reason = "the answer has its own")] $query(Box<<$question as Query>::Answer>),)+
        }

        impl ViewRequest {
            /// The thread that answers it.
            pub(super) fn lane(&self) -> Lane {
                match self {
                    $(Self::$query(_) => <$question as Query>::LANE,)+
                    $(Self::$save(_) => <$file as Save>::LANE,)+
                }
            }

            /// The kind of work it is.
            pub fn task(&self) -> TaskKind {
                match self {
                    $(Self::$query(_) => <$question as Query>::TASK,)+
                    $(Self::$save(_))|+ => TaskKind::Save,
                }
            }

            /// Whether it is answered before all others of its lane.
            pub(super) fn goes_first(&self) -> bool {
                match self {
                    $(Self::$query(_) => <$question as Query>::GOES_FIRST,)+
                    $(Self::$save(_))|+ => false,
                }
            }

            /// Whether it takes the place of an earlier request.
            pub(super) fn replaces(&self, earlier: &Self) -> bool {
                self.task() != TaskKind::Save && self.is_of_kind(earlier)
            }

            /// Whether another request is of the same kind.
            pub fn is_of_kind(&self, other: &Self) -> bool {
                discriminant(self) == discriminant(other)
            }

            /// Answers it.
            pub(super) fn answer(
                &self,
                maps: &MapStore,
                memory: &mut Memory,
                step: &mut Step<'_>,
                emit: &mut dyn FnMut(Outcome),
            ) -> Result<(), Unavailable> {
                match self {
                    $(Self::$query(question) => question.answer(&mut Answering {
                        maps,
                        memory,
                        step,
                        emit: &mut |answer| emit(Outcome::Answer(Answer::$query(Box::new(answer)))),
                    }),)+
                    $(Self::$save(file) => {
                        file.save(maps, memory)?;
                        emit(Outcome::Saved(file.path().to_owned()));
                        Ok(())
                    })+
                }
            }
        }

        impl Answer {
            /// Whether another answer is to a question of the same kind.
            pub fn is_of_kind(&self, other: &Self) -> bool {
                discriminant(self) == discriminant(other)
            }
        }
        $(
            impl From<$question> for ViewRequest {
                fn from(question: $question) -> Self {
                    Self::$query(question)
                }
            }

            impl Listed for $question {
                fn find(answer: &Answer) -> Option<&Self::Answer> {
                    match answer {
                        Answer::$query(answer) => Some(answer),
                        _ => None,
                    }
                }
            }
        )+
        $(
            impl From<$file> for ViewRequest {
                fn from(file: $file) -> Self {
                    Self::$save(file)
                }
            }
        )+
    };
}

registry! {
    queries {
        Heat(heat::HeatQuery);
        Matches(matches::MatchesQuery);
        Channels(channels::ChannelsQuery);
        Channel(channel::ChannelQuery);
        Pca(pca::PcaQuery);
        Compare(compare::CompareQuery);
        Rank(rank::RankQuery);
        Strip(strip::StripQuery);
        Cka(cka::CkaQuery);
        Shift(content_shift::ShiftQuery);
    }
    saves {
        SaveMap(save_map::SaveMap);
        SaveHeat(save_heat::SaveHeat);
        SavePca(save_pca::SavePca);
        SaveBasis(save_basis::SaveBasis);
        SavePage(save_page::SavePage);
    }
}
