/*
 * A policy as stored, and as the rest of the program holds it.  Floor 1.
 */
#ifndef STS_RECORD_H
#define STS_RECORD_H

#include "common/base/limits.h"
#include "common/proto/envelope.h"
#include "common/proto/tlv.h"
#include "sts/policy.h"

#define RECORD_STRUCT(name) sts_##name
#include "common/proto/record-struct.h"
#include "sts/record.def"
#include "common/proto/record-undef.h"

/* Is the policy unknown?  Then the record keeps only the state of failed
 * fetches while the back-off runs. */
static inline bool
sts_record_is_wait(const struct sts_record *r)
{
	return r->text.n == 0 && r->failures > 0;
}

/*
 * A known policy, reference-counted: it stays valid and unchanged until it is
 * released.
 */
struct sts_policy_ref {
	struct sts_policy policy; /* with expires_ms */
	struct hb_span domain, id, text;
	int64_t fetched_ms, refreshed_ms;
	bool imported; /* by hand, not fetched */
	unsigned count; /* holders; sts/ only */
};

/* Returns owned (count 1), or NULL if the record's text is not a policy. */
struct sts_policy_ref *sts_ref_new(
    struct hb_span domain, const struct sts_record *r);
struct sts_policy_ref *sts_ref_take(struct sts_policy_ref *ref);
void sts_ref_release(struct sts_policy_ref **ref); /* accepts NULL inside */
/* Memory that it needs, in bytes. */
size_t sts_ref_size(const struct sts_policy_ref *ref);

/* OUT is unbounded. */
void sts_record_encode(const struct sts_record *r, struct hb_buf *out);
/* Spans point into VALUE.  0 or HB_E_SYNTAX, HB_E_MORE, HB_E_RANGE. */
int sts_record_decode(struct hb_span value, struct sts_record *r) HB_MUSTCHECK;

#endif
