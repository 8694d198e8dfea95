//! What outlasts the window: what it remembers from one start to the next, and the work that a crash would take. In: memory
//! and documents, whenever they change. Out: two files, written whole by a thread of their own; a frame waits for neither.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    folder::{self, WindowFolder, lock_folder},
    preferences_file::{PreferencesFile, Remembered},
};

use crate::{
    app::{
        document::workspace::Work,
        state::{preferences::Preferences, recovery::Recovery},
    },
    engine::recovered,
    error::{Error, Result},
};

/// After a change so much more is waited for: what follows at once goes into the same file.
const GATHERED: Duration = Duration::from_secs(1);

/// Told when something could not be kept, by the thread that keeps.
pub type Tell = Box<dyn Fn(String) + Send>;

/// What was remembered, and a place of this window's own: a window begins with it.
pub struct Beginning {
    /// What the window is to remember.
    pub preferences: Preferences,
    /// What has to be said of it.
    pub notes: Vec<String>,
    file: PreferencesFile,
    folder: WindowFolder,
}

impl Beginning {
    /// Reads what is remembered in a folder and makes a place for one more window.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be made, locked or written in.
    pub fn within(data: &Path) -> Result<Self> {
        let _alone = lock_folder(data)?;
        let (file, mut notes) = PreferencesFile::open(data);
        let (preferences, forgotten) = file.preferences().sound();
        if !forgotten.is_empty() {
            notes.push(format!(
                "Nothing can be shown with some of what was remembered: as in a fresh window are {}.",
                forgotten.join(", ")
            ));
        }
        let folder = WindowFolder::make(data)?;
        Ok(Self {
            preferences,
            notes,
            file,
            folder,
        })
    }

    /// The folder of this window's own.
    pub fn place(&self) -> &Path {
        self.folder.path()
    }

    /// A file for eframe, which keeps the window's place and egui's memory in one of its own: it writes them in place, so
    /// it gets a copy, and what it puts there is taken over by `Keeper::remember`.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn copy_for_eframe(&self) -> Result<PathBuf> {
        self.folder.write_copy(&self.file)
    }
}

/// Writes work into the folder of a window that is about to end, for the one that is opened in its place; gives the file.
pub fn hand_over(folder: &Path, work: Work) -> Result<PathBuf> {
    folder::write_work(folder, work)
}

/// Keeps memory and work, on a thread of its own, until it is dropped.
pub struct Keeper {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
    data: PathBuf,
    own: PathBuf,
}

#[derive(Default)]
struct Desk {
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

/// What is still to be done; of each kind the last counts.
#[derive(Default)]
struct Wanted {
    /// The work to be kept; `Some(None)`: there is none that is not saved.
    work: Option<Option<Work>>,
    remembered: Option<Remembered>,
    /// Work of earlier windows that is in this one now: it goes when this one's is kept.
    taken_over: Vec<PathBuf>,
    /// Nothing more comes.
    ends: bool,
    /// The window was closed by its user: nothing of it is to be offered.
    closed: bool,
}

impl Wanted {
    fn is_any(&self) -> bool {
        self.work.is_some() || self.remembered.is_some() || !self.taken_over.is_empty() || self.is_urgent()
    }

    fn is_urgent(&self) -> bool {
        self.ends || self.closed
    }
}

impl Desk {
    fn change(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do, and for what follows it at once.
    fn next(&self) -> Wanted {
        let mut wanted = self.lock();
        while !wanted.is_any() {
            wanted = self.changed.wait(wanted).unwrap_or_else(PoisonError::into_inner);
        }
        let gathered = self
            .changed
            .wait_timeout_while(wanted, GATHERED, |wanted| !wanted.is_urgent());
        let (mut wanted, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut wanted)
    }
}

impl Keeper {
    /// Starts to keep what a window remembers and works on; `tell` hears what could not be kept.
    pub fn start(beginning: Beginning, tell: Tell) -> Result<Self> {
        let Beginning { file, folder, .. } = beginning;
        let desk = Arc::new(Desk::default());
        let (data, own) = (folder.data().to_owned(), folder.path().to_owned());
        let writer = Writer {
            desk: Arc::clone(&desk),
            file,
            folder,
            tell,
            told: None,
            is_kept: true,
            taken_over: Vec::new(),
        };
        let thread = thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || writer.write())
            .map_err(|error| Error::failed(format!("the thread that keeps work cannot be started: {error}")))?;
        Ok(Self {
            desk,
            thread: Some(thread),
            data,
            own,
        })
    }

    /// Keeps this work for after a crash, in place of what was kept before.
    pub fn keep(&self, work: Option<Work>) {
        self.desk.change(|wanted| wanted.work = Some(work));
    }

    /// Remembers this for the next start.
    pub fn remember(&self, remembered: Remembered) {
        self.desk.change(|wanted| wanted.remembered = Some(remembered));
    }

    /// Lets work of an earlier window go as soon as this window's is kept: that is the same.
    pub fn take_over(&self, recovery: PathBuf) {
        self.desk.change(|wanted| wanted.taken_over.push(recovery));
    }

    /// The folder of the window whose work a file is, where it is one's.
    pub fn folder_of(&self, path: &Path) -> Option<PathBuf> {
        folder::of_work(&self.data, path)
    }

    /// What looks for work of windows that did not come to their end; on a thread of its own, as it reads files.
    pub fn recoveries(&self) -> impl FnOnce() -> Result<Vec<Recovery>> + Send + 'static {
        let (data, own) = (self.data.clone(), self.own.clone());
        move || {
            let _alone = lock_folder(&data)?;
            folder::recoveries(&data, &own)
        }
    }

    /// What lets go of the work of an earlier window.
    pub fn discard(&self, recovery: PathBuf) -> impl FnOnce() -> Result<()> + Send + 'static {
        let data = self.data.clone();
        move || {
            let _alone = lock_folder(&data)?;
            folder::discard(&recovery)
        }
    }

    /// Writes what is still to be written. Where the window was `closed` by its user, nothing of it is offered again.
    pub fn end(&mut self, closed: bool) {
        self.desk.change(|wanted| {
            wanted.ends = true;
            wanted.closed = closed;
        });
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was caught and told already.
            let _ = thread.join();
        }
    }
}

impl Drop for Keeper {
    /// What ends without having been closed, as by a panic, leaves its work to be offered.
    fn drop(&mut self) {
        self.end(false);
    }
}

/// The thread that writes.
struct Writer {
    desk: Arc<Desk>,
    file: PreferencesFile,
    folder: WindowFolder,
    tell: Tell,
    /// What was told last: the same trouble is told once, not with every change.
    told: Option<String>,
    /// Whether the work that was handed over last is on the disk.
    is_kept: bool,
    /// Work of earlier windows that goes once this one's is kept.
    taken_over: Vec<PathBuf>,
}

impl Writer {
    fn write(mut self) {
        loop {
            let wanted = self.desk.next();
            let ends = wanted.ends;
            let done = recovered(|| self.carry_out(wanted)).unwrap_or_else(|bug| Err(Error::failed(bug)));
            match done {
                Ok(()) => self.told = None,
                Err(error) => self.say(error.to_string()),
            }
            if ends {
                return;
            }
        }
    }

    fn carry_out(&mut self, wanted: Wanted) -> Result<()> {
        let remembered = match wanted.remembered {
            Some(remembered) => self.remember(remembered),
            None => Ok(()),
        };
        self.taken_over.extend(wanted.taken_over);
        if wanted.closed {
            // What was opened here is let go of with the window.
            let discarded = self.discard_taken_over();
            return remembered.and(self.folder.remove()).and(discarded);
        }
        if let Some(work) = wanted.work {
            self.is_kept = false;
            let kept = match work {
                Some(work) => folder::write_work(self.folder.path(), work).map(drop),
                None => self.folder.remove_work(),
            };
            kept.map_err(|error| error.context("what is worked on is not kept for after a crash"))?;
            self.is_kept = true;
        }
        // Until then the earlier window's file is the only one that holds it.
        if self.is_kept {
            self.discard_taken_over()?;
        }
        remembered
    }

    fn discard_taken_over(&mut self) -> Result<()> {
        for recovery in std::mem::take(&mut self.taken_over) {
            let _alone = lock_folder(self.folder.data())?;
            folder::discard(&recovery)?;
        }
        Ok(())
    }

    fn remember(&mut self, remembered: Remembered) -> Result<()> {
        let _alone = lock_folder(self.folder.data())?;
        let note = self
            .file
            .write(remembered)
            .map_err(|error| error.context("what is to be remembered for the next start is not kept"))?;
        if let Some(note) = note {
            self.say(note);
        }
        Ok(())
    }

    fn say(&mut self, words: String) {
        if self.told.as_ref() != Some(&words) {
            (self.tell)(words.clone());
            self.told = Some(words);
        }
    }
}
