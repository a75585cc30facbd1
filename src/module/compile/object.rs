//! The allocator's object code, and the compiler's warnings.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::module::ModuleError;
use crate::module::source::hex;
use crate::module::tree::Unit;

use super::messages::messages;
use super::place::{Job, Workplace};
use super::{Recipe, flags};

/// The warnings of a kernel build.
const WARNINGS: [&str; 8] = [
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-sign-compare",
    "-Wno-missing-field-initializers",
    "-Wno-type-limits",
    "-Wno-shift-negative-value",
    "-Wno-builtin-macro-redefined",
];

/// BUGs and WARNs have line numbers, which change when lines above are added or removed.
const NO_LINES: &str = "-D__LINE__=0";

/// The result of compiling the allocator.
pub struct Object {
    /// The digest of its object code without line numbers, in hexadecimal. Two trees with the same
    /// digest behave in the same way.
    pub digest: String,
    /// The compiler's warnings, each with its first line.
    pub warnings: Vec<String>,
}

impl Recipe<'_> {
    /// Compiles the allocator, and the kernel files that it calls, in a folder.
    pub fn object(&self, folder: &Path) -> Result<Object, ModuleError> {
        let place = Workplace::in_folder(folder, self.source)?;
        let units = || {
            let names = ["buddy", "rbtree"];
            self.units.iter().map(|(unit, _)| unit).filter(move |unit| names.contains(&unit.name))
        };
        let begin = |unit: &Unit, more: &[&str]| {
            let is_quiet = |flag: &String| flag == "-w";
            let mut flags = flags(unit.origin);
            if unit.name == "buddy" {
                flags.retain(|flag| !is_quiet(flag));
                flags.extend(WARNINGS.map(String::from));
            }
            place.compile_with(self.compiler, unit, flags, more)
        };
        let jobs: Vec<_> =
            units().map(|unit| Ok((unit, begin(unit, &[NO_LINES])?))).collect::<Result<_, _>>()?;
        let mut digest = Sha256::new();
        let mut warnings = Vec::new();
        for (unit, job) in jobs {
            let mut output = job.finish(self.compiler)?;
            if !output.status.success() {
                // A line number may be part of a name that must be unique.
                output = begin(unit, &[]).and_then(|job: Job| job.finish(self.compiler))?;
            }
            let messages = if output.stderr.is_empty() { String::new() } else { messages(&output) };
            if !output.status.success() {
                return Err(self.explain(&messages));
            }
            let is_warning =
                |line: &&str| line.contains(": warning: ") && !line.starts_with("<command-line>");
            warnings.extend(messages.lines().filter(is_warning).map(str::to_owned));
            let code = fs::read(place.object(unit));
            let code = code.map_err(|error| ModuleError::cache(folder, error))?;
            digest.update(code.len().to_le_bytes());
            digest.update(code);
        }
        Ok(Object { digest: hex(&digest.finalize()), warnings })
    }
}
