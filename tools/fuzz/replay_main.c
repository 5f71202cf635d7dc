// Runs a fuzz target without a fuzzer: on each file of its corpus, then on
// random mutations of them. This is how `bazel test` keeps fuzz targets alive.
//
//   replay [--must-fail] [--runs=N] [--seconds=N] FILE_OR_FOLDER...
//
// The mutations depend on nothing but the corpus and the seed, which is printed
// and can be set by MILLRACE_SEED. An input that kills the process is written
// to a file first. With --must-fail, the target has to die (a test of the
// machinery: can it see a failure at all?).
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Optional in a target: called once before the first input.
int LLVMFuzzerInitialize(int *argc, char ***argv);
#pragma weak LLVMFuzzerInitialize

// Exists in sanitizer builds, which end the process without a signal.
void __sanitizer_set_death_callback(void (*fn)(void));
#pragma weak __sanitizer_set_death_callback

enum {
    INPUTS_MAX = 1 << 16,
    INPUT_BYTES_MAX = 1 << 16,  // Mutants do not grow beyond this.
    MUTATIONS_PER_INPUT_MAX = 8,
    INSERT_BYTES_MAX = 32,
    HEX_BYTES_MAX = 512,
};

struct input {
    uint8_t *bytes;
    size_t len;
};

static struct input *inputs;
static size_t input_count;

// The input that is running, for report_death().
static const uint8_t *current_bytes;
static size_t current_len;
static char death_path[4096];

static uint64_t random_state;

// splitmix64: small, and good enough to choose what to break.
static uint64_t random_next(void) {
    uint64_t x = (random_state += 0x9e3779b97f4a7c15u);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

// Returns a number below `bound`, or 0 if that is 0.
static size_t random_below(size_t bound) {
    return bound == 0 ? 0 : (size_t)(random_next() % bound);
}

static void die(const char *what, const char *name) {
    fprintf(stderr, "replay: %s: %s\n", what, name);
    exit(2);
}

static void *allocate(size_t len) {
    void *bytes = malloc(len == 0 ? 1 : len);
    if (bytes == NULL) {
        die("out of memory", "malloc");
    }
    return bytes;
}

static void read_file(const char *path, size_t len) {
    if (input_count == INPUTS_MAX) {
        die("too many inputs", path);
    }
    struct input *input = &inputs[input_count++];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        die("cannot open", path);
    }
    input->bytes = allocate(len);
    input->len = fread(input->bytes, 1, len, file);
    fclose(file);
}

// Reads a file, or the files of a folder in the order of their names.
static void read_path(const char *path, bool in_folder) {
    struct stat status;
    if (stat(path, &status) != 0) {
        die("cannot find", path);
    }
    if (!S_ISDIR(status.st_mode)) {
        read_file(path, (size_t)status.st_size);
        return;
    }
    if (in_folder) {
        die("a folder in a folder", path);
    }
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        die("cannot list", path);
    }
    for (int i = 0; i < count; i++) {
        char name[4096];
        if (entries[i]->d_name[0] != '.') {
            snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
            read_path(name, true);
        }
        free(entries[i]);
    }
    free(entries);
}

// Writes the current input to a file, and its beginning to the log. Called in a
// signal handler.
static void report_death(void) {
    static const char digits[] = "0123456789abcdef";
    static const char line[] =
        "\nreplay: the target died; died-on-input has the whole input, in hex it is ";
    char hex[2 * HEX_BYTES_MAX + 1];
    size_t hex_len = 0;
    for (size_t i = 0; i < current_len && i < HEX_BYTES_MAX; i++) {
        hex[hex_len++] = digits[current_bytes[i] >> 4];
        hex[hex_len++] = digits[current_bytes[i] & 15];
    }
    hex[hex_len++] = '\n';
    (void)!write(STDERR_FILENO, line, sizeof line - 1);
    (void)!write(STDERR_FILENO, hex, hex_len);
    int fd = open(death_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    (void)!write(fd, current_bytes, current_len);
}

static void on_signal(int number) {
    report_death();
    signal(number, SIG_DFL);
    raise(number);
}

// A sanitizer has handlers of its own for some signals; those stay, and it
// calls report_death() too.
static void watch_for_death(void) {
    const char *folder = getenv("TEST_UNDECLARED_OUTPUTS_DIR");
    snprintf(death_path, sizeof death_path, "%s/died-on-input", folder == NULL ? "." : folder);
    if (__sanitizer_set_death_callback != NULL) {
        __sanitizer_set_death_callback(report_death);
    }
    static const int numbers[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction present;
        sigaction(numbers[i], NULL, &present);
        if (present.sa_handler == SIG_DFL) {
            signal(numbers[i], on_signal);
        }
    }
}

// Runs the target on a copy that is exactly as large as the input, so that a
// sanitizer sees each read beyond its end.
static void run_one(const uint8_t *bytes, size_t len) {
    uint8_t *copy = allocate(len);
    if (len > 0) {
        memcpy(copy, bytes, len);
    }
    current_bytes = copy;
    current_len = len;
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

// Opens a gap of up to `want` bytes at `at`; returns how many there was room for.
static size_t open_gap(uint8_t *bytes, size_t *len, size_t at, size_t want) {
    size_t room = INPUT_BYTES_MAX - *len;
    size_t gap = want < room ? want : room;
    memmove(bytes + at + gap, bytes + at, *len - at);
    *len += gap;
    return gap;
}

static void mutate_once(uint8_t *bytes, size_t *len) {
    static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '/', '+', '#', '$'};
    size_t at = random_below(*len + 1);
    size_t gap;
    switch (*len == 0 ? 5 : random_below(8)) {
        case 0:  // Flip a bit.
            at = random_below(*len);
            bytes[at] = (uint8_t)(bytes[at] ^ (1u << random_below(8)));
            break;
        case 1:  // Set a byte to a value where things change.
            bytes[random_below(*len)] = edges[random_below(sizeof edges)];
            break;
        case 2:  // Set a byte to any value, or move it a little.
            at = random_below(*len);
            bytes[at] =
                (uint8_t)(random_below(2) == 0 ? random_next() : bytes[at] + random_below(9) - 4);
            break;
        case 3:  // Cut the end off.
            *len = at;
            break;
        case 4:  // Take a range out.
            gap = random_below(*len - at + 1);
            memmove(bytes + at, bytes + at + gap, *len - at - gap);
            *len -= gap;
            break;
        case 5:  // Insert random bytes.
            gap = open_gap(bytes, len, at, 1 + random_below(INSERT_BYTES_MAX));
            for (size_t i = 0; i < gap; i++) {
                bytes[at + i] = (uint8_t)random_next();
            }
            break;
        case 6: {  // Insert a range of another input.
            const struct input *other = &inputs[random_below(input_count)];
            size_t from = random_below(other->len + 1);
            gap = open_gap(bytes, len, at, random_below(other->len - from + 1));
            memcpy(bytes + at, other->bytes + from, gap);
            break;
        }
        default:  // Exchange two bytes.
            at = random_below(*len);
            gap = random_below(*len);
            uint8_t byte = bytes[at];
            bytes[at] = bytes[gap];
            bytes[gap] = byte;
            break;
    }
}

static void run_mutants(uint64_t runs, double seconds_max) {
    uint8_t *bytes = allocate(INPUT_BYTES_MAX);
    clock_t end = clock() + (clock_t)(seconds_max * CLOCKS_PER_SEC);
    uint64_t run = 0;
    while (run < runs && clock() < end) {
        const struct input *input = &inputs[random_below(input_count)];
        size_t len = input->len < INPUT_BYTES_MAX ? input->len : INPUT_BYTES_MAX;
        memcpy(bytes, input->bytes, len);
        for (size_t n = 1 + random_below(MUTATIONS_PER_INPUT_MAX); n > 0; n--) {
            mutate_once(bytes, &len);
        }
        run_one(bytes, len);
        run++;
    }
    printf("replay: %llu mutants\n", (unsigned long long)run);
    free(bytes);
}

static void run_all(uint64_t runs, double seconds_max) {
    watch_for_death();
    for (size_t i = 0; i < input_count; i++) {
        run_one(inputs[i].bytes, inputs[i].len);
    }
    run_mutants(runs, seconds_max);
}

// Runs the target in a child process; returns whether that came to a bad end.
static bool fails(uint64_t runs, double seconds_max) {
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        die("cannot start", "a child process");
    }
    if (child == 0) {
        run_all(runs, seconds_max);
        exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return status != 0;
}

int main(int argc, char **argv) {
    const char *seed = getenv("MILLRACE_SEED");
    bool must_fail = false;
    uint64_t runs = 20000;
    double seconds_max = 20;

    inputs = allocate(INPUTS_MAX * sizeof *inputs);
    inputs[input_count++] = (struct input){.bytes = allocate(0), .len = 0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--must-fail") == 0) {
            must_fail = true;
        } else if (strncmp(argv[i], "--runs=", 7) == 0) {
            runs = strtoull(argv[i] + 7, NULL, 10);
        } else if (strncmp(argv[i], "--seconds=", 10) == 0) {
            seconds_max = strtod(argv[i] + 10, NULL);
        } else {
            read_path(argv[i], false);
        }
    }
    random_state = seed == NULL ? 1 : strtoull(seed, NULL, 10);
    printf("replay: %zu inputs, MILLRACE_SEED=%llu\n", input_count,
           (unsigned long long)random_state);
    fflush(stdout);
    if (LLVMFuzzerInitialize != NULL) {
        LLVMFuzzerInitialize(&argc, &argv);
    }
    if (!must_fail) {
        run_all(runs, seconds_max);
        return 0;
    }
    if (!fails(runs, seconds_max)) {
        die("no input made this target fail", argv[0]);
    }
    return 0;
}
