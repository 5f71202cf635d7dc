"""Libraries for Windows that Debian has only as sources, or only for Linux."""

_MISSING = "%s is missing, which Debian's package %s has. tools/bazel installs it; " + \
           "by hand: apt-get install %s"

def _debian_sources_impl(ctx):
    for path, package in ctx.attr.packages.items():
        if not ctx.path(path).exists:
            fail(_MISSING % (path, package, package))
        ctx.symlink(path, path.split("/")[-1])
    ctx.symlink(ctx.attr.build_file, "BUILD")

# Links to files and folders of Debian's packages, by path.
debian_sources = repository_rule(
    implementation = _debian_sources_impl,
    attrs = {
        "build_file": attr.label(),
        "packages": attr.string_dict(doc = "path to the package that has it"),
    },
    local = True,
)

def _mimalloc_source_impl(ctx):
    folder = ctx.os.environ.get("MILLRACE_MIMALLOC")
    if not folder:
        fail("MILLRACE_MIMALLOC has to name a folder with mimalloc's source (apt-get source " +
             "--download-only mimalloc, unpacked).")
    for name in ctx.path(folder).readdir():
        ctx.symlink(name, name.basename)
    ctx.symlink(ctx.attr.build_file, "BUILD")

# mimalloc's source, in the folder that the variable names.
mimalloc_source = repository_rule(
    implementation = _mimalloc_source_impl,
    attrs = {"build_file": attr.label()},
    environ = ["MILLRACE_MIMALLOC"],
    local = True,
)
