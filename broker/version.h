// The version of this tree.
#ifndef MILLRACE_BROKER_VERSION_H
#define MILLRACE_BROKER_VERSION_H

#define MR_VERSION "0.1.0"

#endif  // MILLRACE_BROKER_VERSION_H
