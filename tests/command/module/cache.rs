//! Broken and shared caches, and how large one gets.

use super::*;

fn cut_short(path: &Path) {
    let whole = fs::read(path).expect("a file");
    fs::write(path, &whole[..whole.len() / 2]).expect("a file");
}

fn flip_a_byte(path: &Path) {
    let mut whole = fs::read(path).expect("a file");
    let middle = whole.len() / 2;
    whole[middle] ^= 1;
    fs::write(path, whole).expect("a file");
}

fn empty(path: &Path) {
    fs::write(path, "").expect("a file");
}

fn link_elsewhere(path: &Path) {
    fs::rename(path, path.with_extension("elsewhere")).expect("a new name");
    symlink(path.with_extension("elsewhere"), path).expect("a link");
}

/// Replaces a file by text, under the name with the right digest.
fn replace(path: &Path) {
    fs::write(path, "no object").expect("a file");
    let output = output(Command::new("sha256sum").arg(path));
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let (key, rest) = name.split_once('-').expect("a key and a digest");
    let (_, ending) = rest.split_once('.').expect("an ending");
    let name = format!("{key}-{}.{ending}", &text(&output.stdout)[..32]);
    fs::rename(path, path.with_file_name(name)).expect("a new name");
}

#[rstest]
#[case::cut_short(cut_short)]
#[case::flipped(flip_a_byte)]
#[case::empty(empty)]
#[case::link(link_elsewhere)]
#[case::replaced(replace)]
fn a_broken_module_is_linked_again(#[case] damage: fn(&Path)) {
    let cache = warm_cache();
    kept(cache.path(), ".so").iter().for_each(|path| damage(path));
    let mut command = kunit(kernel_tree());
    command.args(["--filter", "*_limit"]).env("XDG_CACHE_HOME", cache.path());
    assert_eq!(work(&mut command), only(&[]));
    assert_eq!(work(&mut command), NOTHING);
}

#[rstest]
#[case::flipped(flip_a_byte, 1)]
// It shows only when it is linked.
#[case::replaced(replace, 2)]
fn a_broken_object_is_compiled_again(#[case] damage: fn(&Path), #[case] links: usize) {
    let cache = warm_cache();
    kept(cache.path(), ".so").iter().for_each(|path| fs::remove_file(path).expect("a file"));
    kept(cache.path(), ".o").iter().for_each(|path| damage(path));
    let mut command = info(kernel_tree());
    let again = work(command.env("XDG_CACHE_HOME", cache.path()));
    assert!(again.units.contains(ALLOCATOR) && again.units.len() > 5, "{again:?}");
    assert_eq!(again.links, links);
    assert_eq!(work(&mut command), NOTHING);
}

#[test]
fn several_processes_share_a_cache() {
    let cache = folder();
    let commands: Vec<_> = (0..3)
        .map(|_| {
            let mut command = kunit(kernel_tree());
            command.args(["--filter", "*_limit"]).env("XDG_CACHE_HOME", cache.path());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
        })
        .collect();
    for child in commands {
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(text(&output.stderr), "");
        assert_eq!(output.status.code(), Some(0));
    }
    let all = kept(cache.path(), "");
    assert_eq!(all.len(), kept(cache.path(), ".o").len() + kept(cache.path(), ".so").len());
    assert_eq!(work(info(kernel_tree()).env("XDG_CACHE_HOME", cache.path())), NOTHING);
}

#[test]
fn the_cache_is_bounded() {
    let cache = warm_cache();
    let modules = cache.path().join("gpu-buddy/modules");
    let hours = |hours: u64| SystemTime::now() - Duration::from_secs(60 * 60 * hours);
    let big = |name: &str, age| {
        let file = File::create(modules.join(name)).expect("a file");
        file.set_len(40 << 20).expect("room");
        file.set_modified(hours(age)).expect("a time");
    };
    let name = |digit: &str| format!("{0}-{0}.so", digit.repeat(32));
    // What is in use stays, however old it is.
    let old = kept(cache.path(), "o");
    for path in &old {
        File::open(path).and_then(|file| file.set_modified(hours(5))).expect("a time");
    }
    let base = || work(info(kernel_tree()).env("XDG_CACHE_HOME", cache.path()));
    assert_eq!(base(), NOTHING);
    big(&name("a"), 3);
    big(&name("b"), 2);
    // The cache removes only its own files.
    big("notes.txt", 4);
    for (name, age) in [(".work-left", 2), (".work-used", 0)] {
        fs::create_dir(modules.join(name)).expect("a folder");
        write(&modules.join(name).join("tree/file"), "");
        let folder = File::open(modules.join(name)).expect("a folder");
        folder.set_modified(hours(age)).expect("a time");
    }
    let tree = Tree::new();
    tree.prepend(ALLOCATOR, "/* bounded */");
    passes(info(tree.path()).env("XDG_CACHE_HOME", cache.path()));
    let there = |name: &str| modules.join(name).exists();
    assert!(!there(&name("a")) && there(&name("b")) && there("notes.txt"));
    assert!(!there(".work-left") && there(".work-used"));
    assert!(old.iter().any(|path| !path.exists()));
    assert_eq!(base(), NOTHING);
    assert_eq!(work(info(tree.path()).env("XDG_CACHE_HOME", cache.path())), NOTHING);
}
