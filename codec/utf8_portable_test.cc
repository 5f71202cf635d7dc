// The tests of utf8_test.cc for processors without vectors. The functions get other names, since
// the rest of the codec comes along and brings those with vectors.
#define MR_UTF8_PORTABLE
#define mr_utf8_valid portable_utf8_valid
#define mr_utf8_valid_topic_name portable_utf8_valid_topic_name
#define mr_utf8_valid_payload portable_utf8_valid_payload
#include "codec/utf8.c"
#include "codec/utf8_test.cc"
