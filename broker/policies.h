// From the configuration's file names to access policies. Part of the binary: reads files.
#ifndef MILLRACE_BROKER_POLICIES_H
#define MILLRACE_BROKER_POLICIES_H

#include "broker/config/config.h"
#include "broker/protocol/protocol.h"

// Reads password and access files of all listeners. Returns owned; NULL after a failure, which
// was logged with file and line.
struct mr_policy_set *mr_policies_read(const struct mr_config *config);

#endif  // MILLRACE_BROKER_POLICIES_H
