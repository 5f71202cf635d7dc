#include "broker/config/config.h"

#include <stdlib.h>

#include "broker/config/reading.h"

void mr_config_free(struct mr_config *config) {
    if (config == NULL) {
        return;
    }
    struct mr_config_owner *owner = MR_CONTAINER_OF(config, struct mr_config_owner, config);
    while (owner->texts != NULL) {
        struct mr_config_text *next = owner->texts->next;
        free(owner->texts);
        owner->texts = next;
    }
    // The prefixes themselves are among the texts.
    free(config->clientid_prefixes);
    free(config->listeners);
    free(owner);
}

enum mr_err mr_config_read(struct mr_config **out, struct mr_config_messages *messages,
                           const struct mr_config_reader *reader,
                           const struct mr_config_overrides *overrides) {
    *messages = (struct mr_config_messages){0};
    struct mr_config_owner *owner = calloc(1, sizeof(*owner));
    if (owner == NULL) {
        return MR_ERR_NOMEM;
    }
    mr_directive_defaults(MR_SCOPE_GLOBAL, &owner->config);
    mr_directive_defaults(MR_SCOPE_SECURITY, &owner->config.security);

    struct mr_reading reading = {
        .reader = reader,
        .overrides = overrides,
        .messages = messages,
        .owner = owner,
        .current = MR_NO_LISTENER,
        .default_listener = MR_NO_LISTENER,
    };
    enum mr_err err = MR_OK;
    if (overrides->path != NULL) {
        err = mr_reading_file(&reading, overrides->path);
    }
    if (err == MR_OK) {
        err = mr_reading_finish(&reading);
    }
    free(reading.listener_anonymous_seen);
    // Any other trouble left a message.
    if (err != MR_ERR_NOMEM && messages->error_count > 0) {
        err = MR_ERR_INVALID;
    }
    if (err != MR_OK) {
        mr_config_free(&owner->config);
        return err;
    }
    *out = &owner->config;
    return MR_OK;
}
