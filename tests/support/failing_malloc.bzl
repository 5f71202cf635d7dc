"""How a test with //tests/support:failing_malloc is linked."""

FAILING_MALLOC_LINKOPTS = [
    "-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup",
]
