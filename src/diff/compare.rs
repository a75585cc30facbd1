//! Finds the differences between two allocators: every kind once, each with a short trace.

use std::time::Duration;

use super::torture::{self, Collected, Failure, Options, Report};
use super::{Divergence, Finding, Lockstep, NotCreated, Operation, Settings, Space, Trace};
use crate::{AllocRequest, GpuBuddyAllocFlag};

/// One kind of difference.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Difference {
    /// The call that differs and the aspect, such as `alloc range, clear: blocks`.
    pub kind: String,
    /// How often it occurred.
    pub count: u64,
    /// The two results.
    pub divergence: Divergence,
    /// A short trace. Its last operation shows the difference, or else the end of the allocator
    /// does.
    pub trace: Trace,
    /// Whether shrinking ran out of time.
    pub cut_short: bool,
}

/// The time limit for shrinking the trace of one kind.
const SHRINK: Duration = Duration::from_secs(2);

/// The longest trace whose whole tree is compared after each operation.
const FULLY: usize = 1000;

/// Runs random operations on the pairs that `start` creates, and collects the differences. Calls
/// `found` with each new one. `watch` is called from time to time, and ends the run by returning
/// false.
pub fn run(
    options: &Options,
    start: impl Fn(Space, Settings) -> Result<Lockstep, NotCreated>,
    mut found: impl FnMut(&Difference),
    watch: impl FnMut(&Report) -> bool,
) -> (Report, Vec<Difference>) {
    let options = self::options(options);
    let found = |collected: &Collected| {
        if let Some(difference) = Difference::of(collected.clone()) {
            found(&difference);
        }
    };
    let (report, collected) = torture::collect(&options, start, found, watch);
    (report, collected.into_iter().filter_map(Difference::of).collect())
}

impl Difference {
    fn of(collected: Collected) -> Option<Self> {
        let Collected { kind, count, failure } = collected;
        let Finding::Divergence(divergence) = failure.finding else { return None };
        let Failure { trace, cut_short, .. } = failure;
        Some(Self { kind, count, divergence, trace, cut_short })
    }
}

/// The options of a run that looks only for differences. The trace of each kind is shrunk for at
/// most two seconds.
#[must_use]
pub fn options(options: &Options) -> Options {
    let settings = Settings { differences_only: true, ..options.settings };
    Options { settings, shrink: options.shrink.min(SHRINK), ..options.clone() }
}

/// The first difference in a trace, shrunk.
///
/// # Errors
///
/// [`NotCreated`] if its space is not possible.
pub fn trace(
    trace: &Trace,
    start: impl Fn(Space, Settings) -> Result<Lockstep, NotCreated> + Copy,
) -> Result<Option<Difference>, NotCreated> {
    // In a long trace, the tree may be large: compare it less often.
    let full_check_interval = if trace.operations.len() > FULLY { 2 } else { 1 };
    let settings = Settings { full_check_interval, differences_only: true, ..Settings::default() };
    if let Err(NotCreated::Refused(errno)) = start(trace.space, settings) {
        // Without operations, the trace is about the creation, in which the two agree.
        return if trace.operations.is_empty() {
            Ok(None)
        } else {
            Err(NotCreated::Refused(errno))
        };
    }
    let first = |trace: &Trace| trace.run(start, settings).ok().flatten();
    let Some(found) = first(trace) else { return Ok(None) };
    let length = found.operations;
    let operations = trace.operations[..length].to_vec();
    let short = Trace { space: trace.space, operations };
    let (trace, cut_short) = torture::shrink(short, SHRINK, |trace| {
        let seen = first(trace)?;
        seen.finding.is_like(&found.finding).then_some(seen.operations)
    });
    let found = first(&trace).unwrap_or(found);
    let failure = Failure::new(found, trace, length as u64, cut_short);
    Ok(Difference::of(failure.into()))
}

/// The kind of an operation, such as `alloc range, clear`. `None` is the creation of the allocator.
#[must_use]
pub fn call(operation: Option<&Operation>) -> String {
    match operation {
        None => "create".to_owned(),
        Some(Operation::Alloc { request, .. }) => request_kind(request),
        Some(Operation::AllocOnto { request, .. }) => {
            format!("{}, onto a list", request_kind(request))
        }
        Some(Operation::Free { cleared, .. }) => format!("free{}", said(*cleared, ", cleared")),
        Some(Operation::FreeBlock { cleared, .. }) => {
            format!("free block{}", said(*cleared, ", cleared"))
        }
        Some(Operation::Trim { start, .. }) => {
            format!("trim{}", said(start.is_some(), " with start"))
        }
        Some(Operation::ResetClear { clear: true }) => "reset to clear".to_owned(),
        Some(Operation::ResetClear { clear: false }) => "reset to dirty".to_owned(),
        Some(Operation::BlockAt { .. }) => "lookup".to_owned(),
        Some(Operation::FailNth { .. }) => "fail-nth".to_owned(),
        Some(Operation::Fini) => "fini".to_owned(),
    }
}

fn request_kind(request: &AllocRequest) -> String {
    let AllocRequest { start, end, size, min_block_size, range, top_down, flags, extra_flags } =
        *request;
    let exact = start.checked_add(size) == Some(end);
    let mode = match (exact, range, top_down) {
        (true, ..) => "exact range",
        (_, true, _) => "range",
        (.., true) => "top-down",
        _ => "simple",
    };
    let aligned = if size < min_block_size { ", aligned beyond its size" } else { "" };
    let flag = |flag, text| said(flags.contains(flag), text);
    format!(
        "alloc {mode}{aligned}{}{}{}{}",
        flag(GpuBuddyAllocFlag::Contiguous, ", contiguous"),
        flag(GpuBuddyAllocFlag::Clear, ", clear"),
        flag(GpuBuddyAllocFlag::TrimDisable, ", trim-disable"),
        said(extra_flags != 0, ", further flags"),
    )
}

fn said(is: bool, text: &'static str) -> &'static str {
    if is { text } else { "" }
}
