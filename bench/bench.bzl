"""Microbenchmarks: programs of Google Benchmark with micro/micro.hh."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_test")

def micro_bench(name, deps, smoke = ".", smoke_seconds = "0", size = "small"):
    """Declares NAME, a program, and NAME_test, which runs it once with small inputs.

    Args:
      name: of the program; its source is NAME.cc.
      deps: what it measures.
      smoke: which of its benchmarks the test runs.
      smoke_seconds: how long each of them, at least.
      size: of the test.
    """
    cc_binary(
        name = name,
        testonly = True,
        srcs = [name + ".cc"],
        deps = deps + [":micro_main"],
    )
    cc_test(
        name = name + "_test",
        size = size,
        srcs = [name + ".cc"],
        args = [
            "--benchmark_filter=" + smoke.replace("$", "$$"),
            "--benchmark_min_time=" + smoke_seconds,
        ],
        deps = deps + [":micro_main"],
    )
