//! Series of passes that strips, CKA matrices and content shifts are computed from, and how far they are.

use std::collections::BTreeMap;

use crate::engine::{ComparisonKind, MemberKept, PassId, SeriesMember, SeriesQuery};

/// The passes of one kind of comparison.
#[derive(Debug, Default)]
pub struct SeriesState {
    /// What is wanted; none where no pane shows it.
    pub wanted: Option<Wanted>,
    /// Its job, from the time it was asked for until it is over.
    pub job: Option<u64>,
    /// Whether it was asked for.
    pub begun: bool,
    /// Whether the user asked for it, however long it takes.
    pub asked: bool,
    /// The members that are kept.
    pub kept: Vec<Option<MemberKept>>,
    /// Why there is nothing more to come.
    pub problem: Option<String>,
}

/// A series, and what else it depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The passes and activations.
    pub query: SeriesQuery,
    /// What every member is in its comparison.
    pub roles: Vec<Role>,
    /// Which loading of a model, and which pictures.
    pub(in crate::app) generation: u64,
    pub(in crate::app) numbers: Vec<u64>,
}

/// What a pass is in a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A frame of a strip, or a row.
    Shown,
    /// Kept so that other panes show it at once.
    Beside,
    /// The reference of a content shift.
    Reference,
    /// The anchor of a content shift.
    Anchor,
    /// A point on the line of this name.
    Line(&'static str),
}

impl SeriesState {
    /// The passes of the members of some roles, with their members; none as long as one of them is missing.
    pub fn passes(&self, of: impl Fn(&Role) -> bool) -> Option<Vec<(SeriesMember, MemberKept)>> {
        let wanted = self.wanted.as_ref()?;
        let members = wanted.query.members.iter().zip(&wanted.roles).zip(&self.kept);
        members
            .filter(|((_, role), _)| of(role))
            .map(|((member, _), kept)| Some((member.clone(), kept.clone()?)))
            .collect()
    }

    /// Whether a pass is one of it.
    pub fn has(&self, pass: PassId) -> bool {
        self.kept.iter().flatten().any(|kept| kept.pass == pass)
    }

    /// Whether every pass is kept.
    pub fn is_done(&self) -> bool {
        self.begun && self.kept.iter().all(Option::is_some)
    }
}

/// The series of every kind.
#[derive(Debug, Default)]
pub struct AllSeries(BTreeMap<ComparisonKind, SeriesState>);

impl AllSeries {
    /// The series of a kind.
    pub fn get(&self, kind: ComparisonKind) -> Option<&SeriesState> {
        self.0.get(&kind)
    }

    /// The series of a kind, to change it.
    pub fn get_mut(&mut self, kind: ComparisonKind) -> &mut SeriesState {
        self.0.entry(kind).or_default()
    }

    /// All of them, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ComparisonKind, &mut SeriesState)> {
        self.0.iter_mut().map(|(kind, series)| (*kind, series))
    }
}
