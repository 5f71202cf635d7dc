#include "broker/router/internal.h"

#include <stdlib.h>
#include <string.h>

enum mr_err mr_shared_init(struct mr_shared *shared, const struct mr_config *config,
                           uint32_t worker_count, uint64_t hash_seed) {
    memset(shared, 0, sizeof(*shared));
    shared->config = config;
    shared->worker_count = worker_count;
    struct mr_trie_options trie_options = {0, hash_seed};
    struct mr_retained_options retained_options = {config->retained_messages_max,
                                                   config->retained_bytes_max};
    if (mr_trie_new(&shared->trie, &trie_options) != MR_OK ||
        mr_retained_new(&shared->retained, &retained_options) != MR_OK ||
        mr_registry_new(&shared->registry, hash_seed) != MR_OK ||
        mr_mailboxes_new(&shared->mailboxes, worker_count) != MR_OK) {
        mr_shared_fini(shared);
        return MR_ERR_NOMEM;
    }
    return MR_OK;
}

void mr_router_drop_parcel(void *ctx, struct mr_parcel *parcel) {
    (void)ctx;
    if (parcel->kind == MR_PARCEL_PUBLISH || parcel->kind == MR_PARCEL_DIRECTED) {
        struct mr_message *message = parcel->pointer;
        mr_buf_adopt(message->buf);
        mr_message_unref(message);
    } else if (parcel->kind == MR_PARCEL_RUN) {
        struct mr_run *run = parcel->pointer;
        mr_buf_adopt(run->buf);
        mr_buf_unref(run->buf);
    } else if (parcel->kind == MR_PARCEL_CONNECTION) {
        free(parcel->pointer);  // The broker ends, and its socket with it.
    }
}

void mr_shared_fini(struct mr_shared *shared) {
    mr_mailboxes_free(shared->mailboxes, shared->worker_count, mr_router_drop_parcel, NULL);
    mr_registry_free(shared->registry);
    mr_retained_free(shared->retained);
    mr_trie_free(shared->trie);
    memset(shared, 0, sizeof(*shared));
}
