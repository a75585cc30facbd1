//! The pictures of the pages.

use super::releases::{Placed, output_of, replayed};
use super::*;

/// Each page has a map of the state after its trace, on the first release that shows it, unless
/// the process dies. BLESS=1 draws them again.
#[test]
fn pictures_are_of_what_the_traces_leave() {
    let kernels = Placed::all();
    let mut old = Vec::new();
    for finding in replayed(findings()) {
        let name = word(&finding, "name");
        let place = project().join(format!("docs/findings/{name}.svg"));
        let Some(release) = versions(&finding, "shown_by").first().copied() else { continue };
        if words(&finding, "shows").contains(&"Segmentation fault") {
            continue;
        }
        let page = fs::read_to_string(place.with_extension("md")).expect("a page");
        assert!(page.contains(&format!("({name}.svg)")), "{name} does not show its picture");
        let kernel = kernels.iter().find(|kernel| kernel.release == release);
        let Some(kernel) = kernel.filter(|kernel| kernel.recorded) else {
            not_tested(
                &format!("pictures of findings of {release}"),
                "that release is not under vendor/linux",
            );
            continue;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let [trace, svg] = ["trace", "svg"].map(|end| folder.path().join(name).with_extension(end));
        fs::write(&trace, word(&finding, "trace")).expect("it is written");
        let mut command = command(&["map", "--labels", "-o"]);
        command.arg(&svg).arg(trace).arg("--kernel").arg(&kernel.folder);
        let said = output_of(&mut command, "");
        let drawn =
            fs::read_to_string(&svg).unwrap_or_else(|error| panic!("{name}: {error}: {said}"));
        assert!(drawn.len() < 20_000, "{name}: {} bytes", drawn.len());
        if fs::read_to_string(&place).ok().as_ref() != Some(&drawn) {
            old.push(name.to_owned());
            if std::env::var_os("BLESS").is_some() {
                fs::write(place, drawn).expect("it is written");
            }
        }
    }
    assert!(
        old.is_empty() || std::env::var_os("BLESS").is_some(),
        "old: {old:?}; BLESS=1 cargo test --test command findings:: draws them"
    );
}
