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

_NO_MIMALLOC = """
millrace: mimalloc's source is missing: programs for Windows use Windows' own heap.
tools/bazel unpacks it with tools/mimalloc.sh when --config=windows or a test needs it."""

def _mimalloc_source_impl(ctx):
    folder = ctx.os.environ.get("MILLRACE_MIMALLOC", "none")
    there = folder != "none" and ctx.path(folder).get_child("src").get_child("static.c").exists
    if there:
        for name in ["include", "src"]:
            ctx.symlink(folder + "/" + name, name)
    else:
        print(_NO_MIMALLOC)
    ctx.symlink(ctx.attr.there if there else ctx.attr.missing, "BUILD")
    ctx.file("there.bzl", "MIMALLOC = %s\n" % there)

# mimalloc for Windows, where tools/bazel unpacked its source, which it says in the environment.
mimalloc_source = repository_rule(
    implementation = _mimalloc_source_impl,
    attrs = {
        "missing": attr.label(default = "@windows//:no_mimalloc.BUILD"),
        "there": attr.label(default = "@windows//:mimalloc.BUILD"),
    },
    environ = ["MILLRACE_MIMALLOC"],
    local = True,
)
