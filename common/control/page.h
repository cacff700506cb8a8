/*
 * Pages of prose for a person: words are gathered into a paragraph, which is
 * then put into lines.  Floor 4.  What came from outside (members of a role's
 * answer) is made harmless, as ctl_safe does.
 */
#ifndef HB_DAEMON_CONTROL_PAGE_H
#define HB_DAEMON_CONTROL_PAGE_H

#include <jansson.h>

#include "common/base/buf.h"

struct ctl_page {
	struct hb_buf *out; /* unbounded, borrowed */
	struct hb_buf para; /* hb_buf_free at the end */
	const char *indent; /* of the paragraph's lines */
	int64_t now_ms;	    /* distances are told from here */
};

/* Our own words, 1023 bytes at most. */
void ctl_say(struct ctl_page *p, const char *fmt, ...) HB_PRINTF(2, 3);
void ctl_say_safe(struct ctl_page *p, struct hb_span s);
/* In quotes: strangers' words do not pass for ours. */
void ctl_say_quoted(struct ctl_page *p, struct hb_span s);
/* A string or number; nothing where there is none. */
void ctl_say_member(struct ctl_page *p, const json_t *obj, const char *key);
/* "a, b and c" */
void ctl_say_list(struct ctl_page *p, const json_t *list);
/* "3 hours ago"; nothing where the member is no time. */
void ctl_say_distance(struct ctl_page *p, const json_t *obj, const char *key);
/* The same of what has happened, whatever the clock says since. */
void ctl_say_past(struct ctl_page *p, const json_t *obj, const char *key);
/* "28 Nov 2026 03:37 UTC (in 6 days)" */
void ctl_say_time(struct ctl_page *p, const json_t *obj, const char *key);
/* Ends the paragraph; an empty one is none. */
void ctl_say_end(struct ctl_page *p);
/* An empty line and a title; what follows is indented. */
void ctl_say_block(struct ctl_page *p, const char *title);

/* A member that is a time: 1970 and on, in milliseconds. */
bool ctl_time(const json_t *obj, const char *key, int64_t *ms);

#endif
