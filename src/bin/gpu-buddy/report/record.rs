//! `gpu-buddy record`: runs a trace for the process that writes a page, and reports each call as a
//! line of JSON.

use std::io::{self, Write, stdout};
use std::path::PathBuf;

use gpu_buddy::Snapshot;
use gpu_buddy::diff::{
    Aspect, Finding, Lockstep, NotCreated, Operation, Outcome, Promise, Settings, Space, Step,
    TraceFile, format_size,
};

use super::delta::delta;
use super::recording::{Call, Event, Is, Note};
use crate::kernel::{Judged, Pair};
use crate::replay::allocations::Allocations;
use crate::replay::checks::Checks;
use crate::replay::{blocks, has_faults, outcome, read_trace};
use crate::supervise::{end_with_parent, say};
use crate::{Failure, Verdict};

/// Maximum number of blocks of an allocation that a page lists.
const MOST_BLOCKS: usize = 8;

/// The state is read after each operation until this many blocks are visited, some seconds' worth;
/// then less often.
const STATES: u64 = 64 << 20;

/// Run a trace for the process that writes a page
#[derive(clap::Args)]
pub struct Arguments {
    file: PathBuf,
    #[command(flatten)]
    judged: Judged,
    #[arg(long)]
    differences_only: bool,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    end_with_parent();
    let file = read_trace(&arguments.file)?;
    let pair = arguments.judged.open(has_faults(&file))?;
    let settings = Settings {
        full_check_interval: 0,
        strict: arguments.judged.strict,
        differences_only: arguments.differences_only,
        ..Settings::default()
    };
    let mut out = stdout().lock();
    record(&file, pair, settings, &mut out)?;
    Ok(Verdict::Passed)
}

fn record(
    file: &TraceFile,
    pair: Pair,
    settings: Settings,
    out: &mut impl Write,
) -> io::Result<()> {
    say(out, &Event::Begun(0))?;
    let space = file.trace().space;
    let mut pair = match pair.start(space, settings) {
        Ok(pair) => pair,
        Err(NotCreated::Finding(finding)) => {
            let notes = vec![note(&finding)];
            return say(out, &Event::Did(Call { notes, ..Call::default() }));
        }
        Err(refused) => return say(out, &Event::Refused(refused.to_string())),
    };
    let operations = &file.trace().operations;
    let mut checks = Checks::new(operations.len());
    let mut states = Checks::with_credit(operations.len(), STATES);
    let mut allocations = Allocations::new(file);
    let mut last = None;
    let mut call = Call::default();
    read_state(&mut pair, &mut call, &mut last);
    say(out, &Event::Did(call))?;
    let mut checked = 0;
    for (index, operation) in operations.iter().enumerate() {
        say(out, &Event::Begun(index + 1))?;
        let check = checks.next(pair.tree_blocks());
        pair.set_full_check_interval(u64::from(check));
        let step = pair.step(operation);
        if check {
            checked += 1;
            checks.checked(index, pair.tree_blocks());
        }
        let mut call = Call {
            outcome: outcome(file, &allocations, index, &step, &pair, MOST_BLOCKS),
            other_outcome: other_outcome(&step, &pair, space),
            left_out: step.outcome == Outcome::Skipped && allocations.why_skipped(index).is_none(),
            notes: notes(&step),
            ..Call::default()
        };
        allocations.observe(index, step.outcome, pair.blocks().len());
        (call.cost, call.other_cost) = pair.costs();
        let is_over = *operation == Operation::Fini && step.outcome == Outcome::Done;
        let size = last.as_ref().map_or(0, |last: &Snapshot| last.blocks.len());
        // An allocator that is torn down or unusable has no state.
        if !is_over && !pair.is_unusable() && states.next(size) {
            let blocks = read_state(&mut pair, &mut call, &mut last);
            states.checked(index, blocks);
        }
        say(out, &Event::Did(call))?;
        if diverged(&step) {
            // The two states differ from here on.
            return say(out, &Event::Checked(checked));
        }
    }
    let step = pair.finish();
    say(out, &Event::End(Call { notes: notes(&step), ..Call::default() }))?;
    say(out, &Event::Checked(checked))
}

/// A difference in cost alone leaves both in the same state.
fn diverged(step: &Step) -> bool {
    let differs =
        |finding: &Finding| matches!(finding, Finding::Divergence(it) if it.aspect != Aspect::Cost);
    step.findings.iter().any(differs)
}

/// Adds the state to a call. `last` is the state that was read before. Returns the number of
/// blocks.
fn read_state(pair: &mut Lockstep, call: &mut Call, last: &mut Option<Snapshot>) -> usize {
    let accounts = pair.accounts();
    call.free = Some((format_size(accounts.avail), format_size(accounts.clear_avail)));
    let Some(state) = pair.snapshot() else { return 0 };
    call.delta = Some(delta(last.as_ref(), &state));
    if let Some(other) = pair.reference_snapshot() {
        call.other_delta = delta(Some(&state), &other);
    }
    let blocks = state.blocks.len();
    *last = Some(state);
    blocks
}

/// The answer of the other side, if it differs.
fn other_outcome(step: &Step, pair: &Lockstep, space: Space) -> Option<String> {
    let other = step.reference?;
    if other == step.outcome && pair.blocks() == pair.reference_blocks() {
        return None;
    }
    Some(match other {
        Outcome::Done => blocks(pair.reference_blocks(), space.base, MOST_BLOCKS),
        Outcome::Found(Some(block)) => blocks(&[block], space.base, MOST_BLOCKS),
        other => other.to_string(),
    })
}

/// All notes on a call, failures first.
fn notes(step: &Step) -> Vec<Note> {
    let mut notes: Vec<_> = step.findings.iter().map(note).collect();
    let is_said = |promise: Promise| move |finding: &Finding| matches!(finding, Finding::Breach(it) if it.promise == promise);
    let sides = [(Is::New, &step.new), (Is::InBase, &step.in_base), (Is::Fixed, &step.fixed)];
    for (is, promises) in sides {
        let mut said = Vec::new();
        for &promise in promises {
            if said.contains(&promise) || step.findings.iter().any(is_said(promise)) {
                continue;
            }
            said.push(promise);
            notes.push(Note {
                is,
                name: promise.name().to_owned(),
                text: String::new(),
                why: promise.explanation().to_owned(),
                answers: None,
            });
        }
    }
    let mut said = Vec::new();
    for known in &step.known {
        if !said.contains(&known.name) {
            said.push(known.name);
            notes.push(Note {
                is: Is::Known,
                name: known.name.to_owned(),
                text: known.sentence.to_owned(),
                why: String::new(),
                answers: None,
            });
        }
    }
    notes
}

fn note(finding: &Finding) -> Note {
    let name = finding.kind().to_owned();
    match finding {
        Finding::Breach(breach) => {
            let text = breach.to_string();
            // The text begins with the name.
            let facts = text.strip_prefix(&format!("{name}: ")).unwrap_or(&text).to_owned();
            let why = breach.promise.explanation().to_owned();
            Note { is: Is::Breach, name, text: facts, why, answers: None }
        }
        // The page shows both trees.
        Finding::Divergence(it) if it.aspect == Aspect::Snapshot => Note {
            is: Is::Divergence,
            name,
            text: "The map and the tree below show both states.".to_owned(),
            why: String::new(),
            answers: None,
        },
        Finding::Divergence(it) => Note {
            is: Is::Divergence,
            name,
            text: String::new(),
            why: String::new(),
            answers: Some((it.subject.clone(), it.reference.clone())),
        },
        // The enum is non-exhaustive.
        other => Note {
            is: Is::Breach,
            name,
            text: other.to_string(),
            why: String::new(),
            answers: None,
        },
    }
}
