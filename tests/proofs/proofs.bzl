"""Proofs with CBMC, the bounded model checker for C, as tests."""

# Bounds, pointers, signed overflow, shifts and divisions are always checked. These can't be where
# arithmetic is meant to wrap around, or a cast to cut.
_UNSIGNED = "--unsigned-overflow-check"
_CASTS = "--conversion-check"
WRAPS = [_CASTS]
CUTS = [_UNSIGNED]

_Sources = provider(fields = ["files"])

# A library's files, and those of what it depends on: CBMC reads sources, not objects.
def _sources_impl(_target, ctx):
    files = []
    for name in ["srcs", "hdrs", "textual_hdrs"]:
        files += getattr(ctx.rule.files, name, [])
    deps = [dep[_Sources].files for dep in getattr(ctx.rule.attr, "deps", []) if _Sources in dep]
    return [_Sources(files = depset(files, transitive = deps))]

_sources = aspect(
    implementation = _sources_impl,
    attr_aspects = ["deps"],
)

def _plan_impl(ctx):
    plan = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.write(plan, ctx.attr.plan)
    sources = depset(
        ctx.files.srcs + [plan],
        transitive = [dep[_Sources].files for dep in ctx.attr.deps],
    )
    return [DefaultInfo(
        files = depset([plan]),
        runfiles = ctx.runfiles(transitive_files = sources),
    )]

_mr_proof_plan = rule(
    implementation = _plan_impl,
    attrs = {
        "deps": attr.label_list(aspects = [_sources]),
        "plan": attr.string(),
        "srcs": attr.label_list(allow_files = [".c", ".h"]),
    },
)

def mr_proof(
        name,
        code,
        deps,
        faults,
        contracts = [],
        replaces = [],
        unwind = 1,
        unwindset = [],
        checks = [_UNSIGNED, _CASTS],
        size = "medium",
        everyday = True):
    """Declares a test that proves `name`.c for all inputs that it allows.

    It passes if the proof holds, if everything is reached that the proof says it reaches, and if
    CBMC finds something wrong after each of `faults`.

    Args:
      name: <what>_proof, like its source.
      code: sources to be linked, as paths from the root.
      deps: the libraries that have them.
      faults: (path, text, other text): planted one at a time.
      contracts: sources of this package that stand for code proven elsewhere.
      replaces: functions of `code` that `contracts` define anew.
      unwind: how often loops run at most, and once more; that it suffices is proven, too.
      unwindset: the same for single loops, as in CBMC's option.
      checks: what else is checked: WRAPS and CUTS are less than everything, [] is neither.
      size: size of the test.
      everyday: part of `bazel test //...`; the others take the longest, and are run by name.
    """
    plan = struct(
        checks = checks,
        faults = [struct(path = path, old = old, new = new) for path, old, new in faults],
        replaces = replaces,
        sources = ["%s/%s" % (native.package_name(), source) for source in
                   [name + ".c", "broken.c"] + contracts] + code,
        unwind = unwind,
        unwindset = unwindset,
    )
    _mr_proof_plan(
        name = name + "_plan",
        testonly = True,
        srcs = native.glob(["*.h"]) + [name + ".c", "broken.c"] + contracts,
        plan = plan.to_json(),
        deps = deps,
    )
    native.sh_test(
        name = name,
        size = size,
        srcs = ["prove.py"],
        args = ["$(rootpath %s_plan)" % name],
        data = [name + "_plan"],
        tags = ["proof"] + ([] if everyday else ["manual"]),
    )
