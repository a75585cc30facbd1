//! What the C prints of its state is checked.

use std::fs;
use std::process::Output;

use crate::command_line::text;
use rstest::rstest;

use super::{Place, json};

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

/// Torture has the C print its state now and then, and holds the figures against that.
#[rstest]
#[case::blocks("gpu_buddy_print(", "mm->free_scoreboard[order]", "mm->used_scoreboard[order]")]
#[case::bytes("gpu_buddy_print(", "free >> 10", "free >> 9")]
#[case::totals("gpu_buddy_print(", "mm->avail >> 20", "(mm->avail >> 20) + 1")]
#[case::block("gpu_buddy_block_print(", "start + size", "start + 2 * size")]
#[case::bug("gpu_buddy_print(", "int order;", "int order; BUG_ON(mm->avail != mm->size);")]
fn what_is_printed_wrongly_is_found(#[case] function: &str, #[case] text: &str, #[case] by: &str) {
    let place = Place::new();
    let Some(tree) = place.tree("prints", function, text, by) else { return };
    let output = place.run(&[
        &"torture",
        &"--kernel",
        &tree,
        &"--ops",
        &"20000",
        &"--seed",
        &"1",
        &"--json",
    ]);
    let object = json(&output);
    let found = &object["failures"][0];
    let finding = found["finding"].as_str().unwrap_or_else(|| panic!("{object}"));
    let promise = if by.contains("BUG") { "no-bug: " } else { "printed: " };
    assert!(finding.starts_with(promise), "{object}");
    assert!(found["shrunk_to"].as_u64() < Some(4), "{object}");
    // The same is shown by a replay, at the call after which it is printed.
    fs::write(place.folder.path().join("a.trace"), found["trace"].as_str().expect("a trace"))
        .expect("it is written");
    let replay = place.run(&[&"replay", &"--kernel", &tree, &"a.trace"]);
    assert_eq!(replay.status.code(), Some(1), "{}", text_of(&replay));
    assert!(text_of(&replay).contains(&format!("** {promise}")), "{}", text_of(&replay));
}

/// Nothing promises the words.
#[test]
fn another_text_is_no_finding() {
    let place = Place::new();
    let (text, by) = ("\"chunk_size: %lluKiB, total: %lluMiB,", "\"chunks of %llu, %llu in all:");
    let Some(tree) = place.tree("words", "gpu_buddy_print(", text, by) else { return };
    let output = place.run(&[&"torture", &"--kernel", &tree, &"--ops", &"20000", &"--seed", &"1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
}
