"""A shared library that Cargo builds.

Cargo stays the one that knows how the crate is built: the same manifest, lock file and profile, and so the same
library as `cargo build --release --locked`. Bazel knows when: the action runs when a declared input changes, and it
sees the declared inputs alone. No other rules are needed, so this works with any Bazel from 4.2 on, and Bazel itself
needs no network. Cargo does, as usual, for crates that its home does not have yet.
"""

def _cargo_cdylib_impl(ctx):
    manifest = ctx.file.manifest
    library = ctx.actions.declare_file("lib{}.so".format(ctx.label.name))
    sources = [manifest, ctx.file.lockfile] + ctx.files.srcs

    # In another workspace the crate lies in external/NAME. Cargo gets its files relative to the manifest.
    root = manifest.path[:-len(manifest.basename)]
    for source in sources:
        if not source.path.startswith(root):
            fail("{} is not in the manifest's folder, {}".format(source.path, root))

    listing = ctx.actions.declare_file(ctx.label.name + ".sources")
    ctx.actions.write(listing, "".join([source.path[len(root):] + "\n" for source in sources]))

    ctx.actions.run(
        executable = ctx.executable._driver,
        arguments = [root or "./", listing.path, library.path],
        inputs = sources + [listing],
        outputs = [library],
        mnemonic = "CargoCdylib",
        progress_message = "Building {} with Cargo (the first time takes minutes)".format(library.short_path),
        # The toolchain and the registry are the user's own; see .bazelrc.
        use_default_shell_env = True,
        # What Cargo has compiled stays between builds, in a folder that no sandbox and no other machine has.
        execution_requirements = {
            "local": "1",
            "requires-network": "1",
        },
    )
    return [DefaultInfo(
        files = depset([library]),
        runfiles = ctx.runfiles([library]),
    )]

cargo_cdylib = rule(
    implementation = _cargo_cdylib_impl,
    doc = "Builds `libNAME.so` with `cargo build --release --locked`; NAME is also the name of the crate.",
    attrs = {
        "lockfile": attr.label(
            doc = "Cargo.lock. A build that would have to change it fails.",
            allow_single_file = [".lock"],
            mandatory = True,
        ),
        "manifest": attr.label(
            doc = "Cargo.toml of the crate. All other files lie below its folder.",
            allow_single_file = [".toml"],
            mandatory = True,
        ),
        "srcs": attr.label_list(
            doc = "Every other file that Cargo reads. One that is not here does not exist for it.",
            allow_files = True,
            mandatory = True,
        ),
        "_driver": attr.label(
            default = Label("//bazel:cargo.sh"),
            allow_single_file = True,
            executable = True,
            cfg = "exec",
        ),
    },
)
