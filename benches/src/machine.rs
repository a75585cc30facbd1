//! The machine of a run.

use std::fs;
use std::process::Command;

/// What the times depend on.
pub struct Machine {
    /// The processor, and how many of them.
    pub processor: String,
    /// The kernel that runs.
    pub kernel: String,
    /// The compilers of Rust and C.
    pub compilers: String,
    /// How many other threads wanted a processor, at the beginning of the run.
    pub load: f64,
}

impl Machine {
    /// This machine, now.
    #[must_use]
    pub fn read() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let first = |program: &str, argument| {
            let output = Command::new(program).arg(argument).output().ok();
            let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
            text.and_then(|it| it.lines().next().map(str::to_owned)).unwrap_or_default()
        };
        let model = read("/proc/cpuinfo").lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == "model name").then(|| value.trim().to_owned())
        });
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let model = model.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let load = read("/proc/loadavg");
        Self {
            processor: format!("{model}, {count} processors"),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            compilers: format!("{}; {}", first("rustc", "-V"), first(&compiler, "--version")),
            load: load.split_whitespace().next().and_then(|it| it.parse().ok()).unwrap_or(0.0),
        }
    }

    /// Whether other programs ran.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.load > 0.5
    }
}
