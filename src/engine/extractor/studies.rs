//! Studies: pass by pass with the model that is loaded, after everything that is waited for.
//!
//! A study that makes way for something remembers what it has done and goes on from the pass it was in. It is about the
//! pictures that were open when it began, and about the model that was loaded then.

use std::{collections::BTreeMap, mem};

use super::{
    Doing, Extractor, LoadedModel, OpenPicture,
    passes::{PassOf, check_room},
    recommend::RecommendCourse,
    survey::SurveyCourse,
};
use crate::{
    engine::{
        host::ExtractorHost,
        ids::{ImageSlot, TaskKind},
        message::{Event, Request},
        study::{MemberKept, SeriesMember, SeriesQuery, Study, StudyEvent},
    },
    error::{Error, Result},
};

/// A study that has begun.
pub struct Begun {
    /// Its job.
    pub job: u64,
    pictures: BTreeMap<ImageSlot, OpenPicture>,
    course: Box<dyn Course>,
}

/// How a study is done. It remembers what it has done.
pub trait Course {
    /// Does what is next, one pass at most. Where the bench's watch ends it, it is called again later and does that pass
    /// anew, unless the study was cancelled.
    fn next_pass(&mut self, bench: &mut Bench<'_>) -> Result<Left>;
}

/// Whether anything of a study is left to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// At least one pass.
    More,
    /// Nothing.
    Nothing,
}

/// What a study has while it does a pass.
pub struct Bench<'a> {
    /// The model.
    pub loaded: &'a mut LoadedModel,
    /// The pictures that were open when the study began.
    pub pictures: &'a BTreeMap<ImageSlot, OpenPicture>,
    /// The cache of maps.
    pub host: &'a ExtractorHost,
    /// Tells what was found.
    pub tell: &'a dyn Fn(StudyEvent),
    /// Told how much of the study is done, 0 to 1, and of how many items it is which, counted from 1; ends the pass where
    /// something takes its place.
    pub watch: &'a mut dyn FnMut(f32, Option<[usize; 2]>) -> Result<()>,
}

/// How a study of each kind is done.
fn course_of(study: Study) -> Box<dyn Course> {
    match study {
        Study::Series(query) => Box::new(Series { query, done: 0 }),
        Study::Survey(query) => Box::new(SurveyCourse::new(query)),
        Study::Recommend(query) => Box::new(RecommendCourse::new(query)),
    }
}

impl Extractor {
    /// Begins a study, which then is gone on with.
    pub(super) fn begin_study(&mut self, job: u64, study: Study) {
        self.begun = Some(Begun {
            job,
            pictures: self.pictures.clone(),
            course: course_of(study),
        });
    }

    /// Does one pass of a study.
    pub(super) fn go_on(&mut self, mut begun: Begun) {
        let job = begun.job;
        let work = TaskKind::Study { job };
        let Some(mut loaded) = self.model.take() else {
            let error = Error::usage("no model is loaded: load one first");
            self.host.emit(Event::Failed { work, error });
            return;
        };
        self.overtaken = false;
        let host = self.host.clone();
        let result = begun.course.next_pass(&mut Bench {
            loaded: &mut loaded,
            pictures: &begun.pictures,
            host: &host,
            tell: &|event| host.emit(Event::Study { job, event }),
            watch: &mut |done, item| self.watch(Doing::Studying(job), work, done, item),
        });
        self.model = Some(loaded);
        match result {
            Ok(Left::More) => self.begun = Some(begun),
            Ok(Left::Nothing) => host.emit(Event::StudyFinished { job }),
            // It goes on after what takes its place.
            Err(Error::Cancelled) if mem::take(&mut self.overtaken) => self.begun = Some(begun),
            Err(error) => host.emit(Event::Failed { work, error }),
        }
    }

    /// Ends a study that waits or that made way; whether there was one.
    pub(super) fn drop_study(&mut self, job: u64) -> bool {
        let before = self.waiting.len();
        self.waiting
            .retain(|waiting| !matches!(waiting, Request::Study { job: other, .. } if *other == job));
        let begun = self.begun.take_if(|begun| begun.job == job).is_some();
        begun || self.waiting.len() < before
    }

    /// Ends the studies of some jobs: they were asked for with another model.
    pub(super) fn end_studies(&mut self, jobs: &[u64]) {
        for job in jobs.iter().copied() {
            if self.drop_study(job) {
                let error = Error::failed("another model was loaded before it was done: ask again");
                let work = TaskKind::Study { job };
                self.host.emit(Event::Failed { work, error });
            }
        }
    }
}

/// A series, and how many of its members are kept.
struct Series {
    query: SeriesQuery,
    done: usize,
}

impl Course for Series {
    fn next_pass(&mut self, bench: &mut Bench<'_>) -> Result<Left> {
        let (first, count) = (self.done, self.query.members.len());
        while let Some(member) = self.query.members.get(self.done) {
            let index = self.done;
            let ran_one = self
                .keep(index, member, first == 0, bench)
                .map_err(|error| error.context(named(member)))?;
            self.done += 1;
            if ran_one {
                break;
            }
        }
        Ok(match self.done < count {
            true => Left::More,
            false => Left::Nothing,
        })
    }
}

impl Series {
    /// Keeps one member; whether it had to run.
    fn keep(&self, index: usize, member: &SeriesMember, is_first_pass: bool, bench: &mut Bench<'_>) -> Result<bool> {
        let count = self.query.members.len();
        let open = bench
            .pictures
            .get(&member.slot)
            .ok_or_else(|| Error::usage("no picture is open there: open one"))?;
        let of = PassOf {
            open,
            settings: &member.settings,
            noiseless: member.noiseless,
        };
        let planned = of.planned(bench.loaded, bench.host, &self.query.ids)?;
        if is_first_pass {
            // Members that drive each other out of the cache would be of no use.
            check_room(bench.host, &planned.list, &planned.needed, count)
                .map_err(|error| error.followed_by(", or fewer passes"))?;
        }
        if planned.is_kept(bench.host)
            && let Some(ran) = bench.host.look_at(planned.pass)
        {
            let pass = planned.pass;
            (bench.tell)(StudyEvent::Series(Box::new(MemberKept { index, pass, ran })));
            return Ok(false);
        }
        let item = Some([index + 1, count]);
        let watch = &mut *bench.watch;
        let finished = planned.run(bench.loaded, &planned.needed, &mut |done| {
            watch((index as f32 + done) / count as f32, item)
        })?;
        let (pass, ran) = (planned.pass, finished.ran.clone());
        bench.host.keep_unseen(finished)?;
        (bench.tell)(StudyEvent::Series(Box::new(MemberKept { index, pass, ran })));
        Ok(true)
    }
}

/// Which member of a series an error is about.
fn named(member: &SeriesMember) -> String {
    let SeriesMember { slot, settings, .. } = member;
    format!("t {}, seed {} of picture {}", settings.t, settings.seed, slot.name())
}
