//! What compares many maps: asked of the workers where a pane shows it, and taken from them.

use super::{
    choices::{CkaBetween, CkaRows},
    series::{AllSeries, KnownPasses, Role, SeriesState, Wanted},
};
use crate::{
    activation::Id,
    analysis::gram::RowRule,
    app::{App, state::State},
    components::schedule::Timestep,
    engine::{
        CkaDone, CkaItem, CkaQuery, CkaRow, Compared, Comparison, ComparisonKind, Layer, MemberKept, PassId, Request,
        SeriesMember, ShiftQuery, ShiftView, Slot, StripQuery, StripView, Study, ViewRequest,
    },
    error::Error,
    geometry::Grid,
    paint::ScoreMap,
};

/// Everything that compares many maps.
#[derive(Debug, Default)]
pub struct Comparing {
    /// The passes they are computed from.
    pub series: AllSeries,
    /// Passes that need not be made again.
    pub known: KnownPasses,
    /// The strip that came last.
    pub strip: Option<Strip>,
    /// The CKA matrix that is shown, as far as it has come.
    pub matrix: Option<Matrix>,
    /// The content shifts that came last.
    pub shift: Option<Shifts>,
    /// What was asked of each kind and has not come.
    pub(super) open: Vec<Open>,
    /// How many CKA matrices were asked for.
    matrices: u64,
    /// The model before this one, as far as its maps may still be kept.
    pub before: Option<ModelBefore>,
}

/// Members with what came of them.
pub type Members = Vec<(SeriesMember, MemberKept)>;

/// A strip, and what its frames are.
#[derive(Debug, Clone)]
pub struct Strip {
    /// A pass for every frame.
    pub members: Members,
    /// Frames and figures.
    pub view: StripView,
    /// Its figures as they are painted: cosine and CKA.
    pub figures: [Option<ScoreMap>; 2],
}

/// A CKA matrix, and what its rows and columns are.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// What was asked.
    pub query: CkaQuery,
    /// What its rows and columns are.
    pub between: CkaBetween,
    /// Names of the rows, and of the columns.
    pub names: [Vec<String>; 2],
    /// The pictures that are compared.
    pub slots: Vec<Slot>,
    /// What ran for the rows, and for the columns.
    pub ran: [Vec<MemberKept>; 2],
    /// The model of the columns, where it is the one before.
    pub other_model: Option<String>,
    /// (rows, columns), row-major; NaN where a value is not there or not defined.
    pub values: Vec<f32>,
    /// Rows that have come.
    pub rows_done: usize,
    /// How it was computed, once it is complete.
    pub done: Option<CkaDone>,
    /// The values as they are painted.
    pub scores: Option<ScoreMap>,
}

/// Content shifts, and what was measured.
#[derive(Debug, Clone)]
pub struct Shifts {
    /// Reference and anchor.
    pub ruler: [(SeriesMember, MemberKept); 2],
    /// Name and pass of every point, in the order of the view's shifts.
    pub points: Vec<(&'static str, SeriesMember, MemberKept)>,
    /// The figures.
    pub view: ShiftView,
}

/// A comparison that was asked for.
#[derive(Debug, Clone)]
pub(super) struct Open {
    comparison: Comparison,
    members: Members,
    ruler: Option<[(SeriesMember, MemberKept); 2]>,
    points: Vec<&'static str>,
    answered: bool,
}

/// What is remembered of the model before this one.
#[derive(Debug, Clone)]
pub struct ModelBefore {
    /// Its name.
    pub name: String,
    /// Its activations.
    pub layers: Vec<Layer>,
    /// The picture, its fingerprint, its pass, and what is kept of it.
    pub passes: Vec<(Slot, u64, MemberKept, Vec<Id>)>,
}

impl Matrix {
    /// The value of a cell; none where it is not there or not defined.
    pub fn value(&self, row: usize, column: usize) -> Option<f32> {
        let columns = self.names[1].len();
        let value = *self.values.get(row * columns + column)?;
        value.is_finite().then_some(value)
    }

    fn take(&mut self, row: CkaRow) {
        let columns = self.names[1].len();
        for (column, value) in row.values.iter().enumerate().take(columns) {
            let value = value.map_or(f32::NAN, |value| value as f32);
            let mut set = |row: usize, column: usize| {
                if let Some(cell) = self.values.get_mut(row * columns + column) {
                    *cell = value;
                }
            };
            set(row.row, column);
            if self.query.columns.is_none() {
                set(column, row.row);
            }
        }
        self.rows_done = self.rows_done.max(row.row + 1);
        self.scores = ScoreMap::new(Grid::new(self.names[0].len(), columns), self.values.clone()).ok();
    }
}

/// Every kind of comparison.
const KINDS: [ComparisonKind; 3] = [ComparisonKind::Strip, ComparisonKind::Cka, ComparisonKind::Shift];

impl App {
    /// Asks for the passes and figures that panes show and that are not there.
    pub(in crate::app) fn ask_for_comparisons(&mut self) {
        for kind in KINDS {
            self.ask_for_series(kind);
            self.ask_for_figures(kind);
        }
    }

    fn ask_for_series(&mut self, kind: ComparisonKind) {
        let (wanted, problem) = match self.state.wanted_series(kind) {
            Some(Ok(wanted)) => (Some(wanted), None),
            Some(Err(problem)) => (None, Some(problem)),
            None => (None, None),
        };
        let may_begin = self.state.pass_is_cheap();
        let changed = self.state.comparing.series.get_mut(kind).wanted != wanted;
        if changed || wanted.is_none() {
            let kept = wanted
                .as_ref()
                .map_or_else(Vec::new, |wanted| self.state.known_members(wanted));
            let series = self.state.comparing.series.get_mut(kind);
            let job = series.job.take();
            *series = SeriesState {
                // Where nothing is missing, nothing is asked for.
                begun: wanted.is_some() && kept.iter().all(Option::is_some),
                kept,
                wanted,
                problem,
                ..SeriesState::default()
            };
            self.state
                .comparing
                .open
                .retain(|open| open.comparison.kind() != kind || open.answered);
            if let Some(job) = job {
                self.state.studies.retain(|study| study.number != job);
                self.engine.send(Request::CancelStudy { job });
            }
        }
        let series = self.state.comparing.series.get_mut(kind);
        let Some(wanted) = series.wanted.clone() else { return };
        if !series.begun && series.problem.is_none() && (may_begin || series.asked) {
            let title = match kind {
                ComparisonKind::Strip => "Strip",
                ComparisonKind::Cka => "CKA",
                ComparisonKind::Shift => "Content shift",
            };
            let job = self.begin_study(title.to_owned(), Study::Series(wanted.query));
            let series = self.state.comparing.series.get_mut(kind);
            series.begun = true;
            series.job = Some(job);
        }
    }

    fn ask_for_figures(&mut self, kind: ComparisonKind) {
        let Some(mut wanted) = self.state.wanted_figures(kind) else {
            return;
        };
        let comparing = &mut self.state.comparing;
        let place = comparing.open.iter().position(|open| open.comparison.kind() == kind);
        if let Some(place) = place {
            let asked = &comparing.open[place].comparison;
            if same(asked, &wanted.comparison) {
                return;
            }
            comparing.open.remove(place);
        }
        if let Comparison::Cka(query) = &mut wanted.comparison {
            comparing.matrices += 1;
            query.number = comparing.matrices;
            let query = query.clone();
            self.begin_matrix(&query, &wanted.members);
        }
        let request = ViewRequest::Compare(wanted.comparison.clone());
        self.state.comparing.open.push(wanted);
        self.engine.send(Request::View(request));
    }

    fn begin_matrix(&mut self, query: &CkaQuery, members: &Members) {
        let state = &mut self.state;
        let between = state.document.cka.between;
        let of_items = |items: &[CkaItem]| -> Vec<String> {
            let name = |item: &CkaItem| match between {
                CkaBetween::Layers | CkaBetween::Models => item.id.to_string(),
                CkaBetween::Times => {
                    let of = members.iter().find(|(_, kept)| item.passes.contains(&kept.pass));
                    of.map_or_else(String::new, |(member, _)| format!("t {}", member.settings.t))
                }
            };
            items.iter().map(name).collect()
        };
        let columns = query.columns.as_deref().unwrap_or(&query.rows);
        let names = [of_items(&query.rows), of_items(columns)];
        let mut slots: Vec<Slot> = members.iter().map(|(member, _)| member.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        let before = state
            .comparing
            .before
            .as_ref()
            .filter(|_| between == CkaBetween::Models);
        let ran_before = before.map(|before| {
            let of_slots = before.passes.iter().filter(|(slot, ..)| slots.contains(slot));
            of_slots.map(|(_, _, kept, _)| kept.clone()).collect()
        });
        let ran: Vec<MemberKept> = members.iter().map(|(_, kept)| kept.clone()).collect();
        let count = names[0].len() * names[1].len();
        state.comparing.matrix = Some(Matrix {
            query: query.clone(),
            between,
            slots,
            ran: [ran.clone(), ran_before.unwrap_or(ran)],
            other_model: before.map(|before| before.name.clone()),
            names,
            values: vec![f32::NAN; count],
            rows_done: 0,
            done: None,
            scores: None,
        });
    }

    /// Takes a pass of a series.
    pub(super) fn take_member(&mut self, job: u64, kept: MemberKept) {
        let of_job = |series: &&mut SeriesState| series.job == Some(job);
        let series = self
            .state
            .comparing
            .series
            .iter_mut()
            .map(|(_, series)| series)
            .find(of_job);
        let Some(SeriesState {
            wanted: Some(wanted),
            kept: places,
            ..
        }) = series
        else {
            return;
        };
        let (member, ids) = (wanted.query.members.get(kept.index).cloned(), wanted.query.ids.clone());
        if let (Some(place), Some(member)) = (places.get_mut(kept.index), member) {
            *place = Some(kept.clone());
            self.state.know_member(&member, &kept, &ids);
            self.state.remember_member(&member, &kept, &ids);
        }
    }

    /// Takes the end of a study; whether it was the passes of a comparison. Nothing is said of what the user ended.
    pub(in crate::app) fn take_series_failure(&mut self, job: u64, error: &Error) -> bool {
        let mut all = self.state.comparing.series.iter_mut();
        let Some((_, series)) = all.find(|(_, series)| series.job == Some(job)) else {
            return false;
        };
        series.job = None;
        series.problem = Some(match error {
            Error::Cancelled => "Ended before everything was there.".to_owned(),
            error => error.to_string(),
        });
        true
    }

    /// Takes what was found.
    pub(in crate::app) fn take_comparison(&mut self, compared: Compared) {
        let comparing = &mut self.state.comparing;
        let kind = match &compared {
            Compared::Strip(_) => ComparisonKind::Strip,
            Compared::CkaRow(_) | Compared::CkaDone(_) => ComparisonKind::Cka,
            Compared::Shift(_) => ComparisonKind::Shift,
        };
        let Some(open) = comparing.open.iter_mut().find(|open| open.comparison.kind() == kind) else {
            return;
        };
        match (compared, &open.comparison) {
            (Compared::Strip(view), Comparison::Strip(query)) if view.query == *query => {
                open.answered = true;
                let count = view.frames.len();
                let figure = |values: Vec<f32>| ScoreMap::new(Grid::new(count, count), values).ok();
                let cka = view
                    .cka
                    .iter()
                    .map(|value| value.map_or(f32::NAN, |value| value as f32));
                let strip = Strip {
                    members: open.members.clone(),
                    figures: [
                        figure(view.cosine.iter().map(|value| *value as f32).collect()),
                        figure(cka.collect()),
                    ],
                    view: *view,
                };
                self.textures.prepare_strip(&strip.view);
                self.state.comparing.strip = Some(strip);
            }
            (Compared::CkaRow(row), Comparison::Cka(query)) if row.number == query.number => {
                if let Some(matrix) = &mut comparing.matrix {
                    matrix.take(row);
                }
            }
            (Compared::CkaDone(done), Comparison::Cka(query)) if done.number == query.number => {
                open.answered = true;
                if let Some(matrix) = &mut comparing.matrix {
                    matrix.done = Some(done);
                }
            }
            (Compared::Shift(view), Comparison::Shift(query)) if view.query == *query => {
                open.answered = true;
                let members = open.points.iter().zip(&open.members);
                comparing.shift = open.ruler.clone().map(|ruler| Shifts {
                    ruler,
                    points: members
                        .map(|(name, (member, kept))| (*name, member.clone(), kept.clone()))
                        .collect(),
                    view,
                });
            }
            // Of something that is no longer wanted.
            _ => {}
        }
    }

    /// Takes why figures could not be computed.
    pub(in crate::app) fn take_comparison_failure(&mut self, kind: ComparisonKind, error: &Error) {
        self.state
            .comparing
            .open
            .retain(|open| open.comparison.kind() != kind || open.answered);
        self.state.comparing.series.get_mut(kind).problem = Some(error.to_string());
    }

    /// Maps of a pass are no longer kept. Series are not run again by themselves: they could drive each other out for ever.
    pub(in crate::app) fn take_missing(&mut self, pass: PassId) {
        let comparing = &mut self.state.comparing;
        comparing.known.forget(pass);
        let of_before = |before: &ModelBefore| before.passes.iter().any(|(_, _, kept, _)| kept.pass == pass);
        let lost_before = comparing.before.take_if(|before| of_before(before)).is_some();
        for (kind, series) in comparing.series.iter_mut() {
            let is_lost = series.has(pass) || lost_before && kind == ComparisonKind::Cka;
            let waits = comparing
                .open
                .iter()
                .any(|open| open.comparison.kind() == kind && !open.answered);
            if is_lost && waits {
                comparing
                    .open
                    .retain(|open| open.comparison.kind() != kind || open.answered);
                series.problem = Some("Maps that it needs are no longer kept: compute it again.".to_owned());
            }
        }
    }

    /// Remembers the passes of a model that makes way for another.
    pub(in crate::app) fn remember_model(&mut self) {
        let state = &mut self.state;
        let Some(info) = &state.model.info else { return };
        let kept = |slot: Slot| {
            let open = state.slot(slot);
            let (picture, capture) = (open.picture.as_ref()?, open.capture.as_ref()?);
            let member = MemberKept {
                index: 0,
                pass: capture.pass,
                ran: capture.ran.clone(),
            };
            let layers = capture.layers.iter().map(|layer| layer.id);
            let ids = layers.filter(|id| capture.ids.contains(id)).collect();
            Some((slot, picture.fingerprint, member, ids))
        };
        let passes: Vec<_> = state.open_slots().filter_map(kept).collect();
        if !passes.is_empty() {
            let (name, layers) = (info.name.clone(), info.layers.clone());
            state.comparing.before = Some(ModelBefore { name, layers, passes });
        }
    }

    /// Makes the passes of a comparison, however long they take.
    pub(in crate::app) fn compute(&mut self, kind: ComparisonKind) {
        let comparing = &mut self.state.comparing;
        comparing.open.retain(|open| open.comparison.kind() != kind);
        let series = comparing.series.get_mut(kind);
        series.asked = true;
        series.begun = false;
        series.problem = None;
        series.kept.fill(None);
    }

    /// Takes the end of a study that did all it was to do.
    pub(in crate::app) fn take_series_end(&mut self, job: u64) {
        for (_, series) in self.state.comparing.series.iter_mut() {
            series.job.take_if(|of| *of == job);
        }
    }
}

impl State {
    /// The members of a series that are known to be kept.
    fn known_members(&self, wanted: &Wanted) -> Vec<Option<MemberKept>> {
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
    fn wanted_figures(&self, kind: ComparisonKind) -> Option<Open> {
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
        let comparison = match kind {
            ComparisonKind::Strip => Comparison::Strip(StripQuery {
                id,
                passes,
                settings: self.document.pca.clone(),
                form: self.document.strip.form,
                most_rows: STRIP_ROWS,
            }),
            ComparisonKind::Cka => Comparison::Cka(self.cka_query(wanted, &members)?),
            ComparisonKind::Shift => {
                let [reference, anchor] = ruler.as_ref()?;
                Comparison::Shift(ShiftQuery {
                    id,
                    reference: reference.1.pass,
                    anchor: anchor.1.pass,
                    passes,
                })
            }
        };
        Some(Open {
            comparison,
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
                let slots: Vec<Slot> = members.iter().map(|(member, _)| member.slot).collect();
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
    pub(super) fn comparable_before(&self, slots: &[Slot]) -> Option<(Vec<Id>, Vec<PassId>)> {
        let before = self.comparing.before.as_ref()?;
        let of = |slot: Slot| {
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
                !asked.any(|other| other.answered && same(&other.comparison, &open.comparison))
            });
            wanted && series.problem.is_none() && (running || computing)
        })
    }
}

/// Positions that CKA of a strip is computed on at most.
const STRIP_ROWS: usize = 1024;

/// Whether two comparisons ask the same, whatever their number.
fn same(a: &Comparison, b: &Comparison) -> bool {
    match (a, b) {
        (Comparison::Cka(a), Comparison::Cka(b)) => {
            let numbered = CkaQuery {
                number: a.number,
                ..b.clone()
            };
            *a == numbered
        }
        (a, b) => a == b,
    }
}
