/*
 * Value parsers of the configuration: helpers of all types, and names, paths,
 * addresses, enums, numbers and times.  Floor 1.
 */
#include "common/proto/conf-priv.h"

#include <stdio.h>

#include "common/base/limits.h"
#include "common/base/timefmt.h"
#include "common/base/utf8.h"

static int
choose(const struct hb_conf_choice *c, const char *word)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->words[i], word) == 0)
			return (int)i;
	return -1;
}

/* Reads WORD as one of C; a mistake names what would be right. */
int
hb_conf_choose(struct hb_conf_line *l, const struct hb_conf_choice *c,
    const char *word)
{
	struct hb_buf all = HB_BUF_INIT(0);
	int i = choose(c, word);

	if (i >= 0)
		return i;
	for (size_t k = 0; k < c->n; k++)
		hb_buf_addf(&all, "%s%s", k > 0 ? ", " : "", c->words[k]);
	hb_conf_error(l, "'%.64s' is not one of: %.*s", word,
	    HB_SPAN_ARG(hb_buf_span(&all)));
	hb_buf_free(&all);
	return -1;
}

/* The value of "NAME=VALUE", or NULL. */
const char *
hb_conf_option(const char *word, const char *name)
{
	size_t n = strlen(name);

	return strncmp(word, name, n) == 0 && word[n] == '=' ? word + n + 1
							     : NULL;
}

void
hb_conf_bad_option(struct hb_conf_line *l, const char *word)
{
	hb_conf_error(l, "'%.64s' is not understood; '%s' is written: %s", word,
	    l->row->word, hb_conf_types[l->row->type]->syntax);
}

bool
hb_conf_one_value(struct hb_conf_line *l)
{
	if (l->n == 1)
		return true;
	hb_conf_error(l, "'%s' takes one value: %s", l->row->word,
	    hb_conf_types[l->row->type]->syntax);
	return false;
}

char *
hb_conf_keep(struct hb_conf_line *l, const char *s)
{
	return hb_arena_cstr(l->arena, hb_span_str(s));
}

void
hb_conf_put_line(struct hb_buf *out, const char *word, const char *value)
{
	hb_buf_adds(out, word);
	hb_conf_put_word(out, value);
	hb_buf_adds(out, "\n");
}

/* "WORD A NAME=B" */
void
hb_conf_put_pair(struct hb_buf *out, const char *word, const char *a,
    const char *name, const char *b)
{
	struct hb_buf opt = HB_BUF_INIT(0);

	hb_buf_adds(out, word);
	hb_conf_put_word(out, a);
	if (b != NULL) {
		hb_buf_addf(&opt, "%s=%s", name, b);
		hb_conf_put_word(out, hb_buf_cstr(&opt));
	}
	hb_buf_adds(out, "\n");
	hb_buf_free(&opt);
}

/* --- names --- */

static bool
is_domain(const char *s)
{
	size_t label = 0, n = strlen(s);

	if (n == 0 || n > HB_MAX_DOMAIN)
		return false;
	for (; *s != '\0'; s++) {
		/* A label has no hyphen at either end. */
		if (*s == '-' && (label == 0 || s[1] == '.' || s[1] == '\0'))
			return false;
		if (*s == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if ((!hb_is_alnum((unsigned char)*s) && *s != '-' &&
			       *s != '_') ||
		    ++label > HB_MAX_LABEL) {
			return false;
		}
	}
	return label > 0;
}

char *
hb_conf_alabels(struct hb_conf_line *l, const char *s)
{
	struct hb_buf labels = HB_BUF_INIT(HB_MAX_DOMAIN);
	char *d = NULL;

	if (hb_utf8_is_ascii(hb_span_str(s)))
		return hb_conf_keep(l, s);
	if (l->src->alabels != NULL &&
	    l->src->alabels(hb_span_str(s), &labels) == 0)
		d = hb_arena_cstr(l->arena, hb_buf_span(&labels));
	hb_buf_free(&labels);
	return d;
}

/* Lower case, checked; NULL after reporting. */
char *
hb_conf_domain(struct hb_conf_line *l, const char *s)
{
	char *d = hb_conf_alabels(l, s);

	if (d == NULL || !is_domain(d)) {
		hb_conf_error(l, "'%.64s' is not a domain name (letters, "
		    "digits, hyphens; international names in UTF-8 or as "
		    "A-labels)", s);
		return NULL;
	}
	(void)hb_span_lower(hb_span_str(d), d);
	return d;
}

static void
parse_host(struct hb_conf_line *l, void *field)
{
	TYPE(host, field);

	if (hb_conf_one_value(l))
		*v = hb_conf_domain(l, l->v[0]);
}

static void
dump_str(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(host, field);

	if (*v != NULL)
		hb_conf_put_line(out, word, *v);
}

/* One domain a line, '#' for comments. */
static void
names_of_file(struct hb_conf_line *l, const char *path, struct hb_strs *list)
{
	struct hb_buf content = HB_BUF_INIT(0);
	struct hb_span rest, word, line;
	struct hb_conf_line at = *l; /* a line of that file */
	char *full = hb_conf_path(l, path);
	int e;

	if (l->src->read == NULL) {
		hb_conf_error(l, "file: is not possible here");
		return;
	}
	hb_conf_place(l, &(struct hb_place){ .kind = HB_PLACE_TEXT,
		.path = full });
	e = hb_conf_read(l, full, &content);
	rest = hb_span_markless(hb_buf_span(&content));
	if (e != 0)
		rest = HB_SPAN_NONE;
	at.file = full;
	for (at.line = 1; rest.n > 0; at.line++) {
		char *name;

		line = hb_span_cut(&rest, '\n');
		line = hb_span_cut(&line, '#');
		word = hb_span_word(&line);
		if (word.n == 0)
			continue;
		name = hb_conf_domain(&at, hb_arena_cstr(l->arena, word));
		if (name != NULL)
			hb_strs_add(l->arena, list, name);
	}
	hb_buf_free(&content);
}

static void
parse_names(struct hb_conf_line *l, void *field)
{
	TYPE(names, field);

	for (size_t i = 0; i < l->n; i++) {
		char *name;

		if (strncmp(l->v[i], "file:", 5) == 0) {
			names_of_file(l, l->v[i] + 5, v);
			continue;
		}
		name = hb_conf_domain(l, l->v[i]);
		if (name != NULL)
			hb_strs_add(l->arena, v, name);
	}
}

static void
parse_words(struct hb_conf_line *l, void *field)
{
	TYPE(words, field);

	for (size_t i = 0; i < l->n; i++)
		hb_strs_add(l->arena, v, hb_conf_keep(l, l->v[i]));
}

static void
dump_strs(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(words, field);

	for (size_t i = 0; i < v->n; i++)
		hb_conf_put_line(out, word, v->v[i]);
}

OPS(host, parse_host, dump_str, "NAME")
OPS(names, parse_names, dump_strs, "NAME|file:PATH ...")
OPS(words, parse_words, dump_strs, "WORD ...")

/* --- paths --- */

static void
parse_path(struct hb_conf_line *l, void *field)
{
	TYPE(path, field);

	if (!hb_conf_one_value(l))
		return;
	*v = hb_conf_path(l, l->v[0]);
	if (strcmp(l->row->word, "hosts-file") == 0)
		hb_conf_place(l, &(struct hb_place){ .kind = HB_PLACE_HOSTS,
			.path = *v });
}

static void
parse_paths(struct hb_conf_line *l, void *field)
{
	TYPE(paths, field);

	if (v->n + l->n > HB_MAX_CERTIFICATES) {
		hb_conf_error(l, "more than %d files", HB_MAX_CERTIFICATES);
		return;
	}
	for (size_t i = 0; i < l->n; i++) {
		char *path = hb_conf_path(l, l->v[i]);

		hb_conf_place(l, &(struct hb_place){ .kind = HB_PLACE_CA,
			.path = path });
		hb_strs_add(l->arena, v, path);
	}
}

OPS(path, parse_path, dump_str, "PATH")
OPS(paths, parse_paths, dump_strs, "FILE ...")

/* --- addresses --- */

/* One address was meant, or fewer bits: more clients would be let in than the
 * line seems to say. */
static void
check_host_bits(struct hb_conf_line *l, const char *word,
    const struct hb_cidr *c)
{
	struct hb_cidr net = *c;
	char text[HB_NETADDR_TEXT];

	for (unsigned i = c->bits; i < (c->net.family == 4 ? 32 : 128); i++)
		net.net.b[i / 8] &= (uint8_t)~(0x80 >> i % 8);
	if (hb_netaddr_eq(&net.net, &c->net))
		return;
	hb_cidr_format(&net, text);
	hb_conf_error(l, "'%.64s' has bits behind its prefix: write %s, or the "
	    "address alone", word, text);
}

void
hb_conf_add_cidr(struct hb_conf_line *l, struct hb_cidrs *v, const char *word)
{
	struct hb_cidr c;
	void *list = v->v;

	if (hb_cidr_parse(hb_span_str(word), &c) < 0) {
		hb_conf_error(l, "'%.64s' is not an address or network "
		    "such as 192.0.2.0/24 or 2001:db8::/32", word);
		return;
	}
	check_host_bits(l, word, &c);
	*(struct hb_cidr *)hb_conf_grow(l->arena, &list, &v->n, sizeof(c)) = c;
	v->v = list;
}

static void
parse_cidrs(struct hb_conf_line *l, void *field)
{
	TYPE(cidrs, field);

	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i], "none") != 0)
			hb_conf_add_cidr(l, v, l->v[i]);
}

static void
dump_cidrs(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(cidrs, field);
	char text[HB_NETADDR_TEXT];

	if (v->n == 0)
		hb_conf_put_line(out, word, "none");
	for (size_t i = 0; i < v->n; i++) {
		hb_cidr_format(&v->v[i], text);
		hb_conf_put_line(out, word, text);
	}
}

static void
add_addr(struct hb_conf_line *l, struct hb_addrs *list,
    const struct hb_netaddr *a)
{
	void *v = list->v;

	*(struct hb_netaddr *)hb_conf_grow(l->arena, &v, &list->n,
	    sizeof(*a)) = *a;
	list->v = v;
}

static void
parse_addrs(struct hb_conf_line *l, void *field)
{
	TYPE(addrs, field);

	for (size_t i = 0; i < l->n; i++) {
		struct hb_netaddr a;

		if (hb_netaddr_parse(hb_span_str(l->v[i]), &a) < 0)
			hb_conf_error(l, "'%.64s' is not an address", l->v[i]);
		else
			add_addr(l, v, &a);
	}
}

static void
parse_endpoints(struct hb_conf_line *l, void *field)
{
	TYPE(endpoints, field);

	for (size_t i = 0; i < l->n; i++) {
		struct hb_netaddr a;

		if (hb_netaddr_parse_port(hb_span_str(l->v[i]), &a) < 0 ||
		    a.family == 0)
			hb_conf_error(l, "'%.64s' is not ADDR or ADDR:PORT "
			    "(IPv6 in brackets)", l->v[i]);
		else
			add_addr(l, v, &a);
	}
}

static void
dump_addrs(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(addrs, field);
	char text[HB_NETADDR_TEXT];

	for (size_t i = 0; i < v->n; i++) {
		hb_netaddr_format_port(&v->v[i], text);
		hb_conf_put_line(out, word, text);
	}
}

/* All in one line: the word may not be repeated. */
static void
dump_addr_line(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(addrs, field);
	char text[HB_NETADDR_TEXT];

	if (v->n == 0)
		return;
	hb_buf_adds(out, word);
	for (size_t i = 0; i < v->n; i++) {
		hb_netaddr_format(&v->v[i], text);
		hb_conf_put_word(out, text);
	}
	hb_buf_adds(out, "\n");
}

static void
parse_addr(struct hb_conf_line *l, void *field)
{
	TYPE(addr, field);

	if (hb_conf_one_value(l) &&
	    hb_netaddr_parse(hb_span_str(l->v[0]), v) < 0)
		hb_conf_error(l, "'%.64s' is not an address", l->v[0]);
}

static void
dump_addr(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(addr, field);
	char text[HB_NETADDR_TEXT];

	if (v->family == 0)
		return;
	hb_netaddr_format(v, text);
	hb_conf_put_line(out, word, text);
}

OPS(cidrs, parse_cidrs, dump_cidrs, "CIDR ...|none")
OPS(addrs, parse_addrs, dump_addr_line, "ADDR ...")
OPS(endpoints, parse_endpoints, dump_addrs, "ADDR[:PORT] ...")
OPS(addr, parse_addr, dump_addr, "ADDR")

/* --- enums --- */

static const struct hb_conf_choice tls_versions = {
	(const char *const[]){ "1.2", "1.3" }, 2
};
static const struct hb_conf_choice downgrades = {
	(const char *const[]){ "off", "warn", "defer" }, 3
};
static const struct hb_conf_choice trusts = {
	(const char *const[]){ "auto", "yes", "no" }, 3
};
static const struct hb_conf_choice dmarcs = {
	(const char *const[]){ "off", "report-only", "enforce" }, 3
};

/* The one value as one of C, or -1. */
static int
one_choice(struct hb_conf_line *l, const struct hb_conf_choice *c)
{
	return hb_conf_one_value(l) ? hb_conf_choose(l, c, l->v[0]) : -1;
}

#define ENUM_TYPE(name, choices)                                               \
	static void parse_##name(struct hb_conf_line *l, void *field)          \
	{                                                                      \
		TYPE(name, field);                                             \
		int i = one_choice(l, &(choices));                             \
                                                                               \
		if (i >= 0)                                                    \
			*v = (hb_conf_type_##name)i;                           \
	}                                                                      \
	static void dump_##name(const char *word, const void *field,           \
	    struct hb_buf *out)                                                \
	{                                                                      \
		CTYPE(name, field);                                            \
                                                                               \
		hb_conf_put_line(out, word, (choices).words[*v]);              \
	}
ENUM_TYPE(tlsver, tls_versions)
ENUM_TYPE(trust_ad, trusts)
ENUM_TYPE(downgrade, downgrades)

static void
parse_dmarc(struct hb_conf_line *l, void *field)
{
	TYPE(dmarc, field);
	int i = one_choice(l, &dmarcs);

	if (i == HB_DMARC_ENFORCE)
		hb_conf_error(l, "'%s %s' has no function in this build, and "
		    "ignoring it would weaken what it demands", l->row->word,
		    l->v[0]);
	else if (i >= 0)
		*v = (enum hb_dmarc)i;
}

static void
dump_dmarc(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(dmarc, field);

	hb_conf_put_line(out, word, dmarcs.words[*v]);
}

static void
parse_bool(struct hb_conf_line *l, void *field)
{
	TYPE(bool, field);

	if (!hb_conf_one_value(l))
		return;
	*v = strcmp(l->v[0], "on") == 0;
	if (!*v && strcmp(l->v[0], "off") != 0)
		hb_conf_error(l, "'%.64s' is not one of: on, off", l->v[0]);
}

static void
dump_bool(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(bool, field);

	hb_conf_put_line(out, word, *v ? "on" : "off");
}

OPS(tlsver, parse_tlsver, dump_tlsver, "1.2|1.3")
OPS(trust_ad, parse_trust_ad, dump_trust_ad, "auto|yes|no")
OPS(downgrade, parse_downgrade, dump_downgrade, "off|warn|defer")
OPS(dmarc, parse_dmarc, dump_dmarc, "off|report-only|enforce")
OPS(bool, parse_bool, dump_bool, "on|off")

/* --- numbers --- */

static void
parse_size(struct hb_conf_line *l, void *field)
{
	TYPE(size, field);
	char least[24], most[24];

	if (!hb_conf_one_value(l))
		return;
	if (hb_size_parse(hb_span_str(l->v[0]), v) == 0 && *v >= l->row->min &&
	    *v <= l->row->max)
		return;
	hb_size_format(l->row->min, least);
	hb_size_format(l->row->max, most);
	hb_conf_error(l, "'%.64s' is not a size such as 64K or 50M, from %s to "
	    "%s", l->v[0], least, most);
}

static void
dump_size(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(size, field);
	char text[24];

	hb_size_format(*v, text);
	hb_conf_put_line(out, word, text);
}

static void
parse_count(struct hb_conf_line *l, void *field)
{
	TYPE(count, field);
	uint64_t n;

	if (!hb_conf_one_value(l))
		return;
	if (hb_span_u64(hb_span_str(l->v[0]), l->row->max, &n) < 0 ||
	    n < l->row->min)
		hb_conf_error(l, "'%.64s' is not a number from %llu to %llu",
		    l->v[0], (unsigned long long)l->row->min,
		    (unsigned long long)l->row->max);
	else
		*v = (unsigned)n;
}

static void
dump_count(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(count, field);

	hb_buf_addf(out, "%s %u\n", word, *v);
}

static void
parse_rate(struct hb_conf_line *l, void *field)
{
	TYPE(rate, field);
	struct hb_span time = hb_span_str(l->v[0]);
	struct hb_span count = hb_span_cut(&time, '/');
	uint64_t n;

	if (!hb_conf_one_value(l))
		return;
	v->count = 0;
	if (strcmp(l->v[0], "off") == 0)
		return;
	if (hb_span_u64(count, 1000000, &n) < 0 || n == 0 ||
	    hb_duration_parse(time, &v->per_ms) < 0 || v->per_ms < 1000 ||
	    v->per_ms > 86400000)
		hb_conf_error(l, "'%.64s' is not N/TIME such as 30/1m, or off",
		    l->v[0]);
	else
		v->count = (unsigned)n;
}

static void
dump_rate(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(rate, field);
	char text[24];

	if (v->count == 0) {
		hb_conf_put_line(out, word, "off");
		return;
	}
	hb_duration_format(v->per_ms, text);
	hb_buf_addf(out, "%s %u/%s\n", word, v->count, text);
}

/* Checks the row's bounds; reports. */
static bool
duration_word(struct hb_conf_line *l, const char *s, int64_t *v)
{
	char least[24], most[24];

	if (hb_duration_parse(hb_span_str(s), v) == 0 &&
	    (uint64_t)*v >= l->row->min &&
	    (l->row->max == 0 || (uint64_t)*v <= l->row->max))
		return true;
	hb_duration_format((int64_t)l->row->min, least);
	hb_duration_format((int64_t)l->row->max, most);
	hb_conf_error(l, "'%.64s' is not a time such as 30s, 5m, 4h or 5d, "
	    "from %s to %s", s, least, l->row->max == 0 ? "100 years" : most);
	return false;
}

static void
parse_duration(struct hb_conf_line *l, void *field)
{
	TYPE(duration, field);

	if (hb_conf_one_value(l))
		duration_word(l, l->v[0], v);
}

static void
dump_duration(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(duration, field);
	char text[24];

	hb_duration_format(*v, text);
	hb_conf_put_line(out, word, text);
}

static void
parse_duration_off(struct hb_conf_line *l, void *field)
{
	TYPE(duration_off, field);

	*v = 0;
	if (hb_conf_one_value(l) && strcmp(l->v[0], "off") != 0)
		duration_word(l, l->v[0], v);
}

static void
dump_duration_off(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(duration_off, field);

	if (*v == 0)
		hb_conf_put_line(out, word, "off");
	else
		dump_duration(word, field, out);
}

static void
parse_retry(struct hb_conf_line *l, void *field)
{
	TYPE(retry, field);

	if (v->first_ms == 0)
		*v = (struct hb_retry){ 300000, 14400000 };
	for (size_t i = 0; i < l->n; i++) {
		const char *s = hb_conf_option(l->v[i], "first");

		if (s != NULL)
			duration_word(l, s, &v->first_ms);
		else if ((s = hb_conf_option(l->v[i], "max")) != NULL)
			duration_word(l, s, &v->max_ms);
		else
			hb_conf_bad_option(l, l->v[i]);
	}
	if (v->first_ms < 1000 || v->max_ms > 86400000)
		hb_conf_error(l, "waits are from 1s to 1d");
}

static void
dump_retry(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(retry, field);
	char first[24], most[24];

	hb_duration_format(v->first_ms, first);
	hb_duration_format(v->max_ms, most);
	hb_buf_addf(out, "%s first=%s max=%s\n", word, first, most);
}

OPS(size, parse_size, dump_size, "SIZE")
OPS(count, parse_count, dump_count, "N")
OPS(rate, parse_rate, dump_rate, "N/TIME|off")
OPS(duration, parse_duration, dump_duration, "TIME")
OPS(duration_off, parse_duration_off, dump_duration_off, "TIME|off")
OPS(retry, parse_retry, dump_retry, "first=TIME max=TIME")

/* --- tls-report on|off and options: kept as words --- */

static void
parse_switch_words(struct hb_conf_line *l, void *field)
{
	if (strcmp(l->v[0], "on") != 0 && strcmp(l->v[0], "off") != 0)
		hb_conf_error(l, "'%.64s' is not one of: on, off", l->v[0]);
	parse_words(l, field);
}

static void
dump_switch_words(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(switch_words, field);

	if (v->n == 0)
		return;
	hb_buf_adds(out, word);
	for (size_t i = 0; i < v->n; i++)
		hb_conf_put_word(out, v->v[i]);
	hb_buf_adds(out, "\n");
}

OPS(switch_words, parse_switch_words, dump_switch_words,
    "on|off [from=ADDR] [contact=ADDR] [organization=TEXT]")

const struct hb_conf_type_ops *const hb_conf_types[HB_CONF_TYPE_COUNT] = {
#define X(name, ctype) [HB_CONF_T_##name] = &hb_conf_ops_##name,
	HB_CONF_TYPES(X)
#undef X
};
