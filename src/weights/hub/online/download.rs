//! One file's way from the hub to the cache: resumed where an earlier attempt ended, tried again while that may help,
//! and checked before it counts as there.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use sha1::Sha1;
use sha2::{Digest, Sha256};
use ureq::http::Method;

use super::{
    answer::Asker,
    http::{Ask, Broken, Head, Stop},
    lock::Lock,
    reporter::Reporter,
    store::write_error,
};
use crate::{
    error::{Error, Result},
    files,
    weights::hub::{cache::RepoCache, plan::PlannedFile, progress::TransferStage, repo::Checksum},
};

const CHUNK: usize = 1 << 20;
/// Attempts are counted anew when one of them has brought this much: a long download may be cut often.
const PROGRESS: u64 = 1 << 20;
/// Longest wait that this program chooses.
const MAX_BACK_OFF: Duration = Duration::from_secs(30);
/// Longest wait that a server may ask for; after a longer one the user tries again.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// How often a wait looks whether to go on.
const TICK: Duration = Duration::from_millis(50);
/// Complete downloads whose content may be wrong before that counts as the hub's fault.
const WRONG: u32 = 2;

/// Downloads one file of a repository at a commit to the blobs of its cache, unless another process has done so by the
/// time that the lock is free. The caller has found that it is not there. Returns whether the blob is this call's.
pub(super) fn download(
    asker: &Asker<'_>,
    cache: &RepoCache,
    commit: &str,
    file: &PlannedFile,
    reporter: &mut Reporter<'_, '_>,
) -> Result<bool> {
    if cache.has_blob(&file.checksum, file.size) {
        return Ok(false);
    }
    let lock = Lock::wait(&cache.lock(&file.checksum), reporter)?;
    if cache.has_blob(&file.checksum, file.size) {
        return Ok(false);
    }
    cache.adopt(&file.checksum);
    for _ in 0..WRONG {
        let partial = filled(asker, cache, commit, file, reporter)?;
        let path = partial.path.clone();
        if let Some(file_on_disk) = partial.finished(lock.is_exclusive(), reporter)? {
            let blob = cache.blob(&file.checksum);
            // A blob under its final name is whole after a power cut too.
            files::sync_file(&file_on_disk).map_err(|error| write_error(&path, &error))?;
            drop(file_on_disk);
            fs::rename(&path, &blob).map_err(|error| write_error(&blob, &error))?;
            return Ok(true);
        }
        fs::remove_file(&path).map_err(|error| write_error(&path, &error))?;
        reporter.at(0);
    }
    Err(Error::failed(format!(
        "{}: what arrived is not what the hub lists (its checksum should be {}), twice in a row; it was deleted. \
         Something between here and the hub changes files: try another network or proxy, or unset HF_ENDPOINT",
        file.path, file.checksum
    )))
}

/// The file with all its bytes, whatever they are.
fn filled(
    asker: &Asker<'_>,
    cache: &RepoCache,
    commit: &str,
    file: &PlannedFile,
    reporter: &mut Reporter<'_, '_>,
) -> Result<Partial> {
    let mut partial = Partial::open(cache.partial(&file.checksum), file, reporter)?;
    let mut patience = asker.patience();
    loop {
        match attempt(asker, commit, file, &mut partial, reporter) {
            Ok(()) => return Ok(partial),
            Err(Stop::Error(error)) => return Err(error),
            Err(Stop::Broken(broken)) => {
                patience
                    .bear(&broken, partial.length, reporter)
                    .map_err(|error| error.context(&file.path))?;
            }
        }
    }
}

/// One question for what is missing.
fn attempt(
    asker: &Asker<'_>,
    commit: &str,
    file: &PlannedFile,
    partial: &mut Partial,
    reporter: &mut Reporter<'_, '_>,
) -> Result<(), Stop> {
    reporter.at(partial.length);
    if partial.length == file.size {
        return Ok(());
    }
    reporter.stage(TransferStage::Asking)?;
    let exchange = asker.client.open(Ask {
        method: Method::GET,
        url: asker.file_url(commit, &file.path),
        from: partial.length,
    })?;
    let head = exchange.head(reporter)?;
    if head.status == 416 {
        // Something about what is here does not suit the server: the next attempt begins anew.
        partial.restart()?;
        return Err(Broken::new("the server cannot continue where the download stopped").into());
    }
    if !head.by_hub {
        // The hub has named the checksum, which counts more than the word of the file's host.
        compare(&head, file)?;
    }
    asker.judge(&head, Some(&file.path))?;
    compare(&head, file)?;
    match (head.status, head.range_start) {
        (206, Some(start)) if start == partial.length => {}
        (206, _) => {
            partial.restart()?;
            return Err(Broken::new("the server sent another part of the file than it was asked for").into());
        }
        // The server does not know ranges: this is the whole file.
        _ if partial.length > 0 => partial.restart()?,
        _ => {}
    }
    reporter.at(partial.length);
    reporter.stage(TransferStage::Downloading)?;
    while let Some(bytes) = exchange.chunk(reporter)? {
        if bytes.len() as u64 > file.size - partial.length {
            partial.restart()?;
            return Err(Broken::new(format!("the server sent more than the {} bytes of the file", file.size)).into());
        }
        partial.append(&bytes)?;
        reporter.received(bytes.len() as u64);
        reporter.at(partial.length);
        reporter.report()?;
    }
    if partial.length < file.size {
        let (have, all) = (partial.length, file.size);
        return Err(Broken::new(format!("the server ended after {have} of {all} bytes")).into());
    }
    Ok(())
}

/// Refuses a file that is another one than the plan's.
fn compare(head: &Head, file: &PlannedFile) -> Result<()> {
    let other_content = head
        .checksum
        .as_ref()
        .is_some_and(|checksum| *checksum != file.checksum);
    let other_size = head.size.is_some_and(|size| size != file.size);
    if other_content || other_size {
        return Err(Error::failed(format!(
            "{} on the hub is no longer the file that was listed; ask for the model again",
            file.path
        )));
    }
    Ok(())
}

/// A file that grows, with the checksum of what it has.
struct Partial {
    path: PathBuf,
    file: File,
    length: u64,
    size: u64,
    expected: Checksum,
    hash: Hash,
}

enum Hash {
    Sha256(Sha256),
    Sha1(Sha1),
}

impl Hash {
    fn new(checksum: &Checksum, size: u64) -> Self {
        if checksum.is_sha256() {
            Self::Sha256(Sha256::new())
        } else {
            // git hashes a header before the content.
            Self::Sha1(Sha1::new_with_prefix(format!("blob {size}\0")))
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha1(hash) => hash.update(bytes),
        }
    }

    fn digits(self) -> String {
        let bytes = match self {
            Self::Sha256(hash) => hash.finalize().to_vec(),
            Self::Sha1(hash) => hash.finalize().to_vec(),
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Partial {
    /// Opens what an earlier attempt has left, or begins.
    fn open(path: PathBuf, file: &PlannedFile, reporter: &mut Reporter<'_, '_>) -> Result<Self> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut partial = Self {
            file: opened.map_err(|error| write_error(&path, &error))?,
            length: 0,
            size: file.size,
            expected: file.checksum.clone(),
            hash: Hash::new(&file.checksum, file.size),
            path,
        };
        let left = partial
            .file
            .metadata()
            .map_err(|error| write_error(&partial.path, &error))?
            .len();
        if left > file.size {
            partial.restart()?;
        } else if left > 0 {
            partial.read_again(left, reporter)?;
        }
        Ok(partial)
    }

    /// Takes the first `left` bytes of the file into the checksum.
    fn read_again(&mut self, left: u64, reporter: &mut Reporter<'_, '_>) -> Result<()> {
        reporter.stage(TransferStage::Checking)?;
        let mut bytes = vec![0; CHUNK];
        while self.length < left {
            let most = usize::try_from(left - self.length).map_or(CHUNK, |most| most.min(CHUNK));
            match self.file.read(&mut bytes[..most]) {
                Ok(0) => break,
                Ok(count) => {
                    self.hash.update(&bytes[..count]);
                    self.length += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", &self.path, &error)),
            }
            reporter.at(self.length);
            reporter.report()?;
        }
        Ok(())
    }

    /// Forgets what is there.
    fn restart(&mut self) -> Result<()> {
        self.hash = Hash::new(&self.expected, self.size);
        self.length = 0;
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map(drop)
            .map_err(|error| write_error(&self.path, &error))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|error| write_error(&self.path, &error))?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The file, if it holds what it should. Where another process may have written to it too, the received bytes prove nothing
    /// about that, and it is read once more.
    fn finished(mut self, is_own: bool, reporter: &mut Reporter<'_, '_>) -> Result<Option<File>> {
        if !is_own {
            let unread = |error: io::Error| Error::io("read", &self.path, &error);
            self.file.seek(SeekFrom::Start(0)).map_err(unread)?;
            if self.file.metadata().map_err(unread)?.len() != self.size {
                return Ok(None);
            }
            self.hash = Hash::new(&self.expected, self.size);
            self.length = 0;
            self.read_again(self.size, reporter)?;
        }
        Ok((self.hash.digits() == self.expected.as_str()).then_some(self.file))
    }
}

/// How often failures in a row are borne, and how long to wait after each.
pub(super) struct Patience {
    failures: u32,
    allowed: u32,
    back_off: Duration,
    /// Bytes that the count of failures was last reset at.
    reached: u64,
}

impl Patience {
    pub fn new(allowed: u32, back_off: Duration) -> Self {
        Self {
            failures: 0,
            allowed,
            back_off,
            reached: 0,
        }
    }

    /// Waits before the next attempt, or gives up; `length` is what the last one has reached.
    pub fn bear(&mut self, broken: &Broken, length: u64, reporter: &mut Reporter<'_, '_>) -> Result<()> {
        // Beyond what has been reached before: a server that starts over each time must not be asked for ever.
        if length >= self.reached.saturating_add(PROGRESS) {
            self.reached = length;
            self.failures = 0;
        }
        self.failures += 1;
        if self.failures > self.allowed {
            let again = if length > 0 {
                "; try again later: it goes on where it stopped"
            } else {
                ""
            };
            return Err(Error::failed(format!(
                "{}; gave up after {} attempts{again}",
                broken.reason, self.failures
            )));
        }
        let wait = broken.wait.unwrap_or_default();
        if wait > MAX_WAIT {
            return Err(Error::failed(format!(
                "{}; the server asks to be left alone for {} minutes: try again after that",
                broken.reason,
                wait.as_secs().div_ceil(60)
            )));
        }
        let doubled = self
            .back_off
            .saturating_mul(2_u32.saturating_pow(self.failures - 1))
            .min(MAX_BACK_OFF);
        // Between half and all of it, so that many who failed together do not come back together.
        let back_off = doubled.mul_f64(0.5 + 0.5 * random());
        pause(wait.max(back_off), &broken.reason, reporter)
    }
}

/// Waits, and looks now and then whether to go on.
fn pause(wait: Duration, reason: &str, reporter: &mut Reporter<'_, '_>) -> Result<()> {
    let before = reporter.current();
    let begun = Instant::now();
    while let Some(left) = wait.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        reporter.stage(TransferStage::Waiting {
            seconds: left.as_secs_f32().ceil() as u64,
            reason: reason.to_owned(),
        })?;
        thread::sleep(left.min(TICK));
    }
    reporter.stage(before)
}

/// A number between 0 and 1, another one each time.
fn random() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    /// SHA-256 of "abc".
    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_file_that_others_may_have_written_to_is_read_once_more() -> TestResult {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("partial");
        let file = PlannedFile {
            path: "model".to_owned(),
            size: 3,
            checksum: Checksum::new(OF_ABC).ok_or("a checksum")?,
            present: false,
            begun: 0,
        };
        let mut watch = |_: &_| Ok(());
        let mut reporter = Reporter::new(1, 3, &mut watch);
        for (others, is_own, is_whole) in [
            ("abc", true, true),
            ("abc", false, true),
            // The received bytes were right, even if others changed the file.
            ("abd", true, true),
            ("abd", false, false),
            ("abcd", false, false),
        ] {
            let mut partial = Partial::open(path.clone(), &file, &mut reporter)?;
            partial.restart()?;
            partial.append(b"abc")?;
            fs::write(&path, others)?;
            let found = partial.finished(is_own, &mut reporter)?;
            assert_eq!(found.is_some(), is_whole, "{others}, own: {is_own}");
        }
        Ok(())
    }
}
