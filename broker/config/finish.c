// What can be said only when all files were read.
#include <stdlib.h>

#include "broker/config/reading.h"
#include "broker/config/value.h"
#include "codec/topic.h"

// A message may have a topic and properties beside its payload. Larger packets are
// refused before they are received.
#define MESSAGE_OVERHEAD_BYTES (128u << 10)

static bool same_text(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

// The command line's value of a row, checked as a file's would be.
static enum mr_err override_word(struct mr_reading *reading, const char *name, const char *option,
                                 const char *value) {
    const struct mr_directive *directive = mr_directive_find(mr_slice_str(name));
    MR_ASSERT(directive != NULL);
    const struct mr_choice *choice = mr_choice_find(directive->choices, mr_slice_str(value));
    if (choice == NULL) {
        char expected[MR_EXPECTED_BYTES];
        char quoted[MR_CONFIG_QUOTE_BYTES];
        return mr_reading_error(reading, "%s: expected %s, not '%s'", option,
                                mr_directive_expected(directive, expected),
                                mr_config_quote(mr_slice_str(value), quoted));
    }
    mr_field_set_text(directive, &reading->owner->config, choice->word);
    return MR_OK;
}

static enum mr_err override_workers(struct mr_reading *reading, int workers) {
    const struct mr_directive *directive = mr_directive_find(mr_slice_str("workers"));
    MR_ASSERT(directive != NULL);
    if ((uint64_t)workers > directive->max) {
        char expected[MR_EXPECTED_BYTES];
        return mr_reading_error(reading, "--workers: expected %s, not '%d'",
                                mr_directive_expected(directive, expected), workers);
    }
    reading->owner->config.workers = (uint32_t)workers;
    return MR_OK;
}

static enum mr_err apply_overrides(struct mr_reading *reading) {
    const struct mr_config_overrides *overrides = reading->overrides;
    struct mr_config *config = &reading->owner->config;
    reading->place = (struct mr_config_place){0};
    if (overrides->verbose) {
        config->log_types = MR_LOG_ALL;
    }
    if (overrides->io_backend != NULL) {
        MR_TRY(override_word(reading, "io_backend", "--io", overrides->io_backend));
    }
    if (overrides->workers >= 0) {
        MR_TRY(override_workers(reading, overrides->workers));
    }
    if (overrides->port == 0) {
        return MR_OK;
    }
    if (!reading->network_asked) {
        MR_TRY(mr_reading_use_default_listener(reading));
    }
    if (reading->default_listener == MR_NO_LISTENER) {
        // Which of them should it be? Mosquitto ignores the option, too.
        return mr_reading_warn(reading, "-p %u: is ignored, because %s defines its listeners",
                               overrides->port, overrides->path);
    }
    config->listeners[reading->default_listener].port = overrides->port;
    return MR_OK;
}

// Without any listener: the loopback addresses, each with what was said about the default
// listener. One of them may be missing in the system.
static enum mr_err make_local_listeners(struct mr_reading *reading) {
    struct mr_config *config = &reading->owner->config;
    MR_TRY(mr_reading_use_default_listener(reading));
    struct mr_listener_config both = config->listeners[reading->default_listener];
    int family = both.family;
    both.host = family == 6 ? "::1" : "127.0.0.1";
    config->listeners[reading->default_listener] = both;
    if (family != 0) {
        return MR_OK;
    }
    uint32_t first = reading->default_listener;
    MR_TRY(mr_reading_add_listener(reading));
    both.host = "::1";
    config->listeners[reading->current] = both;
    reading->listener_anonymous_seen[reading->current] = reading->listener_anonymous_seen[first];
    return MR_OK;
}

static bool same_security(const struct mr_security_config *a, const struct mr_security_config *b) {
    return a->allow_anonymous == b->allow_anonymous &&
           a->allow_zero_length_clientid == b->allow_zero_length_clientid &&
           same_text(a->auto_id_prefix, b->auto_id_prefix) &&
           same_text(a->password_file, b->password_file) && same_text(a->acl_file, b->acl_file);
}

static void finish_security(struct mr_reading *reading, struct mr_security_config *security,
                            bool anonymous_seen) {
    const struct mr_directive *prefix = mr_directive_find(mr_slice_str("auto_id_prefix"));
    MR_ASSERT(prefix != NULL);
    if (!anonymous_seen) {
        security->allow_anonymous = reading->owner->config.local_only;
    }
    if (security->auto_id_prefix == NULL) {
        security->auto_id_prefix = prefix->preset_word;
    }
}

static void number_security(struct mr_config *config) {
    for (uint32_t i = 0; i < config->listener_count; i++) {
        struct mr_listener_config *listener = &config->listeners[i];
        listener->security_index = config->security_count;
        for (uint32_t j = 0; j < i; j++) {
            if (same_security(&listener->security, &config->listeners[j].security)) {
                listener->security_index = config->listeners[j].security_index;
                break;
            }
        }
        config->security_count += listener->security_index == config->security_count;
    }
}

// The question that most users of Mosquitto 2 had to ask.
static enum mr_err warn_of_closed_doors(struct mr_reading *reading) {
    const struct mr_config *config = &reading->owner->config;
    for (uint32_t i = 0; i < config->listener_count; i++) {
        const struct mr_listener_config *listener = &config->listeners[i];
        if (listener->security.allow_anonymous || listener->security.password_file != NULL) {
            continue;
        }
        if (!config->per_listener_settings) {
            return mr_reading_warn(reading,
                                   "no client can connect: allow_anonymous is false and there is "
                                   "no password_file; add one of \"password_file FILE\" and "
                                   "\"allow_anonymous true\"");
        }
        MR_TRY(mr_reading_warn(reading,
                               "no client can connect to listener %u: below it, allow_anonymous "
                               "is false and there is no password_file; add one of "
                               "\"password_file FILE\" and \"allow_anonymous true\"",
                               listener->port));
    }
    return MR_OK;
}

static enum mr_err refuse_equal_listeners(struct mr_reading *reading) {
    const struct mr_config *config = &reading->owner->config;
    for (uint32_t i = 0; i < config->listener_count; i++) {
        const struct mr_listener_config *a = &config->listeners[i];
        for (uint32_t j = 0; j < i; j++) {
            const struct mr_listener_config *b = &config->listeners[j];
            // Of families, "both" overlaps with each.
            bool families = a->family == b->family || a->family == 0 || b->family == 0;
            if (a->port != b->port || !same_text(a->host, b->host) ||
                !same_text(a->unix_path, b->unix_path) ||
                !same_text(a->bind_interface, b->bind_interface) || !families) {
                continue;
            }
            char quoted[MR_CONFIG_QUOTE_BYTES];
            const char *where = a->unix_path ? a->unix_path : a->host ? a->host : "all addresses";
            MR_TRY(mr_reading_error(reading, "listener: port %u of %s is there twice", a->port,
                                    mr_config_quote(mr_slice_str(where), quoted)));
            break;
        }
    }
    return MR_OK;
}

static void lower_packet_size(struct mr_config *config) {
    uint64_t wanted = (uint64_t)config->message_bytes_max + MESSAGE_OVERHEAD_BYTES;
    if (config->message_bytes_max != 0 && wanted < config->packet_bytes_max) {
        config->packet_bytes_max = (uint32_t)wanted;
    }
}

enum mr_err mr_reading_finish(struct mr_reading *reading) {
    struct mr_config *config = &reading->owner->config;
    MR_TRY(apply_overrides(reading));
    reading->place = (struct mr_config_place){.path = reading->overrides->path};
    config->local_only = !reading->network_asked;
    if (config->local_only) {
        MR_TRY(make_local_listeners(reading));
    }
    if (!reading->log_dest_seen) {
        config->log_stderr = true;
    }
    finish_security(reading, &config->security, reading->anonymous_seen);
    for (uint32_t i = 0; i < config->listener_count; i++) {
        struct mr_listener_config *listener = &config->listeners[i];
        if (config->per_listener_settings) {
            finish_security(reading, &listener->security, reading->listener_anonymous_seen[i]);
        } else {
            listener->security = config->security;
        }
    }
    number_security(config);
    lower_packet_size(config);
    if (reading->messages->error_count > 0) {
        return MR_OK;  // Half read, the rest would be misleading.
    }
    MR_TRY(refuse_equal_listeners(reading));
    return reading->messages->error_count > 0 ? MR_OK : warn_of_closed_doors(reading);
}
