//! The worker's end: an extractor whose engine is at the other end of its standard input and output.

use std::{
    io::{BufWriter, Read, Write},
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use super::{
    codec::{Answer, FromWorker, Question, ToWorker},
    locked,
};
use crate::{
    device::Devices,
    engine::{
        extractor::Extractor,
        host::{ExtractorHost, FinishedPass},
        ids::ImageSlot,
        message::{Event, Request},
        spawn,
    },
    error::{Error, Result},
};

/// How long the work under way may take to end after the engine has gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// The line to an engine in another process.
pub struct EngineLine {
    out: Mutex<Box<dyn Write + Send>>,
    /// One question at a time: whoever asks holds this until the answer is there.
    answers: Mutex<Receiver<Answer>>,
    keeps_bytes: usize,
}

impl EngineLine {
    fn send(&self, message: &FromWorker) -> Result<()> {
        message.write(&mut *locked(&self.out))
    }

    /// Sends an event. An engine that is gone needs none: its end of the line is closed, which ends this process.
    pub fn emit(&self, event: Event) {
        if let Err(error) = self.send(&FromWorker::Event(Box::new(event))) {
            tracing::debug!(%error, "an event was not sent");
        }
    }

    /// The answer to a question; none where the engine is gone.
    pub fn ask(&self, question: Question) -> Option<Answer> {
        let answers = locked(&self.answers);
        self.send(&FromWorker::Question(question)).ok()?;
        answers.recv().ok()
    }

    /// Most bytes of maps that the engine keeps.
    pub fn keeps_bytes(&self) -> usize {
        self.keeps_bytes
    }

    /// Hands the maps of a pass over.
    ///
    /// # Errors
    ///
    /// Where none of the maps can be kept, or the engine is gone.
    pub fn keep(&self, slot: Option<ImageSlot>, finished: FinishedPass) -> Result<()> {
        let answers = locked(&self.answers);
        self.send(&FromWorker::Keep(slot, Box::new(finished)))?;
        match answers.recv() {
            Ok(Answer::Kept(outcome)) => outcome,
            // The engine is gone.
            _ => Err(Error::Cancelled),
        }
    }
}

/// Works for the engine at the other end of `from` and `out` until that closes. `left_behind` is called if the work under way
/// does not end soon after that: then the process should.
///
/// # Errors
///
/// Where the other end is no engine, or a message cannot be read or written.
pub fn serve(
    mut from: impl Read + Send + 'static,
    out: impl Write + Send + 'static,
    left_behind: impl FnOnce() + Send + 'static,
) -> Result<()> {
    /// Small messages are written at once, maps pass by the buffer.
    const BUFFER: usize = 1 << 16;
    let Some(ToWorker::Begin { keeps_bytes, loadings }) = ToWorker::read(&mut from)? else {
        return Err(Error::usage(
            "this command is what the program starts as its worker; `featscope --help` lists the others",
        ));
    };
    let (answered, answers) = channel();
    let line = EngineLine {
        out: Mutex::new(Box::new(BufWriter::with_capacity(BUFFER, out))),
        answers: Mutex::new(answers),
        keeps_bytes,
    };
    line.send(&FromWorker::Ready(Devices::look()))?;
    let (sender, requests) = channel();
    spawn("mail", move || {
        receive(&mut from, &sender, &answered);
        // The extractor ends what it does at its next activation, if it can.
        drop((sender, answered));
        thread::sleep(PATIENCE);
        left_behind();
    })?;
    Extractor::new(requests, ExtractorHost::elsewhere(line))
        .with_loadings(loadings)
        .run()
}

fn receive(from: &mut impl Read, requests: &Sender<Request>, answers: &Sender<Answer>) {
    loop {
        let gone = match ToWorker::read(from) {
            Ok(Some(ToWorker::Request(request))) => requests.send(request).is_err(),
            Ok(Some(ToWorker::Answer(answer))) => answers.send(answer).is_err(),
            Ok(Some(ToWorker::Begin { .. })) => false,
            Ok(None) => true,
            Err(error) => {
                tracing::error!(%error, "the engine's messages cannot be read");
                true
            }
        };
        if gone {
            return;
        }
    }
}
