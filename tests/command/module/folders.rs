//! Folders that are somebody else's, read-only, full or not there.

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("permissions");
}

#[test]
fn the_folder_is_the_users_alone() {
    // Whatever the umask is, and if ./setup has made the folder.
    let cache = folder();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_gpu-buddy"), "info"]);
    command.arg("--kernel").arg(kernel_tree()).env("CC", SHARED.join("cc"));
    passes(command.env("XDG_CACHE_HOME", cache.path().join("new")));
    let ours = cache.path().join("new/gpu-buddy");
    assert_eq!((mode(&ours), mode(&ours.join("modules"))), (0o700, 0o700));

    let cache = warm_cache();
    let ours = cache.path().join("gpu-buddy");
    chmod(&ours, 0o777);
    chmod(&ours.join("modules"), 0o755);
    assert_eq!(work(info(kernel_tree()).env("XDG_CACHE_HOME", cache.path())), NOTHING);
    assert_eq!((mode(&ours), mode(&ours.join("modules"))), (0o755, 0o700));

    chmod(&ours.join("modules"), 0o770);
    let says = [&*ours.join("modules").display().to_string(), "others may write", "chmod go-w"];
    fails(info(kernel_tree()).env("XDG_CACHE_HOME", cache.path()), &says);
    assert_eq!(mode(&ours.join("modules")), 0o770);
}

#[test]
fn a_folder_of_somebody_else_is_refused() {
    if !is_root() {
        eprintln!("NOT TESTED: only root can make a folder somebody else's");
        return;
    }
    let cache = warm_cache();
    let ours = cache.path().join("gpu-buddy");
    let says = ["belongs to another user", "XDG_CACHE_HOME can name a folder of your own"];
    let chown =
        |path: &Path, user| std::os::unix::fs::lchown(path, Some(user), None).expect("chown");
    for path in [&ours, &ours.join("modules")] {
        chown(path, 1);
        let name = path.display().to_string();
        let says = [&[&*name], &says[..]].concat();
        fails(info(kernel_tree()).env("XDG_CACHE_HOME", cache.path()), &says);
        chown(path, 0);
    }
    // A link of somebody else is refused, too.
    let other = folder();
    symlink(&ours, other.path().join("gpu-buddy")).expect("a link");
    assert_eq!(work(info(kernel_tree()).env("XDG_CACHE_HOME", other.path())), NOTHING);
    chown(&other.path().join("gpu-buddy"), 1);
    fails(info(kernel_tree()).env("XDG_CACHE_HOME", other.path()), &says);
    // A file of somebody else is not used.
    for path in kept(cache.path(), "o") {
        chown(&path, 1);
    }
    let again = work(info(kernel_tree()).env("XDG_CACHE_HOME", cache.path()));
    assert!(again.links == 1 && again.units.len() > 5, "{again:?}");
}

#[rstest]
#[case::nothing(None)]
#[case::relative(Some("cache"))]
fn no_home_works(#[case] cache: Option<&str>) {
    let place = folder();
    let mut command = info(kernel_tree());
    command.env_remove("HOME").env_remove("XDG_CACHE_HOME").current_dir(place.path());
    cache.map(|cache| command.env("XDG_CACHE_HOME", cache));
    passes(command.env("TMPDIR", place.path()));
    assert_eq!(place.path().read_dir().expect("a folder").count(), 0);
}

#[rstest]
#[case::no_folder("/dev/null")]
#[case::cannot_be_made("/proc/nothing")]
fn an_unwritable_home_works(#[case] home: &str) {
    let mut command = info(kernel_tree());
    let output = output(command.env("HOME", home).env_remove("XDG_CACHE_HOME"));
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("what is compiled cannot be kept"), "{stderr}");
}

/// Runs a script with mounts of its own. `None` if that is not allowed.
fn with_mounts(script: &str, arguments: &[&OsStr]) -> Option<Output> {
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script, "sh"]).args(arguments);
        command.env("CC", SHARED.join("cc")).env("CFLAGS", QUICK);
        command
    };
    let mount = "mount -t tmpfs none /tmp";
    if !unshared(mount).output().is_ok_and(|output| output.status.success()) {
        eprintln!("NOT TESTED: nothing can be mounted here");
        return None;
    }
    Some(output(&mut unshared(script)))
}

#[test]
fn a_read_only_cache_works() {
    let cache = warm_cache();
    let tree = Tree::new();
    tree.prepend(ALLOCATOR, "/* read-only */");
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && \
                  XDG_CACHE_HOME=$1 \"$2\" info --kernel \"$3\" && \
                  XDG_CACHE_HOME=$1 \"$2\" info --kernel \"$4\"";
    let tree_in = kernel_tree();
    let arguments = [
        cache.path().as_os_str(),
        OsStr::new(env!("CARGO_BIN_EXE_gpu-buddy")),
        tree_in.as_os_str(),
        tree.path().as_os_str(),
    ];
    let Some(output) = with_mounts(script, &arguments) else { return };
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("cannot be kept"), "{stderr}");
}

#[rstest]
// No room in the cache: the folder for temporary files is used.
#[case::cache("60k", "1g", &[])]
#[case::both("60k", "60k", &["No space left on device", "TMPDIR"])]
// There is room for the sources, but not for the objects.
#[case::tight("60k", "700k", &["No space left on device", "TMPDIR"])]
fn a_full_disk_is_explained(#[case] cache: &str, #[case] tmp: &str, #[case] says: &[&str]) {
    let place = folder();
    for name in ["cache", "tmp"] {
        fs::create_dir(place.path().join(name)).expect("a folder");
    }
    let script = format!(
        "cd \"$1\" && mount -t tmpfs -o size={cache} none cache && \
         mount -t tmpfs -o size={tmp} none tmp && \
         XDG_CACHE_HOME=$1/cache TMPDIR=$1/tmp \"$2\" kunit --filter '*_limit' --kernel \"$3\""
    );
    let tree = kernel_tree();
    let binary = OsStr::new(env!("CARGO_BIN_EXE_gpu-buddy"));
    let arguments = [place.path().as_os_str(), binary, tree.as_os_str()];
    let Some(output) = with_mounts(&script, &arguments) else { return };
    let stderr = text(&output.stderr);
    let expected = if says.is_empty() { Some(0) } else { Some(2) };
    assert_eq!(output.status.code(), expected, "{stderr}");
    for words in says {
        assert!(stderr.contains(words), "no {words:?} in:\n{stderr}");
    }
}

#[test]
fn a_cache_without_permission_to_execute_is_an_error() {
    let place = folder();
    let script = "mount -t tmpfs -o noexec none \"$1\" && \
                  XDG_CACHE_HOME=$1 \"$2\" info --kernel \"$3\"";
    let tree = kernel_tree();
    let binary = OsStr::new(env!("CARGO_BIN_EXE_gpu-buddy"));
    let arguments = [place.path().as_os_str(), binary, tree.as_os_str()];
    let Some(output) = with_mounts(script, &arguments) else { return };
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("XDG_CACHE_HOME can name a folder on another"), "{stderr}");
}

#[test]
fn the_bare_program_needs_a_compiler_and_nothing_else() {
    let place = folder();
    let path = |name: &str| place.path().join(name);
    for name in ["home", "empty", "linux"] {
        fs::create_dir(path(name)).expect("a folder");
    }
    fs::copy(env!("CARGO_BIN_EXE_gpu-buddy"), path("empty/gpu-buddy")).expect("a copy");
    copy(&kernel_tree(), &path("linux"));
    let mut command = Command::new(path("empty/gpu-buddy"));
    command.arg("kunit").arg("--kernel").arg(path("linux")).current_dir(path("empty"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let ktap = passes(command.env("HOME", path("home")));
    assert!(ktap.contains(" fail:0 "), "{ktap}");
    assert!(path("home/.cache/gpu-buddy/modules").is_dir());
    assert_eq!(path("empty").read_dir().expect("a folder").count(), 1);
}
