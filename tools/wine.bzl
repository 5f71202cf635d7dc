"""Programs for Windows, built beside those of this machine and run by Wine.

`mr_wine_test()` gives a cc_test a twin:

    load("//tools:wine.bzl", "mr_wine_test")

    cc_test(name = "ring_test", ...)
    mr_wine_test(name = "ring_wine_test", test = ":ring_test")

`windows_binary()` is for tests of another kind: its one file is a cc_binary's .exe.
"""

# As --config=windows in .bazelrc, whatever else this build is configured to be: a sanitizer
# that Linux has, for instance, Windows has not.
_WINDOWS = {
    "//command_line_option:copt": ["-g", "-fno-omit-frame-pointer"],
    "//command_line_option:cpu": "x64_windows",
    "//command_line_option:crosstool_top": "@windows//:toolchain",
    "//command_line_option:custom_malloc": "@system//:mimalloc",
    "//command_line_option:host_crosstool_top": "@bazel_tools//tools/cpp:toolchain",
    "//command_line_option:linkopt": [],
    "//command_line_option:platform_suffix": "-windows",
    "//command_line_option:platforms": "@windows//:x64",
}

def _to_windows(_settings, _attr):
    return _WINDOWS

_windows = transition(
    implementation = _to_windows,
    inputs = [],
    outputs = _WINDOWS.keys(),
)

_ALLOWLIST = attr.label(default = "@bazel_tools//tools/allowlists/function_transition_allowlist")

def _windows_binary_impl(ctx):
    program = ctx.executable.binary
    copy = ctx.actions.declare_file(ctx.label.name + ".exe")
    ctx.actions.symlink(output = copy, target_file = program)
    return [DefaultInfo(
        files = depset([copy]),
        runfiles = ctx.runfiles([copy]),
    )]

windows_binary = rule(
    implementation = _windows_binary_impl,
    attrs = {
        "binary": attr.label(
            cfg = _windows,
            executable = True,
            mandatory = True,
        ),
        "_allowlist_function_transition": _ALLOWLIST,
    },
)

def _wine_test_impl(ctx):
    program = ctx.executable.test
    script = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(
        script,
        "#!/bin/sh\nexec %s %s %s \"$@\"\n" % (
            ctx.executable._run.short_path,
            ctx.file._prefix.short_path,
            program.short_path,
        ),
        is_executable = True,
    )
    runfiles = ctx.runfiles([
        program,
        ctx.executable._run,
        ctx.file._environment,
        ctx.file._prefix,
    ])
    return [DefaultInfo(
        executable = script,
        runfiles = runfiles.merge(ctx.attr.test[0][DefaultInfo].default_runfiles),
    )]

_wine_test = rule(
    implementation = _wine_test_impl,
    attrs = {
        "test": attr.label(
            cfg = _windows,
            executable = True,
            mandatory = True,
        ),
        "_allowlist_function_transition": _ALLOWLIST,
        "_environment": attr.label(
            allow_single_file = True,
            default = "//tools/wine:environment.sh",
        ),
        "_prefix": attr.label(
            allow_single_file = True,
            default = "//tools/wine:prefix.tar",
        ),
        "_run": attr.label(
            allow_single_file = True,
            cfg = "target",
            default = "//tools/wine:run.sh",
            executable = True,
        ),
    },
    test = True,
)

def mr_wine_test(name, test, size = "small", tags = [], everyday = False, **kwargs):
    """Declares a test that runs `test`, built for Windows, under Wine.

    What is all or mostly Windows' own is part of `bazel test //...` (`everyday`). The others, of
    code that is the same everywhere, cost more minutes to build than `bazel test //...` has to
    give: bazel test $(bazel query 'attr(tags, wine, //...)')

    Args:
      name: by convention x_wine_test, where x_test is `test`.
      test: a cc_test. Its data is there, too, at the same relative paths.
      size: size of the test.
      tags: tags beside "wine", by which all of them can be left out:
        bazel test --test_tag_filters=-wine //...
      everyday: part of `bazel test //...`.
      **kwargs: passed on (args, for instance).
    """
    _wine_test(
        name = name,
        size = size,
        tags = tags + ["wine"] + ([] if everyday else ["manual"]),
        test = test,
        **kwargs
    )
