"""gcc for Windows, as Debian's packages g*-mingw-w64-x86-64-posix install it."""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "ACTION_NAMES")
load(
    "@bazel_tools//tools/cpp:cc_toolchain_config_lib.bzl",
    "artifact_name_pattern",
    "feature",
    "flag_group",
    "flag_set",
    "tool_path",
    "with_feature_set",
)

PREFIX = "/usr/bin/x86_64-w64-mingw32-"

# What `bazel` calls a tool, and what it is here. One compiler for C and C++, as on Linux.
TOOLS = {
    "ar": PREFIX + "ar",
    "cpp": PREFIX + "cpp-posix",
    "gcc": PREFIX + "gcc-posix",
    "gcov": PREFIX + "gcov-posix",
    "ld": PREFIX + "ld",
    "nm": PREFIX + "gcc-nm-posix",
    "objcopy": PREFIX + "objcopy",
    "objdump": PREFIX + "objdump",
    "strip": PREFIX + "strip",
}

COMPILE = [
    ACTION_NAMES.assemble,
    ACTION_NAMES.preprocess_assemble,
    ACTION_NAMES.c_compile,
    ACTION_NAMES.cpp_compile,
    ACTION_NAMES.cpp_header_parsing,
    ACTION_NAMES.cpp_module_compile,
    ACTION_NAMES.linkstamp_compile,
]

LINK = [
    ACTION_NAMES.cpp_link_executable,
    ACTION_NAMES.cpp_link_dynamic_library,
    ACTION_NAMES.cpp_link_nodeps_dynamic_library,
]

def _flags(actions, flags, mode = None):
    return flag_set(
        actions = actions,
        flag_groups = [flag_group(flags = flags)],
        with_features = [with_feature_set(features = [mode])] if mode else [],
    )

def _mingw_toolchain_config_impl(ctx):
    features = [
        # The modes are features that Bazel turns on.
        feature(name = "dbg"),
        feature(name = "fastbuild"),
        feature(name = "opt"),
        feature(
            name = "default_flags",
            enabled = True,
            flag_sets = [
                _flags(COMPILE, [
                    # Paths of headers as the compiler was told them, for the list below.
                    "-fno-canonical-system-headers",
                    "-no-canonical-prefixes",
                    # Windows 8, for the exact clock; older ones have no support.
                    "-D_WIN32_WINNT=0x0602",
                    # What mingw-w64 has of POSIX: localtime_r().
                    "-D_POSIX_THREAD_SAFE_FUNCTIONS=200112L",
                ]),
                _flags(COMPILE, ["-g"], mode = "dbg"),
                _flags(COMPILE, [
                    "-O2",
                    "-DNDEBUG",
                ], mode = "opt"),
                _flags(LINK, [
                    # The .exe stands alone: libgcc, libstdc++ and winpthread are in it.
                    "-static",
                    "-Wl,--dynamicbase,--nxcompat,--high-entropy-va",
                    # The same sources make the same file.
                    "-Wl,--no-insert-timestamp",
                    # The library for it, where code was hardened (--config=release).
                    "-fstack-protector",
                ]),
            ],
        ),
    ]
    return cc_common.create_cc_toolchain_config_info(
        ctx = ctx,
        abi_libc_version = "mingw-w64",
        abi_version = "gcc",
        artifact_name_patterns = [
            artifact_name_pattern(
                category_name = "executable",
                prefix = "",
                extension = ".exe",
            ),
        ],
        compiler = "mingw-gcc",
        cxx_builtin_include_directories = [
            "/usr/lib/gcc/x86_64-w64-mingw32",
            "/usr/share/mingw-w64/include",
            "/usr/x86_64-w64-mingw32/include",
        ],
        features = features,
        host_system_name = "x86_64-linux-gnu",
        target_cpu = "x64_windows",
        target_libc = "mingw-w64",
        target_system_name = "x86_64-w64-mingw32",
        tool_paths = [tool_path(name = name, path = path) for name, path in TOOLS.items()],
        toolchain_identifier = "mingw-gcc-x64",
    )

mingw_toolchain_config = rule(
    implementation = _mingw_toolchain_config_impl,
    provides = [CcToolchainConfigInfo],
)
