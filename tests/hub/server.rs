//! A hub on this machine: the listing and the files of repositories, with large files on a second port as its "CDN".
//! A script decides what goes wrong.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use sha2::Sha256;

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const TOKEN: &str = "hf_ATokenForTests";
pub const ID: &str = "owner/tiny-model";

/// What a test wants to happen to one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    None,
    /// Answers with this status and these headers, without a body.
    Status(u16, Vec<(&'static str, String)>),
    /// Ends the connection after so many bytes of the body.
    CutAfter(usize),
    /// Says that the body has so many bytes, and sends what there is.
    Length(u64),
    /// Sends the whole file whatever range was asked for.
    IgnoreRange,
    /// Sends another part of the file than was asked for, and says so.
    OtherRange,
    /// Says nothing any more after so many bytes of the body.
    StallAfter(usize),
    /// Sends pieces of so many bytes with a pause after each.
    Slow(usize, Duration),
    /// Sends these bytes as the file, with what is said about it unchanged.
    Bytes(Vec<u8>),
    /// The file is now this one.
    Changed(Vec<u8>),
    /// Sends this instead of any HTTP.
    Raw(&'static [u8]),
    /// A compressed answer, which nobody asked for.
    Encoding(&'static str),
    /// Leads to this address.
    Redirect(String),
    /// The listing is this text.
    Listing(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub by_cdn: bool,
    pub method: String,
    pub path: String,
    pub range: Option<u64>,
    pub authorization: Option<String>,
    /// How often the same was asked of the same port before.
    pub nth: usize,
}

#[derive(Debug, Clone)]
pub struct Stored {
    pub bytes: Vec<u8>,
    pub large: bool,
}

impl Stored {
    pub fn checksum(&self) -> String {
        if self.large {
            hex(&Sha256::digest(&self.bytes))
        } else {
            let header = format!("blob {}\0", self.bytes.len());
            hex(&Sha1::new_with_prefix(header).chain_update(&self.bytes).finalize())
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

type Script = Box<dyn Fn(&Asked) -> Fault + Send + Sync>;

struct State {
    files: BTreeMap<String, Stored>,
    script: Script,
    asked: Mutex<Vec<Asked>>,
    counts: Mutex<HashMap<(bool, String, String), usize>>,
    over: AtomicBool,
    cdn: Mutex<String>,
    /// Whether the listing lacks sizes and checksums, as some mirrors' do.
    terse: AtomicBool,
}

pub struct Server {
    pub endpoint: String,
    state: Arc<State>,
    addresses: Vec<String>,
}

impl Server {
    pub fn new(files: BTreeMap<String, Stored>) -> Self {
        Self::scripted(files, |_| Fault::None)
    }

    pub fn scripted(files: BTreeMap<String, Stored>, script: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> Self {
        let state = Arc::new(State {
            files,
            script: Box::new(script),
            asked: Mutex::default(),
            counts: Mutex::default(),
            over: AtomicBool::new(false),
            cdn: Mutex::default(),
            terse: AtomicBool::new(false),
        });
        let hub = listen(&state, false);
        let cdn = listen(&state, true);
        *state.cdn.lock().expect("the address") = format!("http://{cdn}");
        Self {
            endpoint: format!("http://{hub}"),
            state,
            addresses: vec![hub, cdn],
        }
    }

    pub fn terse(self) -> Self {
        self.state.terse.store(true, Ordering::SeqCst);
        self
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().expect("the log").clone()
    }

    /// Requests for bytes of files so far.
    pub fn gets(&self) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(|asked| asked.method == "GET" && !asked.path.starts_with("/api/models/"));
        asked
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        for address in &self.addresses {
            let _ = TcpStream::connect(address);
        }
    }
}

fn listen(state: &Arc<State>, is_cdn: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let state = Arc::clone(state);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if state.over.load(Ordering::SeqCst) {
                break;
            }
            let state = Arc::clone(&state);
            thread::spawn(move || serve(&state, stream, is_cdn));
        }
    });
    address
}

/// Answers the requests of one connection until something ends it.
fn serve(state: &State, mut stream: TcpStream, is_cdn: bool) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    while let Some(asked) = read_request(state, &mut reader, is_cdn) {
        let fault = (state.script)(&asked);
        state.asked.lock().expect("the log").push(asked.clone());
        let done = answer(state, &mut stream, &asked, &fault);
        if done.is_none() || matches!(fault, Fault::Length(_) | Fault::Raw(_)) {
            let _ = stream.shutdown(Shutdown::Both);
            return None;
        }
    }
    None
}

fn read_request(state: &State, reader: &mut impl BufRead, by_cdn: bool) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&count| count > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&count| count > 0)?;
        match line.trim().split_once(':') {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let range = headers
        .get("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let mut counts = state.counts.lock().expect("the counts");
    let count = counts.entry((by_cdn, method.clone(), path.clone())).or_default();
    *count += 1;
    Some(Asked {
        by_cdn,
        range,
        authorization: headers.remove("authorization"),
        nth: *count - 1,
        method,
        path,
    })
}

fn answer(state: &State, stream: &mut TcpStream, asked: &Asked, fault: &Fault) -> Option<()> {
    match fault {
        Fault::Raw(bytes) => return stream.write_all(bytes).ok(),
        Fault::Status(status, headers) => return head(stream, *status, headers, 0),
        Fault::Redirect(location) => return head(stream, 302, &[("Location", location.clone())], 0),
        _ => {}
    }
    let decoded = decode(&asked.path);
    let path = decoded.split('?').next()?;
    if asked.by_cdn {
        let mut files = state.files.values();
        let Some(stored) = files.find(|file| path == format!("/blob/{}", file.checksum())) else {
            return head(stream, 404, &[], 0);
        };
        // A CDN's entity tag is its own affair.
        return send_file(
            state,
            stream,
            asked,
            fault,
            stored,
            vec![("ETag", "\"of-the-cdn-2\"".to_owned())],
        );
    }
    if let Some(rest) = path.strip_prefix(&format!("/api/models/{ID}/revision/")) {
        let text = match fault {
            Fault::Listing(text) => text.clone(),
            _ if ["main", "v1/two", COMMIT].contains(&rest) => listing(state).to_string(),
            _ => return head(stream, 404, &error("RevisionNotFound", "Invalid rev id"), 0),
        };
        head(
            stream,
            200,
            &[("Content-Type", "application/json".to_owned())],
            text.len() as u64,
        )?;
        return stream.write_all(text.as_bytes()).ok();
    }
    let cached = format!("/api/resolve-cache/models/{ID}/{COMMIT}/");
    let resolved = format!("/{ID}/resolve/{COMMIT}/");
    let Some(name) = path.strip_prefix(&resolved).or_else(|| path.strip_prefix(&cached)) else {
        return head(stream, 404, &error("RepoNotFound", "Repository not found"), 0);
    };
    let mut commit = vec![("X-Repo-Commit", COMMIT.to_owned())];
    let Some(stored) = state.files.get(name) else {
        commit.extend(error("EntryNotFound", "Entry not found"));
        return head(stream, 404, &commit, 0);
    };
    let stored = match fault {
        Fault::Changed(bytes) => &Stored {
            bytes: bytes.clone(),
            large: stored.large,
        },
        _ => stored,
    };
    let mut headers = commit;
    headers.push(("ETag", format!("\"{}\"", stored.checksum())));
    if stored.large {
        headers.push(("X-Linked-Size", stored.bytes.len().to_string()));
        headers.push(("X-Linked-Etag", format!("\"{}\"", stored.checksum())));
        let cdn = state.cdn.lock().expect("the address").clone();
        headers.push(("Location", format!("{cdn}/blob/{}?signature=x", stored.checksum())));
        return head(stream, 302, &headers, 0);
    }
    if path.starts_with(&resolved) {
        // Small files lie on the same host, under another address.
        headers.push(("Location", format!("{cached}{}", asked.path.strip_prefix(&resolved)?)));
        return head(stream, 307, &headers, 0);
    }
    send_file(state, stream, asked, fault, stored, headers)
}

fn send_file(
    state: &State,
    stream: &mut TcpStream,
    asked: &Asked,
    fault: &Fault,
    stored: &Stored,
    mut headers: Vec<(&'static str, String)>,
) -> Option<()> {
    let mut file = stored.bytes.as_slice();
    if let Fault::Bytes(bytes) | Fault::Changed(bytes) = fault {
        file = bytes;
    }
    let (status, start) = match (asked.range, fault) {
        (Some(_), Fault::IgnoreRange) | (None, _) => (200, 0),
        (Some(_), Fault::OtherRange) => (206, 1),
        (Some(start), _) if start as usize >= file.len() => {
            return head(stream, 416, &[("Content-Range", format!("bytes */{}", file.len()))], 0);
        }
        (Some(start), _) => (206, start as usize),
    };
    let body = &file[start..];
    if status == 206 {
        headers.push((
            "Content-Range",
            format!("bytes {start}-{}/{}", file.len() - 1, file.len()),
        ));
    }
    if let Fault::Encoding(encoding) = fault {
        headers.push(("Content-Encoding", (*encoding).to_owned()));
    }
    let length = match fault {
        Fault::Length(length) => *length,
        _ => body.len() as u64,
    };
    head(stream, status, &headers, length)?;
    if asked.method == "HEAD" {
        return Some(());
    }
    match fault {
        Fault::CutAfter(count) => {
            stream.write_all(&body[..body.len().min(*count)]).ok()?;
            None
        }
        Fault::StallAfter(count) => {
            stream.write_all(&body[..body.len().min(*count)]).ok()?;
            let begun = Instant::now();
            while !state.over.load(Ordering::SeqCst) && begun.elapsed() < Duration::from_secs(60) {
                thread::sleep(Duration::from_millis(20));
            }
            None
        }
        Fault::Slow(count, pause) => {
            for piece in body.chunks(*count) {
                stream.write_all(piece).ok()?;
                thread::sleep(*pause);
            }
            Some(())
        }
        _ => stream.write_all(body).ok(),
    }
}

fn head(stream: &mut TcpStream, status: u16, headers: &[(&str, String)], length: u64) -> Option<()> {
    let mut text = format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).ok()
}

fn error(code: &str, message: &str) -> Vec<(&'static str, String)> {
    vec![
        ("X-Error-Code", code.to_owned()),
        ("X-Error-Message", message.to_owned()),
    ]
}

fn listing(state: &State) -> Value {
    let terse = state.terse.load(Ordering::SeqCst);
    let siblings = state.files.iter().map(|(path, file)| {
        let size = file.bytes.len();
        match (terse, file.large) {
            (true, _) => json!({"rfilename": path}),
            (false, true) => json!({
                "rfilename": path, "size": size, "blobId": "f".repeat(40),
                "lfs": {"sha256": file.checksum(), "size": size, "pointerSize": 134}
            }),
            (false, false) => json!({"rfilename": path, "size": size, "blobId": file.checksum()}),
        }
    });
    json!({"id": ID, "sha": COMMIT, "gated": false, "siblings": siblings.collect::<Vec<_>>()})
}

fn decode(path: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits: Vec<u8> = bytes.by_ref().take(2).collect();
            let digits = String::from_utf8(digits).unwrap_or_default();
            out.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
        } else {
            out.push(byte);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Asks one thing without this program's client: that the server is what it should be is tested too.
pub fn plain_get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
    let _ = stream.shutdown(Shutdown::Write);
    let mut out = String::new();
    let _ = stream.read_to_string(&mut out);
    out
}
