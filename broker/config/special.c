// Directives that are more than one value in one field.
#include <stdio.h>
#include <stdlib.h>

#include "broker/config/reading.h"
#include "broker/config/value.h"
#include "codec/utf8.h"

#define UNIX_PATH_BYTES_MAX 107  // sockaddr_un of Linux, without the end.
#define HOST_BYTES_MAX 255

// A host or path that is followed by a comment or nothing.
static struct mr_slice until_comment(struct mr_slice value) {
    for (size_t i = 0; i < value.len; i++) {
        bool begins = i == 0 || value.data[i - 1] == ' ' || value.data[i - 1] == '\t';
        if (value.data[i] == '#' && begins) {
            value.len = i;
        }
    }
    return mr_slice_trim(value);
}

static enum mr_err set_host(struct mr_reading *reading, const struct mr_directive *directive,
                            struct mr_slice rest) {
    bool bad;
    struct mr_slice host = mr_value_word(&rest);
    MR_TRY(mr_reading_check_rest(reading, &bad, directive, rest));
    if (bad) {
        return MR_OK;
    }
    if (host.len > HOST_BYTES_MAX) {
        return mr_reading_refuse(reading, directive, host);
    }
    if (memchr(host.data, '/', host.len) != NULL) {
        char quoted[MR_CONFIG_QUOTE_BYTES];
        return mr_reading_error(reading,
                                "%s: '%s' isn't an address or host name; a unix socket has port "
                                "0: listener 0 %s",
                                directive->name, mr_config_quote(host, quoted), quoted);
    }
    const char *kept = mr_reading_keep(reading, host);
    reading->owner->config.listeners[reading->current].host = kept;
    return kept == NULL ? MR_ERR_NOMEM : MR_OK;
}

static enum mr_err set_unix_path(struct mr_reading *reading, const struct mr_directive *directive,
                                 struct mr_slice path) {
    if (path.len == 0) {
        return mr_reading_error(reading, "%s: port 0 needs the path of a unix socket behind it",
                                directive->name);
    }
    if (path.len > UNIX_PATH_BYTES_MAX) {
        return mr_reading_error(reading, "%s: the path of a unix socket has at most %d bytes",
                                directive->name, UNIX_PATH_BYTES_MAX);
    }
    const char *kept = mr_reading_keep(reading, path);
    reading->owner->config.listeners[reading->current].unix_path = kept;
    return kept == NULL ? MR_ERR_NOMEM : MR_OK;
}

enum mr_err mr_apply_listener(struct mr_reading *reading, const struct mr_directive *directive,
                              struct mr_slice value) {
    reading->network_asked = true;
    // Added even if what follows is wrong, so that the directives below it have their place.
    MR_TRY(mr_reading_add_listener(reading));
    struct mr_slice rest = until_comment(value);
    struct mr_slice word = mr_value_word(&rest);
    uint64_t port = 0;
    if (mr_value_number(&port, word) != MR_NUMBER_OK || port > UINT16_MAX) {
        return mr_reading_refuse(reading, directive, word);
    }
    if (port == 0) {
        return set_unix_path(reading, directive, rest);
    }
    reading->owner->config.listeners[reading->current].port = (uint16_t)port;
    return rest.len == 0 ? MR_OK : set_host(reading, directive, rest);
}

enum mr_err mr_apply_port(struct mr_reading *reading, const struct mr_directive *directive,
                          struct mr_slice value) {
    bool bad;
    uint64_t port = 0;
    struct mr_slice word = mr_value_word(&value);
    reading->network_asked = true;
    MR_TRY(mr_reading_use_default_listener(reading));
    MR_TRY(mr_reading_check_rest(reading, &bad, directive, value));
    if (bad) {
        return MR_OK;
    }
    if (mr_value_number(&port, word) != MR_NUMBER_OK || port < directive->min ||
        port > directive->max) {
        return mr_reading_refuse(reading, directive, word);
    }
    reading->owner->config.listeners[reading->current].port = (uint16_t)port;
    return MR_OK;
}

enum mr_err mr_apply_bind_address(struct mr_reading *reading, const struct mr_directive *directive,
                                  struct mr_slice value) {
    reading->network_asked = true;
    MR_TRY(mr_reading_use_default_listener(reading));
    value = until_comment(value);
    if (value.len == 0) {
        return mr_reading_refuse(reading, directive, value);
    }
    if (reading->owner->config.listeners[reading->current].host != NULL) {
        return mr_reading_error(reading, "%s: given a second time", directive->name);
    }
    return set_host(reading, directive, value);
}

enum mr_err mr_apply_protocol(struct mr_reading *reading, const struct mr_directive *directive,
                              struct mr_slice value) {
    bool bad;
    void *base;
    struct mr_slice word = mr_value_word(&value);
    MR_TRY(mr_reading_base(reading, &base, directive));
    MR_TRY(mr_reading_check_rest(reading, &bad, directive, value));
    if (bad || mr_slice_eq(word, mr_slice_str("mqtt"))) {
        return MR_OK;
    }
    if (mr_slice_eq(word, mr_slice_str("websockets"))) {
        return mr_reading_error(reading,
                                "protocol: WebSockets aren't supported yet; put a proxy that "
                                "speaks them, such as nginx or websockify, in front of a listener");
    }
    return mr_reading_refuse(reading, directive, word);
}

enum mr_err mr_apply_per_listener_settings(struct mr_reading *reading,
                                           const struct mr_directive *directive,
                                           struct mr_slice value) {
    bool bad;
    bool wanted;
    struct mr_config *config = &reading->owner->config;
    struct mr_slice word = mr_value_word(&value);
    MR_TRY(mr_reading_check_rest(reading, &bad, directive, value));
    if (bad) {
        return MR_OK;
    }
    if (!mr_value_bool(&wanted, word)) {
        return mr_reading_refuse(reading, directive, word);
    }
    if (wanted != config->per_listener_settings && reading->security_seen) {
        return mr_reading_error(reading,
                                "%s: has to stand before all of acl_file, allow_anonymous, "
                                "allow_zero_length_clientid, auto_id_prefix and password_file",
                                directive->name);
    }
    // Once true it stays, as in Mosquitto.
    config->per_listener_settings = config->per_listener_settings || wanted;
    return MR_OK;
}

enum mr_err mr_apply_allow_anonymous(struct mr_reading *reading,
                                     const struct mr_directive *directive, struct mr_slice value) {
    bool bad;
    bool wanted;
    void *base;
    struct mr_slice word = mr_value_word(&value);
    MR_TRY(mr_reading_base(reading, &base, directive));
    MR_TRY(mr_reading_check_rest(reading, &bad, directive, value));
    if (bad || base == NULL) {
        return MR_OK;
    }
    if (!mr_value_bool(&wanted, word)) {
        return mr_reading_refuse(reading, directive, word);
    }
    struct mr_security_config *security = base;
    security->allow_anonymous = wanted;
    if (reading->owner->config.per_listener_settings) {
        reading->listener_anonymous_seen[reading->current] = true;
    } else {
        reading->anonymous_seen = true;
    }
    return MR_OK;
}

enum mr_err mr_apply_clientid_prefixes(struct mr_reading *reading,
                                       const struct mr_directive *directive,
                                       struct mr_slice value) {
    struct mr_config *config = &reading->owner->config;
    if (value.len == 0 || value.len > directive->max || !mr_utf8_valid(value)) {
        return mr_reading_refuse(reading, directive, value);
    }
    if (config->clientid_prefix_count == MR_CONFIG_PREFIXES_MAX) {
        return mr_reading_error(reading, "%s: more than %d", directive->name,
                                MR_CONFIG_PREFIXES_MAX);
    }
    char **prefixes =
        realloc(config->clientid_prefixes, (config->clientid_prefix_count + 1) * sizeof(*prefixes));
    if (prefixes == NULL) {
        return MR_ERR_NOMEM;
    }
    config->clientid_prefixes = prefixes;
    // The copy is ours, so it may lose its const.
    char *kept = (char *)(uintptr_t)mr_reading_keep(reading, value);
    if (kept == NULL) {
        return MR_ERR_NOMEM;
    }
    prefixes[config->clientid_prefix_count++] = kept;
    return MR_OK;
}

static void forget_log_dest(struct mr_config *config) {
    config->log_stdout = false;
    config->log_stderr = false;
    config->log_syslog = false;
    config->log_topic = false;
    config->log_file = NULL;
}

static enum mr_err log_to_file(struct mr_reading *reading, const struct mr_directive *directive,
                               struct mr_slice path) {
    struct mr_config *config = &reading->owner->config;
    if (path.len == 0 || path.len > directive->max) {
        return mr_reading_error(reading,
                                "log_dest file: expected a file name of at most %llu bytes",
                                (unsigned long long)directive->max);
    }
    if (config->log_file != NULL) {
        return mr_reading_error(reading, "log_dest file: given a second time");
    }
    config->log_file = mr_reading_keep(reading, path);
    return config->log_file == NULL ? MR_ERR_NOMEM : MR_OK;
}

enum mr_err mr_apply_log_dest(struct mr_reading *reading, const struct mr_directive *directive,
                              struct mr_slice value) {
    struct mr_config *config = &reading->owner->config;
    struct mr_slice word = mr_value_word(&value);
    struct {
        const char *word;
        bool *field;
    } places[] = {
        {"stdout", &config->log_stdout},
        {"stderr", &config->log_stderr},
        {"syslog", &config->log_syslog},
        {"topic", &config->log_topic},
    };
    reading->log_dest_seen = true;
    if (mr_slice_eq(word, mr_slice_str("file"))) {
        return log_to_file(reading, directive, value);
    }
    bool bad;
    // Mosquitto 2.1 knows "stdout unbuffered", which is what we do.
    if (!mr_slice_eq(word, mr_slice_str("stdout")) ||
        !mr_slice_eq(value, mr_slice_str("unbuffered"))) {
        MR_TRY(mr_reading_check_rest(reading, &bad, directive, value));
        if (bad) {
            return MR_OK;
        }
    }
    if (mr_slice_eq(word, mr_slice_str("none"))) {
        forget_log_dest(config);
        return MR_OK;
    }
    for (size_t i = 0; i < MR_ARRAY_COUNT(places); i++) {
        if (mr_slice_eq(word, mr_slice_str(places[i].word))) {
            *places[i].field = true;
            return MR_OK;
        }
    }
    return mr_reading_refuse(reading, directive, word);
}

enum mr_err mr_apply_log_type(struct mr_reading *reading, const struct mr_directive *directive,
                              struct mr_slice value) {
    bool bad;
    struct mr_config *config = &reading->owner->config;
    struct mr_slice word = mr_value_word(&value);
    MR_TRY(mr_reading_check_rest(reading, &bad, directive, value));
    if (bad) {
        return MR_OK;
    }
    const struct mr_choice *choice = mr_choice_find(mr_log_type_words, word);
    if (choice == NULL) {
        return mr_reading_refuse(reading, directive, word);
    }
    if (!reading->log_type_seen || choice->number == 0) {
        config->log_types = 0;  // The first one replaces the default.
    }
    reading->log_type_seen = true;
    config->log_types |= (uint32_t)choice->number;
    return MR_OK;
}

static enum mr_err include(struct mr_reading *reading, const char *folder, const char *name) {
    size_t folder_len = strlen(folder);
    bool slash = folder_len > 0 && folder[folder_len - 1] == '/';
    size_t size = folder_len + 1 + strlen(name) + 1;
    char *path = malloc(size);
    if (path == NULL) {
        return MR_ERR_NOMEM;
    }
    (void)snprintf(path, size, "%s%s%s", folder, slash ? "" : "/", name);
    enum mr_err err = mr_reading_file(reading, path);
    free(path);
    return err;
}

enum mr_err mr_apply_include_dir(struct mr_reading *reading, const struct mr_directive *directive,
                                 struct mr_slice value) {
    if (value.len == 0 || value.len > directive->max) {
        return mr_reading_refuse(reading, directive, value);
    }
    if (reading->included) {
        // So files can't include each other in a circle.
        return mr_reading_error(reading, "include_dir: is allowed in the main file only");
    }
    char **names = NULL;
    size_t count = 0;
    const char *folder = mr_reading_keep(reading, value);
    if (folder == NULL) {
        return MR_ERR_NOMEM;
    }
    enum mr_err err = reading->reader->list(reading->reader->ctx, folder, &names, &count);
    if (err == MR_ERR_NOMEM) {
        return err;
    }
    if (err != MR_OK) {
        char quoted[MR_CONFIG_QUOTE_BYTES];
        return mr_reading_error(reading, "include_dir: the folder '%s' can't be read: %s",
                                mr_config_quote(value, quoted), mr_err_text(err));
    }
    reading->included = true;
    for (size_t i = 0; i < count; i++) {
        if (err == MR_OK) {
            err = include(reading, folder, names[i]);
        }
        free(names[i]);
    }
    free(names);
    reading->included = false;
    return err;
}
