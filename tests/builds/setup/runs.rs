//! Interrupted runs and several at once, libclang, and the manifest.

use super::*;

/// Starts a run in which a stub replaces `tar`: it says that it began, and waits until the
/// test is over.
fn start_to_unpack(clone: &Clone) -> std::process::Child {
    clone.stub("tar", "#!/bin/sh\ntouch \"$MIRROR/unpacking\"\nwhile [ -e \"$MIRROR/unpacking\" ]; do sleep 0.1; done\n");
    let child = clone.command(&["--from", "k.tar"]).spawn().unwrap();
    let start = Instant::now();
    while !clone.at("mirror/unpacking").exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "did not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

#[rstest]
#[case("INT", Some(130))]
#[case("TERM", Some(143))]
#[case("HUP", Some(129))]
#[case("KILL", None)]
fn an_interrupted_run_leaves_nothing_half_done(#[case] signal: &str, #[case] code: Option<i32>) {
    let clone = Clone::new();
    let tree = clone.tree("one");
    write_tree(&clone.at("k"), &tree);
    clone.succeeds(&["--from", "k"]);
    let before = clone.revision("7.3");
    tar(&clone.at("k"), "cf", &clone.at("k.tar"), &["."]);

    let mut child = start_to_unpack(&clone);
    let start = Instant::now();
    let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), code);
    assert!(start.elapsed() < Duration::from_secs(5));
    if code.is_some() {
        let mut text = String::new();
        child.stderr.unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "setup: interrupted; run ./setup again to finish\n");
        clone.left_nothing();
    }
    assert_eq!(clone.revision("7.3"), before);
    fs::remove_file(clone.at("bin/tar")).unwrap();
    assert_eq!(result(&clone.command(&[]).output().unwrap()), (0, String::new()));
}

#[rstest]
fn repairs_what_a_kill_left_between_the_renames() {
    let clone = Clone::new();
    let tree = clone.tree("one");
    write_tree(&clone.at("k"), &tree);
    clone.succeeds(&["--from", "k"]);
    fs::rename(clone.vendored("7.3"), clone.vendored(".old.7.3")).unwrap();
    fs::create_dir(clone.vendored(".new.1")).unwrap();
    assert_eq!(clone.succeeds(&["--from", "k"]), "");
    clone.assert_holds("7.3", &tree);
}

#[rstest]
fn runs_side_by_side() {
    let clone = Clone::new();
    let trees = ["one", "other"].map(|salt| clone.tree(salt));
    let mut runs = vec![];
    for (name, tree) in ["one", "other"].iter().zip(&trees) {
        write_tree(&clone.at(name), tree);
    }
    for name in ["one", "other", "one", "other"] {
        runs.push(clone.command(&["--from", name]).spawn().unwrap());
    }
    for run in runs {
        let (code, text) = result(&run.wait_with_output().unwrap());
        assert_eq!(code, 0, "{text}");
    }
    clone.left_nothing();
    assert_eq!(clone.succeeds(&[]), "");
}

#[rstest]
#[case("libclang.so", true)]
#[case("libclang.so.19", true)]
#[case("libclang-19.so", true)]
#[case("libclang-14.so.14.0.6", true)]
#[case("libclang-cpp.so.19", false)]
#[case("libclang-cpp.so", false)]
#[case("libclang.a", false)]
#[case("libclang.txt", false)]
fn finds_libclang(#[case] name: &str, #[case] found: bool) {
    let clone = Clone::new();
    write_tree(&clone.at("k"), &clone.tree("one"));
    fs::remove_file(clone.at("lib/libclang.so")).unwrap();
    fs::write(clone.at("lib").join(name), elf()).unwrap();
    if found {
        clone.succeeds(&["--from", "k"]);
        fs::write(clone.at("lib").join(name), "no library").unwrap();
    }
    clone.fails(&[], &["LIBCLANG_PATH", "no libclang is there"]);
}

/// The manifest has what the script reads from it.
#[rstest]
fn the_manifest_is_in_order() {
    let manifest = fs::read_to_string(format!("{PROJECT}/vendor/manifest.toml")).unwrap();
    // Path and form of each file that a package must contain.
    let mut required = vec![];
    let mut revisions: Vec<Vec<&str>> = vec![];
    for line in manifest.lines() {
        let Some((path, value)) = line.strip_prefix('"').and_then(|line| line.split_once("\" = "))
        else {
            if line == "[[revision]]" {
                revisions.push(vec![]);
            }
            continue;
        };
        if let Some(facts) = value.strip_prefix("{ license = \"") {
            let form = facts.split_once("\", form = \"").map(|(_, rest)| &rest[..3]);
            assert!(form.is_none_or(|form| ["gpu", "drm"].contains(&form)), "{line}");
            if !value.contains("optional = true") {
                required.push((path, form));
            }
        } else {
            let hash = value.trim_matches('"');
            assert!(
                hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{line}"
            );
            revisions.last_mut().unwrap().push(path);
        }
    }
    assert!(!revisions.is_empty());
    for revision in &revisions {
        let of = if revision.contains(&"drivers/gpu/buddy.c") { "gpu" } else { "drm" };
        for (path, form) in &required {
            assert_eq!(revision.contains(path), form.is_none_or(|form| form == of), "{path}");
        }
    }
}
