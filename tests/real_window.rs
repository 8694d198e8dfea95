//! The program itself, opened on a virtual display and driven by mouse and keys; what it shows is read from screenshots.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::{
    collections::HashSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use common::TestResult;
use image::RgbImage;

const PROGRAM: &str = env!("CARGO_BIN_EXE_featscope");
const PACKAGES: &str = "apt-get install -y --no-install-recommends mesa-vulkan-drivers libvulkan1 xvfb xdotool \
    imagemagick x11-utils libxkbcommon-x11-0 libx11-xcb1 libxcursor1 libxi6";
const WIDTH: u32 = 1200;
const HEIGHT: u32 = 800;
/// What most tests look at.
const TWO_SAMPLES: [&str; 2] = ["sample:noto-cat-face", "sample:fluent-dog-face"];
/// Anything that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(150);
/// The window should see one event before the next.
const BETWEEN_EVENTS: Duration = Duration::from_millis(200);
/// A field that takes text is known to the X server's input method a frame later, which drops keys until then.
const INPUT_METHOD: Duration = Duration::from_secs(2);
/// The status bar.
const NOWHERE: [u32; 2] = [600, 792];

/// The canvases of the panes, well inside: [left, top, right, bottom] in pixels of the screen.
const PICTURE_A: [u32; 4] = [270, 100, 545, 365];
/// The whole of pane A.
const PANE_A: [u32; 4] = [252, 76, 566, 408];
const PCA_A: [u32; 4] = [270, 450, 440, 690];
const PICTURE_B: [u32; 4] = [592, 100, 868, 365];
/// The middle of the window: where palette and key sheet lie.
const MIDDLE: [u32; 4] = [340, 60, 860, 440];
/// Colours of the first and of the second pin.
const PIN: [u8; 3] = [0xe6, 0x9f, 0x00];
/// Between two letters: as fast as a person types.
const TYPING_MILLIS: &str = "40";
const SECOND_PIN: [u8; 3] = [0x56, 0xb4, 0xe9];
/// Colour of the title of a window over the window.
const BOX_TITLE: [u8; 3] = [0xf4, 0xf5, 0xf6];
/// Colour of errors.
const ERROR: [u8; 3] = [0xff, 0x7a, 0x70];

/// A display and the program on it; both end with it.
struct Screen {
    display: String,
    server: Child,
    program: Child,
    folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// Displays are drawn in software: two at a time are slower than one after the other, and may choose the same number.
static ALONE: Mutex<()> = Mutex::new(());

impl Drop for Screen {
    fn drop(&mut self) {
        for child in [&mut self.program, &mut self.server] {
            // One that has ended already cannot be ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Screen {
    /// Opens the window and waits until it is there.
    fn open(arguments: &[&str]) -> Result<Self, Box<dyn std::error::Error>> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir()?;
        // The server chooses a free display itself and writes its number.
        let number = folder.path().join("display");
        let server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-noreset", "-nolisten", "tcp", "-screen", "0"])
            .arg(format!("{WIDTH}x{HEIGHT}x24"))
            .stdout(File::create(&number)?)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| missing("Xvfb", &error))?;
        let mut screen = Self {
            display: String::new(),
            program: stand_in()?,
            server,
            folder,
            _alone: alone,
        };
        let display = until("a display", || {
            let text = fs::read_to_string(&number).ok()?;
            text.ends_with('\n').then(|| format!(":{}", text.trim()))
        });
        screen.display = display;
        screen.start(arguments)?;
        Ok(screen)
    }

    /// Starts the program on the display, with what it remembers from before, and waits for its window.
    fn start(&mut self, arguments: &[&str]) -> TestResult {
        self.program = self
            .on_display(&mut Command::new(PROGRAM))
            .args(arguments)
            .env("XDG_DATA_HOME", self.folder.path())
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env("WGPU_BACKEND", "vulkan")
            .env_remove("WAYLAND_DISPLAY")
            .stderr(File::create(self.folder.path().join("stderr"))?)
            .spawn()?;
        let window = until("a window", || {
            if let Ok(Some(status)) = self.program.try_wait() {
                let said = fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
                panic!("the program ended with {status}: {said}\nwhat a window needs: {PACKAGES}");
            }
            let found = self.xdotool(&["search", "--onlyvisible", "--name", "featscope"]);
            found.lines().next_back().map(str::to_owned)
        });
        self.xdotool(&["windowmove", &window, "0", "0"]);
        self.xdotool(&["windowsize", &window, &WIDTH.to_string(), &HEIGHT.to_string()]);
        self.xdotool(&["windowfocus", &window]);
        Ok(())
    }

    /// Kills the program: it hears nothing of it.
    fn kill(&mut self) -> TestResult {
        self.program.kill()?;
        self.program.wait()?;
        Ok(())
    }

    /// The files of work that is kept for after a crash.
    fn kept_work(&self) -> Vec<PathBuf> {
        let windows = self.folder.path().join("featscope/windows");
        let folders = fs::read_dir(windows).into_iter().flatten().flatten();
        let files = folders.map(|folder| folder.path().join("work.featscope.json"));
        files.filter(|file| file.exists()).collect()
    }

    fn on_display<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("DISPLAY", &self.display)
    }

    fn xdotool(&self, arguments: &[&str]) -> String {
        let ended = self.on_display(&mut Command::new("xdotool")).args(arguments).output();
        let ended = ended.unwrap_or_else(|error| panic!("{}", missing("xdotool", &error)));
        String::from_utf8_lossy(&ended.stdout).into_owned()
    }

    fn point(&self, [x, y]: [u32; 2]) {
        self.xdotool(&["mousemove", &x.to_string(), &y.to_string()]);
    }

    /// Clicks, and takes the pointer to where there is nothing to point at.
    fn click(&self, at: [u32; 2]) {
        self.point(at);
        sleep(BETWEEN_EVENTS);
        self.xdotool(&["click", "1"]);
        sleep(BETWEEN_EVENTS);
        self.point(NOWHERE);
    }

    /// Clicks on picture A until the point is pinned: a frame that takes long sees click and way out as one.
    #[track_caller]
    fn pin(&self, at: [u32; 2]) {
        self.pin_by(at, PIN, || self.click(at));
    }

    /// The same with Shift held: another pin, in the second colour.
    #[track_caller]
    fn pin_another(&self, at: [u32; 2]) {
        self.pin_by(at, SECOND_PIN, || {
            self.xdotool(&["keydown", "shift"]);
            self.click(at);
            self.xdotool(&["keyup", "shift"]);
        });
    }

    #[track_caller]
    fn pin_by(&self, at: [u32; 2], colour: [u8; 3], click: impl Fn()) {
        let near = [at[0] - 4, at[1] - 4, at[0] + 5, at[1] + 5];
        until("a cross on picture A", || {
            click();
            let shown = || count(&pixels(&self.shot(), near), colour) > 5;
            (0..8)
                .any(|_| {
                    sleep(PAUSE);
                    shown()
                })
                .then_some(())
        });
    }

    /// What the whole screen shows.
    fn shot(&self) -> RgbImage {
        let path = self.folder.path().join("shot.png");
        let mut import = Command::new("import");
        let ended = self
            .on_display(&mut import)
            .args(["-window", "root"])
            .arg(&path)
            .status();
        let ended = ended.unwrap_or_else(|error| panic!("{}", missing("import (ImageMagick)", &error)));
        assert!(ended.success(), "import ended with {ended}");
        image::open(&path).expect("a screenshot").to_rgb8()
    }

    /// Waits until a part of the screen is as wished, and gives its pixels.
    #[track_caller]
    fn await_part(&self, what: &str, part: [u32; 4], wished: impl Fn(&[[u8; 3]]) -> bool) -> Vec<[u8; 3]> {
        let mut last = None;
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            let shot = self.shot();
            let pixels = pixels(&shot, part);
            if wished(&pixels) {
                return pixels;
            }
            last = Some(shot);
            sleep(PAUSE);
        }
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real-window-failed.png");
        let kept = last.is_some_and(|shot| shot.save(&path).is_ok());
        panic!(
            "{what} was awaited for too long (screenshot kept: {kept}, {})",
            path.display()
        );
    }
}

fn missing(tool: &str, error: &std::io::Error) -> String {
    format!("{tool} cannot be started ({error}); what this test needs: {PACKAGES}")
}

/// Something that can be ended, as long as the program has not been started.
fn stand_in() -> std::io::Result<Child> {
    Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).spawn()
}

#[track_caller]
fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "{what} was awaited for too long; needed: {PACKAGES}"
        );
        sleep(PAUSE);
    }
}

fn pixels(shot: &RgbImage, [left, top, right, bottom]: [u32; 4]) -> Vec<[u8; 3]> {
    let rows = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
    rows.map(|(x, y)| shot.get_pixel(x, y).0).collect()
}

fn colours(pixels: &[[u8; 3]]) -> usize {
    pixels.iter().collect::<HashSet<_>>().len()
}

fn count(pixels: &[[u8; 3]], colour: [u8; 3]) -> usize {
    // The edges of lines and letters are blended with what is under them.
    let near = |pixel: &[u8; 3]| pixel.iter().zip(colour).all(|(a, b)| a.abs_diff(b) < 70);
    pixels.iter().filter(|pixel| near(pixel)).count()
}

/// Share of pixels that differ visibly.
fn changed(before: &[[u8; 3]], after: &[[u8; 3]]) -> f64 {
    let differ = |(a, b): &(&[u8; 3], &[u8; 3])| a.iter().zip(*b).any(|(a, b)| a.abs_diff(*b) > 8);
    before.iter().zip(after).filter(differ).count() as f64 / before.len() as f64
}

#[test]
fn a_click_shows_a_heat_map_another_one_changes_it_and_a_key_switches_the_layer() -> TestResult {
    let screen = Screen::open(&TWO_SAMPLES)?;
    let pca = screen.await_part("the PCA of A", PCA_A, |pixels| colours(pixels) > 50);
    let plain = screen.await_part("picture B", PICTURE_B, |pixels| colours(pixels) > 20);

    // Two places that are white: nothing there has the colour of a pin.
    let [left, top, ..] = PICTURE_A;
    screen.pin([left + 12, top + 12]);
    let first = screen.await_part("a heat map on picture B", PICTURE_B, |pixels| {
        changed(&plain, pixels) > 0.2
    });
    // The ear: the selected pin moves there.
    screen.click([335, 155]);
    screen.await_part("another heat map", PICTURE_B, |pixels| changed(&first, pixels) > 0.1);

    screen.xdotool(&["key", "period"]);
    screen.await_part("another layer's PCA", PCA_A, |pixels| {
        changed(&pca, pixels) > 0.1 && colours(pixels) > 50
    });
    Ok(())
}

#[test]
fn a_tour_by_keys_ends_in_a_workspace_that_opens_to_the_same() -> TestResult {
    let screen = Screen::open(&TWO_SAMPLES)?;
    screen.await_part("the PCA of A", PCA_A, |pixels| colours(pixels) > 50);
    let [left, top, ..] = PICTURE_A;
    screen.pin([left + 12, top + 12]);
    screen.pin_another([left + 12, top + 200]);
    let near = [left, top + 188, left + 25, top + 213];
    screen.await_part("a second pin", near, |pixels| count(pixels, SECOND_PIN) > 5);

    let before = pixels(&screen.shot(), MIDDLE);
    screen.xdotool(&["key", "question"]);
    screen.await_part("the key sheet", MIDDLE, |pixels| changed(&before, pixels) > 0.3);
    screen.xdotool(&["key", "question"]);
    screen.await_part("no key sheet", MIDDLE, |pixels| changed(&before, pixels) < 0.05);
    let pca = pixels(&screen.shot(), PCA_A);
    screen.xdotool(&["key", "ctrl+p"]);
    screen.await_part("the palette", MIDDLE, |pixels| changed(&before, pixels) > 0.2);
    screen.xdotool(&["type", "--delay", TYPING_MILLIS, "b7-attn-q"]);
    sleep(BETWEEN_EVENTS);
    screen.xdotool(&["key", "Return"]);
    screen.await_part("another layer's PCA", PCA_A, |pixels| {
        changed(&pca, pixels) > 0.2 && colours(pixels) > 20
    });
    screen.xdotool(&["key", "ctrl+z"]);
    screen.await_part("the PCA of before", PCA_A, |pixels| changed(&pca, pixels) < 0.02);

    // There is no desktop to show a dialog: the box for the path opens by itself.
    // Small letters alone: xdotool's Shift and the letter can be read in the wrong order.
    let folder = tempfile::Builder::new()
        .prefix(&format!("featscope-tour-{}", std::process::id()))
        .rand_bytes(0)
        .tempdir()?;
    let workspace = folder.path().join("mine.featscope.json");
    screen.xdotool(&["key", "ctrl+s"]);
    screen.await_part("the box for a path", [500, 340, 700, 460], |pixels| {
        count(pixels, BOX_TITLE) > 20
    });
    sleep(INPUT_METHOD);
    screen.xdotool(&["type", "--delay", TYPING_MILLIS, &workspace.display().to_string()]);
    sleep(BETWEEN_EVENTS);
    screen.xdotool(&["key", "Return"]);
    until("the workspace", || workspace.exists().then_some(()));
    let kept = fs::read(&workspace)?;
    let shown = screen.await_part("the PCA of before", PCA_A, |pixels| changed(&pca, pixels) < 0.02);
    drop(screen);

    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("mine.featscope.json");
    fs::write(&copy, kept)?;
    let screen = Screen::open(&[&copy.display().to_string()])?;
    screen.await_part("the same PCA", PCA_A, |pixels| changed(&shown, pixels) < 0.02);
    screen.await_part("the same pin", near, |pixels| count(pixels, SECOND_PIN) > 5);
    Ok(())
}

#[test]
fn work_of_a_program_that_was_killed_is_offered_and_opened_by_keys() -> TestResult {
    let mut screen = Screen::open(&TWO_SAMPLES)?;
    screen.await_part("the PCA of A", PCA_A, |pixels| colours(pixels) > 50);
    let [left, top, ..] = PICTURE_A;
    let at = [left + 12, top + 12];
    screen.pin(at);
    let is_kept = |screen: &Screen| {
        let kept = screen.kept_work();
        let pinned = |file: &PathBuf| fs::read_to_string(file).is_ok_and(|text| text.contains("\"number\": 1"));
        kept.iter().any(pinned).then_some(())
    };
    until("work that is kept", || is_kept(&screen));
    screen.kill()?;

    screen.start(&TWO_SAMPLES)?;
    screen.await_part("the offer", MIDDLE, |pixels| count(pixels, BOX_TITLE) > 20);
    screen.await_part("the PCA of A", PCA_A, |pixels| colours(pixels) > 50);
    let near = [at[0] - 4, at[1] - 4, at[0] + 5, at[1] + 5];
    assert!(
        count(&pixels(&screen.shot(), near), PIN) == 0,
        "nothing is opened without being asked for"
    );
    // "Not now" has the keyboard; backwards over "Discard" to "Open".
    for key in ["shift+Tab", "shift+Tab", "Return"] {
        screen.xdotool(&["key", key]);
        sleep(BETWEEN_EVENTS);
    }
    screen.await_part("the pin", near, |pixels| count(pixels, PIN) > 5);
    // What was opened is this program's work now, and goes when it is closed.
    until("the work of this program alone", || {
        (screen.kept_work().len() == 1).then_some(())
    });
    screen.xdotool(&["key", "ctrl+q"]);
    until("its end", || screen.program.try_wait().ok().flatten());
    assert!(screen.kept_work().is_empty());
    Ok(())
}

#[test]
fn an_error_is_shown_in_the_pane_it_belongs_to() -> TestResult {
    let folder = tempfile::tempdir()?;
    let broken = folder.path().join("broken.png");
    fs::write(&broken, b"no picture")?;
    let screen = Screen::open(&[&broken.display().to_string()])?;
    screen.await_part("an error in pane A", PANE_A, |pixels| count(pixels, ERROR) > 50);
    Ok(())
}

#[test]
fn without_a_display_it_says_how_to_work_without_a_window() -> TestResult {
    let ended = Command::new(PROGRAM)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    for words in ["DISPLAY", "featscope extract --model demo"] {
        assert!(said.contains(words), "{said}");
    }
    Ok(())
}
