//! Chromium without a window, driven by mouse and keys through the pipe that its developers' tools speak on.

use std::{
    collections::VecDeque,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// An answer that takes longer does not come.
const LIMIT: Duration = Duration::from_secs(60);
/// Names that distributions give it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Width and height of the page, in pixels.
const SIZE: [u32; 2] = [1200, 1000];
/// What ends a message on the pipe.
const END: u8 = 0;

/// Where Chromium is; nothing, and a word on standard error, where there is none.
pub fn chromium() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let all = folders.iter().flat_map(|folder| NAMES.map(|name| folder.join(name)));
    let found = all.into_iter().find(|place| place.is_file());
    if found.is_none() {
        // Whoever reads the result of the tests has to see that this one looked at nothing.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no page was opened, as there is no chromium in PATH (apt-get install -y --no-install-recommends chromium)"
        );
    }
    found
}

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    events: VecDeque<Value>,
    session: Option<String>,
    next: u64,
    _folder: tempfile::TempDir,
}

impl Browser {
    /// Opens a file; what it complains about on the way is kept for [`Self::complaints`].
    pub fn open(program: &Path, page: &Path) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let said = fs::File::create(folder.path().join("said"))?;
        // The shell puts the two ends of the pipe where Chromium looks for them.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"])
            .arg(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                // Containers have little room there.
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-extensions",
            ])
            .args([
                "--disable-background-networking",
                "--remote-debugging-pipe",
                "--hide-scrollbars",
            ])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg(format!("--window-size={},{}", SIZE[0], SIZE[1]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(said))
            .spawn()?;
        let to = child.stdin.take().ok_or("no pipe to it")?;
        let out = child.stdout.take().ok_or("no pipe from it")?;
        let (send, from) = channel();
        thread::spawn(move || {
            for message in BufReader::new(out).split(END).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else {
                    break;
                };
                if send.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            child,
            to,
            from,
            events: VecDeque::new(),
            session: None,
            next: 0,
            _folder: folder,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attached = browser.call(
            "Target.attachToTarget",
            json!({ "targetId": target["targetId"], "flatten": true }),
        )?;
        browser.session = Some(attached["sessionId"].as_str().ok_or("no session")?.to_owned());
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": false }),
        )?;
        let url = format!("file://{}", page.display());
        browser.call("Page.navigate", json!({ "url": url }))?;
        browser.wait_for("Page.loadEventFired")?;
        Ok(browser)
    }

    /// Asks the browser, or its page, for something.
    pub fn call(&mut self, method: &str, params: Value) -> Outcome<Value> {
        self.next += 1;
        let id = self.next;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(message.to_string().as_bytes())?;
        self.to.write_all(&[END])?;
        self.to.flush()?;
        let until = Instant::now() + LIMIT;
        loop {
            let message = self.receive(until, method)?;
            if message["id"] != id {
                self.events.push_back(message);
                continue;
            }
            return match message.get("error") {
                Some(error) => Err(format!("{method}: {error}").into()),
                None => Ok(message["result"].clone()),
            };
        }
    }

    fn receive(&self, until: Instant, what: &str) -> Outcome<Value> {
        let left = until.saturating_duration_since(Instant::now());
        let received = self.from.recv_timeout(left);
        received.map_err(|error| format!("no answer to {what}: {error}").into())
    }

    fn wait_for(&mut self, event: &str) -> Outcome<()> {
        let until = Instant::now() + LIMIT;
        while !self.events.iter().any(|seen| seen["method"] == event) {
            let message = self.receive(until, event)?;
            self.events.push_back(message);
        }
        Ok(())
    }

    /// The value of an expression on the page.
    pub fn value(&mut self, expression: &str) -> Outcome<Value> {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", params)?;
        match answer.get("exceptionDetails") {
            Some(wrong) => Err(format!("{expression}: {wrong}").into()),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// The text of the first element that a selector finds.
    pub fn text(&mut self, selector: &str) -> Outcome<String> {
        let found = self.value(&format!("document.querySelector({}).textContent", json!(selector)))?;
        Ok(found.as_str().ok_or("no text")?.to_owned())
    }

    /// Left, top, width and height of what an expression gives, in pixels of the page's visible part.
    pub fn place(&mut self, element: &str) -> Outcome<[f64; 4]> {
        let found = self.value(&format!(
            "(() => {{ const e = {element}; e.scrollIntoView({{ block: 'nearest' }}); const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; }})()"
        ))?;
        Ok(serde_json::from_value(found)?)
    }

    /// The mouse comes to a place.
    pub fn hover(&mut self, [x, y]: [f64; 2]) -> Outcome<()> {
        self.mouse("mouseMoved", [x, y])
    }

    /// The mouse presses and lets go.
    pub fn click(&mut self, [x, y]: [f64; 2]) -> Outcome<()> {
        ["mouseMoved", "mousePressed", "mouseReleased"]
            .iter()
            .try_for_each(|kind| self.mouse(kind, [x, y]))
    }

    fn mouse(&mut self, kind: &str, [x, y]: [f64; 2]) -> Outcome<()> {
        let button = if kind == "mouseMoved" { "none" } else { "left" };
        let params = json!({ "type": kind, "x": x, "y": y, "button": button, "clickCount": 1 });
        self.call("Input.dispatchMouseEvent", params)?;
        Ok(())
    }

    /// A key is pressed.
    pub fn key(&mut self, key: &str, code: u32) -> Outcome<()> {
        for kind in ["keyDown", "keyUp"] {
            let params = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", params)?;
        }
        Ok(())
    }

    /// Text is typed.
    pub fn type_text(&mut self, text: &str) -> Outcome<()> {
        self.call("Input.insertText", json!({ "text": text }))?;
        Ok(())
    }

    /// What the page complained about so far: errors of its script, what its policy refused, what it failed to load.
    pub fn complaints(&mut self) -> Outcome<Vec<String>> {
        self.value("1")?;
        let is_complaint = |event: &&Value| {
            let method = event["method"].as_str().unwrap_or_default();
            match method {
                // Advice about speed is no complaint.
                "Log.entryAdded" => event["params"]["entry"]["level"] == "error",
                _ => matches!(method, "Runtime.exceptionThrown" | "Page.javascriptDialogOpening"),
            }
        };
        Ok(self.events.iter().filter(is_complaint).map(Value::to_string).collect())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.call("Browser.close", json!({}));
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
