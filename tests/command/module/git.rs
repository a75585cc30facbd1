//! Revisions of a repository.

use super::*;

#[test]
fn a_revision_is_read_without_a_checkout() {
    let tree = Tree::new();
    tree.commit();
    let first = tree.git(&["rev-parse", "HEAD"]);
    tree.git(&["tag", "-a", "v1", "-m", "one"]);
    tree.plant("BUG_ON(1);");
    tree.git(&["commit", "-q", "-a", "-m", "planted"]);
    tree.write(ALLOCATOR, "not committed");
    let before = (tree.git(&["status", "--porcelain"]), tree.git(&["rev-parse", "HEAD"]));

    let path = tree.path().display();
    for revision in ["v1", "HEAD~1", "HEAD@{1}", "@~", "main^", "HEAD^{/all}", &first] {
        let info = passes(&mut info(format!("{revision}@{path}")));
        assert!(info.contains(&format!("commit: {first}")), "{revision}: {info}");
    }
    let ktap = output(&mut kunit(format!("@@{path}")));
    assert_eq!(ktap.status.code(), Some(1));
    assert!(text(&ktap.stdout).contains(&format!("kernel BUG at {ALLOCATOR}")));
    // A tilde after @ is expanded without a shell.
    let name = tree.path().file_name().expect("a name");
    let mut command = info(format!("v1@~/{}", name.display()));
    passes(command.env("HOME", tree.path().parent().expect("a parent")));
    // GIT_DIR is set in a hook of another repository.
    passes(info(format!("v1@{path}")).env("GIT_DIR", project().join("src")));

    let after = (tree.git(&["status", "--porcelain"]), tree.git(&["rev-parse", "HEAD"]));
    assert_eq!(after, before);
    assert_eq!(tree.read(ALLOCATOR), "not committed");
}

#[test]
fn a_repository_may_be_bare_or_have_the_tree_in_a_folder() {
    let place = folder();
    let inside = place.path().join("src/my linux");
    fs::create_dir_all(&inside).expect("a folder");
    copy(&kernel_tree(), &inside);
    // Beside buddy.c, and by way of a link.
    let original = fs::read_to_string(inside.join(ALLOCATOR)).expect(ALLOCATOR);
    let included = format!("#include \"inner.h\"\n{original}");
    write(&inside.join(ALLOCATOR), included);
    write(&inside.join("drivers/gpu/real.h"), "#define INNER 1\n");
    symlink("real.h", inside.join("drivers/gpu/inner.h")).expect("a link");
    git(place.path(), &["init", "-q", "-b", "main"]);
    git(place.path(), &["add", "-A"]);
    git(place.path(), &["commit", "-q", "-m", "all"]);
    let listed = passes(&mut info(format!("main@{}", inside.display())));
    assert!(listed.contains("  drivers/gpu/inner.h"), "{listed}");
    fails(&mut info(format!("main@{}", place.path().display())), &["not a kernel tree", ALLOCATOR]);

    let tree = Tree::new();
    tree.commit();
    let bare = folder();
    git(tree.path(), &["clone", "-q", "--bare", ".", &bare.path().display().to_string()]);
    passes(&mut info(format!("main@{}", bare.path().display())));
}

#[test]
fn a_wrong_revision_is_explained() {
    let tree = Tree::new();
    tree.commit();
    let path = tree.path().display().to_string();
    for revision in ["v9", "-v9", "--help", "main:drivers", "main\nx", "$(id)"] {
        let no_revision = format!("has no revision {revision}");
        fails(&mut gpu_buddy(["info", &format!("--kernel={revision}@{path}")]), &[&no_revision]);
    }
    let other = folder();
    let name = format!("main@{}", other.path().display());
    fails(info(name).env("GIT_CEILING_DIRECTORIES", "/"), &["not a git repository"]);
    let name = format!("main@{path}");
    fails(info(name).env("PATH", other.path()), &["git cannot be run", "check the revision out"]);
}
