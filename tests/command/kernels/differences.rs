//! Two kernels that answer differently.

use super::*;

#[test]
fn the_same_code_gives_the_same_answers() {
    let place = Place::new();
    let output = place.run(&[
        &"compare",
        &place.same(),
        &kernel_tree(),
        &"--seconds",
        &"2",
        &"--seed",
        &"1",
    ]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}{}", text(&output.stderr));
    assert!(stdout.contains("give the same answers"), "{stdout}");
    assert!(stdout.contains("seed 1: "), "{stdout}");
}

/// What the base breaks as well is no failure. What only the kernel breaks is new; what only the
/// base breaks is fixed.
#[test]
fn a_base_tells_what_is_new_and_what_is_fixed() {
    let place = Place::new();
    let base = kernel_tree();
    let torture = |kernel: &Path, against: &Path| {
        place.run(&[
            &"torture",
            &"--kernel",
            &kernel,
            &"--against",
            &against,
            &"--json",
            &"--ops",
            &"100000",
            &"--seed",
            &"1",
        ])
    };
    let same = json(&torture(&place.same(), &base));
    assert_eq!(same["passed"], true, "{same}");
    assert!(same["in_base"]["aligned"].as_u64() > Some(0), "{same}");
    assert_eq!(same["fixed"], serde_json::json!({}), "{same}");
    assert_eq!(same["known"], serde_json::json!({}), "{same}");

    let Some(lost) = place.tree("lost", CHECK.0, CHECK.1, CHECK.2) else { return };
    let differences = |kernel: &Path, base: &Path| {
        let output = place.run(&[&"compare", &kernel, &base, &"--json", &"--seconds", &"5"]);
        json(&output)["differences"].as_array().expect("an array").clone()
    };
    let has = |differences: &[Value], which: &str| {
        let promises = differences.iter().flat_map(|found| found[which].as_array().expect("one"));
        promises.clone().any(|promise| promise == "refuses-invalid")
    };
    let (worse, better) = (differences(&lost, &base), differences(&base, &lost));
    assert!(has(&worse, "new") && !has(&worse, "fixed"), "{worse:?}");
    assert!(has(&better, "fixed") && !has(&better, "new"), "{better:?}");
}

/// The C's checks are tested although the safe API makes them first.
#[test]
fn a_lost_check_is_a_difference() {
    let place = Place::new();
    let Some(tree) = place.tree("lost", CHECK.0, CHECK.1, CHECK.2) else { return };
    let output = place.run(&[&"compare", &tree, &kernel_tree(), &"--json", &"--seconds", &"5"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let object = json(&output);
    let differences = object["differences"].as_array().expect("an array");
    let of_check = differences
        .iter()
        .find(|difference| difference["base"] == "EINVAL")
        .unwrap_or_else(|| panic!("{object}"));
    let trace = of_check["trace"].as_str().expect("a text");
    assert!(trace.lines().count() <= 4, "{trace}");

    // Its trace shows it again, in each way to replay it.
    let file = place.folder.path().join("short.trace");
    fs::write(&file, trace).expect("it is written");
    let again = place.run(&[&"compare", &tree, &kernel_tree(), &file]);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again.stdout));
    assert!(text(&again.stdout).contains("EINVAL"), "{}", text(&again.stdout));
    let replay = place.run(&[&"replay", &"--kernel", &tree, &"--against", &kernel_tree(), &file]);
    assert_eq!(replay.status.code(), Some(1));
    assert!(text(&replay.stdout).contains("the reference: EINVAL"), "{}", text(&replay.stdout));
    let contract = place.run(&[&"replay", &"--kernel", &tree, &"--against", &"contract", &file]);
    assert_eq!(contract.status.code(), Some(1));
    assert!(text(&contract.stdout).contains("refuses-invalid"), "{}", text(&contract.stdout));
}

/// A crash or a hang is a difference with a trace like any other, and other findings are kept.
#[rstest]
#[case::crash("*(volatile int *)8 = 0;", "crash")]
#[case::hang("for (;;) ;", "hang")]
fn what_kills_the_process_is_a_difference(#[case] by: &str, #[case] says: &str) {
    let place = Place::new();
    let function = "int gpu_buddy_block_trim";
    let tree = place.tree(
        "deadly",
        function,
        "if (new_size > gpu_buddy_block_size(mm, block))",
        &format!("if (new_size == 3 * mm->chunk_size) {by} if (new_size > gpu_buddy_block_size(mm, block))"),
    );
    let Some(tree) = tree else { return };
    let output = place.run(&[
        &"compare",
        &tree,
        &kernel_tree(),
        &"--json",
        &"--seconds",
        &"3",
        &"--patience",
        &"8",
        &"--seed",
        &"5",
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let object = json(&output);
    let differences = object["differences"].as_array().expect("an array");
    let death = differences.iter().find(|difference| difference["base"].is_null());
    let death = death.unwrap_or_else(|| panic!("{object}"));
    assert!(death["kernel"].as_str().expect("a text").starts_with(says), "{death}");
    let trace = death["trace"].as_str().expect("a text");
    assert!(trace.lines().count() <= 5, "{trace}");
}

/// A BUG is reported with file, line and condition everywhere.
#[test]
fn a_bug_is_told_with_its_place() {
    let place = Place::new();
    let function = "int gpu_buddy_block_trim";
    let text_of_c = "if (new_size > gpu_buddy_block_size(mm, block))";
    let by = format!("BUG_ON(new_size == 3 * mm->chunk_size); {text_of_c}");
    let Some(tree) = place.tree("bug", function, text_of_c, &by) else { return };
    let bug = "kernel BUG at drivers/gpu/buddy.c:";
    let condition = "new_size == 3 * mm->chunk_size";
    let file = place.folder.path().join("bug.trace");
    fs::write(&file, "space size=64K chunk=4K\na = alloc 16K\ntrim a 12K\n")
        .expect("it is written");
    for options in [&["--against", "contract"][..], &["--plain"], &["--against", "reference"]] {
        let mut command = place.command(&[&"replay", &"--kernel", &tree, &file]);
        let output = command.args(options).output().expect("it runs");
        let stdout = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{options:?}: {stdout}");
        assert!(stdout.contains(bug) && stdout.contains(condition), "{options:?}: {stdout}");
    }
    let compared = place.run(&[&"compare", &tree, &kernel_tree(), &file]);
    assert!(text(&compared.stdout).contains(bug), "{}", text(&compared.stdout));
    let out = place.folder.path();
    let output = place.run(&[
        &"torture",
        &"--kernel",
        &tree,
        &"--seconds",
        &"10",
        &"--json",
        &"--out",
        &out,
    ]);
    let finding = &json(&output)["failures"][0]["finding"];
    let finding = finding.as_str().expect("a text");
    assert!(finding.contains(bug) && finding.contains(condition), "{finding}");
}

/// A module whose init function fails is reported, not repeated.
#[test]
fn a_module_that_does_not_start_is_a_finding() {
    let place = Place::new();
    let text_of_c = "slab_blocks = KMEM_CACHE";
    let by = "BUG_ON(!slab_blocks); slab_blocks = KMEM_CACHE";
    let Some(tree) = place.tree("no-start", "gpu_buddy_module_init", text_of_c, by) else { return };
    let kunit = place.run(&[&"kunit", &"--kernel", &tree]);
    assert_eq!(kunit.status.code(), Some(1), "{}", text(&kunit.stderr));
    assert!(text(&kunit.stdout).contains("kernel BUG at drivers/gpu/buddy.c:"));
    let out = place.folder.path();
    let torture = place.run(&[&"torture", &"--kernel", &tree, &"--ops", &"1000", &"--out", &out]);
    assert_eq!(torture.status.code(), Some(1), "{}", text(&torture.stdout));
}

#[test]
fn a_signal_ends_a_comparison_with_what_was_found() {
    let place = Place::new();
    let Some(tree) = place.tree("lost", CHECK.0, CHECK.1, CHECK.2) else { return };
    let mut child = place
        .command(&[&"compare", &tree, &kernel_tree(), &"--seconds", &"600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    std::thread::sleep(Duration::from_secs(4));
    let killed = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    let stdout = child.stdout.take().expect("a pipe");
    let last = BufReader::new(stdout).lines().map(|line| line.expect("UTF-8")).last();
    assert!(last.as_ref().is_some_and(|last| last.ends_with("interrupted")), "{last:?}");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
}
