//! Reads the result of a KUnit suite from its KTAP.

use std::collections::BTreeMap;

/// The result of a KUnit run.
#[derive(Default)]
pub struct Kunit {
    pub passed: usize,
    pub failed: BTreeMap<String, Vec<String>>,
    /// The last case that had a result.
    last: Option<String>,
    ended: bool,
    late: bool,
}

impl Kunit {
    /// Reads the output of a run. `late` says that it was killed because it took too long.
    pub fn read(ktap: &str, late: bool) -> Self {
        let mut kunit = Self { late, ..Self::default() };
        let mut messages = Vec::new();
        for line in ktap.lines().map(str::trim_start) {
            let result = |words: &str| {
                let (number, name) = line.strip_prefix(words)?.split_once(' ')?;
                number.parse::<u32>().ok().map(|_| name.to_owned())
            };
            if let Some(name) = result("ok ") {
                kunit.passed += 1;
                kunit.last = Some(name);
                messages.clear();
            } else if let Some(name) = result("not ok ") {
                kunit.last = Some(name.clone());
                kunit.failed.insert(name, std::mem::take(&mut messages));
            } else if let Some(message) = line.strip_prefix("# ") {
                messages.push(message.to_owned());
            }
        }
        kunit.ended = ktap.contains(" total:");
        // The suite itself has a result line too.
        if let Some(suite) = ktap.lines().find_map(|line| line.trim().strip_prefix("# Subtest: ")) {
            let of_suite = usize::from(kunit.ended && kunit.failed.is_empty());
            kunit.passed = kunit.passed.saturating_sub(of_suite);
            kunit.failed.remove(suite);
        }
        kunit
    }

    /// Why the suite did not finish, if it did not.
    pub fn death(&self) -> Option<String> {
        let how = match (self.ended, self.late) {
            (true, _) => return None,
            (_, true) => "hang: the suite does not finish",
            _ => "crash: the suite kills its process",
        };
        let after = self.last.as_ref().map(|last| format!(", after {last}")).unwrap_or_default();
        Some(format!("{how}{after}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read() {
        let begin = "KTAP version 1\n1..1\n    # Subtest: s\n    1..2\n    ok 1 a\n";
        let failed = format!(
            "{begin}    # b: EXPECTATION FAILED at f.c:1\n    not ok 2 b\n\
             # s: pass:1 fail:1 skip:0 total:2\nnot ok 1 s\n"
        );
        let kunit = Kunit::read(&failed, false);
        assert_eq!((kunit.passed, kunit.failed.len(), kunit.death()), (1, 1, None));
        assert_eq!(kunit.failed["b"], ["b: EXPECTATION FAILED at f.c:1"]);
        let passed = format!("{begin}    ok 2 b\n# s: pass:2 fail:0 skip:0 total:2\nok 1 s\n");
        assert_eq!(Kunit::read(&passed, false).passed, 2);
        let died = Kunit::read(begin, false).death();
        assert_eq!(died.as_deref(), Some("crash: the suite kills its process, after a"));
        assert!(Kunit::read(begin, true).death().expect("it is late").starts_with("hang"));
    }
}
