//! What can be checked: trees, revisions, patches; and what cannot.

use super::*;

#[test]
fn a_tree_that_does_not_compile_has_no_verdict() {
    let place = Place::new();
    assert!(place.edit("", "#include", "no such thing;\n#include"));
    let (tree, base) = (place.path(), kernel_tree());
    let output = place.check(&[&tree, &"--base", &base]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("does not compile") && stderr.contains("buddy.c:"), "{stderr}");
    let bisect = place.check(&[&tree, &"--base", &base, &"--bisect"]);
    assert_eq!(bisect.status.code(), Some(125));
}

#[rstest]
#[case::nothing(&["/no/such/tree", "--base", "/"], "/no/such/tree")]
#[case::no_tree(&["/", "--base", "/"], "it is not a kernel tree")]
#[case::no_base(&["Cargo.toml"], "a patch needs a kernel")]
#[case::no_patch(&["Cargo.toml", "--base", "KERNEL"], "has no diff")]
#[case::no_git(&["KERNEL"], "Name a kernel to compare with: --base")]
#[case::no_revision(&["KERNEL", "--base", "v0.0"], "v0.0")]
#[case::two_trees(&["KERNEL", "KERNEL"], "several arguments must be patches")]
#[case::seconds(&["KERNEL", "--base", "KERNEL", "--seconds", "none"], "number of seconds")]
fn wrong_usage_says_what_to_do(#[case] arguments: &[&str], #[case] says: &str) {
    let place = Place::new();
    let arguments: Vec<_> = arguments
        .iter()
        .map(|argument| match *argument {
            "KERNEL" => place.path().as_os_str(),
            argument => OsStr::new(argument),
        })
        .collect();
    let arguments: Vec<&dyn AsRef<OsStr>> =
        arguments.iter().map(|argument| argument as &dyn AsRef<OsStr>).collect();
    let output = place.check(&arguments);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(says), "{stderr}");
    assert_eq!(text(&output.stdout), "");
    let mut bisect = arguments;
    bisect.push(&"--bisect");
    if !says.contains("seconds") {
        assert_eq!(place.check(&bisect).status.code(), Some(128));
    }
}

#[test]
fn a_working_tree_is_held_against_its_commits() {
    let place = Place::new();
    place.git(&["init", "-q"]);
    place.commit("first");
    assert!(place.edit("", "#include", "/* One. */\n#include"));
    // The working tree is checked against the commit.
    let output = place.check(&[&place.path()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(stdout.contains("against HEAD@"), "{stdout}");
    assert!(stdout.contains("the object code is the same"), "{stdout}");
    place.commit("second");
    let stdout = text(&place.check(&[&place.path()]).stdout);
    assert!(stdout.contains("against HEAD^@"), "{stdout}");
    assert!(stdout.contains("nothing is uncommitted"), "{stdout}");
    let stdout = text(&place.check(&[&place.path(), &"--base", &"HEAD"]).stdout);
    assert!(stdout.contains("the files of the allocator are the same"), "{stdout}");
    let status = Command::new("git")
        .current_dir(place.path())
        .args(["status", "--porcelain", "--ignored"])
        .output()
        .expect("git");
    assert_eq!(text(&status.stdout), "");
}

/// A patch, an encoded mail, and a mailbox with two.
#[test]
fn patches_are_put_on_a_base() {
    let place = Place::new();
    place.git(&["init", "-q"]);
    place.commit("first");
    assert!(place.edit("", "#include", "/* One: ü. */\n#include"));
    fs::write(place.path().join("README"), "Elsewhere.\n").expect("a file");
    place.commit("[1/2] one");
    assert!(place.edit("", "#include", "/* Two. */\n#include"));
    place.commit("[2/2] two");
    let out = place.path().join("out");
    fs::create_dir(&out).expect("a folder");
    let (one, both) = (out.join("one.patch"), out.join("both.mbox"));
    for (range, file) in [("HEAD^^..HEAD^", &one), ("HEAD^^..HEAD", &both)] {
        let git = Command::new("git")
            .current_dir(place.path())
            .args(["format-patch", "--stdout", range])
            .output()
            .expect("git");
        fs::write(file, git.stdout).expect("a file");
    }
    for patches in [vec![&one], vec![&both]] {
        let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&"--base"];
        let base = kernel_tree();
        arguments.push(&base);
        patches.iter().for_each(|patch| arguments.push(patch));
        let output = place.check(&arguments);
        let stdout = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{stdout}{}", text(&output.stderr));
        assert!(stdout.contains("the object code is the same"), "{stdout}");
        assert!(stdout.contains("README"), "what is elsewhere is named: {stdout}");
    }
    // The second patch alone does not apply.
    let second = fs::read_to_string(&both).expect("it was written");
    let at = second.rfind("\nFrom ").expect("two mails") + 1;
    let alone = out.join("two.patch");
    fs::write(&alone, &second[at..]).expect("a file");
    let output = place.check(&[&alone, &"--base", &kernel_tree()]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("does not apply") && stderr.contains("hunk 1 of"), "{stderr}");
}
