/*
 * MTA-STS policies: RFC 8461 s3.2.  Floor 1: text in, struct out; fuzzed.
 *
 * Lines "field: value" end in LF or CRLF; unknown fields are skipped; the first
 * of repeated fields counts, except for mx.
 */
#ifndef STS_POLICY_H
#define STS_POLICY_H

#include "common/base/buf.h"
#include "common/base/mem.h"

enum sts_mode {
	STS_MODE_NONE,
	STS_MODE_TESTING,
	STS_MODE_ENFORCE,
	STS_MODE_COUNT
};

struct sts_policy {
	enum sts_mode mode;
	uint32_t max_age_s; /* at most HB_MAX_STS_MAX_AGE */
	int64_t expires_ms; /* set by the fetcher; 0 from the parser */
	struct hb_span *mx; /* lower case, no final dot; "*.x" or a name */
	size_t nmx;
};

/* "none", "testing", "enforce" */
const char *sts_mode_word(enum sts_mode m);

/*
 * Parses all of TEXT (at most HB_MAX_STS_BODY bytes); pattern spans are copied
 * to ARENA.  Returns 0, HB_E_SYNTAX (not a policy), HB_E_LIMIT (too long); *WHY
 * is then a short text of ours.
 */
int sts_policy_parse(struct hb_span text, struct hb_arena *arena,
    struct sts_policy *out, const char **why) HB_MUSTCHECK;

#endif
