/*
 * Pages of prose for a person: words are gathered into a paragraph, which is
 * then wrapped into lines.  Floor 4.  Text from outside (members of a role's
 * answer) is made harmless, as by ctl_safe.
 */
#ifndef HB_CONTROL_PAGE_H
#define HB_CONTROL_PAGE_H

#include <jansson.h>

#include "common/base/buf.h"

struct ctl_page {
	struct hb_buf *out; /* unbounded, borrowed */
	struct hb_buf para; /* hb_buf_free at the end */
	const char *indent; /* of the paragraph's lines */
	int64_t now_ms;	    /* distances are relative to this */
};

/*
 * Adds TEXT, our own text, in which
 *
 *	{key}	is the member of OBJ: a string or number, nothing if none
 *	{-key}	of a table: also yes or no, "-" if none
 *	{#key}	seconds: "2 hours"
 *	{"key}	in quotes: strangers' text must not look like ours
 *	{,key}	a list: "a, b and c"
 *	{!key}	a reason: its sentence and its name
 *	{~key}	a past time: "3 hours ago"
 *	{@key}	a time: "28 Nov 2026 03:37 UTC (in 6 days)"
 *	<key|text>	is the text only if the member is a number, or a string
 *		or list that is not empty
 */
void ctl_say(struct ctl_page *p, const json_t *obj, const char *text);
/* Ends the paragraph; an empty one is dropped. */
void ctl_say_end(struct ctl_page *p);
/* Calls both. */
void ctl_para(struct ctl_page *p, const json_t *obj, const char *text);
/* An empty line and a title; the following text is indented. */
void ctl_say_block(struct ctl_page *p, const json_t *obj, const char *title);
void ctl_quoted(struct hb_buf *out, struct hb_span s);

/* Reads a member that is a time: since 1970, in milliseconds. */
bool ctl_time(const json_t *obj, const char *key, int64_t *ms);

#endif
