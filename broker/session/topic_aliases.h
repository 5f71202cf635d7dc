// Topic aliases (5.0, section 3.3.2.3.4). Those towards a client: the first topic names that it
// receives get a number each and are sent as a number from then on.
//
// Threads: the client's worker.
#ifndef MILLRACE_BROKER_SESSION_TOPIC_ALIASES_H
#define MILLRACE_BROKER_SESSION_TOPIC_ALIASES_H

#include "base/base.h"
#include "io/buf/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

// A topic name that an alias stands for, kept in a buffer of its own: its length in 16 bits, then
// the name. Returns owned, or NULL if out of memory.
struct mr_buf *mr_alias_name_new(struct mr_buf_pool *pool, struct mr_slice topic);
// Returns borrowed until the buffer's last reference goes.
struct mr_slice mr_alias_name_text(const struct mr_buf *name);

struct mr_topic_aliases;  // Opaque.

// NULL if out of memory. `max` is above 0.
struct mr_topic_aliases *mr_topic_aliases_new(uint16_t max);
void mr_topic_aliases_free(struct mr_topic_aliases *aliases);  // NULL is allowed.

// The alias for `topic`, or 0 for none. `*known_out`: the client has it already, so the name
// may be left out. A new one is valid only after mr_topic_aliases_commit().
uint16_t mr_topic_aliases_find(const struct mr_topic_aliases *aliases, struct mr_slice topic,
                               bool *known_out);
// The PUBLISH that defines the new alias, which mr_topic_aliases_find() gave, is on its way.
// Errors: MR_ERR_NOMEM; then the alias stays free (the definition sent is harmless).
MR_NODISCARD enum mr_err mr_topic_aliases_commit(struct mr_topic_aliases *aliases,
                                                 struct mr_buf_pool *pool, struct mr_slice topic);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_SESSION_TOPIC_ALIASES_H
