//! Trees of each generation, and their paths.

use super::*;

#[rstest]
#[case("7.3")]
#[case("7.2")]
#[case("6.12")]
#[case("6.12.95")]
#[case("6.1")]
fn each_generation_passes_its_own_suite(#[case] name: &str) {
    if series(name).is_none() {
        return;
    }
    let ktap = passes(kunit(name).env_remove("CFLAGS"));
    assert!(ktap.contains(" fail:0 ") && !ktap.contains("pass:0"), "{ktap}");
    let info = passes(&mut info(name));
    assert!(info.contains(&format!("series: {name}\n")), "{info}");
}

#[test]
fn of_two_forms_the_gpu_form_is_taken() {
    let tree = Tree::new();
    tree.write("drivers/gpu/drm/drm_buddy.c", "#include <drm/drm_buddy.h>\nint only_prints;\n");
    tree.write("include/drm/drm_buddy.h", "#include <linux/gpu_buddy.h>\n");
    let info = passes(&mut info(tree.path()));
    assert!(info.contains(ALLOCATOR) && !info.contains("drm_buddy"), "{info}");
}

#[test]
fn openbsds_layout_is_known() {
    let Some(linux) = series("6.12.95") else { return };
    let tree = folder();
    for (from, to) in [
        ("drivers/gpu/drm/drm_buddy.c", "sys/dev/pci/drm/drm_buddy.c"),
        ("include/drm/drm_buddy.h", "sys/dev/pci/drm/include/drm/drm_buddy.h"),
    ] {
        write(&tree.path().join(to), fs::read(linux.join(from)).expect(from));
    }
    let info = passes(&mut info(tree.path()));
    assert!(info.contains("sys/dev/pci/drm/drm_buddy.c"), "{info}");
    let (_, lent) = info.split_once("files missing from the tree").expect(&info);
    assert!(lent.contains("lib/rbtree.c"), "{info}");
    fails(&mut kunit(tree.path()), &["the tree has no KUnit suite"]);
}

#[test]
fn a_tree_without_suite_and_support_borrows() {
    let Some(linux) = series("6.1") else { return };
    let tree = folder();
    for file in ["drivers/gpu/drm/drm_buddy.c", "include/drm/drm_buddy.h"] {
        write(&tree.path().join(file), fs::read(linux.join(file)).expect(file));
    }
    let listed = passes(&mut info(tree.path()));
    let (files, lent) = listed.split_once("files missing from the tree").expect(&listed);
    for file in ["lib/rbtree.c", "include/linux/rbtree.h", "lib/random32.c"] {
        assert!(lent.contains(file) && !files.contains(file), "{listed}");
    }
    assert!(files.contains("drm_buddy.c"), "{listed}");
    fails(&mut kunit(tree.path()), &[&tree.path().display().to_string(), "no KUnit suite"]);
}

#[rstest]
#[case::missing("7.0.0", &["7.0.0 is neither a series", "nor a folder, nor REV@PATH", "./setup"])]
#[case::empty("", &["neither a series"])]
#[case::file("Cargo.toml", &["Cargo.toml is a file", "./setup --from"])]
#[case::other_folder("src", &["src: it is not a kernel tree", ALLOCATOR])]
#[case::no_folder("v7.2@nowhere", &["there is no folder nowhere"])]
#[case::cache_folder("modules", &["modules is neither a series"])]
fn what_is_no_kernel_is_named(#[case] kernel: &str, #[case] says: &[&str]) {
    fails(info(kernel).current_dir(project()), says);
}

#[test]
fn a_missing_or_unreadable_file_is_named() {
    let tree = Tree::new();
    fs::remove_file(tree.path().join(HEADER)).expect("it was there");
    fails(&mut info(tree.path()), &[ALLOCATOR, &format!("no {HEADER}")]);
    // A folder cannot be read, even by root.
    fs::create_dir(tree.path().join(HEADER)).expect("a folder");
    fails(&mut info(tree.path()), &[HEADER, "cannot be read", "directory"]);
}

#[test]
fn of_the_revisions_that_setup_keeps_the_newest_is_taken() {
    let cache = folder();
    for version in ["9.9.2-1", "9.9.10-1", "9.9.9-1", ".new.1"] {
        let tree = cache.path().join("gpu-buddy/9.9").join(version);
        fs::create_dir_all(&tree).expect("a folder");
        copy(&kernel_tree(), &tree);
        write(&tree.join("REVISION"), format!("series: 9.9\nversion: {version}\n"));
    }
    let info = passes(info("9.9").env("XDG_CACHE_HOME", cache.path()));
    assert!(info.contains("version: 9.9.10-1"), "{info}");
}

#[rstest]
#[case::spaces(b"a  tree")]
#[case::quotes(b"it's \"quoted\" $HOME `id`")]
#[case::newline(b"two\nlines")]
#[case::at(b"me@home")]
#[case::no_utf8(b"caf\xe9")]
#[case::long(&[b'x'; 255])]
fn odd_paths_work(#[case] name: &[u8]) {
    let place = folder();
    let odd = place.path().join(OsStr::from_bytes(name));
    fs::create_dir(&odd).expect("a folder");
    let (tree, cache) = (odd.join("linux"), odd.join("cache"));
    fs::create_dir(&tree).expect("a folder");
    copy(&kernel_tree(), &tree);
    let original = fs::read(tree.join(ALLOCATOR)).expect(ALLOCATOR);
    write(&tree.join(ALLOCATOR), [b"/* ", name, b" */\n", &original[..]].concat());
    let status = Command::new("cp").arg("-r").arg(warm_cache().path()).arg(&cache).status();
    assert!(status.expect("cp runs").success());

    let mut command = kunit(&tree);
    command.args(["--filter", "*_limit"]).env("XDG_CACHE_HOME", &cache).env("TMPDIR", &odd);
    assert_eq!(work(&mut command), only(&[ALLOCATOR]));
    assert_eq!(work(&mut command), NOTHING);
}

#[test]
fn an_odd_folder_for_temporary_files_works() {
    let place = folder();
    let odd = place.path().join(OsStr::from_bytes(b"it's\n\"quoted\"\xe9"));
    fs::create_dir(&odd).expect("a folder");
    let mut command = kunit(kernel_tree());
    command.env_remove("XDG_CACHE_HOME").env_remove("HOME").env("TMPDIR", &odd);
    passes(command.args(["--filter", "*_limit"]));
    assert_eq!(odd.read_dir().expect("a folder").count(), 0, "it is left as it was");
}

#[test]
fn links_and_relative_paths_lead_to_a_tree() {
    let place = folder();
    symlink(kernel_tree(), place.path().join("link")).expect("a link");
    passes(&mut info(place.path().join("link")));
    passes(info("link").current_dir(place.path()));
    passes(info("./link/").current_dir(place.path()));
    passes(info(".").current_dir(kernel_tree()));
}

#[test]
fn a_path_that_is_too_long_is_an_error() {
    let long = "x".repeat(300);
    fails(&mut info(&long), &["File name too long"]);
    fails(&mut info(format!("/{}", "x/".repeat(3000))), &["File name too long"]);
    // Without a usable cache it goes on.
    let output = output(info(kernel_tree()).env("XDG_CACHE_HOME", format!("/tmp/{long}")));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("cannot be kept"));
}
