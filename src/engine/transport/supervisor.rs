//! The engine's end: stands in an extractor's place and passes requests on to a worker. A worker that ends, whatever the
//! reason, is started anew with the same pictures and model when it is needed next.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    process::Child,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    codec::{Answer, FromWorker, Question, ToWorker},
    launcher::Launcher,
    locked,
    session_log::SessionLog,
};
use crate::{
    device::Devices,
    engine::{
        extractor::Extractor,
        host::ExtractorHost,
        ids::{ImageSlot, TaskKind},
        message::{Event, Request},
        spawn,
    },
    error::{Error, Result},
    image::source::PictureSource,
};

/// How long a worker may take to say that it is there: a driver may translate its kernels first.
const STARTING: Duration = Duration::from_secs(60);
/// How long a worker may say nothing after it was told to stop before it is ended: no layer on a GPU takes that long.
const STOPPING: Duration = Duration::from_secs(10);
/// How long a worker may take to end when it is no longer needed.
const LEAVING: Duration = Duration::from_secs(6);
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(10);
/// Numbers of loaded models that each worker has.
const LOADINGS_BITS: u32 = 32;
/// Lines of a worker's standard error that are kept to say what happened.
const KEPT_LINES: usize = 20;

/// Runs on the extractor's thread: the worker in a process of its own, or, where that does not start or has no GPU, the
/// extractor of this process, which tells why.
pub fn supervise(launcher: Launcher, inbox: Receiver<Request>, host: ExtractorHost) {
    let (sender, mail) = channel();
    let mut supervisor = Supervisor {
        launcher,
        host: host.clone(),
        sender,
        running: None,
        workers: 0,
        pictures: BTreeMap::new(),
        model: None,
    };
    let trouble = match supervisor.start() {
        Ok(devices) if supervisor.launcher.required || devices.gpus().next().is_some() => {
            host.emit(Event::Devices(devices));
            return supervisor.run(inbox, &mail);
        }
        Ok(devices) => {
            supervisor.end(LEAVING);
            devices.trouble
        }
        Err(error) => Some(error.to_string()),
    };
    tracing::info!(?trouble, "no worker for GPUs");
    let trouble = trouble.filter(|_| supervisor.launcher.is_missed());
    Extractor::new(inbox, host).with_trouble(trouble).run_here();
}

/// What comes to the supervisor.
enum Mail {
    Request(Request),
    /// The engine is gone.
    Closed,
    /// The worker of this number has ended; what was wrong with its last message, if anything was.
    Ended(u64, Option<Error>),
}

struct Supervisor {
    launcher: Launcher,
    host: ExtractorHost,
    sender: Sender<Mail>,
    running: Option<Running>,
    /// How many were started.
    workers: u64,
    /// The open pictures: a new worker opens them again.
    pictures: BTreeMap<ImageSlot, PictureSource>,
    /// What asked for the model that is there.
    model: Option<Request>,
}

/// A worker that was started.
struct Running {
    number: u64,
    child: Child,
    to: Arc<ToChild>,
    log: Arc<Mutex<SessionLog>>,
    /// The last lines it wrote to its standard error.
    words: Arc<Mutex<Vec<String>>>,
    /// When it was told to stop what it does, and has said nothing since.
    stopped: Option<Instant>,
}

/// A worker that is gone.
#[derive(Default)]
struct Gone {
    /// How it ended.
    status: String,
    /// The last lines it wrote to its standard error.
    words: String,
}

/// The way to a worker's standard input; none once it is closed. A thread of its own writes there, so that nobody waits for
/// a worker that does not read: it may have been stopped, and then it has to be ended.
type ToChild = Mutex<Option<Sender<ToWorker>>>;

fn write(to: &ToChild, message: ToWorker) -> Result<()> {
    let is_sent = locked(to).as_ref().is_some_and(|to| to.send(message).is_ok());
    match is_sent {
        true => Ok(()),
        false => Err(Error::failed("the worker has ended")),
    }
}

/// Writes messages until there are no more, or the worker has ended: who reads its messages tells that.
fn hand_over(mut to: impl Write, messages: &Receiver<ToWorker>) {
    for message in messages {
        if message.write(&mut to).is_err() {
            return;
        }
    }
}

impl Supervisor {
    fn run(mut self, inbox: Receiver<Request>, mail: &Receiver<Mail>) {
        let sender = self.sender.clone();
        let pump = spawn("requests", move || {
            let all_sent = inbox.iter().all(|request| sender.send(Mail::Request(request)).is_ok());
            if all_sent {
                // A supervisor that has ended needs no news.
                let _ = sender.send(Mail::Closed);
            }
        });
        if let Err(error) = pump {
            let message = error.to_string();
            return self.host.emit(Event::Recovered { message });
        }
        loop {
            let next = match self.patience() {
                None => mail.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(left) => mail.recv_timeout(left),
            };
            match next {
                Ok(Mail::Request(request)) => self.pass_on(request),
                Ok(Mail::Ended(number, wrong)) if self.is_running(number) => self.on_end(wrong.as_ref()),
                Ok(Mail::Ended(..)) => {}
                Err(RecvTimeoutError::Timeout) => self.stop_by_force(),
                Ok(Mail::Closed) | Err(RecvTimeoutError::Disconnected) => {
                    self.end(LEAVING);
                    return;
                }
            }
        }
    }

    fn is_running(&self, number: u64) -> bool {
        self.running.as_ref().is_some_and(|running| running.number == number)
    }

    /// Starts a worker and waits until it says that it is there.
    fn start(&mut self) -> Result<Devices> {
        self.workers += 1;
        let number = self.workers;
        let mut child = self.launcher.start()?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Error::failed("the worker has no standard input and output"));
        };
        let (to, messages) = channel();
        let running = Running {
            number,
            child,
            to: Arc::new(Mutex::new(Some(to))),
            log: Arc::default(),
            words: Arc::default(),
            stopped: None,
        };
        let words = Arc::clone(&running.words);
        spawn("worker's words", move || listen(stderr, &words))?;
        spawn("worker's requests", move || hand_over(BufWriter::new(stdin), &messages))?;
        let (host, to, log) = (self.host.clone(), Arc::clone(&running.to), Arc::clone(&running.log));
        let sender = self.sender.clone();
        let (is_there, there) = channel();
        spawn("worker's mail", move || {
            let wrong = answer(BufReader::new(stdout), &host, &to, &log, &is_there).err();
            // A supervisor that has ended needs no news.
            let _ = sender.send(Mail::Ended(number, wrong));
        })?;
        let begin = ToWorker::Begin {
            keeps_bytes: self.host.limit_bytes(),
            loadings: number << LOADINGS_BITS,
        };
        // One that ended before it was told anything says why by its standard error.
        let _ = write(&running.to, begin);
        let devices = there.recv_timeout(STARTING);
        self.running = Some(running);
        devices.map_err(|_| {
            let gone = self.end(LEAVING).unwrap_or_default();
            Error::failed(self.last_words(&gone))
        })
    }

    /// Starts a worker in the place of one that has ended, and tells it what that knew.
    fn start_anew(&mut self) -> Result<()> {
        let devices = self.start()?;
        self.host.emit(Event::Devices(devices));
        let pictures = self.pictures.clone();
        if let Some(running) = &self.running {
            locked(&running.log).expect_again(pictures.keys().copied());
        }
        let opened = pictures
            .into_iter()
            .map(|(slot, source)| Request::OpenPicture { slot, source });
        for request in opened.chain(self.model.clone()) {
            self.send(request)?;
        }
        Ok(())
    }

    fn send(&mut self, request: Request) -> Result<()> {
        let Some(running) = &mut self.running else {
            return Err(Error::failed("the worker has ended"));
        };
        let mut log = locked(&running.log);
        log.on_request(&request);
        if request.is_cancel() && log.is_busy_with(&request) {
            running.stopped = Some(Instant::now());
        }
        drop(log);
        write(&running.to, ToWorker::Request(request))
    }

    fn pass_on(&mut self, request: Request) {
        if self.running.is_none() {
            if request.is_cancel() {
                return;
            }
            if let Err(error) = self.start_anew() {
                self.remember(&request);
                return self.host.emit(Event::of_failure(&request, error));
            }
        }
        self.remember(&request);
        if let Err(error) = self.send(request.clone()) {
            // The reader of its messages reports that it has ended.
            self.host.emit(Event::of_failure(&request, error));
        }
    }

    /// Remembers what a worker after this one is to open.
    fn remember(&mut self, request: &Request) {
        match request {
            Request::OpenPicture { slot, source } => {
                self.pictures.insert(*slot, source.clone());
            }
            Request::ClosePicture { slot } => {
                self.pictures.remove(slot);
            }
            Request::SwapPictures { a, b } => {
                let sources = [self.pictures.remove(a), self.pictures.remove(b)];
                for (slot, source) in [b, a].into_iter().zip(sources) {
                    self.pictures.extend(source.map(|source| (*slot, source)));
                }
            }
            _ => {}
        }
    }

    /// The next worker reads the model that this one had. One that was being read when it ended is not read again by itself:
    /// it may end the next worker too.
    fn remember_model(&mut self, log: &SessionLog) {
        match log.models() {
            [Some(model), _] => self.model = Some(model.clone()),
            [None, reading] if reading == self.model.as_ref() => self.model = None,
            _ => {}
        }
    }

    /// How long the worker may still be waited for.
    fn patience(&mut self) -> Option<Duration> {
        let running = self.running.as_mut()?;
        let stopped = running.stopped?;
        if !locked(&running.log).is_silent_since(stopped) {
            running.stopped = None;
            return None;
        }
        Some(STOPPING.saturating_sub(stopped.elapsed()))
    }

    /// Ends a worker that was told to stop and did not.
    fn stop_by_force(&mut self) {
        let Some(running) = &mut self.running else { return };
        let is_over = running.stopped.is_some_and(|stopped| stopped.elapsed() >= STOPPING);
        if !is_over {
            return;
        }
        let log = locked(&running.log).clone();
        tracing::warn!("the worker did not stop and was ended");
        self.remember_model(&log);
        self.end(Duration::ZERO);
        self.report_failure(&log, &Error::Cancelled);
    }

    /// Tells that what was under way in a worker that is gone has failed.
    fn report_failure(&self, log: &SessionLog, error: &Error) {
        for work in log.under_way() {
            let error = error.clone();
            self.host.emit(match (work, log.models()) {
                (TaskKind::Model, [_, Some(request)]) => Event::of_failure(request, error),
                _ => Event::Failed { work, error },
            });
        }
    }

    /// The worker has ended by itself.
    fn on_end(&mut self, wrong: Option<&Error>) {
        let Some(running) = &self.running else { return };
        let log = locked(&running.log).clone();
        let gone = self.end(LEAVING).unwrap_or_default();
        let mut message = self.last_words(&gone);
        if let Some(wrong) = wrong {
            message = format!("{message} ({wrong})");
        }
        self.report_failure(&log, &Error::failed(message.clone()));
        self.remember_model(&log);
        self.host.emit(Event::Recovered { message });
    }

    /// What a worker that is gone said, in one line, and what helps.
    fn last_words(&self, gone: &Gone) -> String {
        let program = self.launcher.program.display();
        format!(
            "{program} has ended ({}): {}",
            gone.status,
            self.launcher.last_words(&gone.words)
        )
    }

    /// Ends the worker: by force at once, or if it does not go by itself; gives its exit status and the last it said.
    fn end(&mut self, leaving: Duration) -> Option<Gone> {
        let Running {
            mut child, to, words, ..
        } = self.running.take()?;
        // A worker whose standard input closes ends.
        *locked(&to) = None;
        let since = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if since.elapsed() < leaving => thread::sleep(LOOK),
                _ => {
                    // One that is gone cannot be ended.
                    let _ = child.kill();
                    break child.wait().ok();
                }
            }
        };
        Some(Gone {
            status: status.map_or_else(|| "no exit status".to_owned(), |status| status.to_string()),
            words: locked(&words).join("\n"),
        })
    }
}

/// Keeps the last lines that a worker writes to its standard error, and passes them on.
fn listen(stderr: impl Read, words: &Mutex<Vec<String>>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        // Where this process has no standard error, nobody reads it.
        let _ = writeln!(std::io::stderr(), "{line}");
        let mut words = locked(words);
        words.push(line);
        if words.len() > KEPT_LINES {
            words.remove(0);
        }
    }
}

/// Takes what a worker says until it ends.
fn answer(
    mut from: impl Read,
    host: &ExtractorHost,
    to: &ToChild,
    log: &Mutex<SessionLog>,
    is_there: &Sender<Devices>,
) -> Result<()> {
    while let Some(message) = FromWorker::read(&mut from)? {
        let answer = match message {
            FromWorker::Ready(devices) => {
                if is_there.send(devices).is_err() {
                    return Ok(());
                }
                continue;
            }
            FromWorker::Event(event) => {
                if locked(log).on_event(&event) {
                    host.emit(*event);
                }
                continue;
            }
            FromWorker::Question(Question::Pass(key)) => Answer::Pass(host.pass(&key)),
            FromWorker::Question(Question::Has(pass, id)) => Answer::Yes(host.has(pass, id)),
            FromWorker::Question(Question::LookAt(pass)) => Answer::Ran(host.look_at(pass).map(Box::new)),
            FromWorker::Question(Question::ReportKept(slot, pass)) => Answer::Yes(host.report_kept(slot, pass)),
            FromWorker::Keep(Some(slot), pass) => Answer::Kept(host.keep(slot, *pass)),
            FromWorker::Keep(None, pass) => Answer::Kept(host.keep_unseen(*pass)),
        };
        write(to, ToWorker::Answer(answer))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_worker_that_does_not_read() -> std::result::Result<(), Box<dyn std::error::Error>> {
        /// More than a pipe holds.
        const MESSAGES: u64 = 20_000;
        let (reader, writer) = std::io::pipe()?;
        let (sender, messages) = channel();
        let to: ToChild = Mutex::new(Some(sender));
        let writing = thread::spawn(move || hand_over(writer, &messages));
        for loadings in 0..MESSAGES {
            let keeps_bytes = 1 << 30;
            write(&to, ToWorker::Begin { keeps_bytes, loadings })?;
        }
        // A worker that is ended by force closes its end.
        drop(reader);
        writing.join().map_err(|_| "the writer panicked")?;
        assert!(write(&to, ToWorker::Request(Request::Cancel)).is_err());
        *locked(&to) = None;
        assert!(write(&to, ToWorker::Request(Request::Cancel)).is_err());
        Ok(())
    }
}
