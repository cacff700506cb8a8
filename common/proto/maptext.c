/* Text format of maps.  Floor 1. */
#include "common/proto/maptext.h"

#include "common/base/err.h"
#include "common/proto/addrlist.h"

void
hb_maptext_init(struct hb_maptext *m, struct hb_span text,
    enum hb_map_syntax syntax)
{
	*m = (struct hb_maptext){ .rest = hb_span_markless(text), .syntax = syntax,
		.next_line = 1, .value = HB_BUF_INIT(0) };
}

void
hb_maptext_free(struct hb_maptext *m)
{
	hb_buf_free(&m->value);
}

static struct hb_span
take_line(struct hb_maptext *m)
{
	m->next_line++;
	return hb_span_cut(&m->rest, '\n');
}

static bool
is_skipped(struct hb_span line)
{
	line = hb_span_trim(line);
	return line.n == 0 || line.p[0] == '#';
}

/* Lines that begin with a blank belong to the entry above them. */
static void
join_lines(struct hb_maptext *m)
{
	while (m->rest.n > 0 &&
	    (m->rest.p[0] == ' ' || m->rest.p[0] == '\t')) {
		struct hb_span line = hb_span_trim(take_line(m));

		if (is_skipped(line))
			continue;
		hb_buf_adds(&m->value, " ");
		hb_buf_add(&m->value, line);
	}
}

/* The key at the front of LINE; *REST is what follows it. */
static int
cut_key(struct hb_span line, enum hb_map_syntax syntax, struct hb_span *key,
    struct hb_span *rest)
{
	size_t end = 0;

	if (line.n > 0 && line.p[0] == '"') {
		line = hb_span_from(line, 1);
		end = hb_span_find(line, '"');
		if (end == line.n)
			return HB_E_SYNTAX;
		*key = hb_span_head(line, end);
		*rest = hb_span_trim(hb_span_from(line, end + 1));
		if (syntax == HB_MAPSYN_TABLE)
			return key->n > 0 ? 0 : HB_E_SYNTAX;
		if (rest->n == 0 || rest->p[0] != ':')
			return HB_E_SYNTAX;
		*rest = hb_span_from(*rest, 1);
		return key->n > 0 ? 0 : HB_E_SYNTAX;
	}
	if (syntax == HB_MAPSYN_ALIASES) {
		end = hb_span_find(line, ':');
		if (end == line.n)
			return HB_E_SYNTAX;
		*rest = hb_span_from(line, end + 1);
	} else {
		while (end < line.n && !hb_is_blank(line.p[end]))
			end++;
		*rest = hb_span_from(line, end);
	}
	*key = hb_span_trim(hb_span_head(line, end));
	return key->n > 0 ? 0 : HB_E_SYNTAX;
}

int
hb_maptext_next(struct hb_maptext *m, struct hb_span *key,
    struct hb_span *value)
{
	struct hb_span line, rest;
	int r;

	do {
		if (m->rest.n == 0)
			return 0;
		m->line = m->next_line;
		line = take_line(m);
	} while (is_skipped(line));
	hb_buf_clear(&m->value);
	r = hb_is_blank(line.p[0]) ? HB_E_SYNTAX
				   : cut_key(line, m->syntax, key, &rest);
	if (r == 0)
		hb_buf_add(&m->value, hb_span_trim(rest));
	join_lines(m);
	if (r < 0)
		return r;
	*value = hb_buf_span(&m->value);
	if (m->syntax == HB_MAPSYN_ALIASES && value->n == 0)
		return HB_E_SYNTAX;
	return 1;
}

/* Where the target at the front of S ends; s.n + 1 for an open quote.  A
 * comma in a quoted string or a comment ends nothing. */
static size_t
target_end(struct hb_span s)
{
	bool quoted = false;
	size_t i = 0;

	while (i < s.n && (quoted || s.p[i] != ',')) {
		size_t skip = 0;

		if (s.p[i] == '\\' && quoted && i + 1 < s.n)
			skip = 2;
		else if (s.p[i] == '"')
			quoted = !quoted;
		else if (s.p[i] == '(' && !quoted)
			skip = hb_comment_length(hb_span_from(s, i));
		i += skip > 0 ? skip : 1;
	}
	return quoted ? s.n + 1 : i;
}

/* Is all of S one quoted string? */
static bool
is_quoted(struct hb_span s)
{
	size_t i = 1;

	if (s.n < 2 || s.p[0] != '"')
		return false;
	while (i < s.n && s.p[i] != '"')
		i += s.p[i] == '\\' ? 2 : 1;
	return i + 1 == s.n;
}

void
hb_alias_unquote(struct hb_span s, struct hb_buf *out)
{
	if (!is_quoted(s)) {
		hb_buf_add(out, s);
		return;
	}
	for (size_t i = 1; i + 1 < s.n; i++) {
		if (s.p[i] == '\\' && i + 2 < s.n)
			i++;
		hb_buf_add(out, hb_span(s.p + i, 1));
	}
}

int
hb_alias_next(struct hb_span *rest, struct hb_buf *out)
{
	struct hb_span target;
	size_t end;

	do {
		if (rest->n == 0)
			return 0;
		end = target_end(*rest);
		if (end > rest->n)
			return HB_E_SYNTAX;
		target = hb_span_trim(hb_span_head(*rest, end));
		*rest = hb_span_from(*rest, end + 1);
	} while (target.n == 0);
	hb_buf_clear(out);
	hb_alias_unquote(target, out);
	return 1;
}
