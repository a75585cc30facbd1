//! Prepares the compiler's messages for people.

use std::process::Output;

use super::{HEADERS, SHIM};

/// The messages of the compiler or the linker, with paths as in the project and the tree, and
/// without the headers that only include the kernel's.
pub(super) fn messages(output: &Output) -> String {
    const FROM: &str = "In file included from ";
    let text = String::from_utf8_lossy(&output.stderr);
    if text.trim().is_empty() {
        return format!("The compiler gave no reason ({})\n", output.status);
    }
    let mut messages = String::from("\n");
    let mut begins = false;
    for line in text.lines() {
        let from = line.strip_prefix(FROM).or_else(|| line.trim_start().strip_prefix("from "));
        if from.is_some_and(|from| from.starts_with(HEADERS)) {
            begins = line.starts_with(FROM);
            continue;
        }
        match from.filter(|_| begins) {
            Some(from) => messages.extend([FROM, from, "\n"]),
            None => messages.extend([line, "\n"]),
        }
        begins = false;
    }
    let messages = messages.replace(&format!("{SHIM}/"), "vendor/shim/");
    let messages = messages.replace("\n./", "\n").replace(" ./", " ").replace(" ../", " ");
    messages.trim_start_matches('\n').to_owned()
}

/// A hint that follows from the messages.
pub(super) fn hint(messages: &str) -> String {
    if messages.contains("No space left on device") {
        return "XDG_CACHE_HOME and TMPDIR can name folders on another disk".into();
    }
    if let Some(header) = missing_header(messages) {
        return format!("{header} has no stand-in under vendor/shim: see UPGRADE.md");
    }
    if let Some(name) = undefined(messages) {
        return format!(
            "Neither the files of the tree nor the stand-ins under vendor/shim have {name}. \
             If the kernel has it elsewhere, see UPGRADE.md"
        );
    }
    "If the kernel compiles, a stand-in under vendor/shim lacks something: see UPGRADE.md".into()
}

/// The header that the compiler did not find.
fn missing_header(messages: &str) -> Option<&str> {
    messages.lines().find_map(|line| {
        let (_, message) = line.split_once("fatal error: ")?;
        let gcc = message.strip_suffix(": No such file or directory");
        gcc.or_else(|| message.strip_suffix("' file not found")?.strip_prefix('\''))
    })
}

/// The name that the compiler or the linker does not know.
pub(super) fn undefined(messages: &str) -> Option<&str> {
    const BEFORE: [&str; 6] = [
        "undefined reference to ",
        "undefined symbol: ",
        "implicit declaration of function ",
        "call to undeclared function ",
        "use of undeclared identifier ",
        "unknown type name ",
    ];
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let after = BEFORE.iter().find_map(|words| Some(messages.split_once(words)?.1));
    let name = after.map(|rest| {
        let rest = rest.trim_start_matches(|c| !is_name(c));
        rest.split(|c| !is_name(c)).next().unwrap_or_default()
    });
    let before = || messages.split_once("' undeclared")?.0.rsplit('\'').next();
    name.or_else(before).filter(|name| !name.is_empty())
}
