#include "codec/reason.h"

static const char *const reason_texts[] = {
#define MR_REASON_TEXT(name, value, text) [value] = (text),
    MR_REASON_MAP(MR_REASON_TEXT)
#undef MR_REASON_TEXT
};

const char *mr_reason_text(enum mr_reason reason) {
    size_t index = (size_t)reason;
    const char *text = index < MR_ARRAY_COUNT(reason_texts) ? reason_texts[index] : NULL;
    return text ? text : "unknown reason";
}

int mr_reason_to_v3_return_code(enum mr_reason reason) {
    switch (reason) {
        case MR_REASON_SUCCESS:
            return 0;
        case MR_REASON_UNSUPPORTED_PROTOCOL_VERSION:
            return 1;
        case MR_REASON_CLIENT_IDENTIFIER_NOT_VALID:
            return 2;
        case MR_REASON_SERVER_UNAVAILABLE:
        case MR_REASON_SERVER_BUSY:
        case MR_REASON_SERVER_SHUTTING_DOWN:
        case MR_REASON_QUOTA_EXCEEDED:
        case MR_REASON_USE_ANOTHER_SERVER:
        case MR_REASON_SERVER_MOVED:
        case MR_REASON_CONNECTION_RATE_EXCEEDED:
            return 3;
        case MR_REASON_BAD_USER_NAME_OR_PASSWORD:
            return 4;
        case MR_REASON_NOT_AUTHORIZED:
        case MR_REASON_BANNED:
            return 5;
        default:
            return -1;
    }
}
