/* The configuration: files, lines, words, rows.  Floor 1. */
#include "common/proto/conf-priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/proto/template.h"

enum { MAX_WORDS = 4096, MAX_LISTED = 200 };

static const struct hb_conf_row rows[] = {
#define CONF_WORD(word, type, field, def, min, max, flags, text)               \
	{ word, HB_CONF_T_##type, offsetof(struct hb_conf, field), def, min,   \
		max, flags, text },
#include "common/proto/conf.def"
#undef CONF_WORD
};

/* A text being read, and the one that includes it. */
struct text {
	const char *file; /* arena-owned */
	const struct text *above;
};

struct reader {
	const struct hb_conf_source *src;
	struct hb_conf_report *report;
	struct hb_conf *conf;
	const struct text *text;
	/* the first use of each word */
	struct {
		const char *file;
		unsigned line;
	} seen[HB_ARRAY_LEN(rows)];
	unsigned files;
	bool canonical;
};

static void HB_PRINTF(3, 0)
report_line(struct hb_conf_line *l, const char *kind, const char *fmt,
    va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	if (l->is_default)
		hb_buf_addf(&l->report->text, "default of %s: %s%s\n",
		    l->row->word, kind, text);
	else
		hb_buf_addf(&l->report->text, "%s:%u: %s%s\n", l->file, l->line,
		    kind, text);
}

void
hb_conf_error(struct hb_conf_line *l, const char *fmt, ...)
{
	va_list ap;

	if (l->report->errors++ >= MAX_LISTED)
		return;
	va_start(ap, fmt);
	report_line(l, "", fmt, ap);
	va_end(ap);
}

void
hb_conf_warn(struct hb_conf_line *l, const char *fmt, ...)
{
	va_list ap;

	if (l->canonical || l->report->warnings++ >= MAX_LISTED)
		return;
	va_start(ap, fmt);
	report_line(l, "warning: ", fmt, ap);
	va_end(ap);
}

void
hb_conf_report_at(struct hb_conf_report *report, const struct hb_place *at,
    bool warning, const char *fmt, ...)
{
	struct hb_conf_line l = { .report = report, .file = at->file,
		.line = at->line };
	size_t *count = warning ? &report->warnings : &report->errors;
	va_list ap;

	if ((*count)++ >= MAX_LISTED)
		return;
	va_start(ap, fmt);
	report_line(&l, warning ? "warning: " : "", fmt, ap);
	va_end(ap);
}

const struct hb_place *
hb_conf_line_of(const struct hb_conf *c, struct hb_span word)
{
	for (size_t i = 0; i < c->places.n; i++)
		if (c->places.v[i].kind == HB_PLACE_LINE &&
		    hb_span_eq(hb_span_str(c->places.v[i].word), word))
			return &c->places.v[i];
	return NULL;
}

void
hb_conf_place(struct hb_conf_line *l, const struct hb_place *at)
{
	struct hb_place *p;
	void *list = l->places->v;

	if (l->canonical || l->is_default)
		return;
	p = hb_conf_grow(l->arena, &list, &l->places->n, sizeof(*p));
	l->places->v = list;
	*p = *at;
	p->word = l->row != NULL ? l->row->word : "include";
	p->file = l->file;
	p->line = l->line;
}

void *
hb_conf_grow(struct hb_arena *a, void **list, size_t *n, size_t size)
{
	/* Room is made at each power of two. */
	if ((*n & (*n - 1)) == 0) {
		void *more = hb_arena_alloc(a, (*n > 0 ? *n * 2 : 1) * size);

		if (*n > 0)
			memcpy(more, *list, *n * size);
		*list = more;
	}
	return (unsigned char *)*list + (*n)++ * size;
}

void
hb_strs_add(struct hb_arena *a, struct hb_strs *list, char *s)
{
	void *v = list->v;

	*(char **)hb_conf_grow(a, &v, &list->n, sizeof(char *)) = s;
	list->v = v;
}

char *
hb_conf_path(struct hb_conf_line *l, const char *path)
{
	char *p;
	size_t n;

	if (path[0] == '/' || l->src->dir == NULL)
		return hb_arena_cstr(l->arena, hb_span_str(path));
	n = strlen(l->src->dir) + strlen(path) + 2;
	p = hb_arena_alloc(l->arena, n);
	snprintf(p, n, "%s/%s", l->src->dir, path);
	return p;
}

static bool
is_plain_word(const char *w)
{
	if (*w == '\0' || *w == '#')
		return false;
	for (; *w != '\0'; w++)
		if ((unsigned char)*w <= ' ' || *w == '"' || *w == '\\')
			return false;
	return true;
}

void
hb_conf_put_word(struct hb_buf *out, const char *w)
{
	hb_buf_adds(out, " ");
	if (is_plain_word(w)) {
		hb_buf_adds(out, w);
		return;
	}
	hb_buf_adds(out, "\"");
	for (; *w != '\0'; w++)
		hb_buf_addf(out, *w == '"' || *w == '\\' ? "\\%c" : "%c", *w);
	hb_buf_adds(out, "\"");
}

/*
 * The next word of a line into DST (as long as the line).  Double quotes hold
 * blanks, also inside a word; inside them \" and \\ stand for themselves.
 * 1 a word, 0 end of line, HB_E_SYNTAX an open quote.
 */
static int
next_word(struct hb_span *rest, char *dst)
{
	struct hb_span s = *rest;
	size_t i = 0, n = 0;
	bool quoted = false;

	while (i < s.n && hb_is_blank(s.p[i]))
		i++;
	if (i == s.n || s.p[i] == '#')
		return 0;
	for (; i < s.n && (quoted || !hb_is_blank(s.p[i])); i++) {
		if (s.p[i] == '"') {
			quoted = !quoted;
			continue;
		}
		if (quoted && s.p[i] == '\\' && i + 1 < s.n &&
		    (s.p[i + 1] == '"' || s.p[i + 1] == '\\'))
			i++;
		dst[n++] = (char)s.p[i];
	}
	dst[n] = '\0';
	*rest = hb_span_from(s, i);
	return quoted ? HB_E_SYNTAX : 1;
}

static const struct hb_conf_row *
find_row(const char *word)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].word, word) == 0)
			return &rows[i];
	return NULL;
}

/* Letters that differ in place, plus the difference in length. */
static size_t
distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), n = la < lb ? la : lb, d;

	d = la > lb ? la - lb : lb - la;
	for (size_t i = 0; i < n; i++)
		d += a[i] != b[i] && a[la - 1 - i] != b[lb - 1 - i];
	return d;
}

static void
unknown_word(struct hb_conf_line *l, const char *word)
{
	const char *best = NULL;
	size_t least = 3;

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		if (distance(word, rows[i].word) < least) {
			least = distance(word, rows[i].word);
			best = rows[i].word;
		}
	if (best != NULL)
		hb_conf_error(l, "unknown word '%.64s', did you mean '%s'?",
		    word, best);
	else
		hb_conf_error(l, "unknown word '%.64s', see hauberk.conf(5)",
		    word);
}

static void
note_unbuilt(struct reader *r, struct hb_conf_line *l)
{
	const char *what = l->unbuilt;

	if ((l->row->flags & HB_CW_UNBUILT) != 0 && what == NULL &&
	    !(l->n == 1 && strcmp(l->v[0], "off") == 0))
		what = l->row->word;
	if (what == NULL || l->canonical || l->is_default)
		return;
	hb_conf_warn(l, "'%s' is taken, but has no function in this build",
	    what);
	hb_strs_add(r->conf->arena, &r->conf->unbuilt,
	    hb_arena_cstr(r->conf->arena, hb_span_str(what)));
}

static void
apply_row(struct reader *r, struct hb_conf_line *l)
{
	const struct hb_conf_type_ops *type = hb_conf_types[l->row->type];
	size_t i = (size_t)(l->row - rows);

	if (r->seen[i].line != 0 && (l->row->flags & HB_CW_MANY) == 0 &&
	    !l->is_default) {
		hb_conf_error(l, "'%s' is already given in line %u",
		    l->row->word, r->seen[i].line);
		return;
	}
	if ((l->row->flags & HB_CW_REFUSED) != 0 && !l->is_default) {
		hb_conf_error(l, "'%s' has no function in this build, and "
		    "ignoring it would weaken what it demands", l->row->word);
		return;
	}
	if (l->n == 0) {
		hb_conf_error(l, "'%s' needs a value: %s", l->row->word,
		    type->syntax);
		return;
	}
	if (!l->is_default && r->seen[i].line == 0) {
		r->seen[i].line = l->line;
		r->seen[i].file = l->file;
	}
	hb_conf_place(l, &(struct hb_place){ .kind = HB_PLACE_LINE });
	type->parse(l, (unsigned char *)r->conf + l->row->offset);
	note_unbuilt(r, l);
}

static void read_text(struct reader *r, const char *file, struct hb_span text);

static bool
is_being_read(const struct reader *r, const char *path)
{
	for (const struct text *t = r->text; t != NULL; t = t->above)
		if (strcmp(t->file, path) == 0)
			return true;
	return false;
}

int
hb_conf_read(struct hb_conf_line *l, const char *path, struct hb_buf *content)
{
	int e = l->src->read(l->src->ctx, path, content);

	if (e != 0)
		hb_conf_error(l, "cannot read %s: %s", path, hb_file_error(e));
	else if (content->n == 0)
		hb_conf_error(l, "%s is empty", path);
	return e;
}

static void
include_file(struct reader *r, struct hb_conf_line *l)
{
	struct hb_buf content = HB_BUF_INIT(0);
	char *path;
	int e;

	if (l->n != 1) {
		hb_conf_error(l, "'include' needs one file");
		return;
	}
	if (r->src->read == NULL || ++r->files > HB_MAX_CONF_FILES) {
		hb_conf_error(l, "too many files included, at most %d",
		    HB_MAX_CONF_FILES);
		return;
	}
	path = hb_conf_path(l, l->v[0]);
	if (is_being_read(r, path)) {
		hb_conf_error(l, "%s includes itself", path);
		return;
	}
	hb_conf_place(l, &(struct hb_place){ .kind = HB_PLACE_TEXT,
		.path = path });
	e = hb_conf_read(l, path, &content);
	if (e == 0)
		read_text(r, path, hb_buf_span(&content));
	hb_buf_free(&content);
}

/* Cuts a line into words (arena-owned). */
static int
split_line(struct hb_conf_line *l, struct hb_span text)
{
	char *word = hb_malloc(text.n + 1);
	struct hb_strs words = { NULL, 0 };
	int r;

	while ((r = next_word(&text, word)) > 0 && words.n < MAX_WORDS)
		hb_strs_add(l->arena, &words,
		    hb_arena_cstr(l->arena, hb_span_str(word)));
	free(word);
	l->v = words.v;
	l->n = words.n;
	return r;
}

static void
read_line(struct reader *r, const char *file, unsigned number,
    struct hb_span text)
{
	struct hb_conf_line l = { .src = r->src, .report = r->report,
		.arena = r->conf->arena, .places = &r->conf->places,
		.file = file, .line = number, .canonical = r->canonical };
	char *word;

	if (text.n > HB_MAX_CONF_LINE) {
		hb_conf_error(&l, "line longer than %d bytes",
		    HB_MAX_CONF_LINE);
		return;
	}
	if (text.n > 0 && memchr(text.p, 0, text.n) != NULL) {
		hb_conf_error(&l, "a NUL byte in the line");
		return;
	}
	if (split_line(&l, text) < 0) {
		hb_conf_error(&l, "a double quote is not closed");
		return;
	}
	if (l.n == 0)
		return;
	word = l.v[0];
	l.v++;
	l.n--;
	if (strcmp(word, "include") == 0) {
		include_file(r, &l);
		return;
	}
	l.row = find_row(word);
	if (l.row == NULL)
		unknown_word(&l, word);
	else
		apply_row(r, &l);
}

static void
read_text(struct reader *r, const char *file, struct hb_span text)
{
	struct text t = { hb_arena_cstr(r->conf->arena, hb_span_str(file)),
		r->text };

	r->text = &t;
	text = hb_span_markless(text);
	for (unsigned number = 1; text.n > 0; number++)
		read_line(r, t.file, number, hb_span_cut(&text, '\n'));
	r->text = t.above;
}

static unsigned
seen_at(const struct reader *r, const char *word)
{
	return r->seen[find_row(word) - rows].line;
}

/* The line that gives WORD, for reports. */
static struct hb_conf_line
line_of(const struct reader *r, const char *word)
{
	size_t i = (size_t)(find_row(word) - rows);

	return (struct hb_conf_line){ .report = r->report, .row = &rows[i],
		.file = r->seen[i].file, .line = r->seen[i].line,
		.is_default = r->seen[i].line == 0,
		.canonical = r->canonical };
}

static void
check_line(struct reader *r, const char *word, const char *what)
{
	struct hb_conf_line l = line_of(r, word);

	hb_conf_error(&l, "'%s' %s", word, what);
}

static void
warn_line(struct reader *r, const char *word, const char *what)
{
	struct hb_conf_line l = line_of(r, word);

	hb_conf_warn(&l, "'%s' %s", word, what);
}

static bool
has_account(const struct hb_conf *c, const char *role)
{
	for (size_t i = 0; i < c->users.n; i++)
		if (strcmp(c->users.v[i].role, role) == 0)
			return true;
	return false;
}

/* Whose mailbox is it?  With a map of users there is one account for all, and
 * so one home. */
static void
check_mailbox(struct reader *r)
{
	const struct hb_conf *c = r->conf;
	struct hb_span t = hb_span_str(c->deliver.arg);
	bool home = hb_template_at_home(t) || hb_template_has(t, 'h');
	bool own = hb_template_has(t, 'u') || hb_template_has(t, 'a');

	if (c->deliver.kind == HB_DELIVER_LMTP || seen_at(r, "deliver") == 0)
		return;
	if (home && !c->local_users.passwd && !has_account(c, "local"))
		warn_line(r, "deliver", "goes to nobody's home, which is not "
		    "there: with a map of users 'user local NAME' gives one");
	if (!own && (!home || !c->local_users.passwd) &&
	    c->deliver.kind != HB_DELIVER_COMMAND)
		warn_line(r, "deliver", "is one mailbox for all users: it has "
		    "neither %u nor %a");
}

/* Would a connection to ROUTE's host come to LISTEN? */
static bool
leads_to(const struct hb_conf *c, const struct hb_route *route,
    const struct hb_listen *listen)
{
	static const uint16_t ports[] = {
#define X(sym, prefix, port) [HB_ROUTE_##sym] = (port),
		HB_ROUTES(X)
#undef X
	};
	struct hb_netaddr host = { 0 };
	bool loopback = listen->any || hb_netaddr_is_loopback(&listen->addr);

	if (listen->addr.port !=
	    (route->port != 0 ? route->port : ports[route->kind]))
		return false;
	if (!route->literal && hb_span_eq_nocase(route->host,
	    hb_span_str(c->hostname)))
		return listen->any || !loopback;
	if (hb_span_eq_nocase(route->host, HB_SPAN("localhost")))
		return loopback;
	if (!route->literal || hb_netaddr_parse(route->host, &host) < 0)
		return false;
	host.port = listen->addr.port;
	return hb_netaddr_eq(&host, &listen->addr) ||
	    (listen->any && hb_netaddr_is_loopback(&host));
}

/* A route that leads back to this server: the mail would go round until it has
 * too many Received lines, and come back to its sender. */
static void
check_routes(struct reader *r)
{
	const struct hb_conf *c = r->conf;

	for (size_t i = 0; i < c->places.n; i++) {
		const struct hb_place *at = &c->places.v[i];
		struct hb_route route;
		bool self = false;

		if (at->kind != HB_PLACE_ROUTE || c->hostname == NULL ||
		    hb_route_parse(hb_span_str(at->path), &route) < 0 ||
		    route.kind < HB_ROUTE_SMTP || route.kind > HB_ROUTE_SMTPS)
			continue;
		for (size_t k = 0; k < c->listens.n && !self; k++)
			self = leads_to(c, &route, &c->listens.v[k]);
		if (self)
			hb_conf_report_at(r->report, at, false, "%s is this "
			    "server itself: mail would go round", at->path);
	}
}

/* What depends on more than one word. */
static void
cross_check(struct reader *r)
{
	static const char *const lab_words[] = { "smtp-port", "policy-port",
		"policy-address" };
	struct hb_conf *c = r->conf;

	for (size_t i = 0; i < HB_ARRAY_LEN(lab_words); i++)
		if (!r->canonical && !c->lab && seen_at(r, lab_words[i]) != 0)
			check_line(r, lab_words[i], "is for labs alone: it "
			    "needs 'lab on'");
	if (c->retry.first_ms > c->retry.max_ms)
		check_line(r, "retry", "has a first wait above its max");
	check_mailbox(r);
	check_routes(r);
	if (c->smarthost.route != NULL && c->hostname != NULL &&
	    strstr(c->smarthost.route, "lmtp") == c->smarthost.route)
		check_line(r, "smarthost", "cannot be an LMTP server");
}

static void
fill_names(struct reader *r)
{
	struct hb_conf *c = r->conf;

	if (c->hostname == NULL && r->src->default_hostname != NULL)
		c->hostname = hb_arena_cstr(c->arena,
		    hb_span_str(r->src->default_hostname));
	if (c->hostname == NULL) {
		hb_buf_addf(&r->report->text, "%s:1: no 'hostname' given and "
		    "the host's own full name is not known: write 'hostname "
		    "NAME'\n", r->src->file);
		r->report->errors++;
		return;
	}
	if (strchr(c->hostname, '.') == NULL)
		warn_line(r, "hostname", "has no domain: many servers refuse "
		    "mail from such a name");
	if (c->domains.n == 0)
		hb_strs_add(c->arena, &c->domains, c->hostname);
}

/* Who moves here from sendmail has them already, and root's mail with them. */
static void
fill_aliases(struct reader *r)
{
	struct hb_conf *c = r->conf;
	struct hb_conf_line l = line_of(r, "aliases");

	if (l.line != 0 || r->canonical || r->src->default_aliases == NULL)
		return;
	c->aliases.kind = HB_MAP_AUTO;
	c->aliases.arg = hb_arena_cstr(c->arena,
	    hb_span_str(r->src->default_aliases));
	l.arena = c->arena;
	l.places = &c->places;
	l.is_default = false; /* it is looked at like one that was given */
	l.file = c->aliases.arg;
	l.line = 1;
	hb_conf_place(&l, &(struct hb_place){ .kind = HB_PLACE_ALIASES,
		.path = c->aliases.arg, .map = HB_MAP_AUTO });
}

struct hb_conf *
hb_conf_parse(const struct hb_conf_source *src, struct hb_conf_report *report)
{
	struct reader r = { .src = src, .report = report,
		.conf = HB_NEW(struct hb_conf), .canonical = src->read == NULL };

	r.conf->arena = hb_arena_new();
	read_text(&r, src->file, src->text);
	/* Words that were not given take their defaults. */
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_conf_line l = { .src = r.src, .report = r.report,
			.arena = r.conf->arena, .places = &r.conf->places,
			.row = &rows[i], .is_default = true };

		if (r.seen[i].line != 0 || rows[i].def == NULL || r.canonical)
			continue;
		if (split_line(&l, hb_span_str(rows[i].def)) == 0)
			apply_row(&r, &l);
	}
	fill_names(&r);
	fill_aliases(&r);
	cross_check(&r);
	return r.conf;
}

void
hb_conf_free(struct hb_conf **c)
{
	if (*c == NULL)
		return;
	hb_arena_free(&(*c)->arena);
	free(*c);
	*c = NULL;
}

void
hb_conf_dump(const struct hb_conf *c, struct hb_buf *out)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		hb_conf_types[rows[i].type]->dump(rows[i].word,
		    (const unsigned char *)c + rows[i].offset, out);
}

/* mdoc wants each sentence on a line of its own. */
static void
manual_text(const char *text, struct hb_buf *out)
{
	const char *end;

	while ((end = strstr(text, ".  ")) != NULL) {
		hb_buf_add(out, hb_span(text, (size_t)(end - text) + 1));
		hb_buf_adds(out, "\n");
		text = end + 3;
	}
	hb_buf_addf(out, "%s\n", text);
}

static void
manual_row(const struct hb_conf_row *row, struct hb_buf *out)
{
	hb_buf_addf(out, ".It Ic %s%s Ar %s\n", row->word,
	    (row->flags & HB_CW_MANY) != 0 ? " Ns +" : "",
	    hb_conf_types[row->type]->syntax);
	manual_text(row->text, out);
	if (row->def != NULL)
		hb_buf_addf(out, "The default is\n.Ql %s .\n", row->def);
	if ((row->flags & HB_CW_UNBUILT) != 0)
		hb_buf_adds(out, "This build takes the word with a warning: "
		    "its function is not there yet.\n");
	if ((row->flags & HB_CW_REFUSED) != 0)
		hb_buf_adds(out, "This build refuses the word: its function is "
		    "not there yet, and ignoring it would weaken what it "
		    "demands.\n");
	if ((row->flags & HB_CW_RELOAD) == 0)
		hb_buf_adds(out, "A change takes effect at the next start.\n");
}

void
hb_conf_manual(struct hb_buf *out)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		manual_row(&rows[i], out);
}
