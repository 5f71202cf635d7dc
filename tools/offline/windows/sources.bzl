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
