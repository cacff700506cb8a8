/* Value parsers of the configuration: routes and delivery.  Floor 1. */
#include "common/proto/conf-priv.h"

#include "common/base/limits.h"
#include "common/base/timefmt.h"
#include "common/base/utf8.h"
#include "common/proto/template.h"

static const struct hb_conf_choice deliver_kinds = {
	(const char *const[]){ "maildir", "mbox", "lmtp", "command" }, 4
};
static const struct hb_conf_choice tls_levels = {
	(const char *const[]){ "none", "may", "encrypt", "verify",
	    "sts", "dane" }, 6
};

const char *
hb_tls_level_word(enum hb_tls_level level)
{
	return tls_levels.words[level];
}

/* --- what deliver, smarthost and route share --- */

/* The word S with its host in A-labels; S itself where that cannot be. */
static const char *
route_alabels(struct hb_conf_line *l, const char *s)
{
	const char *host = strstr(s, "://"), *labels;
	struct hb_span name, rest;
	struct hb_buf b = HB_BUF_INIT(0);

	if (host == NULL || hb_utf8_is_ascii(hb_span_str(s)))
		return s;
	host += 3;
	rest = hb_span_str(host);
	name = hb_span_head(rest, hb_span_find(rest, ':'));
	labels = hb_conf_alabels(l, hb_arena_cstr(l->arena, name));
	if (labels == NULL)
		return s;
	hb_buf_add(&b, hb_span(s, (size_t)(host - s)));
	hb_buf_adds(&b, labels);
	hb_buf_add(&b, hb_span_from(rest, name.n));
	s = hb_arena_cstr(l->arena, hb_buf_span(&b));
	hb_buf_free(&b);
	return s;
}

/* The canonical text of a route word; NULL after reporting. */
static char *
route_word(struct hb_conf_line *l, const char *s)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_route r;
	char *text = NULL;

	s = route_alabels(l, s);
	if (hb_route_parse(hb_span_str(s), &r) == 0) {
		if (r.kind == HB_ROUTE_LMTP_UNIX) {
			char *path = hb_conf_path(l,
			    hb_arena_cstr(l->arena, r.rest));

			hb_conf_place(l, &(struct hb_place){
				.kind = HB_PLACE_SOCKET, .path = path });
			r.rest = hb_span_str(path);
		}
		if (hb_route_format(&r, &b) == 0) {
			text = hb_arena_cstr(l->arena, hb_buf_span(&b));
			hb_conf_place(l, &(struct hb_place){
				.kind = HB_PLACE_ROUTE, .path = text });
		}
	}
	if (text == NULL)
		hb_conf_error(l, "'%.64s' is not a destination such as "
		    "smtp://HOST:PORT, smtp+tls://HOST, smtps://HOST, "
		    "mx://DOMAIN, lmtp://HOST:PORT or lmtp:PATH "
		    "(international names in UTF-8 or as A-labels)", s);
	hb_buf_free(&b);
	return text;
}

/* --- deliver --- */

/* ENDPOINT as the route that it is: [unix:]PATH, [inet:]HOST:PORT, or a route
 * already.  NULL after reporting. */
static char *
lmtp_word(struct hb_conf_line *l, const char *s)
{
	struct hb_buf b = HB_BUF_INIT(0);
	char *word;

	if (strncmp(s, "unix:", 5) == 0)
		hb_buf_addf(&b, "lmtp:%s", s + 5);
	else if (strncmp(s, "inet:", 5) == 0)
		hb_buf_addf(&b, "lmtp://%s", s + 5);
	else if (strncmp(s, "lmtp:", 5) == 0)
		hb_buf_adds(&b, s);
	else
		hb_buf_addf(&b, strchr(s, '/') != NULL ? "lmtp:%s"
						       : "lmtp://%s", s);
	word = route_word(l, hb_buf_cstr(&b));
	hb_buf_free(&b);
	return word;
}

/* The words of a command, with or without quotes around all of them. */
static char *
joined(struct hb_conf_line *l)
{
	struct hb_buf b = HB_BUF_INIT(0);
	char *all;

	for (size_t i = 1; i < l->n; i++)
		hb_buf_addf(&b, "%s%s", i > 1 ? " " : "", l->v[i]);
	all = hb_arena_cstr(l->arena, hb_buf_span(&b));
	hb_buf_free(&b);
	return all;
}

/* What the helper could not use is the operator's mistake, never that of the
 * recipient whose mail would be the first to show it. */
static void
check_template(struct hb_conf_line *l, const struct hb_deliver *d)
{
	struct hb_span t = hb_span_str(d->arg), bad = hb_template_mistake(t);
	size_t words = 0;

	if (t.n > HB_MAX_TEMPLATE)
		hb_conf_error(l, "longer than %d bytes", HB_MAX_TEMPLATE);
	if (bad.n > 0)
		hb_conf_error(l, "'%.*s' means nothing here; there are: "
		    "%s", HB_SPAN_ARG(bad), HB_TEMPLATE_LETTERS);
	if (d->kind != HB_DELIVER_COMMAND && t.p[0] != '/' &&
	    !hb_template_at_home(t))
		hb_conf_error(l, "'%.64s' is not the path of a mailbox: it "
		    "begins with / or ~/ or %%h", d->arg);
	if (d->kind != HB_DELIVER_COMMAND)
		return;
	if (t.p[0] != '/' && !hb_template_at_home(t))
		hb_conf_error(l, "the command '%.64s' is not given by its full "
		    "path", d->arg);
	while (hb_span_word(&t).n > 0)
		words++;
	if (words > HB_TEMPLATE_WORDS)
		hb_conf_error(l, "the command has more than %d words",
		    HB_TEMPLATE_WORDS);
}

static void
parse_deliver(struct hb_conf_line *l, void *field)
{
	TYPE(deliver, field);
	bool path;
	int kind = hb_conf_choose(l, &deliver_kinds, l->v[0]);

	if (kind < 0)
		return;
	v->kind = (enum hb_deliver_kind)kind;
	if (l->n < 2 || (l->n > 2 && v->kind != HB_DELIVER_COMMAND)) {
		hb_conf_bad_option(l, l->v[0]);
		return;
	}
	path = v->kind == HB_DELIVER_MAILDIR || v->kind == HB_DELIVER_MBOX;
	if (v->kind == HB_DELIVER_LMTP)
		v->arg = lmtp_word(l, l->v[1]);
	else if (path && l->v[1][0] != '~' && l->v[1][0] != '%')
		v->arg = hb_conf_path(l, l->v[1]);
	else
		v->arg = joined(l);
	if (v->kind == HB_DELIVER_LMTP)
		return;
	check_template(l, v);
	hb_conf_place(l, &(struct hb_place){ .kind = path
		? HB_PLACE_MAILBOX : HB_PLACE_COMMAND, .path = v->arg });
}

static void
dump_deliver(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(deliver, field);

	hb_buf_addf(out, "%s %s", word, deliver_kinds.words[v->kind]);
	hb_conf_put_word(out, v->arg);
	hb_buf_adds(out, "\n");
}

static void
parse_delimiter(struct hb_conf_line *l, void *field)
{
	TYPE(delimiter, field);

	if (!hb_conf_one_value(l))
		return;
	if (strcmp(l->v[0], "off") == 0)
		*v = '\0';
	else if (strlen(l->v[0]) != 1 || l->v[0][0] == '@' ||
	    hb_is_alnum((unsigned char)l->v[0][0]) || l->v[0][0] < '!' ||
	    l->v[0][0] > '~')
		hb_conf_error(l, "'%.64s' is not one punctuation character, or "
		    "off", l->v[0]);
	else
		*v = l->v[0][0];
}

static void
dump_delimiter(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(delimiter, field);
	char text[2] = { *v, '\0' };

	hb_conf_put_line(out, word, *v == '\0' ? "off" : text);
}

OPS(deliver, parse_deliver, dump_deliver,
    "maildir PATH|mbox PATH|lmtp ENDPOINT|command CMD")
OPS(delimiter, parse_delimiter, dump_delimiter, "CHAR|off")

/* --- smarthost, route --- */

static void
parse_smarthost(struct hb_conf_line *l, void *field)
{
	TYPE(smarthost, field);

	v->route = route_word(l, l->v[0]);
	for (size_t i = 1; i < l->n; i++) {
		const char *s = hb_conf_option(l->v[i], "auth");

		if (s == NULL) {
			hb_conf_bad_option(l, l->v[i]);
			continue;
		}
		v->auth_file = hb_conf_path(l, s);
		hb_conf_error(l, "auth= has no function in this build, and a "
		    "smarthost that wants a login would send every mail back");
	}
}

static void
dump_smarthost(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(smarthost, field);

	if (v->route != NULL)
		hb_conf_put_pair(out, word, v->route, "auth", v->auth_file);
}

/* "name", ".name" or "*", in lower case; NULL after reporting. */
static char *
pattern_word(struct hb_conf_line *l, const char *s)
{
	char *name, *dotted;
	size_t n;

	if (strcmp(s, "*") == 0)
		return hb_conf_keep(l, s);
	name = hb_conf_domain(l, s[0] == '.' ? s + 1 : s);
	if (name == NULL || s[0] != '.')
		return name;
	n = strlen(name) + 1;
	dotted = hb_arena_alloc(l->arena, n + 1);
	dotted[0] = '.';
	memcpy(dotted + 1, name, n);
	return dotted;
}

/* All words behind the pattern are one text: "error:5.1.1 no such user",
 * "local" is short for local delivery as if the domain were ours. */
static void
parse_routes(struct hb_conf_line *l, void *field)
{
	TYPE(routes, field);
	struct hb_buf text = HB_BUF_INIT(0);
	struct hb_conf_route *r, row;
	void *list = v->v;

	if (l->n < 2) {
		hb_conf_bad_option(l, l->v[0]);
		return;
	}
	row.pattern = pattern_word(l, l->v[0]);
	for (size_t i = 1; i < l->n; i++)
		hb_buf_addf(&text, "%s%s", i > 1 ? " " : "", l->v[i]);
	if (hb_span_eq(hb_buf_span(&text), HB_SPAN("local")))
		row.route = hb_conf_keep(l, "local");
	else
		row.route = route_word(l, hb_buf_cstr(&text));
	hb_buf_free(&text);
	if (row.pattern == NULL || row.route == NULL)
		return;
	r = hb_conf_grow(l->arena, &list, &v->n, sizeof(*r));
	v->v = list;
	*r = row;
}

static void
dump_routes(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(routes, field);

	for (size_t i = 0; i < v->n; i++) {
		hb_buf_addf(out, "%s %s", word, v->v[i].pattern);
		hb_conf_put_word(out, v->v[i].route);
		hb_buf_adds(out, "\n");
	}
}

OPS(smarthost, parse_smarthost, dump_smarthost, "URL [auth=FILE]")
OPS(routes, parse_routes, dump_routes, "PATTERN DESTINATION")

/* --- tls-policy --- */

static void
policy_option(struct hb_conf_line *l, struct hb_tls_policy *p,
    const char *word)
{
	const char *s;
	int64_t day;

	if ((s = hb_conf_option(word, "names")) != NULL) {
		struct hb_span rest = hb_span_str(s);

		while (rest.n > 0) {
			struct hb_span name = hb_span_cut(&rest, ',');
			char *d = hb_conf_domain(l,
			    hb_arena_cstr(l->arena, name));

			if (d != NULL)
				hb_strs_add(l->arena, &p->names, d);
		}
	} else if ((s = hb_conf_option(word, "until")) != NULL) {
		if (hb_date_parse(hb_span_str(s), &day) < 0)
			hb_conf_error(l, "'%.64s' is not a date YYYY-MM-DD", s);
		else
			p->until_ms = day + 86400000;
		hb_conf_place(l, &(struct hb_place){ .kind = HB_PLACE_UNTIL,
			.path = l->v[0], .ms = p->until_ms });
	} else if ((s = hb_conf_option(word, "reason")) != NULL) {
		p->reason = hb_conf_keep(l, s);
	} else {
		hb_conf_bad_option(l, word);
	}
}

static void
parse_tls_policies(struct hb_conf_line *l, void *field)
{
	TYPE(tls_policies, field);
	struct hb_tls_policy p = { 0 };
	void *list = v->v;
	int level;

	if (l->n < 2) {
		hb_conf_bad_option(l, l->v[0]);
		return;
	}
	p.pattern = pattern_word(l, l->v[0]);
	level = hb_conf_choose(l, &tls_levels, l->v[1]);
	if (p.pattern == NULL || level < 0)
		return;
	p.level = (enum hb_tls_level)level;
	for (size_t i = 2; i < l->n; i++)
		policy_option(l, &p, l->v[i]);
	if (p.names.n > 0 && p.level != HB_TLS_VERIFY)
		hb_conf_error(l, "names= goes with level verify");
	*(struct hb_tls_policy *)hb_conf_grow(l->arena, &list, &v->n,
	    sizeof(p)) = p;
	v->v = list;
}

static void
dump_tls_policies(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(tls_policies, field);

	for (size_t i = 0; i < v->n; i++) {
		const struct hb_tls_policy *p = &v->v[i];
		struct hb_buf reason = HB_BUF_INIT(0);

		hb_buf_addf(out, "%s %s %s", word, p->pattern,
		    tls_levels.words[p->level]);
		for (size_t k = 0; k < p->names.n; k++)
			hb_buf_addf(out, "%s%s", k == 0 ? " names=" : ",",
			    p->names.v[k]);
		if (p->until_ms != 0) {
			char text[HB_TIME_RFC3339_SIZE];

			hb_time_rfc3339(p->until_ms - 86400000, text);
			hb_buf_addf(out, " until=%.10s", text);
		}
		if (p->reason != NULL) {
			hb_buf_addf(&reason, "reason=%s", p->reason);
			hb_conf_put_word(out, hb_buf_cstr(&reason));
			hb_buf_free(&reason);
		}
		hb_buf_adds(out, "\n");
	}
}

OPS(tls_policies, parse_tls_policies, dump_tls_policies,
    "PATTERN none|may|encrypt|verify|sts|dane [names=N,...] "
    "[until=YYYY-MM-DD] [reason=TEXT]")

/* --- dnssec-probe --- */

/* NULL is reported.  "." is the root. */
static char *
probe_name(struct hb_conf_line *l, const char *word)
{
	return strcmp(word, ".") == 0 ? hb_conf_keep(l, word)
				      : hb_conf_domain(l, word);
}

static void
parse_probe(struct hb_conf_line *l, void *field)
{
	TYPE(probe, field);
	const char *bad = l->n > 1 ? hb_conf_option(l->v[1], "bad") : NULL;

	if (l->n > 2 || (l->n == 2 && bad == NULL) ||
	    hb_conf_option(l->v[0], "bad") != NULL) {
		hb_conf_bad_option(l, l->v[l->n - 1]);
		return;
	}
	v->name = probe_name(l, l->v[0]);
	v->bad = bad != NULL ? probe_name(l, bad) : NULL;
}

static void
dump_probe(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(probe, field);

	if (v->name != NULL)
		hb_conf_put_pair(out, word, v->name, "bad", v->bad);
}

OPS(probe, parse_probe, dump_probe, "NAME [bad=NAME]")
