//! The files in which a child records its episodes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use gpu_buddy::diff::torture::{self, Episode, Options};
use gpu_buddy::diff::{Operation, Space, Trace};
use serde::{Deserialize, Serialize};

use crate::kernel::Pair;

#[derive(Serialize, Deserialize)]
struct Left {
    seed: u64,
    size: u64,
    chunk_size: u64,
    operations: u64,
    full_check_interval: u64,
}

/// Records which episode a thread begins.
pub fn leave_episode(folder: &Path, thread: u64, episode: Option<Episode>) {
    if let Some(Episode { seed, space, operations, full_check_interval }) = episode {
        let Space { size, chunk_size, .. } = space;
        let left = Left { seed, size, chunk_size, operations, full_check_interval };
        let text = serde_json::to_string(&left).expect("numbers are JSON");
        // If this fails, a crash has no trace; nothing else changes.
        let _ = fs::write(file(folder, thread), text);
    }
}

pub fn episode_left(folder: &Path, thread: u64) -> Option<Episode> {
    let text = fs::read_to_string(file(folder, thread)).ok()?;
    let Left { seed, size, chunk_size, operations, full_check_interval } =
        serde_json::from_str(&text).ok()?;
    Some(Episode { seed, space: Space::new(size, chunk_size), operations, full_check_interval })
}

/// Replays the recorded episode, and writes each operation to a file before it runs.
pub fn replay_episode(options: &Options, pair: Pair, folder: &Path, thread: u64) -> io::Result<()> {
    let Some(episode) = episode_left(folder, thread) else { return Ok(()) };
    let mut file = File::create(trace_left(folder, thread))?;
    let space = Trace { space: episode.space, operations: Vec::new() };
    file.write_all(space.to_string().as_bytes())?;
    let write = |operation: &Operation| {
        // If this fails, the trace is too short to reproduce the failure.
        let _ = file.write_all(format!("{operation}\n").as_bytes());
    };
    torture::replay_episode(options, |space, settings| pair.start(space, settings), episode, write);
    Ok(())
}

fn file(folder: &Path, thread: u64) -> PathBuf {
    folder.join(format!("{thread}.episode"))
}

pub fn trace_left(folder: &Path, thread: u64) -> PathBuf {
    folder.join(format!("{thread}.trace"))
}
