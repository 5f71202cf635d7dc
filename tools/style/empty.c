// For headers_test: a C file must not be empty, and a header may hold macros only.
typedef int mr_not_empty;
