//! Readers of the report: the KUnit tools, a user who interrupts it, a mailing list.

use super::*;

#[test]
fn the_kunit_tools_read_the_report() {
    let Some(place) = with_another_order() else { return };
    let (tree, base) = (place.path(), kernel_tree());
    let output = place.check(&[&tree, &"--base", &base, &"--quick", &"--seed", &"1", &"--ktap"]);
    let ktap = text(&output.stdout);
    assert!(ktap.starts_with("KTAP version 1\n"), "{ktap}");
    if let Some(parsed) = common::kunit_py_parse(&ktap) {
        assert_eq!(parsed.status.code(), Some(0), "{}", text(&parsed.stdout));
        assert!(text(&parsed.stdout).contains("passed: 7"), "{}", text(&parsed.stdout));
    }
}

#[test]
fn an_interrupt_ends_it_with_what_was_found() {
    let Some(place) = Place::with("__gpu_buddy_free(", "!gpu_buddy_block_is_free(buddy)", "1")
    else {
        return;
    };
    let (tree, base) = (place.path(), kernel_tree());
    let mut child = place
        .command(&[&tree, &"--base", &base, &"--seconds", &"600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    thread::sleep(Duration::from_secs(6));
    let started = Instant::now();
    let process = Pid::from_raw(child.id() as i32).expect("a process");
    kill_process(process, Signal::INT).expect("it runs");
    let code = child.wait().expect("it ends").code();
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    assert_eq!(code, Some(130));
    let mut stdout = String::new();
    let mut pipe = child.stdout.take().expect("a pipe");
    std::io::Read::read_to_string(&mut pipe, &mut stdout).expect("text");
    assert!(stdout.contains("interrupted"), "{stdout}");
    place.assert_clean();
}

/// The bot replies to a mail that changes the allocator, and to no other.
#[test]
fn the_mail_bot_replies() {
    let Some(place) = with_another_order() else { return };
    place.git(&["init", "-q"]);
    place.commit("patched");
    fs::copy(kernel_tree().join(ALLOCATOR), place.file()).expect("a file");
    place.commit("drm: as it was");
    let mail = |range: &str| {
        let git = Command::new("git")
            .current_dir(place.path())
            .args(["format-patch", "--stdout", "--thread", "-R", range])
            .output();
        git.expect("git").stdout
    };
    let bot = |mail: &[u8]| {
        let file = place.temporary.path().join("mail");
        fs::write(&file, mail).expect("a file");
        let output = Command::new(common::project().join("docs/ci/mail-bot"))
            .arg(kernel_tree())
            .arg("--quick")
            .stdin(fs::File::open(&file).expect("a file"))
            .env("GPU_BUDDY", env!("CARGO_BIN_EXE_gpu-buddy"))
            .env("XDG_CACHE_HOME", crate::common::module_cache())
            .env("TMPDIR", place.temporary.path())
            .output()
            .expect("it runs");
        fs::remove_file(&file).expect("a file");
        place.assert_clean();
        (output.status.code(), text(&output.stdout))
    };
    // In reverse, so that it applies to the kernel.
    let (code, reply) = bot(&mail("HEAD^..HEAD"));
    assert_eq!(code, Some(0), "{reply}");
    for line in [
        "Subject: Re: [PATCH] drm: as it was",
        "In-Reply-To: <",
        "**behaviour changes",
        "| lockstep | changed |",
        "  drivers/gpu/buddy.c\n",
    ] {
        assert!(reply.contains(line), "{line}: {reply}");
    }
    fs::write(place.path().join("README"), "Elsewhere.\n").expect("a file");
    place.commit("elsewhere");
    assert_eq!(bot(&mail("HEAD^..HEAD")), (Some(0), String::new()));
}
