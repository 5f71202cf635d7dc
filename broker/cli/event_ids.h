// The name under which Windows' event log knows us, and the one message that we have for it:
// "%1", the line. events.mc is the same for the resource compiler.
#ifndef MILLRACE_BROKER_CLI_EVENT_IDS_H
#define MILLRACE_BROKER_CLI_EVENT_IDS_H

#define MR_EVENT_SOURCE L"millrace"
#define MR_EVENT_LINE 1u

#endif  // MILLRACE_BROKER_CLI_EVENT_IDS_H
