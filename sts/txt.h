/*
 * The TXT record at _mta-sts.DOMAIN: RFC 8461 s3.1.  Floor 1, fuzzed.
 */
#ifndef STS_TXT_H
#define STS_TXT_H

#include "common/base/span.h"

enum { STS_ID_MAX = 32 };

/* 1 to STS_ID_MAX letters and digits: the id of a record. */
bool sts_is_id(struct hb_span s);

/* Name of a field, of the record and of the policy: a letter or digit, then
 * letters, digits, "_", "-", "."; 32 at most. */
bool sts_is_field_name(struct hb_span s);

/*
 * One record (its strings joined), all of it: *ID points into RECORD, 1 to
 * STS_ID_MAX letters and digits.  Returns 0; HB_E_NOTFOUND: not an MTA-STS
 * record at all (does not start with "v=STSv1;"); HB_E_SYNTAX.
 */
int sts_txt_parse(struct hb_span record, struct hb_span *id) HB_MUSTCHECK;

/*
 * The answer to the question: N records, of which those of other kinds are
 * thrown away.  Returns 0; HB_E_NOTFOUND: none is left; HB_E_SYNTAX: more
 * than one is left, or the one is malformed.
 */
int sts_txt_pick(
    const struct hb_span *records, size_t n, struct hb_span *id) HB_MUSTCHECK;

#endif
