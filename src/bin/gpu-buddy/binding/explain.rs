//! Reads cargo's messages: the path of the program, or why the binding does not compile. The
//! usual reason is a name of the kernel crate that has no stub here.

use std::path::PathBuf;

use serde_json::Value;

/// The program that was built.
pub fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs =
        messages.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    programs.next_back()
}

/// Describes a failed build. `messages` are cargo's, one JSON object per line.
pub fn failure(messages: &str, said: &str) -> String {
    let errors: Vec<Value> = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-message")
        .map(|message| message["message"].clone())
        .filter(|message| message["level"] == "error" && !message["spans"][0].is_null())
        .collect();
    if errors.is_empty() {
        return format!("cargo could not build the binding:\n{}", said.trim_end());
    }
    let mut text = String::from("the binding does not compile:\n");
    let mut stubs: Vec<String> = Vec::new();
    for error in &errors {
        text += &format!("\n{}", error["rendered"].as_str().unwrap_or_default());
        if let Some(stub) = stub(error)
            && !stubs.contains(&stub)
        {
            stubs.push(stub);
        }
    }
    if !stubs.is_empty() {
        text += "\nIt uses names of the kernel crate that have no stub here. Add them:\n";
        for stub in stubs {
            text += &format!("  {stub}\n");
        }
        text += "UPGRADE.md says how.";
    }
    text
}

/// What a path may begin with that is no module of ours.
const OUTSIDE: [&str; 3] = ["crate", "kernel", "super"];

/// Which stub an error asks for, and in which file.
fn stub(error: &Value) -> Option<String> {
    let message = error["message"].as_str()?;
    let code = error["code"]["code"].as_str();
    let missing_macro = message.starts_with("cannot find macro");
    let missing = ["E0425", "E0432", "E0433", "E0412", "E0405", "E0599", "E0583"];
    if !missing_macro && !code.is_some_and(|code| missing.contains(&code)) {
        return None;
    }
    let span = error["spans"].as_array()?.iter().find(|span| span["is_primary"] == true)?;
    let file = span["file_name"].as_str()?;
    let line = span["line_start"].as_u64()?;
    let quoted: Vec<_> = message.split('`').skip(1).step_by(2).collect();
    let name = quoted.first().copied().unwrap_or(message);
    // A path names the module, be it that of the name or of where it is looked for.
    let path = quoted.iter().find(|text| text.contains("::") || **text == "bindings");
    let module = path.and_then(|path| path.split("::").find(|part| !OUTSIDE.contains(part)));
    let module = match module {
        Some("bindings") => ", in kernel-binding/bindings/src/lib.rs".into(),
        Some(module) => format!(", in kernel-binding/kernel/src/{module}.rs"),
        None => quoted.get(1).map(|of| format!(" of `{of}`")).unwrap_or_default(),
    };
    Some(format!("`{name}`{module} (used in {file}:{line})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(code: &str, message: &str) -> String {
        let span = serde_json::json!({
            "is_primary": true, "file_name": "kernel/src/gpu/buddy.rs", "line_start": 7,
        });
        serde_json::json!({
            "reason": "compiler-message",
            "message": {
                "level": "error", "message": message, "code": { "code": code },
                "rendered": format!("error: {message}\n"), "spans": [span],
            },
        })
        .to_string()
    }

    #[test]
    fn names_the_stub() {
        let text = failure(&message("E0432", "unresolved import `crate::sync::SpinLock`"), "");
        let expected = "  `crate::sync::SpinLock`, in kernel-binding/kernel/src/sync.rs \
                        (used in kernel/src/gpu/buddy.rs:7)\n";
        assert!(text.contains(expected), "{text}");
        assert!(text.ends_with("UPGRADE.md says how."), "{text}");
    }

    #[test]
    fn names_its_place() {
        for (error, place) in [
            (
                "cannot find function `f` in module `crate::sync`",
                "`f`, in kernel-binding/kernel/src/sync.rs",
            ),
            (
                "cannot find value `F` in crate `bindings`",
                "`F`, in kernel-binding/bindings/src/lib.rs",
            ),
            (
                "no method named `g` found for struct `MutexGuard` in the current scope",
                "`g` of `MutexGuard`",
            ),
        ] {
            let text = failure(&message("E0599", error), "");
            assert!(text.contains(&format!("  {place} (used in ")), "{text}");
        }
    }

    #[test]
    fn says_what_else_is_wrong() {
        let text = failure(&message("E0308", "mismatched types"), "");
        assert!(text.contains("error: mismatched types") && !text.contains("stub"), "{text}");
        assert!(failure("", "error: no network\n").ends_with("error: no network"));
    }
}
