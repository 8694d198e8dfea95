//! Answers of a hub, as functions of bytes: entry points of fuzzing and of the tests that replay its findings, where no
//! connection is needed.

use std::sync::OnceLock;

use ureq::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use url::Url;

use super::{
    answer::Asker,
    http::{Client, Head, Stop, redirected},
    listing::Listing,
};
use crate::{
    error::{Error, Result},
    weights::hub::{
        HubSettings, RepoPart, choose,
        repo::{Repo, check_path},
    },
};

/// Reads the listing of a repository, and chooses the files of every part and variant.
///
/// # Errors
///
/// Where it is no listing, or of no model.
pub fn read_listing(json: &[u8]) -> Result<()> {
    let listing = Listing::from_json(json).map_err(Error::failed)?;
    let names = || listing.files.iter().map(|file| file.path.as_str());
    if let Some(first) = names().next() {
        choose(names(), &RepoPart::File(first.to_owned()))?;
    }
    for variant in ["full", "fp16"] {
        let choice = choose(names(), &RepoPart::Model(variant.parse()?))?;
        choice.files.iter().try_for_each(|path| check_path(path))?;
    }
    Ok(())
}

/// Reads how an answer begins: its status in the first line, its headers in the others.
///
/// # Errors
///
/// Where the hub refuses something, or redirects to where nothing is asked.
pub fn read_answer(head: &[u8]) -> Result<()> {
    /// No more are read from a connection either.
    const MOST_HEADERS: usize = 100;
    static CLIENT: OnceLock<Option<Client>> = OnceLock::new();
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().unwrap_or_default();
    let status = StatusCode::from_bytes(status).map_err(|_| Error::failed("there is no status"))?;
    let mut headers = HeaderMap::new();
    for line in lines.take(MOST_HEADERS) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(&value[1..])) {
            headers.insert(name, value);
        }
    }
    let mut said = Head::default();
    said.listen(&headers);
    said.end(status.as_u16(), true, &headers);
    let location = headers.get("location").and_then(|location| location.to_str().ok());
    for base in ["https://hub.example/a/b", "http://hub.example/a"] {
        if let (Some(location), Ok(base)) = (location, Url::parse(base)) {
            redirected(&base, location).map_err(error_of)?;
        }
    }
    let (settings, repo) = (HubSettings::new(""), Repo::new("owner/name")?);
    let Some(client) = CLIENT.get_or_init(|| Client::new(&HubSettings::new("")).ok()) else {
        return Ok(());
    };
    let asker = Asker {
        client,
        settings: &settings,
        repo: &repo,
    };
    let files = [None, Some("unet/config.json")];
    files
        .into_iter()
        .try_for_each(|file| asker.judge(&said, file).map_err(error_of))
}

fn error_of(stop: Stop) -> Error {
    match stop {
        Stop::Error(error) => error,
        Stop::Broken(broken) => Error::failed(broken.reason),
    }
}
