"""One fuzz target, three ways to run it."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

def mr_fuzz_test(
        name,
        srcs,
        corpus = None,
        dict = None,
        deps = [],
        must_fail = False,
        runs = 20000,
        size = "small"):
    """Declares a fuzz target that defines LLVMFuzzerTestOneInput() and no main().

    `name`           a test: each file of the corpus, then random mutations of
                     them. Part of `bazel test //...` in every configuration.
    `name_libfuzzer` bazel run --config=fuzz //fuzz:name_libfuzzer -- CORPUS
    `name_afl`       bazel build --config=afl //fuzz:name_afl, then afl-fuzz

    Args:
      name: by convention <component>_<what>_fuzz, like its source.
      srcs: C sources, as a rule one.
      corpus: a folder of this package; "corpus/" + name if omitted. It may be
        missing: then everything starts from the empty input.
      dict: a dictionary file for the fuzzers; data of the two fuzzer programs.
      deps: what the target tests.
      must_fail: the test passes only if the target dies.
      runs: number of mutations in the test.
      size: size of the test.
    """
    corpus = corpus or "corpus/" + name
    corpus_files = native.glob([corpus + "/*"], allow_empty = True)
    fuzzer_data = corpus_files + ([dict] if dict else [])

    cc_library(
        name = name + "_target",
        testonly = True,
        srcs = srcs,
        deps = deps,
        alwayslink = True,
    )

    args = ["--runs=%d" % runs]
    if must_fail:
        args.append("--must-fail")
    if corpus_files:
        args.append(native.package_name() + "/" + corpus)
    cc_test(
        name = name,
        size = size,
        args = args,
        data = corpus_files,
        deps = [
            name + "_target",
            "//tools/fuzz:replay_main",
        ],
    )

    for fuzzer in ["libfuzzer", "afl"]:
        cc_binary(
            name = name + "_" + fuzzer,
            testonly = True,
            data = fuzzer_data,
            tags = ["manual"],
            deps = [
                name + "_target",
                "//tools/fuzz:%s_main" % fuzzer,
            ],
        )
