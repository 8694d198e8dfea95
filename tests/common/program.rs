//! Runs the program as a user does, and looks at what it leaves behind.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Nothing that the tests ask for may take longer, on a slow machine with other work to do.
const LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(5);

/// The program under test; none in a build of the library alone.
const PROGRAM: Option<&str> = option_env!("CARGO_BIN_EXE_featscope");

pub struct Ran {
    /// None where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

/// What whoever runs the tests may have set, and what changes what the program asks or says.
const SETTINGS: [&str; 10] = [
    "FEATSCOPE_WORKER",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_DISABLE_SYMLINKS",
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HUGGING_FACE_HUB_TOKEN",
    "RUST_BACKTRACE",
    "RUST_LOG",
];

/// The program with a cache of models that holds none.
pub fn program() -> Command {
    let mut command = Command::new(PROGRAM.expect("a test that runs the program is built with the feature `cli`"));
    SETTINGS.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
        .env("HF_HUB_CACHE", "/nonexistent/no-models-here")
        // Without it, Mesa says so on standard error.
        .env("XDG_RUNTIME_DIR", env::temp_dir())
        .stdin(Stdio::null());
    command
}

pub fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ran {
    finish(program().args(arguments))
}

/// Runs to the end, within the limit.
pub fn finish(command: &mut Command) -> Ran {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let file = |path: &Path| Stdio::from(File::create(path).expect("a temporary file"));
    let started = Instant::now();
    let mut child = command
        .stdout(file(&out))
        .stderr(file(&err))
        .spawn()
        .expect("the program starts");
    let status = wait(&mut child, started);
    let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).expect("what it said")).into_owned();
    Ran {
        code: status.code(),
        stdout: text(&out),
        stderr: text(&err),
        took: started.elapsed(),
    }
}

fn wait(child: &mut Child, started: Instant) -> ExitStatus {
    loop {
        if let Some(status) = child.try_wait().expect("its status") {
            return status;
        }
        if started.elapsed() > LIMIT {
            child.kill().expect("a running program can be killed");
            child.wait().expect("its status");
            panic!("the program ran for more than {LIMIT:?}");
        }
        thread::sleep(POLL);
    }
}

impl Ran {
    /// The lines on standard error, without those of how far the work is and what was written.
    pub fn notes(&self) -> Vec<&str> {
        let is_of_progress = |line: &&str| {
            let text = line.strip_prefix("featscope: ").unwrap_or(line);
            let (doing, of) = text.split_once(' ').unwrap_or_default();
            doing == "wrote" || doing.ends_with("ing") && of.starts_with("picture ")
        };
        self.stderr.lines().filter(|line| !is_of_progress(line)).collect()
    }

    /// Succeeded, and gives its output.
    #[track_caller]
    pub fn good(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Failed with a status and one paragraph that has every one of the words.
    #[track_caller]
    pub fn refused(self, code: i32, words: &[&str]) -> Self {
        let Self { stderr, stdout, .. } = &self;
        assert_eq!(self.code, Some(code), "{words:?}\nstdout: {stdout}\nstderr: {stderr}");
        assert_eq!(stdout, "", "a refusal has no result");
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert!(stderr.starts_with("featscope: "), "{stderr}");
        assert_eq!(self.notes().len(), 1, "one paragraph: {stderr}");
        assert!(stderr.ends_with('\n'), "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "\"{word}\" is not said in: {stderr}");
        }
        self
    }
}

/// A folder to write into, and what is in it.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Makes a file, and the folders above it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a path below the folder")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        path.display().to_string()
    }

    /// A copy of a folder with all that is below it.
    pub fn copy(&self, from: &Path, name: &str) -> String {
        copy_folder(from, &self.path(name)).expect("a copy");
        self.text(name)
    }

    /// A hash of every file, by its path below the folder; folders and links count as empty.
    pub fn contents(&self) -> BTreeMap<PathBuf, u64> {
        let mut found = BTreeMap::new();
        collect(self.folder.path(), self.folder.path(), &mut found);
        found
    }

    /// The paths of everything below the folder.
    pub fn names(&self) -> Vec<String> {
        self.contents().keys().map(|path| path.display().to_string()).collect()
    }
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, u64>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("its type");
        let inside = path.strip_prefix(root).expect("a path below").to_owned();
        let bytes = match kind.is_file() {
            true => fs::read(&path).expect("a file"),
            false => Vec::new(),
        };
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        found.insert(inside, hasher.finish());
        if kind.is_dir() {
            collect(root, &path, found);
        }
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
