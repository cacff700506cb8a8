/* MTA-STS policy text.  RFC 8461 s3.2.  Floor 1. */
#include "sts/policy.h"

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/proto/domain.h"
#include "sts/txt.h"

enum { MAX_AGE_DIGITS = 10 };

static const char *const mode_words[STS_MODE_COUNT] = {
	[STS_MODE_NONE] = "none",
	[STS_MODE_TESTING] = "testing",
	[STS_MODE_ENFORCE] = "enforce",
};

const char *
sts_mode_word(enum sts_mode m)
{
	return m < STS_MODE_COUNT ? mode_words[m] : "none";
}

struct parse {
	struct sts_policy *out;
	struct hb_arena *arena;
	const char *why;
	bool seen_version, seen_mode, seen_max_age;
};

static int
bad(struct parse *ps, const char *why)
{
	ps->why = why;
	return HB_E_SYNTAX;
}

static int
take_version(struct parse *ps, struct hb_span v)
{
	if (ps->seen_version)
		return 0;
	ps->seen_version = true;
	return hb_span_eq(v, HB_SPAN("STSv1")) ? 0
					       : bad(ps, "version not STSv1");
}

static int
take_mode(struct parse *ps, struct hb_span v)
{
	if (ps->seen_mode)
		return 0;
	ps->seen_mode = true;
	for (unsigned m = 0; m < STS_MODE_COUNT; m++)
		if (hb_span_eq(v, hb_span_str(mode_words[m]))) {
			ps->out->mode = (enum sts_mode)m;
			return 0;
		}
	return bad(ps, "mode unknown");
}

/* Ten digits are read, what is above the bound counts as the bound. */
static int
take_max_age(struct parse *ps, struct hb_span v)
{
	uint64_t age;

	if (ps->seen_max_age)
		return 0;
	ps->seen_max_age = true;
	if (v.n > MAX_AGE_DIGITS || hb_span_u64(v, UINT64_MAX, &age) < 0)
		return bad(ps, "max_age is not a number");
	ps->out->max_age_s =
	    (uint32_t)(age < HB_MAX_STS_MAX_AGE ? age : HB_MAX_STS_MAX_AGE);
	return 0;
}

static int
take_mx(struct parse *ps, struct hb_span v)
{
	struct sts_policy *p = ps->out;
	struct hb_span name;

	v = name = hb_domain_dotless(v);
	if (name.n > 2 && name.p[0] == '*' && name.p[1] == '.')
		name = hb_span_from(name, 2);
	/* RFC 5321 s4.1.2, in A-labels */
	if (!hb_domain_is_name(name) || name.p[name.n - 1] == '.')
		return bad(ps, "mx is not a domain name");
	/* Room is made at each power of two; STS_BODY bounds how many there
	 * are. */
	if ((p->nmx & (p->nmx - 1)) == 0) {
		size_t room = p->nmx > 0 ? p->nmx * 2 : 1;
		struct hb_span *more =
		    hb_arena_alloc(ps->arena, room * sizeof(*more));

		if (p->nmx > 0)
			memcpy(more, p->mx, p->nmx * sizeof(*more));
		p->mx = more;
	}
	p->mx[p->nmx++] =
	    hb_span_lower(v, hb_arena_alloc(ps->arena, v.n));
	return 0;
}

static const struct {
	struct hb_span name;
	int (*take)(struct parse *ps, struct hb_span value);
} fields[] = {
	{ HB_SPAN("version"), take_version },
	{ HB_SPAN("mode"), take_mode },
	{ HB_SPAN("max_age"), take_max_age },
	{ HB_SPAN("mx"), take_mx },
};

static bool
is_field_value(struct hb_span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
			return false;
	return hb_span_trim(s).n > 0;
}

static int
take_line(struct parse *ps, struct hb_span line)
{
	struct hb_span value = line;
	struct hb_span name = hb_span_cut(&value, ':');

	if (!sts_is_field_name(name) || !is_field_value(value))
		return bad(ps, "line is not a field");
	value = hb_span_trim(value);
	for (size_t i = 0; i < HB_ARRAY_LEN(fields); i++)
		if (hb_span_eq(name, fields[i].name))
			return fields[i].take(ps, value);
	return 0;
}

static int
take_lines(struct parse *ps, struct hb_span text)
{
	while (text.n > 0) {
		struct hb_span line = hb_span_cut(&text, '\n');
		int r;

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			return bad(ps, "bare carriage return");
		if (hb_span_trim(line).n == 0)
			continue; /* an empty line harms nobody */
		r = take_line(ps, line);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
check_whole(struct parse *ps)
{
	if (!ps->seen_version)
		return bad(ps, "no version");
	if (!ps->seen_mode)
		return bad(ps, "no mode");
	if (!ps->seen_max_age)
		return bad(ps, "no max_age");
	if (ps->out->mode != STS_MODE_NONE && ps->out->nmx == 0)
		return bad(ps, "no mx");
	return 0;
}

int
sts_policy_parse(struct hb_span text, struct hb_arena *arena,
    struct sts_policy *out, const char **why)
{
	struct parse ps = { .out = out, .arena = arena, .why = "" };
	int r = HB_E_LIMIT;

	*out = (struct sts_policy){ .mode = STS_MODE_NONE };
	if (text.n > HB_MAX_STS_BODY)
		ps.why = "longer than 64 KiB";
	else
		r = take_lines(&ps, text);
	if (r == 0)
		r = check_whole(&ps);
	*why = ps.why;
	return r;
}
