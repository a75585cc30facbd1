//! A real browser without a window, driven by its DevTools protocol over a pipe.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const NAMES: [&str; 2] = ["chromium", "google-chrome"];

/// Started for one test, and ended with it.
pub struct Browser {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    calls: u64,
    /// Errors and messages of the page's console.
    errors: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// `None` if no browser is installed.
    pub fn start() -> Option<Self> {
        let exists = |name: &&&str| {
            let paths = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&paths).any(|folder| folder.join(name).is_file())
        };
        let name = NAMES.iter().find(exists)?;
        let profile = tempfile::tempdir().expect("a folder");
        let mut process = Command::new("sh")
            // The protocol's pipes.
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 >/dev/null", name])
            .args(["--headless", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run"])
            // As root there is no sandbox.
            .args(["--no-sandbox", "--disable-quic", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the browser starts");
        let input = process.stdin.take().expect("piped");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let (session, errors) = (None, Vec::new());
        let mut browser =
            Self { process, input, output, session, calls: 0, errors, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = browser.call(
            "Target.attachToTarget",
            json!({ "targetId": target["targetId"], "flatten": true }),
        );
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.resize(1280, 900);
        Some(browser)
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        write!(self.input, "{message}\0").expect("the browser listens");
        loop {
            let mut text = Vec::new();
            self.output.read_until(0, &mut text).expect("the browser answers");
            assert_eq!(text.pop(), Some(0), "the browser died");
            let answer: Value = serde_json::from_slice(&text).expect("JSON");
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            let event = &answer["params"];
            match answer["method"].as_str() {
                Some("Runtime.exceptionThrown") => {
                    self.errors.push(event["exceptionDetails"].to_string());
                }
                Some("Log.entryAdded") => self.errors.push(event["entry"].to_string()),
                Some("Runtime.consoleAPICalled") => self.errors.push(event.to_string()),
                _ => {}
            }
        }
    }

    /// Opens a page, `fragment` and all, and waits until it is loaded.
    pub fn open(&mut self, file: &Path, fragment: &str) {
        // Another fragment alone would not load the page again.
        self.call("Page.navigate", json!({ "url": "about:blank" }));
        let url = format!("file://{}{fragment}", file.display());
        self.call("Page.navigate", json!({ "url": url }));
        self.wait("location.protocol === 'file:' && document.readyState === 'complete'");
    }

    /// The value of an expression.
    pub fn value(&mut self, expression: &str) -> Value {
        let result = self
            .call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// The text of the element with an id.
    pub fn text(&mut self, id: &str) -> String {
        let text = self.value(&format!("document.getElementById('{id}').innerText"));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true.
    pub fn wait(&mut self, expression: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.value(expression) != true {
            assert!(Instant::now() < until, "not in a minute: {expression}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Presses a key and lets it go, as a user does.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "End" => (35, ""),
            "Home" => (36, ""),
            "ArrowLeft" => (37, ""),
            "ArrowUp" => (38, ""),
            "ArrowRight" => (39, ""),
            "ArrowDown" => (40, ""),
            letter => (u32::from(letter.to_uppercase().as_bytes()[0]), letter),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code,
            });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    pub fn resize(&mut self, width: u32, height: u32) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        );
    }

    /// `light` or `dark`.
    pub fn prefer(&mut self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
    }

    /// Checks that the console is empty.
    pub fn assert_quiet(&mut self) {
        assert_eq!(self.errors, Vec::<String>::new());
    }
}

impl Drop for Browser {
    /// If it is asked to end, it leaves nothing behind.
    fn drop(&mut self) {
        let _ = write!(self.input, "{}\0", json!({ "id": 0, "method": "Browser.close" }));
        let until = Instant::now() + Duration::from_secs(10);
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
