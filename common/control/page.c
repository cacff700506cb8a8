/* Pages of prose.  Floor 4. */
#include "config.h"

#include "common/control/page.h"

#include "common/base/prose.h"
#include "common/base/timefmt.h"
#include "common/control/control.h"
#include "common/proto/envelope.h"

enum { KEY_MAX = 32 };

/* Where a text goes, and what time it is there. */
struct ctl_spot {
	struct hb_buf *out;
	int64_t now_ms;
};

void
ctl_quoted(struct hb_buf *out, struct hb_span s)
{
	hb_buf_adds(out, "\"");
	ctl_safe(out, s);
	hb_buf_adds(out, "\"");
}

static void
put_plain(const struct ctl_spot *to, const json_t *v)
{
	if (json_is_integer(v))
		hb_buf_addf(to->out, "%lld", (long long)json_integer_value(v));
	else
		ctl_safe(to->out, ctl_string(v));
}

static void
put_field(const struct ctl_spot *to, const json_t *v)
{
	if (json_is_boolean(v))
		hb_buf_adds(to->out, json_is_true(v) ? "yes" : "no");
	else if (json_is_integer(v) || ctl_string(v).n > 0)
		put_plain(to, v);
	else
		hb_buf_adds(to->out, "-");
}

static void
put_seconds(const struct ctl_spot *to, const json_t *v)
{
	char text[32];

	hb_time_amount(json_integer_value(v) * 1000, text);
	hb_buf_adds(to->out, text);
}

static void
put_quoted(const struct ctl_spot *to, const json_t *v)
{
	ctl_quoted(to->out, ctl_string(v));
}

static void
put_list(const struct ctl_spot *to, const json_t *list)
{
	size_t i, n = json_array_size(list);
	const json_t *v;

	json_array_foreach(list, i, v)
	{
		hb_buf_adds(to->out, i == 0 ? "" : i + 1 == n ? " and " : ", ");
		ctl_safe(to->out, ctl_string(v));
	}
}

static void
put_reason(const struct ctl_spot *to, const json_t *v)
{
	struct hb_span word = ctl_string(v);

	hb_buf_addf(to->out, "%s [", hb_reason_text(hb_reason_find(word)));
	ctl_safe(to->out, word);
	hb_buf_adds(to->out, "]");
}

/* Whatever the clock says since, it has happened. */
static void
put_past(const struct ctl_spot *to, const json_t *v)
{
	char text[32];
	int64_t ms;

	if (hb_time_rfc3339_parse(ctl_string(v), &ms) < 0)
		return;
	if (ms <= to->now_ms) {
		hb_time_distance(ms, to->now_ms, text);
		hb_buf_adds(to->out, text);
		return;
	}
	hb_time_amount(ms - to->now_ms, text);
	hb_buf_addf(to->out, "when the clock here was %s ahead of where it is "
	    "now", text);
}

static void
put_time(const struct ctl_spot *to, const json_t *v)
{
	char plain[HB_TIME_PLAIN_SIZE], distance[32];
	int64_t ms;

	if (hb_time_rfc3339_parse(ctl_string(v), &ms) < 0)
		return;
	hb_time_plain(ms, plain);
	hb_time_distance(ms, to->now_ms, distance);
	hb_buf_addf(to->out, "%s (%s)", plain, distance);
}

static const struct {
	char mark;
	void (*put)(const struct ctl_spot *to, const json_t *v);
} marks[] = { { '"', put_quoted }, { ',', put_list }, { '!', put_reason },
	{ '~', put_past }, { '@', put_time }, { '-', put_field },
	{ '#', put_seconds } };

static const json_t *
member(const json_t *obj, struct hb_span key)
{
	char name[KEY_MAX];

	HB_ASSERT(hb_span_copy(key, name, sizeof(name)) == 0);
	return json_object_get(obj, name);
}

static void
put_member(const struct ctl_spot *to, const json_t *obj, struct hb_span key)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(marks); i++)
		if (key.p[0] == (unsigned char)marks[i].mark) {
			marks[i].put(to, member(obj, hb_span_from(key, 1)));
			return;
		}
	put_plain(to, member(obj, key));
}

static bool
is_there(const json_t *v)
{
	return ctl_string(v).n > 0 || json_array_size(v) > 0 ||
	    json_is_integer(v);
}

static void
put(const struct ctl_spot *to, const json_t *obj, struct hb_span text)
{
	while (text.n > 0) {
		size_t n = 0;
		struct hb_span inner;
		bool is_member;

		while (n < text.n && text.p[n] != '{' && text.p[n] != '<')
			n++;
		hb_buf_add(to->out, hb_span_head(text, n));
		if (n == text.n)
			return;
		is_member = text.p[n] == '{';
		text = hb_span_from(text, n + 1);
		inner = hb_span_cut(&text, is_member ? '}' : '>');
		if (is_member)
			put_member(to, obj, inner);
		else if (is_there(member(obj, hb_span_cut(&inner, '|'))))
			put(to, obj, inner);
	}
}

void
ctl_add_text(struct ctl_client *c, const json_t *obj, const char *text)
{
	put(&(struct ctl_spot){ &c->text, 0 }, obj, hb_span_str(text));
}

void
ctl_say(struct ctl_page *p, const json_t *obj, const char *text)
{
	put(&(struct ctl_spot){ &p->para, p->now_ms }, obj, hb_span_str(text));
}

void
ctl_say_end(struct ctl_page *p)
{
	hb_prose_wrap(p->out, hb_buf_span(&p->para), p->indent, "\n");
	hb_buf_clear(&p->para);
}

void
ctl_para(struct ctl_page *p, const json_t *obj, const char *text)
{
	ctl_say(p, obj, text);
	ctl_say_end(p);
}

void
ctl_say_block(struct ctl_page *p, const json_t *obj, const char *title)
{
	hb_buf_adds(p->out, "\n");
	put(&(struct ctl_spot){ p->out, p->now_ms }, obj, hb_span_str(title));
	hb_buf_adds(p->out, "\n");
	p->indent = "  ";
}

bool
ctl_time(const json_t *obj, const char *key, int64_t *ms)
{
	return hb_time_rfc3339_parse(ctl_member(obj, key), ms) == 0;
}
