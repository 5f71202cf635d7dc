// UTF-8 as MQTT wants it: well formed, no surrogates, no U+0000
// [MQTT-1.5.4-1] [MQTT-1.5.4-2]. The byte order mark is a character like any
// other [MQTT-1.5.4-3].
//
// Threads: pure functions, any thread.
#ifndef MILLRACE_CODEC_UTF8_H
#define MILLRACE_CODEC_UTF8_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

// Is `text` a valid UTF-8 Encoded String of MQTT?
bool mr_utf8_valid(struct mr_slice text);

// The same for a topic name in a PUBLISH, in one pass over the bytes: valid UTF-8,
// at least one byte, no wildcard ('#' or '+') [MQTT-3.3.2-2] [MQTT-4.7.3-1].
// Length zero is reported as false; a caller with a topic alias checks that first.
bool mr_utf8_valid_topic_name(struct mr_slice text);

// Is `payload` valid UTF-8 in the sense of the Payload Format Indicator? Here
// U+0000 is allowed.
bool mr_utf8_valid_payload(struct mr_slice payload);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_CODEC_UTF8_H
