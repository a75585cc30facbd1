//! Shows what the command is doing.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter work shows nothing.
const MOMENT: Duration = Duration::from_millis(500);

/// A line on the terminal while something takes long. Dropping this removes it.
pub struct Progress {
    bar: ProgressBar,
    /// Stops the thread that starts the drawing.
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    pub fn new(message: impl Into<String>) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        bar.set_style(style.expect("the template is valid"));
        bar.set_message(message.into());
        let (done, begin) = channel();
        let drawn = bar.clone();
        let thread = thread::spawn(move || {
            if begin.recv_timeout(MOMENT) == Err(RecvTimeoutError::Timeout) {
                // Draws on a terminal only.
                drawn.set_draw_target(ProgressDrawTarget::stderr());
                drawn.enable_steady_tick(Duration::from_millis(100));
            }
        });
        Self { bar, done: Some(done), thread: Some(thread) }
    }

    pub fn message(&self, message: impl Into<String>) {
        self.bar.set_message(message.into());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done = None;
        let _ = self.thread.take().map(JoinHandle::join);
        self.bar.finish_and_clear();
    }
}
