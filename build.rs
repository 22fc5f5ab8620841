//! Builds the seam to Envoy and says how `libgraft.so` is linked.
//!
//! 1. `src/abi/callbacks.c` becomes an object: the table of weak references to Envoy's callbacks.
//! 2. `bindgen` turns `include/envoy_dynamic_module.h` and that table into Rust declarations, which
//!    `src/abi/raw.rs` includes.
//! 3. The library must load in a distroless image and must stay mapped once it is loaded; see `link`.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

const HEADER: &str = "include/envoy_dynamic_module.h";
const TABLE: &str = "src/abi/callbacks.h";
const TABLE_SOURCE: &str = "src/abi/callbacks.c";

fn main() -> Result<(), Box<dyn Error>> {
    for input in ["build.rs", HEADER, TABLE, TABLE_SOURCE] {
        println!("cargo:rerun-if-changed={input}");
    }
    compile_table()?;
    declare_abi()?;
    link()
}

fn compile_table() -> Result<(), Box<dyn Error>> {
    cc::Build::new()
        .file(TABLE_SOURCE)
        .include("include")
        .std("c11")
        .warnings(true)
        .extra_warnings(true)
        .warnings_into_errors(true)
        .try_compile("graft_callbacks")?;
    Ok(())
}

fn declare_abi() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?).join("envoy_dynamic_module.rs");
    bindgen::Builder::default()
        .header(TABLE)
        .clang_arg("-Iinclude")
        .rust_edition(bindgen::RustEdition::Edition2024)
        .use_core()
        .allowlist_var("graft_callbacks")
        .allowlist_type("graft_.*_table")
        .allowlist_type("envoy_dynamic_module_type_.*")
        // A number that this header does not know must stay a number: no Rust enum at the line.
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        // A table of nulls is what a unit test starts from.
        .derive_default(true)
        .generate_comments(false)
        .generate()?
        .write_to_file(out)?;
    Ok(())
}

/// Link arguments.
///
/// - `-z nodelete`: Envoy unloads a module when its last configuration goes, but compiled code, threads and
///   thread-local destructors of ours live on. The loader keeps the library mapped whatever Envoy asks for.
/// - The unwinder is linked in. By default Rust wants `libgcc_s.so.1`, which distroless Envoy images lack.
///   `-static-libgcc` does not change that, but if the static archive comes first, `--as-needed` drops the library.
/// - Exports: rustc writes a version script that exports every `no_mangle` symbol, also those of dependencies.
///   `--exclude-libs` hides what comes out of archives, and dependencies are archives; the hooks are not.
fn link() -> Result<(), Box<dyn Error>> {
    if env::var("CARGO_CFG_TARGET_OS")? != "linux" {
        return Ok(());
    }
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
    println!("cargo:rustc-cdylib-link-arg=-Wl,--as-needed");
    if let Some(directory) = static_unwinder()? {
        println!("cargo:rustc-link-search=native={}", directory.display());
        println!("cargo:rustc-link-lib=static:-bundle,+whole-archive=gcc_eh");
    }
    Ok(())
}

/// Where the C compiler keeps `libgcc_eh.a`; `None` for a compiler without it (musl links its unwinder anyway).
fn static_unwinder() -> Result<Option<PathBuf>, Box<dyn Error>> {
    const ARCHIVE: &str = "libgcc_eh.a";
    let output = cc::Build::new()
        .try_get_compiler()?
        .to_command()
        .arg(format!("-print-file-name={ARCHIVE}"))
        .output()?;
    let path = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    // A compiler that does not find the file prints its bare name.
    Ok(path.parent().filter(|directory| *directory != Path::new("")).map(Path::to_path_buf))
}
