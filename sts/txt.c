/* The TXT record of MTA-STS.  Floor 1. */
#include "sts/txt.h"

#include "common/base/err.h"

enum { FIELD_NAME_MAX = 32 };

static bool
is_wsp(unsigned char c)
{
	return c == ' ' || c == '\t';
}

static struct hb_span
skip_wsp(struct hb_span s)
{
	while (s.n > 0 && is_wsp(s.p[0]))
		s = hb_span(s.p + 1, s.n - 1);
	return s;
}

bool
sts_is_id(struct hb_span s)
{
	if (s.n == 0 || s.n > STS_ID_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!hb_is_alnum(s.p[i]))
			return false;
	return true;
}

bool
sts_is_field_name(struct hb_span s)
{
	if (s.n == 0 || s.n > FIELD_NAME_MAX || !hb_is_alnum(s.p[0]))
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!hb_is_alnum(s.p[i]) && s.p[i] != '_' && s.p[i] != '-' &&
		    s.p[i] != '.')
			return false;
	return true;
}

static bool
is_ext_value(struct hb_span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '=')
			return false;
	return s.n > 0;
}

/* One field between delimiters, blanks around it gone. */
static int
take_field(struct hb_span field, struct hb_span *id)
{
	struct hb_span value = field;
	struct hb_span name = hb_span_cut(&value, '=');

	if (hb_span_eq(name, HB_SPAN("id"))) {
		if (id->n > 0 || !sts_is_id(value))
			return HB_E_SYNTAX;
		*id = value;
		return 0;
	}
	return sts_is_field_name(name) && is_ext_value(value) ? 0 : HB_E_SYNTAX;
}

int
sts_txt_parse(struct hb_span record, struct hb_span *id)
{
	static const struct hb_span start = HB_SPAN("v=STSv1;");
	struct hb_span rest, field;
	int r;

	/* RFC 8461 s3.1: the version is case-sensitive and comes first */
	if (!hb_span_eq(hb_span_head(record, start.n), start))
		return HB_E_NOTFOUND;
	*id = HB_SPAN_NONE;
	rest = skip_wsp(hb_span_from(record, start.n));
	while (rest.n > 0) {
		bool last = hb_span_find(rest, ';') == rest.n;

		field = hb_span_cut(&rest, ';');
		/* blanks belong to a delimiter: none after the last field */
		while (!last && field.n > 0 && is_wsp(field.p[field.n - 1]))
			field.n--;
		r = take_field(field, id);
		if (r < 0)
			return r;
		rest = skip_wsp(rest);
	}
	return id->n > 0 ? 0 : HB_E_SYNTAX;
}

int
sts_txt_pick(const struct hb_span *records, size_t n, struct hb_span *id)
{
	int result = HB_E_NOTFOUND;

	for (size_t i = 0; i < n; i++) {
		struct hb_span found;
		int r = sts_txt_parse(records[i], &found);

		if (r == HB_E_NOTFOUND)
			continue;
		if (result != HB_E_NOTFOUND)
			return HB_E_SYNTAX;
		result = r;
		if (r == 0)
			*id = found;
	}
	return result;
}
