// Folders, and files for the reader of configurations; the system's part is beside it.
#include <stdlib.h>

#include "broker/cli/internal.h"
#include "broker/cli/process.h"

#define FOLDER_FILES_MAX 10000u

struct names {
    char **all;
    size_t count;
};

static int fold(char c) {
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

// strcasecmp() orders letters beyond ASCII in another way on each system.
static int compare_folded(const char *a, const char *b) {
    while (*a != '\0' && fold(*a) == fold(*b)) {
        a++;
        b++;
    }
    return fold(*a) - fold(*b);
}

// Mosquitto's: without regard to case, but capitals before small letters of the same name.
static int compare_names(const void *left, const void *right) {
    const char *a = *(char *const *)left;
    const char *b = *(char *const *)right;
    int order = compare_folded(a, b);
    return order != 0 ? order : strcmp(a, b);
}

static bool wanted(const char *name) {
    static const char end[] = ".conf";
    size_t len = strlen(name);
    return name[0] != '.' && len > sizeof(end) - 1 &&
           strcmp(name + len - (sizeof(end) - 1), end) == 0;
}

static enum mr_err add_name(void *ctx, const char *name) {
    struct names *names = ctx;
    if (!wanted(name)) {
        return MR_OK;
    }
    if (names->count == FOLDER_FILES_MAX) {
        return MR_ERR_LIMIT;
    }
    char **longer = realloc(names->all, (names->count + 1) * sizeof(*longer));
    if (longer == NULL) {
        return MR_ERR_NOMEM;
    }
    names->all = longer;
    longer[names->count] = strdup(name);
    if (longer[names->count] == NULL) {
        return MR_ERR_NOMEM;
    }
    names->count++;
    return MR_OK;
}

enum mr_err mr_folder_list(const char *folder, char ***names_out, size_t *count_out) {
    struct names names = {NULL, 0};
    enum mr_err err = mr_folder_each(folder, add_name, &names);
    if (err != MR_OK) {
        for (size_t i = 0; i < names.count; i++) {
            free(names.all[i]);
        }
        free(names.all);
        return err;
    }
    if (names.count > 0) {
        qsort(names.all, names.count, sizeof(*names.all), compare_names);
    }
    *names_out = names.all;
    *count_out = names.count;
    return MR_OK;
}

static enum mr_err read_for_config(void *ctx, const char *path, char **text_out, size_t *len_out) {
    (void)ctx;
    return mr_file_read(path, text_out, len_out);
}

static enum mr_err list_for_config(void *ctx, const char *folder, char ***names_out,
                                   size_t *count_out) {
    (void)ctx;
    return mr_folder_list(folder, names_out, count_out);
}

struct mr_config_reader mr_files_reader(void) {
    struct mr_config_reader reader = {NULL, read_for_config, list_for_config};
    return reader;
}
