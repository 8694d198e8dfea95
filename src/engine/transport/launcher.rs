//! Where the worker is, and how it is started.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{self, Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde::{Deserialize, Serialize};

use crate::{
    device::{Devices, WEIGHTS_MEMORY, driver_files, weights_memory_text},
    error::{Error, Result},
    extract::self_check::SelfCheck,
};

/// Names another worker, or none where it is empty.
const WORKER: &str = "FEATSCOPE_WORKER";
/// The executable that is looked for beside this one.
pub const GPU_WORKER: &str = "featscope-cuda";
/// What the worker cannot start without; the driver's own library comes with the driver.
const NEEDED: [&str; 3] = ["libcublas.so.13", "libcurand.so.10", "libcudart.so.13"];
/// Where the loader looks besides the system's folders.
const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// A worker that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    /// The executable.
    pub program: PathBuf,
    /// Whether it is to be used even where it has no GPU.
    pub required: bool,
}

/// What a worker says of itself when it is not asked to work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Its version.
    pub version: String,
    /// The devices it can use.
    pub devices: Devices,
    /// The check of every GPU in every format, where that was asked for; in words, where it could not be done.
    pub checks: Vec<Result<SelfCheck, String>>,
}

impl Launcher {
    /// The worker that the environment names, or that lies beside this executable; none where there is none.
    pub fn find() -> Option<Self> {
        if let Some(named) = env::var_os(WORKER) {
            return (!named.is_empty()).then(|| Self {
                program: named.into(),
                required: true,
            });
        }
        let here = env::current_exe().ok()?;
        let program = here.with_file_name(format!("{GPU_WORKER}{}", env::consts::EXE_SUFFIX));
        program.is_file().then_some(Self {
            program,
            required: false,
        })
    }

    /// The command that runs the executable, with the folders of CUDA's libraries where the loader looks.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // It must not look for a worker of its own.
        command.env(WORKER, "");
        if let Some(size) = weights_memory_text() {
            command.env(WEIGHTS_MEMORY, size);
        }
        match library_path(env::var_os(LIBRARY_PATH).as_deref(), self.library_folders()) {
            Some(folders) => command.env(LIBRARY_PATH, folders),
            None => command.env_remove(LIBRARY_PATH),
        };
        command
    }

    /// Folders that hold CUDA's libraries: beside the worker, of a toolkit, and of Python's packages, of which PyTorch brings
    /// them along.
    fn library_folders(&self) -> Vec<PathBuf> {
        let program = path::absolute(&self.program).ok();
        let beside = program.and_then(|program| Some(program.parent()?.join("lib")));
        let named = ["CUDA_HOME", "CUDA_PATH"]
            .into_iter()
            .filter_map(env::var_os)
            .map(|root: OsString| Path::new(&root).join("lib64"));
        let usual = [
            "/usr/local/cuda/lib64",
            "/usr/local/cuda-13/lib64",
            "/usr/local/cuda-13.0/lib64",
        ];
        let python = ["VIRTUAL_ENV", "CONDA_PREFIX"]
            .into_iter()
            .filter_map(env::var_os)
            .flat_map(|root| packages_of(Path::new(&root)));
        let folders = beside
            .into_iter()
            .chain(named)
            .chain(usual.map(PathBuf::from))
            .chain(python);
        let holds_any = |folder: &PathBuf| NEEDED.iter().any(|library| folder.join(library).is_file());
        // A variable that is set to nothing would mean the folder that happens to be the current one.
        folders
            .filter(|folder| folder.is_absolute() && holds_any(folder))
            .collect()
    }

    /// Starts it with its standard input, output and error as pipes.
    ///
    /// # Errors
    ///
    /// Where the system does not start it.
    pub fn start(&self) -> Result<Child> {
        let started = self
            .command()
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        started.map_err(|error| Error::io("start", &self.program, &error))
    }

    /// What it says of itself. With
    /// `checked` every GPU computes the embedded model in every format.
    ///
    /// # Errors
    ///
    /// Where it does not start, or says something else than what it is.
    pub fn probe(&self, checked: bool) -> Result<Probe> {
        let mut command = self.command();
        command.args(["worker", "--probe"]).stdin(Stdio::null());
        if checked {
            command.arg("--self-check");
        }
        let output = command
            .output()
            .map_err(|error| Error::io("start", &self.program, &error))?;
        let program = self.program.display();
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(Error::failed(format!(
                "{program} does not start ({}): {}",
                output.status,
                self.last_words(&words)
            )));
        }
        let probe: Probe = serde_json::from_slice(&output.stdout)
            .map_err(|error| Error::failed(format!("{program} answers something else than was asked: {error}")))?;
        let version = env!("CARGO_PKG_VERSION");
        if probe.version != version {
            return Err(Error::failed(format!(
                "{program} is version {}, this is {version}: take both from one download",
                probe.version
            )));
        }
        Ok(probe)
    }

    /// Whether somebody waits for a word on why it is not used: where there is no trace of a driver, nobody does.
    pub fn is_missed(&self) -> bool {
        self.required || !driver_files().is_empty()
    }

    /// The last line of what it said, and what helps.
    pub(super) fn last_words(&self, words: &str) -> String {
        let said = last_line(words);
        // The loader names the program first.
        let own_name = format!("{}: ", self.program.display());
        let said = said.strip_prefix(&own_name).unwrap_or(said);
        format!("{said}{}", self.help(words))
    }

    /// What helps where the loader misses a library.
    fn help(&self, words: &str) -> String {
        let beside = self.program.with_file_name("lib");
        match words {
            _ if words.contains("libcuda.so") => {
                "; that library comes with NVIDIA's driver: version 580 or newer is needed \
                                                  for CUDA 13"
                    .to_owned()
            }
            _ if words.contains("libcublas") || words.contains("libcurand") || words.contains("libcudart") => format!(
                "; CUDA 13's libraries come with the CUDA toolkit, or with `pip install nvidia-cublas nvidia-curand \
                 nvidia-cuda-runtime` in the active environment; they may also lie in {}",
                beside.display()
            ),
            _ if words.contains("symbol") => {
                "; the driver is too old: version 580 or newer is needed for CUDA 13".to_owned()
            }
            _ => String::new(),
        }
    }
}

/// Where the loader looks: in the folders it was told of, and in these. An empty one, which an empty variable has too,
/// would be the current folder, from which no library is to be loaded.
fn library_path(told: Option<&OsStr>, more: Vec<PathBuf>) -> Option<OsString> {
    let told = told.map(env::split_paths).into_iter().flatten();
    let folders: Vec<PathBuf> = told
        .chain(more)
        .filter(|folder| !folder.as_os_str().is_empty())
        .collect();
    env::join_paths(folders).ok().filter(|joined| !joined.is_empty())
}

/// The folders `nvidia/*/lib` of a Python environment's packages.
fn packages_of(root: &Path) -> Vec<PathBuf> {
    let inside = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let pythons = inside(&root.join("lib"));
    let packages = pythons.iter().map(|python| python.join("site-packages/nvidia"));
    packages
        .flat_map(|nvidia| inside(&nvidia))
        .map(|package| package.join("lib"))
        .collect()
}

/// The last line that says something.
fn last_line(text: &str) -> &str {
    text.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("it says nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_with_what_brings_it() {
        let launch = Launcher {
            program: PathBuf::from("/opt/featscope/featscope-cuda"),
            required: false,
        };
        let loader = |library: &str| {
            format!("featscope-cuda: error while loading shared libraries: {library}: cannot open shared object file")
        };
        assert!(launch.help(&loader("libcuda.so.1")).contains("driver"));
        let help = launch.help(&loader("libcublas.so.13"));
        assert!(
            help.contains("pip install") && help.contains("/opt/featscope/lib"),
            "{help}"
        );
        assert!(launch.help("undefined symbol: cuLibraryLoadData").contains("580"));
        assert_eq!(launch.help("anything else"), "");
        let said = "first\n/opt/featscope/featscope-cuda: cannot be helped\n";
        assert_eq!(launch.last_words(said), "cannot be helped");
        assert_eq!(last_line("first\nlast\n\n"), "last");
        assert_eq!(last_line(""), "it says nothing");
    }

    #[test]
    fn a_program_that_is_none_is_an_error_that_names_it() {
        let launch = Launcher {
            program: PathBuf::from("/nowhere/featscope-cuda"),
            required: false,
        };
        for error in [launch.probe(false).map(drop), launch.start().map(drop)] {
            let words = error.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(words.contains("/nowhere/featscope-cuda"), "{words}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn no_library_is_looked_for_in_the_current_folder() {
        let path = |told: Option<&str>, more: &[&str]| {
            let more = more.iter().map(PathBuf::from).collect();
            library_path(told.map(OsStr::new), more).and_then(|path| path.into_string().ok())
        };
        assert_eq!(path(None, &[]), None);
        assert_eq!(path(Some(""), &[]), None);
        assert_eq!(path(Some(""), &["/cuda/lib"]).as_deref(), Some("/cuda/lib"));
        assert_eq!(path(Some("/a::/b:"), &["/c"]).as_deref(), Some("/a:/b:/c"));
        assert_eq!(path(Some("/a"), &[]).as_deref(), Some("/a"));
    }

    #[test]
    fn libraries_of_python_packages_are_found() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let lib = folder.path().join("lib/python3.12/site-packages/nvidia/cu13/lib");
        std::fs::create_dir_all(&lib)?;
        assert_eq!(packages_of(folder.path()), [lib]);
        assert!(packages_of(&folder.path().join("nothing")).is_empty());
        Ok(())
    }
}
