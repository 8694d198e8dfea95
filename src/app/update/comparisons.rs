//! Series and figures of strips, CKA matrices and content shifts: asked for, and taken.

use super::app::App;
use crate::{
    app::{
        document::choices::CkaBetween,
        state::{
            comparing::{Matrix, Members, ModelBefore, Shifts, Strip},
            figures_wanted::{KINDS, same},
            series::SeriesState,
        },
    },
    engine::{
        CkaAnswer, CkaItem, CkaQuery, ComparisonKind, ImageSlot, MemberKept, PassId, Request, ShiftView, StripView,
        Study, ViewRequest,
    },
    error::Error,
    geometry::Grid,
    render::ScoreMap,
};

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
                .retain(|open| open.kind != kind || open.answered);
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
        let place = comparing.open.iter().position(|open| open.kind == kind);
        if let Some(place) = place {
            let asked = &comparing.open[place].query;
            if same(asked, &wanted.query) {
                return;
            }
            comparing.open.remove(place);
        }
        if let ViewRequest::Cka(query) = &mut wanted.query {
            comparing.matrices += 1;
            query.number = comparing.matrices;
            let query = query.clone();
            self.begin_matrix(&query, &wanted.members);
        }
        self.engine.send(Request::View(wanted.query.clone()));
        self.state.comparing.open.push(wanted);
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
        let mut slots: Vec<ImageSlot> = members.iter().map(|(member, _)| member.slot).collect();
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
    pub(in crate::app) fn on_member(&mut self, job: u64, kept: MemberKept) {
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
            self.state.remember_member(&member, &kept, &ids);
        }
    }

    /// Takes the end of a study; whether it was the passes of a comparison. Nothing is said of what the user ended.
    pub(in crate::app) fn on_series_failure(&mut self, job: u64, error: &Error) -> bool {
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

    /// Takes a film strip.
    pub(in crate::app) fn on_strip(&mut self, view: StripView) {
        let asked = |query: &ViewRequest| matches!(query, ViewRequest::Strip(query) if *query == view.query);
        let Some(open) = self.state.comparing.open.iter_mut().find(|open| asked(&open.query)) else {
            return;
        };
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
            view,
        };
        self.textures.prepare_strip(&strip.view);
        self.state.comparing.strip = Some(strip);
    }

    /// Takes a row or the end of a CKA matrix.
    pub(in crate::app) fn on_cka(&mut self, answer: CkaAnswer) {
        let comparing = &mut self.state.comparing;
        let number = match &answer {
            CkaAnswer::Row(row) => row.number,
            CkaAnswer::Done(done) => done.number,
        };
        let asked = |query: &ViewRequest| matches!(query, ViewRequest::Cka(query) if query.number == number);
        let (Some(open), Some(matrix)) = (
            comparing.open.iter_mut().find(|open| asked(&open.query)),
            &mut comparing.matrix,
        ) else {
            return;
        };
        match answer {
            CkaAnswer::Row(row) => matrix.on_row(row),
            CkaAnswer::Done(done) => {
                open.answered = true;
                matrix.done = Some(done);
            }
        }
    }

    /// Takes content shifts.
    pub(in crate::app) fn on_shift(&mut self, view: ShiftView) {
        let comparing = &mut self.state.comparing;
        let asked = |query: &ViewRequest| matches!(query, ViewRequest::Shift(query) if *query == view.query);
        let Some(open) = comparing.open.iter_mut().find(|open| asked(&open.query)) else {
            return;
        };
        open.answered = true;
        let members = open.points.iter().zip(&open.members);
        let points = members.map(|(name, (member, kept))| (*name, member.clone(), kept.clone()));
        let points = points.collect();
        comparing.shift = open.ruler.clone().map(|ruler| Shifts { ruler, points, view });
    }

    /// Takes why figures could not be computed.
    pub(in crate::app) fn on_comparison_failure(&mut self, kind: ComparisonKind, error: &Error) {
        self.state
            .comparing
            .open
            .retain(|open| open.kind != kind || open.answered);
        self.state.comparing.series.get_mut(kind).problem = Some(error.to_string());
    }

    /// Maps of a pass are no longer kept. Series are not run again by themselves: they could drive each other out for ever.
    pub(in crate::app) fn on_missing(&mut self, pass: PassId) {
        let comparing = &mut self.state.comparing;
        let of_before = |before: &ModelBefore| before.passes.iter().any(|(_, _, kept, _)| kept.pass == pass);
        let lost_before = comparing.before.take_if(|before| of_before(before)).is_some();
        for (kind, series) in comparing.series.iter_mut() {
            let is_lost = series.has(pass) || lost_before && kind == ComparisonKind::Cka;
            let waits = comparing.open.iter().any(|open| open.kind == kind && !open.answered);
            if is_lost && waits {
                comparing.open.retain(|open| open.kind != kind || open.answered);
                series.problem = Some("Maps that it needs are no longer kept: compute it again.".to_owned());
            }
        }
    }

    /// Remembers the passes of a model that makes way for another.
    pub(in crate::app) fn remember_model(&mut self) {
        let state = &mut self.state;
        let Some(info) = &state.model.info else { return };
        let kept = |slot: ImageSlot| {
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
        comparing.open.retain(|open| open.kind != kind);
        let series = comparing.series.get_mut(kind);
        series.asked = true;
        series.begun = false;
        series.problem = None;
        series.kept.fill(None);
    }

    /// Takes the end of a study that did all it was to do.
    pub(in crate::app) fn on_series_end(&mut self, job: u64) {
        for (_, series) in self.state.comparing.series.iter_mut() {
            series.job.take_if(|of| *of == job);
        }
    }
}
