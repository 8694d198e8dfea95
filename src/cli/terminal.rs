//! What the commands say: results on standard output, everything else on standard error.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use crate::{
    error::{Error, Result},
    words,
};

/// Steps of the bar: fine enough to move, coarse enough not to flicker.
const STEPS: u64 = 1000;
const BAR: &str = "{msg:12} [{bar:40}] {percent:>3} % {elapsed} (about {eta} left)";
const DOWNLOAD_BAR: &str = "{wide_msg}\n[{bar:40}] {bytes} of {total_bytes}, {bytes_per_sec} (about {eta} left)";

/// Whether only what may be wrong is said beside the result.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// From now on neither how far the work is nor what was written is said.
pub fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

fn is_quiet() -> bool {
    IS_QUIET.load(Ordering::Relaxed)
}

/// Says what was written where, and how long it took.
pub fn wrote(out: &Path, what: &str, since: Instant) {
    if !is_quiet() {
        let seconds = since.elapsed().as_secs_f64();
        note(&format!("wrote {}: {what}, {seconds:.1} s", out.display()));
    }
}

/// Says what begins where there is no terminal and no bar is seen: a line for each picture of a pass.
pub fn begins(what: &str) {
    if !is_quiet() && !io::stderr().is_terminal() {
        note(what);
    }
}

/// Writes a result: to a terminal so that nothing in it acts, elsewhere as it is. A reader that has seen enough, such as
/// `head`, is no error.
pub fn print(text: &str) -> Result<()> {
    match io::stdout().is_terminal() {
        true => write(words::visible_lines(text).as_bytes()),
        false => write(text.as_bytes()),
    }
}

/// Writes a path on a line: as it is for another program, to be read on a terminal.
pub fn print_path(path: &Path) -> Result<()> {
    match io::stdout().is_terminal() {
        true => print(&format!("{}\n", path.display())),
        false => write(&[path.as_os_str().as_encoded_bytes(), b"\n"].concat()),
    }
}

/// Writes JSON, which says the same on a terminal and elsewhere.
pub fn print_json(json: &str) -> Result<()> {
    write(words::json_lines(json).as_bytes())
}

fn write(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Error::failed(format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Says something beside the result, in one paragraph.
pub fn note(text: &str) {
    let text = words::message(text);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    // Standard error that is closed leaves nobody to tell.
    let _ = writeln!(io::stderr(), "featscope: {}", lines.join(" "));
}

/// Standard error for lines of a log, in which nothing acts on a terminal.
pub struct Log;

impl Write for Log {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(buffer);
        io::stderr().write_all(words::visible_lines(&text).as_bytes())?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A bar on a terminal; it goes away when it is dropped. Elsewhere [`begins`] says what is done.
pub fn progress(message: &'static str) -> ProgressBar {
    bar(STEPS, BAR).with_message(message)
}

/// A bar for a download of so many bytes; its message has a line of its own.
pub fn download(bytes: u64) -> ProgressBar {
    bar(bytes, DOWNLOAD_BAR)
}

fn bar(length: u64, template: &str) -> ProgressBar {
    const REDRAWS_PER_SECOND: u8 = 10;
    let target = if io::stderr().is_terminal() && !is_quiet() {
        ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(length), target).with_finish(ProgressFinish::AndClear);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// A watch that moves a bar.
pub fn watch(bar: &ProgressBar) -> impl FnMut(f32) -> Result<()> {
    move |done| {
        bar.set_position((done.clamp(0.0, 1.0) * STEPS as f32) as u64);
        Ok(())
    }
}
