//! One question to the hub and its answer, which may come from another host. A thread of its own talks to the network,
//! so that whoever waits for the answer can go away at any moment: also while a name is looked up or a server is silent.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustls::crypto::ring;
use ureq::{
    Agent, Body,
    http::{HeaderMap, Method, Request, Response, header},
    tls::{RootCerts, TlsConfig},
};
use url::{Origin, Position, Url};

use super::reporter::Reporter;
use crate::{
    error::{Error, Result},
    weights::hub::{
        repo::{Checksum, is_commit, shown},
        settings::HubSettings,
    },
};

const CHUNK: usize = 128 << 10;
/// Chunks that may wait for the disk before the network does.
const QUEUE: usize = 8;
/// How often a wait looks whether to go on.
const TICK: Duration = Duration::from_millis(100);
const CONNECT: Duration = Duration::from_secs(15);
const MAX_REDIRECTS: usize = 10;
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Asks the hub.
pub(super) struct Client {
    agent: Agent,
    trust: Arc<Trust>,
    stall: Duration,
}

/// The hub's origin, and the token for it.
struct Trust {
    /// Origin that gets the token and trusts the hub's own headers: scheme, host, port.
    hub: Origin,
    token: Option<String>,
}

pub(super) struct Ask {
    pub method: Method,
    pub url: String,
    /// The first byte to receive: 0 for the whole.
    pub from: u64,
}

/// How an answer begins.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub status: u16,
    /// Whether the hub itself answered, not a host that it led to.
    pub by_hub: bool,
    /// Checksum of the file, if the hub names it.
    pub checksum: Option<Checksum>,
    /// Bytes of the whole file, if the hub or the range names them.
    pub size: Option<u64>,
    /// The commit that the answer belongs to.
    pub commit: Option<String>,
    /// First byte of the range that follows.
    pub range_start: Option<u64>,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
    /// The hub's name for what is wrong.
    pub error_code: Option<String>,
    /// The hub's words for what is wrong.
    pub error_message: Option<String>,
}

/// Why an exchange ended before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// Something that may pass: another attempt may succeed.
    Broken(Broken),
    /// Something that will not, or the user's wish.
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A failure that may pass.
#[derive(Debug)]
pub(super) struct Broken {
    pub reason: String,
    /// Whether no server could be reached at all.
    pub unreachable: bool,
    /// How long the server wants to be left alone.
    pub wait: Option<Duration>,
}

impl Broken {
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            unreachable: false,
            wait: None,
        }
    }
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// Messages of the transfer thread.
enum News {
    Head(Box<Head>),
    Chunk(Vec<u8>),
    End,
    Stop(Stop),
}

/// An answer that is being received.
pub(super) struct Exchange {
    news: Receiver<News>,
    stall: Duration,
}

impl Client {
    pub fn new(settings: &HubSettings) -> Result<Self> {
        let hub = Url::parse(&settings.endpoint)
            .map_err(|_| Error::usage(format!("\"{}\" is not the address of a hub", shown(&settings.endpoint))))?
            .origin();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // Redirects are followed here, where it is known who may see the token.
            .max_redirects(0)
            .user_agent(USER_AGENT)
            .timeout_connect(Some(CONNECT.min(settings.stall)))
            .timeout_per_read(Some(settings.stall))
            .timeout_per_write(Some(settings.stall))
            .tls_config(tls);
        if !settings.proxy {
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            trust: Arc::new(Trust {
                hub,
                token: settings.token.as_ref().map(|token| token.secret().to_owned()),
            }),
            stall: settings.stall,
        })
    }

    pub(crate) fn has_token(&self) -> bool {
        self.trust.token.is_some()
    }

    /// Begins to ask.
    pub fn open(&self, ask: Ask) -> Result<Exchange> {
        let (sender, news) = sync_channel(QUEUE);
        let (agent, trust) = (self.agent.clone(), Arc::clone(&self.trust));
        thread::Builder::new()
            .name("hub".to_owned())
            .spawn(move || {
                let last = match converse(&agent, &trust, &ask, &sender) {
                    Ok(()) => News::End,
                    Err(stop) => News::Stop(stop),
                };
                // Whoever went away does not want to know.
                let _ = sender.send(last);
            })
            .map_err(|error| Error::failed(format!("cannot start a thread for the download: {error}")))?;
        Ok(Exchange {
            news,
            stall: self.stall,
        })
    }
}

impl Exchange {
    /// How the answer begins; the first thing to ask for.
    pub fn head(&self, reporter: &mut Reporter<'_, '_>) -> Result<Head, Stop> {
        match self.next(reporter)? {
            News::Head(head) => Ok(*head),
            News::Stop(stop) => Err(stop),
            News::Chunk(_) | News::End => Err(Broken::new("the answer has no beginning").into()),
        }
    }

    /// The next bytes of the answer; None at its end.
    pub fn chunk(&self, reporter: &mut Reporter<'_, '_>) -> Result<Option<Vec<u8>>, Stop> {
        match self.next(reporter)? {
            News::Chunk(bytes) => Ok(Some(bytes)),
            News::End => Ok(None),
            News::Stop(stop) => Err(stop),
            News::Head(_) => Err(Broken::new("the answer begins twice").into()),
        }
    }

    fn next(&self, reporter: &mut Reporter<'_, '_>) -> Result<News, Stop> {
        let asked = Instant::now();
        loop {
            match self.news.recv_timeout(TICK) {
                Ok(news) => return Ok(news),
                Err(RecvTimeoutError::Timeout) if asked.elapsed() < self.stall => reporter.report()?,
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = self.stall.as_secs_f32();
                    return Err(Broken::new(format!("nothing arrived for {seconds:.0} s")).into());
                }
                Err(RecvTimeoutError::Disconnected) => return Err(Broken::new("the connection ended").into()),
            }
        }
    }
}

/// Sends a request, follows redirects, and passes on the bytes; ends early where the receiver is gone.
fn converse(agent: &Agent, trust: &Trust, ask: &Ask, listener: &SyncSender<News>) -> Result<(), Stop> {
    let (head, response) = request(agent, trust, ask)?;
    if listener.send(News::Head(Box::new(head))).is_err() {
        return Ok(());
    }
    let mut body = response.into_body().into_reader();
    loop {
        let mut bytes = vec![0; CHUNK];
        let count = match body.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Broken::new(format!("the connection broke off: {error}")).into()),
        };
        bytes.truncate(count);
        if listener.send(News::Chunk(bytes)).is_err() {
            return Ok(());
        }
    }
}

fn request(agent: &Agent, trust: &Trust, ask: &Ask) -> Result<(Head, Response<Body>), Stop> {
    let mut url = Url::parse(&ask.url).map_err(|_| no_address(&ask.url))?;
    // The hub's headers on the way to another host are about the file; that host's own are about its copy.
    let mut said = Head::default();
    for _ in 0..=MAX_REDIRECTS {
        let by_hub = url.origin() == trust.hub;
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(url.as_str())
            // A compressed answer would have another length and another range than the file.
            .header(header::ACCEPT_ENCODING, "identity");
        if ask.from > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", ask.from));
        }
        if let Some(token) = trust.token.as_ref().filter(|_| by_hub) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(()).map_err(|_| no_address(url.as_str()))?;
        let response = agent.run(request).map_err(|error| failure(error, &url))?;
        let headers = response.headers();
        let status = response.status();
        if by_hub {
            said.listen(headers);
        }
        if status.is_redirection() {
            let location = text(headers, "location")
                .ok_or_else(|| Broken::new(format!("{} answers {status} without saying where to go", host(&url))))?;
            url = redirected(&url, location)?;
            continue;
        }
        let encoding = text(headers, "content-encoding").unwrap_or("identity");
        if status.is_success() && !encoding.eq_ignore_ascii_case("identity") {
            return Err(Stop::Error(Error::failed(format!(
                "{} sends the file compressed ({}), which nobody asked for: is there a proxy in between?",
                host(&url),
                shown(encoding)
            ))));
        }
        said.end(status.as_u16(), by_hub, headers);
        return Ok((said, response));
    }
    Err(Broken::new(format!("{} leads in circles", shown(&ask.url))).into())
}

impl Head {
    /// Takes the hub's headers about the file; the first value counts.
    pub(super) fn listen(&mut self, headers: &HeaderMap) {
        let etag = || {
            text(headers, "x-linked-etag")
                .or_else(|| text(headers, "etag"))
                .and_then(Checksum::from_etag)
        };
        self.checksum = self.checksum.take().or_else(etag);
        self.size = self.size.or_else(|| text(headers, "x-linked-size")?.parse().ok());
        let commit = || {
            text(headers, "x-repo-commit")
                .filter(|commit| is_commit(commit))
                .map(str::to_ascii_lowercase)
        };
        self.commit = self.commit.take().or_else(commit);
        self.error_code = text(headers, "x-error-code").map(shown);
        self.error_message = text(headers, "x-error-message").map(shown);
    }

    /// Takes the answer's own headers, from any host.
    pub(super) fn end(&mut self, status: u16, by_hub: bool, headers: &HeaderMap) {
        self.status = status;
        self.by_hub = by_hub;
        let length = || text(headers, "content-length")?.parse().ok();
        match status {
            200 => self.size = self.size.or_else(length),
            206 => {
                let (start, total) = text(headers, "content-range").and_then(content_range).unzip();
                self.range_start = start;
                self.size = self.size.or(total.flatten());
            }
            _ => {}
        }
        self.retry_after = text(headers, "retry-after").and_then(|text| retry_after(text, SystemTime::now()));
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// First byte and total of `bytes 10-99/100`; the total may be `*`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes")?.trim().split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

/// A `Retry-After` header: seconds, or a date.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Where a redirect from `base` leads: never out of encryption.
pub(super) fn redirected(base: &Url, location: &str) -> Result<Url, Stop> {
    let mut target = base.join(location).map_err(|_| no_address(location))?;
    target.set_fragment(None);
    match (base.scheme(), target.scheme()) {
        (_, "https") | ("http", "http") => Ok(target),
        _ => Err(Stop::Error(Error::failed(format!(
            "{} leads to \"{}\", which is not encrypted; it is not followed",
            host(base),
            shown(target.as_str())
        )))),
    }
}

/// Host and port, without a name and a password before them.
fn host(url: &Url) -> String {
    shown(&url[Position::BeforeHost..Position::AfterPort])
}

fn no_address(url: &str) -> Stop {
    Stop::Error(Error::failed(format!(
        "\"{}\" is not an address that can be asked",
        shown(url)
    )))
}

/// Why there is no answer.
fn failure(error: ureq::Error, url: &Url) -> Stop {
    use io::ErrorKind as Kind;
    use ureq::{Error as Http, Timeout};

    let host = host(url);
    let unreachable = |reason: String| {
        Stop::Broken(Broken {
            unreachable: true,
            ..Broken::new(reason)
        })
    };
    let lasting = |reason: String| Stop::Error(Error::failed(reason));
    match error {
        Http::HostNotFound => unreachable(format!("the name of {host} cannot be looked up")),
        Http::ConnectionFailed => unreachable(format!("cannot connect to {host}")),
        Http::Timeout(Timeout::Connect | Timeout::Resolve) => unreachable(format!("{host} does not answer")),
        Http::Io(error) if is_lookup(&error) => unreachable(format!("the name of {host} cannot be looked up")),
        Http::Io(error) => match error.kind() {
            Kind::ConnectionRefused
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::AddrNotAvailable => unreachable(format!("cannot connect to {host}: {error}")),
            // Objections of rustls.
            Kind::InvalidData => lasting(insecure(&host, &error.to_string())),
            _ => Broken::new(format!("the connection to {host} broke off: {error}")).into(),
        },
        Http::Rustls(error) => lasting(insecure(&host, &error.to_string())),
        Http::Timeout(_) => Broken::new(format!("{host} does not answer")).into(),
        Http::Protocol(error) => Broken::new(format!("{host} does not speak HTTP as it should: {error}")).into(),
        Http::InvalidProxyUrl | Http::ConnectProxyFailed(_) => lasting(format!(
            "the proxy that HTTPS_PROXY or ALL_PROXY names does not lead to {host}: {error}"
        )),
        error => lasting(format!("cannot ask {host}: {error}")),
    }
}

/// Whether an error is of the look-up of a name, for which the standard library has no kind.
fn is_lookup(error: &io::Error) -> bool {
    // On Windows: WSAHOST_NOT_FOUND, WSATRY_AGAIN, WSANO_RECOVERY, WSANO_DATA.
    let of_windows = cfg!(windows) && matches!(error.raw_os_error(), Some(11001..=11004));
    of_windows || error.to_string().contains("failed to lookup address information")
}

fn insecure(host: &str, reason: &str) -> String {
    let hint = if reason.contains("No CA certificates") {
        "this system has no certificates to check with; install the package ca-certificates"
    } else {
        "a proxy that reads the traffic needs its certificate among the system's, or in the file SSL_CERT_FILE names"
    };
    format!("there is no secure connection to {host}: {}; {hint}", shown(reason))
}

/// A piece of an address with all that has a meaning there escaped; slashes stay.
pub(super) fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for &byte in path.as_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(base: &str, location: &str) -> Option<String> {
        let base = Url::parse(base).ok()?;
        redirected(&base, location).ok().map(Url::into)
    }

    #[test]
    fn redirects_are_resolved_and_never_leave_encryption() {
        const BASE: &str = "https://hub.test/a/b?c=d";
        for (location, expected) in [
            ("https://cdn.test/x?y=z#part", Some("https://cdn.test/x?y=z")),
            ("//cdn.test/x", Some("https://cdn.test/x")),
            ("/x/y", Some("https://hub.test/x/y")),
            ("x", Some("https://hub.test/a/x")),
            ("../x", Some("https://hub.test/x")),
            (
                "/x?to=https://cdn.test/y",
                Some("https://hub.test/x?to=https://cdn.test/y"),
            ),
            (
                "x?to=http://cdn.test/y",
                Some("https://hub.test/a/x?to=http://cdn.test/y"),
            ),
            (
                "?to=https://cdn.test/y",
                Some("https://hub.test/a/b?to=https://cdn.test/y"),
            ),
            ("//cdn.test/x?to=http://a", Some("https://cdn.test/x?to=http://a")),
            ("HTTP://cdn.test/x", None),
            ("mailto:a@hub.test", None),
            ("http://cdn.test/x", None),
            ("file:///etc/passwd", None),
        ] {
            assert_eq!(leads(BASE, location).as_deref(), expected, "{location}");
        }
        assert_eq!(
            leads("http://localhost:1/a", "/b").as_deref(),
            Some("http://localhost:1/b")
        );
        assert_eq!(leads("http://localhost:1/a", "ftp://localhost/b"), None);
    }

    #[test]
    fn origins_differ_by_scheme_host_and_port() {
        let origin = |url| Url::parse(url).expect("an address").origin();
        assert_eq!(origin("https://Hub.test/a"), origin("https://hub.test:443/b"));
        for other in [
            "http://hub.test",
            "https://hub.test:444",
            "https://hub.test.evil",
            "https://evil.hub.test",
        ] {
            assert_ne!(origin("https://hub.test"), origin(other), "{other}");
        }
        assert_eq!(origin("https://user@hub.test"), origin("https://hub.test"));
    }

    #[test]
    fn headers_are_read() {
        assert_eq!(content_range("bytes 10-99/100"), Some((10, Some(100))));
        assert_eq!(content_range("bytes 10-99/*"), Some((10, None)));
        for bad in ["", "bytes", "bytes */100", "pages 1-2/3", "bytes -1-2/3"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:40 GMT", now),
            Some(Duration::from_secs(3))
        );
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(escaped("a b/ü#?%.json"), "a%20b/%C3%BC%23%3F%25.json");
    }
}
