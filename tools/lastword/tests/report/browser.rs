//! A real headless Chromium, led through Selenium, which is installed once below `target/`.
//!
//! Chromium and its driver are those of the system (`apt-get install chromium chromium-driver`). Where one of them cannot be
//! had a test is skipped and says so, unless `LASTWORD_REQUIRE_BROWSER=1` forbids that.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// Pinned: what a test says of a page is said by this version.
const SELENIUM: &str = "selenium==4.51.0";

pub struct Browser {
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Browser {
    /// `None` if there is no browser here and none is required.
    pub fn start() -> Option<Browser> {
        let required = std::env::var_os("LASTWORD_REQUIRE_BROWSER").is_some_and(|value| value == "1");
        match Browser::try_start() {
            Ok(browser) => Some(browser),
            Err(why) if required => panic!("Chromium cannot be started: {why}"),
            Err(why) => {
                eprintln!("skipped: Chromium cannot be started: {why}");
                None
            }
        }
    }

    fn try_start() -> Result<Browser, String> {
        let chromium = found(&["chromium", "chromium-browser", "google-chrome"])?;
        let driver = found(&["chromedriver", "chromium.chromedriver"])?;
        let home = home();
        let python = installed(&home)?;
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/browser.py");
        let mut command = Command::new(python);
        command
            .arg(program)
            .args([chromium, driver])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let (asks, answers) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Browser { child, asks, answers };
        browser.answer().map(|version| eprintln!("Chromium {version}"))?;
        Ok(browser)
    }

    fn answer(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_str(&line).map_err(|_| format!("it ended: {line:?}"))?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["ok"].take()),
        }
    }

    #[track_caller]
    pub fn ask(&mut self, asked: &Value) -> Value {
        let asks = self.asks.as_mut().unwrap();
        writeln!(asks, "{asked}").and_then(|()| asks.flush()).unwrap();
        self.answer().unwrap_or_else(|error| panic!("{asked}: {error}"))
    }

    /// Opens a page, from nothing, and waits until all of its data is there.
    #[track_caller]
    pub fn open(&mut self, page: &Path, place: &str) {
        self.ask(&json!({"do": "open", "url": "about:blank"}));
        self.ask(&json!({"do": "open", "url": format!("file://{}{place}", page.display())}));
        self.wait("return document.documentElement.dataset.complete === 'yes'", "the page is complete");
    }

    #[track_caller]
    pub fn run(&mut self, script: &str) -> Value {
        self.ask(&json!({"do": "run", "script": script}))
    }

    #[track_caller]
    pub fn run_with(&mut self, script: &str, arguments: &Value) -> Value {
        self.ask(&json!({"do": "run", "script": script, "arguments": [arguments]}))
    }

    #[track_caller]
    pub fn text(&mut self, selector: &str) -> String {
        let script = format!("return document.querySelector({})?.textContent ?? null", json!(selector));
        self.run(&script).as_str().unwrap_or_else(|| panic!("there is no {selector}")).to_owned()
    }

    /// The texts of all that match.
    #[track_caller]
    pub fn texts(&mut self, selector: &str) -> Vec<String> {
        let script = format!(
            "return [...document.querySelectorAll({})].filter((node) => !node.closest('[hidden]')).map((node) => node.textContent)",
            json!(selector)
        );
        serde_json::from_value(self.run(&script)).unwrap()
    }

    /// `@ENTER` and its kin are keys by name. Without a place they go to what has the focus.
    #[track_caller]
    pub fn keys(&mut self, at: Option<&str>, keys: &[&str]) {
        self.ask(&json!({"do": "keys", "at": at, "keys": keys}));
    }

    #[track_caller]
    pub fn click(&mut self, at: &str) {
        self.ask(&json!({"do": "click", "at": at}));
    }

    #[track_caller]
    pub fn wait(&mut self, script: &str, what: &str) {
        for _ in 0..600 {
            if self.run(script) == json!(true) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("it does not come that {what}");
    }

    /// What the console complains of, and what was asked of the network beside the file itself.
    #[track_caller]
    pub fn assert_quiet(&mut self) {
        let complaints = self.ask(&json!({"do": "complaints"}));
        assert_eq!(complaints, json!([]), "the console complains");
        let requests: Vec<String> = serde_json::from_value(self.ask(&json!({"do": "requests"}))).unwrap();
        let others: Vec<&String> = requests
            .iter()
            .filter(|url| !url.starts_with("file://") && !url.starts_with("data:") && !url.starts_with("about:"))
            .collect();
        assert!(others.is_empty(), "the page asks for {others:?}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends by itself when nobody asks, and takes the browser with it.
        self.asks.take();
        let _ = self.child.wait();
    }
}

fn found(names: &[&str]) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).flat_map(|place| names.iter().map(move |name| place.join(name)));
    places.find(|place| place.is_file()).ok_or_else(|| format!("{} is not installed", names[0]))
}

fn home() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let target = program.ancestors().find(|place| place.ends_with("debug") || place.ends_with("release"));
    target.and_then(Path::parent).unwrap_or(&std::env::temp_dir()).join("servers/selenium")
}

/// The Python that has it. Programs of tests wait for each other.
fn installed(home: &Path) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| error.to_string();
    fs::create_dir_all(home).map_err(failed)?;
    let lock = File::create(home.join("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let (python, done) = (home.join("venv/bin/python"), home.join("installed"));
    if fs::read_to_string(&done).is_ok_and(|what| what == SELENIUM) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(home.join("venv")))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", SELENIUM]))?;
    fs::write(done, SELENIUM).map_err(failed)?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default()))
}
