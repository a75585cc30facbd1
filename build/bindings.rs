//! Binds the kernel's header with bindgen.

use std::path::{Path, PathBuf};

use bindgen::callbacks::{ItemInfo, ParseCallbacks};
use sha2::{Digest, Sha256};

use crate::kernel::Kernel;
use crate::symbols::PREFIX;
use crate::{Result, read};

/// Writes `bindings.rs`, and a C file with a function for each inline function of the header.
/// Returns the path of the C file. Does nothing if the headers did not change: a change of
/// `buddy.c` alone must not start clang.
pub fn generate(package: &Path, headers: &Path, kernel: &Kernel, out: &Path) -> Result<PathBuf> {
    println!("cargo::rerun-if-env-changed=LIBCLANG_PATH");
    println!("cargo::rerun-if-env-changed=BINDGEN_EXTRA_CLANG_ARGS");
    let bindings = out.join("bindings.rs");
    let static_functions = out.join("static_functions.c");
    let wrapper = package.join("wrapper.h");
    let arguments = arguments(package, headers);

    let digest = digest(package, &wrapper, kernel, &arguments)?;
    let digest_file = out.join("bindings.sha256");
    if bindings.is_file()
        && static_functions.is_file()
        && read(&digest_file).is_ok_and(|last| last == digest)
    {
        return Ok(static_functions);
    }

    let inline = static_functions_of(&kernel.header()?);
    // Without libclang, bindgen panics. Replace the panic with instructions.
    std::panic::set_hook(Box::new(|_| {}));
    let generated = std::panic::catch_unwind(|| {
        bindgen::Builder::default()
            .header(wrapper.display().to_string())
            .clang_args(&arguments)
            .use_core()
            .allowlist_function("gpu_.*")
            .allowlist_type("gpu_buddy|gpu_buddy_block|gpu_buddy_free_tree|list_head|lockdep_map")
            .allowlist_var("CONSTANT_.*|GPU_BUDDY_.*")
            .override_abi(bindgen::Abi::CUnwind, ".*")
            .wrap_static_fns(true)
            .wrap_static_fns_path(&static_functions)
            .layout_tests(true)
            .derive_default(false)
            .generate_comments(false)
            .parse_callbacks(Box::new(Names { static_functions: inline.clone() }))
            .generate()
    });
    let _ = std::panic::take_hook();
    let generated = match generated {
        Ok(Ok(generated)) => generated,
        Ok(Err(error)) => {
            return Err(format!("bindgen cannot read {}: {error}", wrapper.display()));
        }
        Err(panic) => {
            let reason = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            return Err(format!(
                "bindgen cannot run: {}\n\
                 It needs libclang, which ./setup installs. If libclang is in an unusual place, \
                 set LIBCLANG_PATH.",
                reason.lines().next().unwrap_or("unknown reason")
            ));
        }
    };
    // Functions that call a static one: see `generated_link_name_override`.
    let text =
        generated.to_string().replace("link_name = \"gpu_", &format!("link_name = \"{PREFIX}gpu_"));
    std::fs::write(&bindings, text)
        .and_then(|()| std::fs::write(&digest_file, digest))
        .map_err(|error| format!("{}: {error}", bindings.display()))?;
    Ok(static_functions)
}

/// The arguments that make clang see the headers as the compiler does.
fn arguments(package: &Path, headers: &Path) -> Vec<String> {
    vec![
        "-std=gnu11".into(),
        "-nostdinc".into(),
        format!("-I{}", package.join("vendor/shim").display()),
        format!("-I{}", headers.display()),
        "-include".into(),
        "linux/kconfig.h".into(),
    ]
}

/// A digest of everything that the bindings depend on.
fn digest(package: &Path, wrapper: &Path, kernel: &Kernel, arguments: &[String]) -> Result<String> {
    let mut inputs = vec![wrapper.to_owned(), package.join("build/bindings.rs")];
    collect_headers(&package.join("vendor/shim"), &mut inputs)?;
    inputs
        .extend(kernel.files().filter(|file| file.ends_with(".h")).map(|file| kernel.path(&file)));
    inputs.sort();

    let mut hash = Sha256::new();
    hash.update(arguments.join("\n"));
    for input in inputs {
        hash.update(input.display().to_string());
        hash.update(read(&input)?);
    }
    Ok(crate::facts::hex(&hash.finalize()))
}

fn collect_headers(folder: &Path, headers: &mut Vec<PathBuf>) -> Result<()> {
    let entries = folder.read_dir().map_err(|error| format!("{}: {error}", folder.display()))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            collect_headers(&path, headers)?;
        } else if path.extension().is_some_and(|extension| extension == "h") {
            headers.push(path);
        }
    }
    Ok(())
}

/// The names of the inline functions in a header.
fn static_functions_of(header: &str) -> Vec<String> {
    let definitions = header.split("static inline").skip(1);
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    definitions
        .filter_map(|text| text.split('(').next()?.trim_end().rsplit(|c| !is_name(c)).next())
        .map(str::to_owned)
        .collect()
}

#[derive(Debug)]
struct Names {
    static_functions: Vec<String>,
}

impl ParseCallbacks for Names {
    /// Gives functions this crate's link names: see symbols.rs.
    fn generated_link_name_override(&self, item: ItemInfo) -> Option<String> {
        // If this names a static function, bindgen generates no function that calls it.
        let is_static = self.static_functions.iter().any(|name| name == item.name);
        (item.name.starts_with("gpu_") && !is_static).then(|| format!("{PREFIX}{}", item.name))
    }

    fn item_name(&self, item: ItemInfo) -> Option<String> {
        item.name.strip_prefix("CONSTANT_").map(str::to_owned)
    }
}
