/* Pages of prose.  Floor 4. */
#include "config.h"

#include "common/control/page.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/prose.h"
#include "common/base/timefmt.h"
#include "common/control/control.h"

void
ctl_say(struct ctl_page *p, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	hb_buf_adds(&p->para, text);
}

void
ctl_say_safe(struct ctl_page *p, struct hb_span s)
{
	ctl_safe(&p->para, s);
}

void
ctl_say_member(struct ctl_page *p, const json_t *obj, const char *key)
{
	const json_t *v = json_object_get(obj, key);

	if (json_is_integer(v))
		ctl_say(p, "%lld", (long long)json_integer_value(v));
	else
		ctl_say_safe(p, ctl_string(v));
}

void
ctl_say_quoted(struct ctl_page *p, struct hb_span s)
{
	ctl_say(p, "\"");
	ctl_say_safe(p, s);
	ctl_say(p, "\"");
}

void
ctl_say_list(struct ctl_page *p, const json_t *list)
{
	size_t i, n = json_array_size(list);
	const json_t *v;

	json_array_foreach(list, i, v)
	{
		ctl_say(p, "%s", i == 0 ? "" : i + 1 == n ? " and " : ", ");
		ctl_say_safe(p, ctl_string(v));
	}
}

void
ctl_say_end(struct ctl_page *p)
{
	hb_prose_wrap(p->out, hb_buf_span(&p->para), p->indent, "\n");
	hb_buf_clear(&p->para);
}

void
ctl_say_block(struct ctl_page *p, const char *title)
{
	hb_buf_addf(p->out, "\n%s\n", title);
	p->indent = "  ";
}

bool
ctl_time(const json_t *obj, const char *key, int64_t *ms)
{
	return hb_time_rfc3339_parse(ctl_member(obj, key), ms) == 0;
}

void
ctl_say_distance(struct ctl_page *p, const json_t *obj, const char *key)
{
	char text[32];
	int64_t ms;

	if (!ctl_time(obj, key, &ms))
		return;
	hb_time_distance(ms, p->now_ms, text);
	ctl_say(p, "%s", text);
}

void
ctl_say_past(struct ctl_page *p, const json_t *obj, const char *key)
{
	char text[32];
	int64_t ms;

	if (!ctl_time(obj, key, &ms))
		return;
	if (ms <= p->now_ms) {
		ctl_say_distance(p, obj, key);
		return;
	}
	hb_time_amount(ms - p->now_ms, text);
	ctl_say(p, "when the clock here was %s ahead of where it is now",
	    text);
}

void
ctl_say_time(struct ctl_page *p, const json_t *obj, const char *key)
{
	char text[HB_TIME_PLAIN_SIZE];
	int64_t ms;

	if (!ctl_time(obj, key, &ms))
		return;
	hb_time_plain(ms, text);
	ctl_say(p, "%s (", text);
	ctl_say_distance(p, obj, key);
	ctl_say(p, ")");
}
