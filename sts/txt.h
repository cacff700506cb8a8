/*
 * The TXT record at _mta-sts.DOMAIN: RFC 8461 s3.1.  Floor 1, fuzzed.
 */
#ifndef STS_TXT_H
#define STS_TXT_H

#include "common/base/span.h"

enum { STS_ID_MAX = 32 };

/* Is S an id: 1 to STS_ID_MAX letters and digits? */
bool sts_is_id(struct hb_span s);

/* Is S a field name, of the record or the policy: a letter or digit, then
 * letters, digits, "_", "-", "."; 32 at most? */
bool sts_is_field_name(struct hb_span s);

/*
 * Parses all of one record (its strings joined): *ID points into RECORD, 1 to
 * STS_ID_MAX letters and digits.  Returns 0; HB_E_NOTFOUND: not an MTA-STS
 * record (does not start with "v=STSv1;"); HB_E_SYNTAX.
 */
int sts_txt_parse(struct hb_span record, struct hb_span *id) HB_MUSTCHECK;

/*
 * Parses the answer to the query: N records, of which those of other kinds are
 * ignored.  Returns 0; HB_E_NOTFOUND: none is left; HB_E_SYNTAX: more than one
 * is left, or the only one is malformed.
 */
int sts_txt_pick(
    const struct hb_span *records, size_t n, struct hb_span *id) HB_MUSTCHECK;

#endif
