//! Which figures of strips, CKA matrices and content shifts can be computed from the passes that are kept.

use super::{
    comparing::{Members, Open},
    root::State,
    series::{Role, Wanted},
};
use crate::{
    activation::Id,
    analysis::gram::RowRule,
    app::document::choices::{CkaBetween, CkaRows},
    components::schedule::Timestep,
    engine::{CkaItem, CkaQuery, ComparisonKind, ImageSlot, MemberKept, PassId, ShiftQuery, StripQuery, ViewRequest},
};

/// Every kind of comparison.
pub const KINDS: [ComparisonKind; 3] = [ComparisonKind::Strip, ComparisonKind::Cka, ComparisonKind::Shift];

impl State {
    /// The members of a series that are known to be kept.
    pub(in crate::app) fn known_members(&self, wanted: &Wanted) -> Vec<Option<MemberKept>> {
        let ids = &wanted.query.ids;
        let members = wanted.query.members.iter().enumerate();
        members
            .map(|(index, member)| {
                let (pass, ran) = self.known(member, ids)?;
                Some(MemberKept { index, pass, ran })
            })
            .collect()
    }

    /// What is to be computed of the passes of a comparison, once they are kept.
    pub(in crate::app) fn wanted_figures(&self, kind: ComparisonKind) -> Option<Open> {
        let series = self.comparing.series.get(kind)?;
        let wanted = series
            .wanted
            .as_ref()
            .filter(|_| series.problem.is_none() && series.is_done())?;
        let members = match kind {
            ComparisonKind::Strip | ComparisonKind::Cka => series.passes(|role| *role == Role::Shown)?,
            ComparisonKind::Shift => series.passes(|role| matches!(role, Role::Line(_)))?,
        };
        let one = |of: Role| series.passes(|role| *role == of)?.pop();
        let ruler = match kind {
            ComparisonKind::Shift => Some([one(Role::Reference)?, one(Role::Anchor)?]),
            _ => None,
        };
        let lines = wanted.roles.iter().filter_map(|role| match role {
            Role::Line(name) => Some(*name),
            _ => None,
        });
        let passes: Vec<PassId> = members.iter().map(|(_, kept)| kept.pass).collect();
        let id = *wanted.query.ids.first()?;
        let query = match kind {
            ComparisonKind::Strip => ViewRequest::Strip(StripQuery {
                id,
                passes,
                settings: self.document.pca.clone(),
                form: self.document.strip.form,
                most_rows: STRIP_ROWS,
            }),
            ComparisonKind::Cka => ViewRequest::Cka(self.cka_query(wanted, &members)?),
            ComparisonKind::Shift => {
                let [reference, anchor] = ruler.as_ref()?;
                ViewRequest::Shift(ShiftQuery {
                    id,
                    reference: reference.1.pass,
                    anchor: anchor.1.pass,
                    passes,
                })
            }
        };
        Some(Open {
            kind,
            query,
            points: lines.collect(),
            members,
            ruler,
            answered: false,
        })
    }

    /// The matrix that is chosen; its number is given when it is asked for.
    fn cka_query(&self, wanted: &Wanted, members: &Members) -> Option<CkaQuery> {
        let choice = &self.document.cka;
        let items = |ids: &[Id], passes: &[PassId]| -> Vec<CkaItem> {
            let item = |id: &Id| CkaItem {
                id: *id,
                passes: passes.to_vec(),
            };
            ids.iter().map(item).collect()
        };
        let passes: Vec<PassId> = members.iter().map(|(_, kept)| kept.pass).collect();
        let (rows, columns) = match choice.between {
            CkaBetween::Layers => (items(&wanted.query.ids, &passes), None),
            CkaBetween::Times => {
                let mut times: Vec<Timestep> = members.iter().map(|(member, _)| member.settings.t).collect();
                times.dedup();
                let of_t = |t: &Timestep| {
                    let at_t = members.iter().filter(|(member, _)| member.settings.t == *t);
                    let passes: Vec<PassId> = at_t.map(|(_, kept)| kept.pass).collect();
                    items(&wanted.query.ids, &passes)
                };
                (times.iter().flat_map(of_t).collect(), None)
            }
            CkaBetween::Models => {
                let slots: Vec<ImageSlot> = members.iter().map(|(member, _)| member.slot).collect();
                let (ids, passes_before) = self.comparable_before(&slots)?;
                (items(&wanted.query.ids, &passes), Some(items(&ids, &passes_before)))
            }
        };
        Some(CkaQuery {
            number: 0,
            rows,
            columns,
            over: match choice.rows {
                CkaRows::Pictures => RowRule::Pictures,
                CkaRows::Positions | CkaRows::AllPositions => RowRule::Positions,
            },
            grids: choice.grids,
            form: choice.form,
            most_rows: choice.most_rows,
        })
    }

    /// The activations of the model before that are kept of the same pictures, and its passes of these.
    pub(in crate::app) fn comparable_before(&self, slots: &[ImageSlot]) -> Option<(Vec<Id>, Vec<PassId>)> {
        let before = self.comparing.before.as_ref()?;
        let of = |slot: ImageSlot| {
            let fingerprint = self.slot(slot).picture.as_ref()?.fingerprint;
            let mut passes = before.passes.iter();
            passes.find(|(other, print, ..)| *other == slot && *print == fingerprint)
        };
        let passes = slots.iter().map(|slot| of(*slot)).collect::<Option<Vec<_>>>()?;
        let (_, _, _, ids) = passes.first()?;
        let chosen = |id: &&Id| {
            let everywhere = passes.iter().all(|(_, _, _, kept)| kept.contains(id));
            let layer = before.layers.iter().find(|layer| layer.id == **id);
            everywhere && layer.is_some_and(|layer| self.is_chosen_for_cka(layer))
        };
        let ids: Vec<Id> = ids.iter().filter(chosen).copied().collect();
        let passes = passes.iter().map(|(_, _, kept, _)| kept.pass).collect();
        (!ids.is_empty()).then_some((ids, passes))
    }

    /// Whether passes or figures of a comparison are still to come.
    pub(in crate::app) fn comparisons_are_awaited(&self) -> bool {
        let may_begin = self.pass_is_cheap();
        KINDS.into_iter().any(|kind| {
            let wanted = matches!(self.wanted_series(kind), Some(Ok(_)));
            let Some(series) = self.comparing.series.get(kind) else {
                return wanted && may_begin;
            };
            let running = series.begun && !series.is_done() || !series.begun && (may_begin || series.asked);
            let computing = self.wanted_figures(kind).is_some_and(|open| {
                let mut asked = self.comparing.open.iter();
                !asked.any(|other| other.answered && same(&other.query, &open.query))
            });
            wanted && series.problem.is_none() && (running || computing)
        })
    }
}

/// Positions that CKA of a strip is computed on at most.
const STRIP_ROWS: usize = 1024;

/// Whether two comparisons ask the same, whatever their number.
pub fn same(a: &ViewRequest, b: &ViewRequest) -> bool {
    match (a, b) {
        (ViewRequest::Cka(a), ViewRequest::Cka(b)) => {
            let numbered = CkaQuery {
                number: a.number,
                ..b.clone()
            };
            *a == numbered
        }
        (a, b) => a == b,
    }
}
