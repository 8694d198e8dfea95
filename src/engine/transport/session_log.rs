//! What was said between the supervisor and its worker: what is under way there has failed if the worker ends.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{
    device::DeviceChoice,
    engine::{
        ids::{ImageSlot, TaskKind},
        message::{Event, Request},
    },
};

/// State of a worker, by its messages.
#[derive(Debug, Clone, Default)]
pub struct SessionLog {
    /// Jobs that have not come to an end.
    jobs: Vec<TaskKind>,
    /// What it reported progress of last.
    busy: Option<TaskKind>,
    /// When its last message came.
    heard: Option<Instant>,
    /// The request for the model that is loaded.
    model: Option<Request>,
    /// Requests for models after it; the last counts.
    reading: Vec<Request>,
    /// Pictures that it opens again: nobody needs their events.
    again: BTreeSet<ImageSlot>,
}

impl SessionLog {
    /// Notes a request.
    pub fn on_request(&mut self, request: &Request) {
        match request {
            Request::Extract { .. } | Request::Study { .. } => self.jobs.push(request.task()),
            Request::LoadModel { .. } => {
                self.busy = Some(TaskKind::Model);
                self.reading.push(request.clone());
            }
            Request::Run { .. } => self.busy = Some(TaskKind::Run),
            _ => {}
        }
    }

    /// These pictures are opened again.
    pub fn expect_again(&mut self, slots: impl Iterator<Item = ImageSlot>) {
        self.again.extend(slots);
    }

    /// Notes an event; whether it is to be passed on.
    pub fn on_event(&mut self, event: &Event) -> bool {
        self.heard = Some(Instant::now());
        match event {
            Event::Progress { work, .. } => self.busy = Some(*work),
            Event::ModelLoaded(info) => {
                self.model = self
                    .on_read(&info.name, Some(&info.device))
                    .or_else(|| self.model.take());
            }
            Event::ModelFailed { name, .. } => {
                self.on_read(name, None);
            }
            Event::RunFinished { .. } => self.end(TaskKind::Run),
            Event::StudyFinished { job } => self.end(TaskKind::Study { job: *job }),
            Event::Saved { work, .. } | Event::Failed { work, .. } => self.end(*work),
            Event::Recovered { .. } => self.busy = None,
            Event::PictureOpened { slot, .. } => return !self.again.remove(slot),
            _ => {}
        }
        true
    }

    /// What asked for a model that is there now on a device, or cannot be read. What was asked for before it was overtaken.
    fn on_read(&mut self, known: &str, on: Option<&str>) -> Option<Request> {
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
            self.end(TaskKind::Model);
        }
        asked
    }

    fn end(&mut self, work: TaskKind) {
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
            (Request::Cancel, Some(busy)) => matches!(busy, TaskKind::Run | TaskKind::Model),
            (cancel, busy) => busy == Some(cancel.task()),
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
    pub fn under_way(&self) -> impl Iterator<Item = TaskKind> {
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
        let mut log = SessionLog::default();
        let load = Request::LoadModel {
            name: "demo".to_owned(),
            device: DeviceChoice::Cpu,
            dtype: crate::device::Precision::F32,
        };
        log.on_request(&load);
        assert_eq!(log.under_way().collect::<Vec<_>>(), [TaskKind::Model]);
        assert!(log.is_busy_with(&Request::Cancel));
        assert!(!log.is_busy_with(&Request::CancelExtract { job: 1 }));
        let cancelled = Instant::now();
        assert!(log.is_silent_since(cancelled));
        let failed = Event::ModelFailed {
            name: "demo".to_owned(),
            error: Error::Cancelled,
        };
        assert_eq!(log.models(), [None, Some(&load)]);
        assert!(log.on_event(&failed));
        assert_eq!(log.under_way().count(), 0);
        assert_eq!(log.models(), [None, None], "what cannot be read is not asked for again");
        assert!(!log.is_silent_since(cancelled));
    }

    #[test]
    fn a_model_that_was_overtaken_says_nothing_of_the_one_that_is_read() {
        let load = |name: &str| Request::LoadModel {
            name: name.to_owned(),
            device: DeviceChoice::Cpu,
            dtype: crate::device::Precision::F32,
        };
        let mut log = SessionLog::default();
        log.on_request(&load("missing"));
        log.on_request(&load("demo"));
        log.on_event(&Event::ModelFailed {
            name: "missing".to_owned(),
            error: Error::failed("it is not here"),
        });
        assert_eq!(log.models(), [None, Some(&load("demo"))]);
        assert_eq!(log.under_way().collect::<Vec<_>>(), [TaskKind::Model]);
    }

    #[test]
    fn a_picture_that_is_opened_again_is_news_only_the_second_time() {
        let mut log = SessionLog::default();
        log.expect_again([ImageSlot::A].into_iter());
        let closed = Event::PictureClosed { slot: ImageSlot::A };
        assert!(log.on_event(&closed));
        let opened = Event::PictureOpened {
            slot: ImageSlot::A,
            picture: crate::engine::OpenedPicture {
                source: crate::engine::PictureSource::Sample("photo-cat".to_owned()),
                size: crate::geometry::Size::new(1, 1),
                rgb: vec![0; 3],
                fingerprint: 1,
                note: None,
            },
        };
        assert!(!log.on_event(&opened));
        assert!(log.on_event(&opened));
    }
}
