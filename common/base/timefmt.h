/*
 * Times as text; durations and sizes as the configuration writes them.  Floor
 * 0.  All times are milliseconds since 1970 UTC.
 */
#ifndef HB_BASE_TIMEFMT_H
#define HB_BASE_TIMEFMT_H

#include "common/base/span.h"

#define HB_TIME_RFC3339_SIZE 32
#define HB_TIME_RFC5322_SIZE 48
#define HB_TIME_PLAIN_SIZE 32

/* "2026-11-22T02:15:00.123Z"; DST has HB_TIME_RFC3339_SIZE bytes. */
void hb_time_rfc3339(int64_t ms, char *dst);
/* "Sun, 22 Nov 2026 02:15:00 +0000", RFC 5322 s3.3. */
void hb_time_rfc5322(int64_t ms, char *dst);

/* For people: "28 Nov 2026 03:37 UTC"; DST has HB_TIME_PLAIN_SIZE bytes. */
void hb_time_plain(int64_t ms, char *dst);
/* For people: "in 6 days", "3 hours ago", "just now"; DST of 32 bytes.  Uses
 * the largest unit of which there are at least two, rounded down. */
void hb_time_distance(int64_t ms, int64_t now_ms, char *dst);
/* The same for a duration MS, which is not negative: "6 days", "0 seconds". */
void hb_time_amount(int64_t ms, char *dst);
/* Parses the format of hb_time_rfc3339; the fraction may be missing.  0 or
 * HB_E_*. */
int hb_time_rfc3339_parse(struct hb_span s, int64_t *out_ms) HB_MUSTCHECK;

/* "30s" "5m" "4h" "5d", or plain seconds; result in ms.  0 or HB_E_*. */
int hb_duration_parse(struct hb_span s, int64_t *out_ms) HB_MUSTCHECK;
/* The shortest text that parses back to MS; DST of 24 bytes. */
void hb_duration_format(int64_t ms, char *dst);
/* "64K" "50M" "1G", or plain bytes.  0 or HB_E_*. */
int hb_size_parse(struct hb_span s, uint64_t *out) HB_MUSTCHECK;
void hb_size_format(uint64_t bytes, char *dst);
/* "YYYY-MM-DD" as the first millisecond of that day, UTC.  0 or HB_E_*. */
int hb_date_parse(struct hb_span s, int64_t *out_ms) HB_MUSTCHECK;

#endif
