//! Where the hub and its cache are: the environment variables of Python's huggingface_hub, read in one place.

use std::{
    env,
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    error::{Error, Result},
    files,
    words::shown,
};

const PUBLIC_ENDPOINT: &str = "https://huggingface.co";

/// A connection on which nothing arrives for this long is given up.
const STALL: Duration = Duration::from_secs(30);
/// Attempts in a row that may fail before a download is given up.
const RETRIES: u32 = 5;
/// The wait before the first new attempt; it doubles with each.
const BACK_OFF: Duration = Duration::from_millis(500);
/// Bytes that stay free on the disk: a system whose disk is full to the last byte no longer works.
const MARGIN: u64 = 256 << 20;

/// A longer file holds no token.
const MOST_TOKEN_BYTES: u64 = 1 << 16;

/// A secret that authenticates the user: it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token, freed of the line ends that a file has.
    ///
    /// # Errors
    ///
    /// Where it has characters that no HTTP header may carry; `origin` says where it came from.
    pub fn new(text: &str, origin: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::usage(format!(
                "{origin} is no token of Hugging Face's hub: one consists of letters, digits and underscores, as in \
                 hf_…; correct or unset it"
            )));
        }
        Ok(Self(text.to_owned()))
    }

    #[cfg(feature = "hub")]
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why a build without the feature `hub` downloads nothing.
pub(super) const WITHOUT_HUB: &str = "this program was built without the feature \"hub\"; build it with that, or download \
    models with huggingface_hub's \"hf download\", whose cache is read here too";

/// Where the hub and its cache are, and how patient to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// The folder with the folders `models--owner--name`.
    pub cache: PathBuf,
    /// Sent to `endpoint`, and to no other host.
    pub token: Option<Token>,
    /// Fault of the settings for asking the hub. It hides nothing that the cache holds: it is reported where something is
    /// asked of the hub.
    pub trouble: Option<Error>,
    /// Whether nothing may be asked of the hub.
    pub offline: bool,
    /// Whether snapshots may link to blobs; else the files themselves lie in the snapshots.
    pub symlinks: bool,
    /// Whether the proxy that `HTTPS_PROXY` and the like name is used.
    pub proxy: bool,
    /// A connection on which nothing arrives for this long is given up.
    pub stall: Duration,
    /// Attempts in a row that may fail before a download is given up.
    pub retries: u32,
    /// The wait before the first new attempt; it doubles with each, up to half a minute.
    pub back_off: Duration,
    /// Bytes that must stay free on the cache's disk.
    pub margin: u64,
}

impl HubSettings {
    /// The public hub with `cache` as its cache, without a token.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: PUBLIC_ENDPOINT.to_owned(),
            cache: cache.into(),
            token: None,
            trouble: None,
            offline: false,
            symlinks: true,
            proxy: true,
            stall: STALL,
            retries: RETRIES,
            back_off: BACK_OFF,
            margin: MARGIN,
        }
    }

    /// Reads the settings from this process's environment.
    ///
    /// # Errors
    ///
    /// As [`Self::from_lookup`].
    pub fn from_env() -> Result<Self> {
        Self::from_lookup(|name| env::var_os(name), env::home_dir())
    }

    /// Reads the settings from an environment; `lookup` gives its variables, `home` is the user's folder.
    ///
    /// Honoured as huggingface_hub honours them: `HF_HUB_CACHE` (`HUGGINGFACE_HUB_CACHE` of old), `HF_HOME`,
    /// `XDG_CACHE_HOME`, `HF_ENDPOINT`, `HF_TOKEN` (`HUGGING_FACE_HUB_TOKEN` of old), `HF_TOKEN_PATH`,
    /// `HF_HUB_OFFLINE`, `HF_HUB_DISABLE_SYMLINKS`. A variable that is set but empty counts as unset.
    ///
    /// # Errors
    ///
    /// Where no folder for the cache follows. An endpoint or a token that cannot be one is in `trouble`.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Result<Self> {
        let environment = Environment { lookup, home };
        let hf_home = environment.folder("HF_HOME").or_else(|| {
            let caches = environment
                .folder("XDG_CACHE_HOME")
                .or_else(|| Some(environment.home.as_ref()?.join(".cache")));
            Some(caches?.join("huggingface"))
        });
        let cache = environment
            .folder("HF_HUB_CACHE")
            .or_else(|| environment.folder("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(hf_home.as_ref()?.join("hub")))
            .ok_or_else(|| {
                Error::failed("there is no folder for models: HOME is not set; name one with HF_HUB_CACHE=FOLDER")
            })?;
        let endpoint = match environment.value("HF_ENDPOINT") {
            Some(endpoint) => checked_endpoint(&endpoint.to_string_lossy()),
            None => Ok(PUBLIC_ENDPOINT.to_owned()),
        };
        let token = environment.token(hf_home.as_deref());
        let absent = (!cfg!(feature = "hub")).then(|| Error::failed(WITHOUT_HUB));
        let trouble = absent.or_else(|| endpoint.as_ref().err().or(token.as_ref().err()).cloned());
        Ok(Self {
            endpoint: endpoint.unwrap_or_else(|_| PUBLIC_ENDPOINT.to_owned()),
            token: token.unwrap_or_default(),
            trouble,
            offline: environment.is_on("HF_HUB_OFFLINE"),
            symlinks: !environment.is_on("HF_HUB_DISABLE_SYMLINKS"),
            ..Self::new(cache)
        })
    }
}

/// `HF_ENDPOINT` without the slashes at its end.
fn checked_endpoint(endpoint: &str) -> Result<String> {
    let endpoint = endpoint.trim().trim_end_matches('/');
    let host = endpoint
        .strip_prefix("https://")
        .or_else(|| endpoint.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(|c: char| !c.is_ascii_graphic() || "?#@\\".contains(c)) => {
            Ok(endpoint.to_owned())
        }
        _ => Err(Error::usage(format!(
            "HF_ENDPOINT is \"{}\", which is not the address of a hub: it should be like {PUBLIC_ENDPOINT}",
            shown(endpoint)
        ))),
    }
}

struct Environment<L> {
    lookup: L,
    home: Option<PathBuf>,
}

impl<L: Fn(&str) -> Option<OsString>> Environment<L> {
    fn value(&self, name: &str) -> Option<OsString> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.value(name)?.into_string().ok()
    }

    fn is_on(&self, name: &str) -> bool {
        let value = self.text(name).unwrap_or_default().to_ascii_uppercase();
        ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
    }

    /// A folder's name; `~` and variables in it stand for what they do in Python's reading of it.
    fn folder(&self, name: &str) -> Option<PathBuf> {
        match self.value(name)?.into_string() {
            Ok(text) => Some(self.expanded(&text)),
            Err(not_text) => Some(PathBuf::from(not_text)),
        }
    }

    fn expanded(&self, text: &str) -> PathBuf {
        let (start, rest) = match (text.strip_prefix('~'), &self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                (home.clone().into_os_string(), rest)
            }
            _ => (OsString::new(), text),
        };
        let mut out = start;
        let mut pieces = rest.split('$');
        out.push(pieces.next().unwrap_or_default());
        for piece in pieces {
            let (name, after) = match piece.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                Some(parts) => parts,
                None => {
                    let end = piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                    piece.split_at(end.unwrap_or(piece.len()))
                }
            };
            match (self.lookup)(name) {
                Some(value) if !name.is_empty() => {
                    out.push(value);
                    out.push(after);
                }
                // An unknown variable stays as it is written.
                _ => {
                    out.push("$");
                    out.push(piece);
                }
            }
        }
        PathBuf::from(out)
    }

    fn token(&self, hf_home: Option<&Path>) -> Result<Option<Token>> {
        for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
            let text = self.value(name).map(|text| text.to_string_lossy().into_owned());
            if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
                return Token::new(&text, name).map(Some);
            }
        }
        let path = self.folder("HF_TOKEN_PATH").or_else(|| Some(hf_home?.join("token")));
        let Some(path) = path else { return Ok(None) };
        // A file that is not there or cannot be read is no reason to refuse the models that need no token; where one
        // is needed, the answer says that none was found.
        if !path.is_file() {
            return Ok(None);
        }
        let origin = path.display().to_string();
        match files::read(&path, MOST_TOKEN_BYTES, "a token") {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Ok(None),
            Ok(bytes) => Token::new(&String::from_utf8_lossy(&bytes), &origin).map(Some),
            Err(_) if fs::metadata(&path).is_ok_and(|meta| meta.len() > MOST_TOKEN_BYTES) => {
                Token::new("", &origin).map(Some)
            }
            Err(_) => Ok(None),
        }
    }
}
