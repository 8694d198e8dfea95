//! What a relay has seen of its worker: what is under way there, so that it can be told of if the worker ends.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{
    device::DeviceChoice,
    engine::{
        ids::{Slot, Work},
        message::{Event, Request},
    },
};

/// What is known of a worker by what was said.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Jobs that were asked for and have not come to an end.
    jobs: Vec<Work>,
    /// What it told progress of last.
    busy: Option<Work>,
    /// When it said something last.
    heard: Option<Instant>,
    /// What asked for the model that is there.
    model: Option<Request>,
    /// What asked for models after it, of which the last is wanted.
    reading: Vec<Request>,
    /// Pictures that it opens again, of which nobody needs to be told.
    again: BTreeSet<Slot>,
}

impl Seen {
    /// Notes what it is asked.
    pub fn ask(&mut self, request: &Request) {
        match request {
            Request::Extract { .. } | Request::Study { .. } => self.jobs.push(request.work()),
            Request::LoadModel { .. } => {
                self.busy = Some(Work::Model);
                self.reading.push(request.clone());
            }
            Request::Run { .. } => self.busy = Some(Work::Run),
            _ => {}
        }
    }

    /// These pictures are opened again.
    pub fn expect_again(&mut self, slots: impl Iterator<Item = Slot>) {
        self.again.extend(slots);
    }

    /// Notes what it tells; whether somebody else has to be told.
    pub fn take(&mut self, event: &Event) -> bool {
        self.heard = Some(Instant::now());
        match event {
            Event::Progress { work, .. } => self.busy = Some(*work),
            Event::ModelLoaded(info) => {
                self.model = self
                    .take_read(&info.name, Some(&info.device))
                    .or_else(|| self.model.take());
            }
            Event::ModelFailed { name, .. } => {
                self.take_read(name, None);
            }
            Event::RunFinished { .. } => self.end(Work::Run),
            Event::StudyFinished { job } => self.end(Work::Study { job: *job }),
            Event::Saved { work, .. } | Event::Failed { work, .. } => self.end(*work),
            Event::Recovered { .. } => self.busy = None,
            Event::PictureOpened { slot, .. } => return !self.again.remove(slot),
            _ => {}
        }
        true
    }

    /// What asked for a model that is there now on a device, or cannot be read. What was asked for before it was overtaken.
    fn take_read(&mut self, known: &str, on: Option<&str>) -> Option<Request> {
        let is_it = |request: &Request| match request {
            Request::LoadModel { name, device, .. } => {
                let may_be = |on: &str| *device == DeviceChoice::Auto || device.to_string() == on;
                name == known && on.is_none_or(may_be)
            }
            _ => false,
        };
        let place = self.reading.iter().position(is_it)?;
        let asked = self.reading.drain(..=place).next_back();
        if self.reading.is_empty() {
            self.end(Work::Model);
        }
        asked
    }

    fn end(&mut self, work: Work) {
        self.jobs.retain(|job| *job != work);
        if self.busy == Some(work) {
            self.busy = None;
        }
    }

    /// What asked for the model that is there, and for the one that is being read in its place.
    pub fn models(&self) -> [Option<&Request>; 2] {
        [self.model.as_ref(), self.reading.last()]
    }

    /// Whether what a request cancels is under way.
    pub fn is_busy_with(&self, cancel: &Request) -> bool {
        match (cancel, self.busy) {
            (Request::Cancel, Some(busy)) => matches!(busy, Work::Run | Work::Model),
            (cancel, busy) => busy == Some(cancel.work()),
        }
    }

    /// Whether it has said nothing since then, and something is under way.
    pub fn is_silent_since(&self, then: Instant) -> bool {
        let heard = self
            .heard
            .map_or(Duration::ZERO, |heard| heard.saturating_duration_since(then));
        heard.is_zero() && self.busy.is_some()
    }

    /// What is under way.
    pub fn under_way(&self) -> impl Iterator<Item = Work> {
        let busy = self.busy.filter(|busy| !self.jobs.contains(busy));
        self.jobs.iter().copied().chain(busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn what_is_under_way_ends_with_what_tells_its_end() {
        let mut seen = Seen::default();
        let load = Request::LoadModel {
            name: "demo".to_owned(),
            device: DeviceChoice::Cpu,
            dtype: crate::device::Precision::F32,
        };
        seen.ask(&load);
        assert_eq!(seen.under_way().collect::<Vec<_>>(), [Work::Model]);
        assert!(seen.is_busy_with(&Request::Cancel));
        assert!(!seen.is_busy_with(&Request::CancelExtract { job: 1 }));
        let cancelled = Instant::now();
        assert!(seen.is_silent_since(cancelled));
        let failed = Event::ModelFailed {
            name: "demo".to_owned(),
            error: Error::Cancelled,
        };
        assert_eq!(seen.models(), [None, Some(&load)]);
        assert!(seen.take(&failed));
        assert_eq!(seen.under_way().count(), 0);
        assert_eq!(
            seen.models(),
            [None, None],
            "what cannot be read is not asked for again"
        );
        assert!(!seen.is_silent_since(cancelled));
    }

    #[test]
    fn a_model_that_was_overtaken_says_nothing_of_the_one_that_is_read() {
        let load = |name: &str| Request::LoadModel {
            name: name.to_owned(),
            device: DeviceChoice::Cpu,
            dtype: crate::device::Precision::F32,
        };
        let mut seen = Seen::default();
        seen.ask(&load("missing"));
        seen.ask(&load("demo"));
        seen.take(&Event::ModelFailed {
            name: "missing".to_owned(),
            error: Error::failed("it is not here"),
        });
        assert_eq!(seen.models(), [None, Some(&load("demo"))]);
        assert_eq!(seen.under_way().collect::<Vec<_>>(), [Work::Model]);
    }

    #[test]
    fn a_picture_that_is_opened_again_is_news_only_the_second_time() {
        let mut seen = Seen::default();
        seen.expect_again([Slot::A].into_iter());
        let closed = Event::PictureClosed { slot: Slot::A };
        assert!(seen.take(&closed));
        let opened = Event::PictureOpened {
            slot: Slot::A,
            picture: crate::engine::OpenedPicture {
                source: crate::engine::PictureSource::Sample("photo-cat".to_owned()),
                size: crate::geometry::Size::new(1, 1),
                rgb: vec![0; 3],
                fingerprint: 1,
                note: None,
            },
        };
        assert!(!seen.take(&opened));
        assert!(seen.take(&opened));
    }
}
