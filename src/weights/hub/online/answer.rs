//! Meaning of the hub's answers: which failures may pass, and what the user can do about the others.

use super::{
    download::Patience,
    http::{Ask, Broken, Client, Head, Stop, escaped},
    reporter::Reporter,
};
use crate::{
    error::{Error, Result},
    weights::hub::{
        progress::TransferStage,
        repo::{Repo, shown},
        settings::HubSettings,
    },
};

/// An answer of the hub's own is at most this long; a listing of ten thousand files has a few MiB.
const MAX_ANSWER: usize = 16 << 20;

/// Asks about one repository.
pub(super) struct Asker<'a> {
    pub client: &'a Client,
    pub settings: &'a HubSettings,
    pub repo: &'a Repo,
}

impl Asker<'_> {
    /// Where the listing of the repository's revision is.
    pub(crate) fn listing_url(&self) -> String {
        let revision = escaped(self.repo.revision()).replace('/', "%2F");
        format!(
            "{}/api/models/{}/revision/{revision}?blobs=true",
            self.settings.endpoint,
            self.repo.id()
        )
    }

    /// Where a file at a commit is.
    pub(crate) fn file_url(&self, commit: &str, path: &str) -> String {
        format!(
            "{}/{}/resolve/{commit}/{}",
            self.settings.endpoint,
            self.repo.id(),
            escaped(path)
        )
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.settings.retries, self.settings.back_off)
    }

    /// Asks until there is an answer, with its text if it has one.
    pub fn ask(
        &self,
        method: &ureq::http::Method,
        url: &str,
        file: Option<&str>,
        reporter: &mut Reporter<'_, '_>,
    ) -> Result<(Head, Vec<u8>)> {
        let mut patience = self.patience();
        loop {
            let broken = match self.ask_once(method, url, file, reporter) {
                Ok(answer) => return Ok(answer),
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Broken(broken)) => broken,
            };
            if broken.unreachable {
                return Err(self.unreachable(&broken));
            }
            patience
                .bear(&broken, 0, reporter)
                .map_err(|error| error.context(self.repo))?;
        }
    }

    fn ask_once(
        &self,
        method: &ureq::http::Method,
        url: &str,
        file: Option<&str>,
        reporter: &mut Reporter<'_, '_>,
    ) -> Result<(Head, Vec<u8>), Stop> {
        reporter.stage(TransferStage::Asking)?;
        let exchange = self.client.open(Ask {
            method: method.clone(),
            url: url.to_owned(),
            from: 0,
        })?;
        let head = exchange.head(reporter)?;
        self.judge(&head, file)?;
        let mut text = Vec::new();
        while let Some(bytes) = exchange.chunk(reporter)? {
            if text.len() + bytes.len() > MAX_ANSWER {
                let endpoint = &self.settings.endpoint;
                return Err(Error::failed(format!("{endpoint}: the answer about {} has no end", self.repo)).into());
            }
            text.extend_from_slice(&bytes);
        }
        Ok((head, text))
    }

    fn unreachable(&self, broken: &Broken) -> Error {
        Error::failed(format!(
            "cannot reach the hub at {}: {}; check the connection, and HTTPS_PROXY where there is a proxy",
            self.settings.endpoint, broken.reason
        ))
    }

    /// Whether the answer has what was asked for, else why not; `file` is the file that was asked for, None for the
    /// listing.
    pub(crate) fn judge(&self, head: &Head, file: Option<&str>) -> Result<(), Stop> {
        let repo = self.repo;
        let endpoint = &self.settings.endpoint;
        let code = head.error_code.as_deref().unwrap_or_default();
        let error = match head.status {
            200 | 206 => return Ok(()),
            // The address of a file on another host is good for a while; the hub gives a new one.
            401 | 403 | 404 | 410 if !head.by_hub => {
                return Err(Broken::new(format!("the file's host answers {}", head.status)).into());
            }
            408 | 425 | 429 | 500..=599 => {
                let reason = match head.status {
                    429 => "the hub answers 429: too many requests".to_owned(),
                    status => format!("the hub answers {status}"),
                };
                return Err(Stop::Broken(Broken {
                    wait: head.retry_after,
                    ..Broken::new(reason)
                }));
            }
            401 | 403 if code == "GatedRepo" => {
                let token = if self.client.has_token() {
                    "the token in use has no access to it"
                } else {
                    "no token was found"
                };
                format!(
                    "{} is gated, and {token}: sign in and accept its licence at {endpoint}/{}, make a token that may \
                     read gated repositories at {endpoint}/settings/tokens, and give it as HF_TOKEN or with \
                     \"hf auth login\"",
                    repo.id(),
                    repo.id()
                )
            }
            401 if self.client.has_token() && code != "RepoNotFound" => format!(
                "the hub does not accept the token (from HF_TOKEN or the file of \"hf auth login\"): make a new one at \
                 {endpoint}/settings/tokens, or unset it for a public model{}",
                hub_message(head)
            ),
            // Without a token the hub does not show whether a private repository exists.
            401 | 404 if code == "RepoNotFound" || code.is_empty() && (file.is_none() || head.status == 401) => {
                let token = if self.client.has_token() {
                    "the token in use may not see it"
                } else {
                    "it needs a token as HF_TOKEN or from \"hf auth login\""
                };
                format!(
                    "{endpoint} has no model {}: check the spelling; if it is private, {token}",
                    repo.id()
                )
            }
            404 if code == "RevisionNotFound" => {
                format!(
                    "{} has no revision \"{}\": {endpoint}/{}/tree/main has a list",
                    repo.id(),
                    repo.revision(),
                    repo.id()
                )
            }
            404 => match file {
                Some(file) => format!("{repo} has no file \"{}\"", shown(file)),
                None => format!("the hub has nothing about {repo}{}", hub_message(head)),
            },
            403 => format!("the hub refuses access to {repo}{}", hub_message(head)),
            status => format!("the hub answers {status} about {repo}{}", hub_message(head)),
        };
        Err(Error::failed(error).into())
    }
}

fn hub_message(head: &Head) -> String {
    head.error_message
        .as_ref()
        .map_or_else(String::new, |message| format!(": {message}"))
}
