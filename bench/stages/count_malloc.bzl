"""How binaries link whose allocations count.c counts."""

COUNT_MALLOC_LINKOPTS = [
    "-Wl,--wrap=%s" % name
    for name in [
        "malloc",
        "calloc",
        "realloc",
        "aligned_alloc",
        "posix_memalign",
        "free",
    ]
]
