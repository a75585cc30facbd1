//! In what two allocators differ: every kind of difference once, each with a short
//! trace.

use std::time::Duration;

use super::torture::{self, Collected, Failure, Options, Report};
use super::{
    Divergence, Finding, Implementation, Lockstep, NotCreated, Operation, Settings, Space, Trace,
};
use crate::{AllocRequest, GpuBuddyAllocFlag};

/// One kind of difference.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Difference {
    /// Which call differs and in what, such as `alloc range, clear: blocks`.
    pub kind: String,
    /// How often it was met.
    pub count: u64,
    /// The two answers.
    pub divergence: Divergence,
    /// A short trace, whose last operation shows it; or the end of the allocator does.
    pub trace: Trace,
    /// Shrinking ran out of time.
    pub cut_short: bool,
}

/// How long the trace of one kind may be shrunk.
const SHRINK: Duration = Duration::from_secs(2);

/// The whole tree is compared after each operation of a trace of no more than these.
const FULLY: usize = 1000;

/// Runs random operations on what `start` makes, and collects the differences. `found`
/// is called with each that is new; `watch` is called now and then, and ends the run by
/// returning false.
pub fn run<S: Implementation, R: Implementation>(
    options: &Options,
    start: impl Fn(Space, Settings) -> Result<Lockstep<S, R>, NotCreated>,
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

/// The options of a run that looks for differences alone. The trace of one kind is shrunk for
/// two seconds at most.
#[must_use]
pub fn options(options: &Options) -> Options {
    let settings = Settings { differences_only: true, ..options.settings };
    Options { settings, shrink: options.shrink.min(SHRINK), ..options.clone() }
}

/// The first difference in a trace, shrunk.
///
/// # Errors
///
/// Where there can be no allocator of its space.
pub fn trace<S: Implementation, R: Implementation>(
    trace: &Trace,
    start: impl Fn(Space, Settings) -> Result<Lockstep<S, R>, NotCreated> + Copy,
) -> Result<Option<Difference>, NotCreated> {
    // Each operation of a long trace would be followed by a look at a large tree.
    let full_check_interval = if trace.operations.len() > FULLY { 2 } else { 1 };
    let settings = Settings { full_check_interval, differences_only: true, ..Settings::default() };
    if let Err(NotCreated::Refused(errno)) = start(trace.space, settings) {
        return Err(NotCreated::Refused(errno));
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

/// What kind of call an operation is, such as `alloc range, clear`; without one, it is
/// the creation of the allocator.
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
