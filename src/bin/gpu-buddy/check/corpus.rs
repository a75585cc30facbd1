//! Traces that run in every check: one for each known breach of some kernel.

use gpu_buddy::diff::KNOWN;

use crate::finding;

/// A trace of docs/findings/.
pub struct Trace {
    pub name: &'static str,
    /// The promise that it breaks.
    pub breaks: &'static str,
    pub text: &'static str,
}

pub fn traces() -> Vec<Trace> {
    let known = |name: &str| KNOWN.iter().any(|known| known.name == name);
    let mut traces: Vec<_> = finding::all()
        .into_iter()
        .filter(|finding| known(finding.name))
        .filter_map(|finding| {
            let (breaks, text) = (finding.breaks?, finding.trace?);
            Some(Trace { name: finding.name, breaks, text })
        })
        .collect();
    traces.sort_by_key(|trace| trace.name);
    traces
}
