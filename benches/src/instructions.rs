//! Where the instructions of a free and an allocation go, counted by callgrind, which other load on
//! the machine does not disturb.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::process::Command;

use gpu_buddy::diff::Churn;

use crate::subject::{Kind, Runner, Want};

const SEED: u64 = 1;

/// What instructions are for, in the order of the table.
pub const PARTS: [&str; 8] = [C, MEMORY, RAW_RULES, ENTRY, SHARED, CHECKS, LISTS, OTHER];

const C: &str = "the C";
const MEMORY: &str = "memory for the C's blocks";
const RAW_RULES: &str = "`ffi`: is a monitor watching the caller?";
const ENTRY: &str = "into the C and back: scope, `catch_unwind`, events";
const SHARED: &str = "the mutex, the reference count of the handle";
const CHECKS: &str = "arguments, flags, errors";
const LISTS: &str = "lists of blocks";
const OTHER: &str = "thread-local variables, other";
/// The loop that calls the subject.
const HARNESS: &str = "the harness";

/// The parts that raw calls over the crate's own memory would have.
pub const RAW_PARTS: [&str; 3] = [C, MEMORY, RAW_RULES];

/// Parts of paths or names, and what they are for. The first that matches counts.
const PLACES: [(&str, &str); 22] = [
    ("gpu_buddy_benches", HARNESS),
    ("/benches/", HARNESS),
    ("drivers/gpu/", C),
    ("lib/rbtree", C),
    ("include/linux/", C),
    ("vendor/shim/", C),
    ("compiler-builtins", C),
    ("runtime/arena", MEMORY),
    ("runtime/slab", MEMORY),
    ("runtime::arena", MEMORY),
    ("runtime::slab", MEMORY),
    ("malloc", MEMORY),
    ("memset", MEMORY),
    ("wrapper/", RAW_RULES),
    ("wrapper::", RAW_RULES),
    ("scope", ENTRY),
    ("inner", ENTRY),
    ("panicking", ENTRY),
    ("parking_lot", SHARED),
    ("raw_mutex", SHARED),
    ("blocks", LISTS),
    ("buddy", CHECKS),
];

/// What an instruction is for. What is inlined from the standard library counts for the function
/// that has it, except atomics.
fn part(file: &str, function: &str) -> &'static str {
    if file.ends_with("sync/atomic.rs") {
        let owners = [("wrapper", RAW_RULES), ("runtime", MEMORY)];
        let owner = owners.iter().find(|(owner, _)| function.contains(owner));
        return owner.map_or(SHARED, |&(_, part)| part);
    }
    let find = |text: &str| PLACES.iter().find(|(part, _)| text.contains(part));
    let is_std = file.contains("/library/") && !file.contains("compiler-builtins");
    // The path of this checkout could match.
    let file = file.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).unwrap_or(file);
    let file = file.rfind("/src/").map_or(file, |at| &file[at..]);
    let found = if is_std { None } else { find(file) };
    found.or_else(|| find(function)).map_or(OTHER, |&(_, part)| part)
}

/// The instructions for a step.
pub struct Counted {
    /// By [part](PARTS), without the harness.
    pub parts: BTreeMap<&'static str, f64>,
    /// The functions outside the C with the most instructions of their own.
    pub functions: Vec<(String, f64)>,
}

impl Counted {
    /// All instructions.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.parts.values().sum()
    }
}

/// Runs `pairs` steps of a load, which callgrind counts alone.
pub fn run(kind: Kind, churn: Churn, pairs: usize) {
    let mut steps = churn.steps(SEED).map(|step| Want::new(churn, step));
    let fill: Vec<_> = steps.by_ref().take(2 * churn.live as usize).collect();
    let wants: Vec<_> = steps.take(pairs).collect();
    let Some(mut runner) = kind.start(churn.space, churn.live as usize) else { return };
    runner.run(&fill);
    counted_steps(&mut *runner, &wants);
    std::mem::forget(runner);
}

/// Its name is given to callgrind.
#[inline(never)]
fn counted_steps(runner: &mut dyn Runner, wants: &[Want]) {
    std::hint::black_box(runner.run(std::hint::black_box(wants)));
}

/// Counts the instructions for a step; `None` without valgrind.
///
/// # Errors
///
/// If valgrind fails.
pub fn count(kind: Kind, load: usize, pairs: usize) -> io::Result<Option<Counted>> {
    let file = std::env::temp_dir().join(format!("gpu-buddy-benches.{}", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*counted_steps*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe()?)
        .args(["instructions", kind.name(), &load.to_string(), &pairs.to_string()])
        .output();
    let output = match output {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        output => output?,
    };
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = std::fs::read_to_string(&file)?;
    std::fs::remove_file(&file)?;
    let (mut parts, mut functions) = (BTreeMap::new(), HashMap::new());
    for ((file, function), cost) in own_costs(&text) {
        let (part, cost) = (part(&file, &function), cost as f64 / pairs as f64);
        if part != HARNESS {
            *parts.entry(part).or_insert(0.0) += cost;
            if part != C {
                *functions.entry(function).or_insert(0.0) += cost;
            }
        }
    }
    let mut functions: Vec<_> = functions.into_iter().collect();
    functions.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(Some(Counted { parts, functions }))
}

/// The instructions of each file and function, without those of the functions that it calls, from a
/// file of callgrind. A name stands once, with a number; later the number alone.
fn own_costs(text: &str) -> HashMap<(String, String), u64> {
    let (mut files, mut functions) = (HashMap::new(), HashMap::new());
    let (mut file, mut function) = (String::new(), String::new());
    let mut costs = HashMap::new();
    let mut is_call = false;
    fn named(names: &mut HashMap<String, String>, value: &str) -> String {
        let (number, name) = value.split_once(' ').unwrap_or((value, ""));
        if !name.is_empty() {
            names.insert(number.to_owned(), name.to_owned());
        }
        names.get(number).cloned().unwrap_or_default()
    }
    for line in text.lines() {
        if let Some((key, value)) = line.split_once('=') {
            match key {
                "fl" | "fi" | "fe" => file = named(&mut files, value),
                "fn" => function = named(&mut functions, value),
                "cfi" | "cfl" => _ = named(&mut files, value),
                "cfn" => _ = named(&mut functions, value),
                // The next line is the cost of what is called.
                "calls" => is_call = true,
                _ => {}
            }
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line.split_whitespace().nth(1).and_then(|cost| cost.parse::<u64>().ok());
            if !std::mem::take(&mut is_call) {
                *costs.entry((file.clone(), function.clone())).or_insert(0) += cost.unwrap_or(0);
            }
        }
    }
    costs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_does_not_count_twice() {
        let text = "fl=(1) a.c\nfn=(1) f\n10 5\ncfi=(2) b.c\ncfn=(2) g\ncalls=3 20\n+1 300\n* 7\n\
                    fi=(2)\n+2 11\nfe=(1)\n-3 1\nfl=(2)\nfn=(2)\n20 300\n";
        let costs = own_costs(text);
        let cost = |file: &str, function: &str| costs[&(file.to_owned(), function.to_owned())];
        assert_eq!((cost("a.c", "f"), cost("b.c", "f"), cost("b.c", "g")), (13, 11, 300));
    }
}
