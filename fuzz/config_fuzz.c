// Configuration files: whatever they say, a reading ends with a configuration or with errors,
// and what is printed is read as the same again. The input is the main file and, behind a byte
// 0x1e, the file of each include_dir.
#include "broker/config/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct files {
    struct mr_slice main;
    struct mr_slice included;
};

static char *copy(struct mr_slice text) {
    char *copied = malloc(text.len + 1);
    MR_ASSERT(copied != NULL);
    if (text.len > 0) {
        memcpy(copied, text.data, text.len);
    }
    copied[text.len] = '\0';
    return copied;
}

static enum mr_err read_file(void *ctx, const char *path, char **text_out, size_t *len_out) {
    const struct files *files = ctx;
    struct mr_slice text = strcmp(path, "c") == 0 ? files->main : files->included;
    *text_out = copy(text);
    *len_out = text.len;
    return MR_OK;
}

static enum mr_err list_folder(void *ctx, const char *folder, char ***names_out,
                               size_t *count_out) {
    (void)ctx;
    (void)folder;
    *names_out = malloc(sizeof(**names_out));
    MR_ASSERT(*names_out != NULL);
    (*names_out)[0] = copy(mr_slice_str("1.conf"));
    *count_out = 1;
    return MR_OK;
}

// NULL: refused, with errors.
static struct mr_config *read_config(struct files files, struct mr_config_overrides overrides) {
    struct mr_config_reader reader = {&files, read_file, list_folder};
    struct mr_config_messages messages;
    struct mr_config *config = NULL;
    overrides.path = "c";
    enum mr_err err = mr_config_read(&config, &messages, &reader, &overrides);
    MR_ASSERT((err == MR_OK) == (config != NULL));
    MR_ASSERT((err == MR_ERR_INVALID) == (messages.error_count > 0));
    MR_ASSERT(err == MR_OK || messages.count > 0);
    for (size_t i = 0; i < messages.count; i++) {
        // One line each, without control characters.
        for (const char *c = messages.lines[i]; *c != '\0'; c++) {
            MR_ASSERT((unsigned char)*c >= 0x20 && *c != 0x7f);
        }
    }
    mr_config_messages_fini(&messages);
    return config;
}

static void check(const struct mr_config *config) {
    MR_ASSERT(config->listener_count > 0);
    MR_ASSERT(config->security_count > 0 && config->security_count <= config->listener_count);
    MR_ASSERT(config->inflight_messages_max > 0);
    MR_ASSERT(config->receive_max > 0);
    for (uint32_t i = 0; i < config->listener_count; i++) {
        const struct mr_listener_config *listener = &config->listeners[i];
        MR_ASSERT((listener->port == 0) == (listener->unix_path != NULL));
        MR_ASSERT(listener->qos_max <= 2);
        MR_ASSERT(listener->security_index < config->security_count);
        MR_ASSERT(listener->security.auto_id_prefix != NULL);
        // Only this machine may come in without having been asked.
        MR_ASSERT(!config->local_only || listener->host != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size == 0 ? NULL : memchr(data, 0x1e, size);
    size_t main_len = end == NULL ? size : (size_t)(end - data);
    struct files files = {{data, main_len}, {NULL, 0}};
    if (end != NULL) {
        files.included = mr_slice_of(end + 1, size - main_len - 1);
    }
    struct mr_config_overrides overrides = {.workers = -1};
    if (size > 0 && data[size - 1] == '!') {
        overrides.port = 2000;
        overrides.verbose = true;
        overrides.io_backend = "epoll";
    }
    struct mr_config *config = read_config(files, overrides);
    if (config == NULL) {
        return 0;
    }
    check(config);
    char *printed = mr_config_print(config);
    MR_ASSERT(printed != NULL);
    struct files again = {mr_slice_str(printed), {NULL, 0}};
    struct mr_config_overrides no_overrides = {.workers = -1};
    no_overrides.port = config->local_only ? overrides.port : 0;
    struct mr_config *second = read_config(again, no_overrides);
    MR_ASSERT(second != NULL);
    char *printed_again = mr_config_print(second);
    MR_ASSERT(printed_again != NULL && strcmp(printed, printed_again) == 0);
    free(printed_again);
    free(printed);
    mr_config_free(second);
    mr_config_free(config);
    return 0;
}
