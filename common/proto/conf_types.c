/* Values of the configuration: one parser and one writer a type.  Floor 1. */
#include "common/proto/conf-priv.h"

#include <stdio.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/timefmt.h"

#define TYPE(name, field) hb_conf_type_##name *v = field
#define CTYPE(name, field) const hb_conf_type_##name *v = field

/* Words of an enum, in the order of its values. */
struct choice {
	const char *const *words;
	size_t n;
};
static const struct choice listen_kinds = { (const char *const[]){ "smtp",
	"submission", "submissions", "lmtp" }, 4 };
static const struct choice demands = { (const char *const[]){ "off", "offer",
	"require" }, 3 };
static const struct choice tls_levels = { (const char *const[]){ "none", "may",
	"encrypt", "verify", "sts", "dane" }, 6 };
static const struct choice auth_kinds = { (const char *const[]){ "passwd-file",
	"dovecot", "pam" }, 3 };
static const struct choice deliver_kinds = { (const char *const[]){ "maildir",
	"mbox", "lmtp", "command" }, 4 };
static const struct choice tls_versions = { (const char *const[]){ "1.2",
	"1.3" }, 2 };
static const struct choice downgrades = { (const char *const[]){ "off", "warn",
	"defer" }, 3 };
static const struct choice trusts = { (const char *const[]){ "auto", "yes",
	"no" }, 3 };
static const struct choice dmarcs = { (const char *const[]){ "off",
	"report-only", "enforce" }, 3 };
static const struct choice formats = { (const char *const[]){ "text", "json" },
	2 };
static const struct choice levels = { (const char *const[]){ "error", "warn",
	"info", "debug" }, 4 };

static int
choose(const struct choice *c, const char *word)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->words[i], word) == 0)
			return (int)i;
	return -1;
}

/* Reads WORD as one of C; a mistake names what would be right. */
static int
must_choose(struct hb_conf_line *l, const struct choice *c, const char *word)
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
static const char *
option(const char *word, const char *name)
{
	size_t n = strlen(name);

	return strncmp(word, name, n) == 0 && word[n] == '=' ? word + n + 1
							     : NULL;
}

static void
bad_option(struct hb_conf_line *l, const char *word)
{
	hb_conf_error(l, "'%.64s' is not understood; '%s' is written: %s", word,
	    l->row->word, hb_conf_types[l->row->type].syntax);
}

static bool
one_value(struct hb_conf_line *l)
{
	if (l->n == 1)
		return true;
	hb_conf_error(l, "'%s' takes one value: %s", l->row->word,
	    hb_conf_types[l->row->type].syntax);
	return false;
}

static char *
keep(struct hb_conf_line *l, const char *s)
{
	return hb_arena_cstr(l->arena, hb_span_str(s));
}

static void
put_line(struct hb_buf *out, const char *word, const char *value)
{
	hb_buf_adds(out, word);
	hb_conf_put_word(out, value);
	hb_buf_adds(out, "\n");
}

/* names */

static bool
is_domain(const char *s)
{
	size_t label = 0, n = strlen(s);

	if (n == 0 || n > HB_MAX_DOMAIN)
		return false;
	for (; *s != '\0'; s++) {
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

/* Lower case, checked; NULL after reporting. */
static char *
domain_word(struct hb_conf_line *l, const char *s)
{
	char *d;

	if (!is_domain(s)) {
		hb_conf_error(l, "'%.64s' is not a domain name (letters, "
		    "digits, hyphens; international names as A-labels)", s);
		return NULL;
	}
	d = keep(l, s);
	for (char *p = d; *p != '\0'; p++)
		*p = (char)hb_lower((unsigned char)*p);
	return d;
}

static void
parse_host(struct hb_conf_line *l, void *field)
{
	TYPE(host, field);

	if (one_value(l))
		*v = domain_word(l, l->v[0]);
}

static void
dump_str(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(host, field);

	if (*v != NULL)
		put_line(out, word, *v);
}

/* One domain a line, '#' for comments. */
static void
names_of_file(struct hb_conf_line *l, const char *path, struct hb_strs *list)
{
	struct hb_buf content = HB_BUF_INIT(0);
	struct hb_span rest, word, line;
	int e;

	if (l->src->read == NULL) {
		hb_conf_error(l, "file: is not possible here");
		return;
	}
	e = l->src->read(l->src->ctx, hb_conf_path(l, path), &content);
	if (e != 0)
		hb_conf_error(l, "cannot read %s: %s", path, strerror(-e));
	rest = hb_buf_span(&content);
	while (rest.n > 0) {
		char *name;

		line = hb_span_cut(&rest, '\n');
		line = hb_span_cut(&line, '#');
		word = hb_span_word(&line);
		if (word.n == 0)
			continue;
		name = domain_word(l, hb_arena_cstr(l->arena, word));
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
		name = domain_word(l, l->v[i]);
		if (name != NULL)
			hb_strs_add(l->arena, v, name);
	}
}

static void
parse_words(struct hb_conf_line *l, void *field)
{
	TYPE(words, field);

	for (size_t i = 0; i < l->n; i++)
		hb_strs_add(l->arena, v, keep(l, l->v[i]));
}

static void
dump_strs(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(words, field);

	for (size_t i = 0; i < v->n; i++)
		put_line(out, word, v->v[i]);
}

/* paths */

static void
parse_path(struct hb_conf_line *l, void *field)
{
	TYPE(path, field);

	if (one_value(l))
		*v = hb_conf_path(l, l->v[0]);
}

static void
parse_paths(struct hb_conf_line *l, void *field)
{
	TYPE(paths, field);

	for (size_t i = 0; i < l->n; i++)
		hb_strs_add(l->arena, v, hb_conf_path(l, l->v[i]));
}

/* user ROLE NAME */

static bool
is_user_role(const char *role)
{
	static const char *const roles[] = { "smtpd", "router", "queue",
		"delivery", "keyagent", "control", "submit", "local" };

	for (size_t i = 0; i < HB_ARRAY_LEN(roles); i++)
		if (strcmp(role, roles[i]) == 0)
			return true;
	return false;
}

static void
parse_users(struct hb_conf_line *l, void *field)
{
	TYPE(users, field);
	struct hb_role_user *u;
	void *list = v->v;

	if (l->n != 2 || !is_user_role(l->v[0])) {
		bad_option(l, l->v[0]);
		return;
	}
	u = hb_conf_grow(l->arena, &list, &v->n, sizeof(*u));
	v->v = list;
	u->role = keep(l, l->v[0]);
	u->account = keep(l, l->v[1]);
}

static void
dump_users(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(users, field);

	for (size_t i = 0; i < v->n; i++) {
		hb_buf_adds(out, word);
		hb_conf_put_word(out, v->v[i].role);
		hb_conf_put_word(out, v->v[i].account);
		hb_buf_adds(out, "\n");
	}
}

/* workers */

static void
parse_workers(struct hb_conf_line *l, void *field)
{
	TYPE(workers, field);

	for (size_t i = 0; i < l->n; i++) {
		const char *s = option(l->v[i], "smtpd");
		unsigned *to = s != NULL ? &v->smtpd : &v->delivery;
		uint64_t n;

		if (s == NULL)
			s = option(l->v[i], "delivery");
		if (s == NULL)
			bad_option(l, l->v[i]);
		else if (hb_span_u64(hb_span_str(s), 64, &n) < 0 || n == 0)
			hb_conf_error(l, "'%.64s': 1 to 64 processes",
			    l->v[i]);
		else
			*to = (unsigned)n;
	}
}

static void
dump_workers(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(workers, field);

	if (v->smtpd == 0 && v->delivery == 0)
		return;
	hb_buf_adds(out, word);
	if (v->smtpd > 0)
		hb_buf_addf(out, " smtpd=%u", v->smtpd);
	if (v->delivery > 0)
		hb_buf_addf(out, " delivery=%u", v->delivery);
	hb_buf_adds(out, "\n");
}

/* addresses */

static void
parse_cidrs(struct hb_conf_line *l, void *field)
{
	TYPE(cidrs, field);

	for (size_t i = 0; i < l->n; i++) {
		struct hb_cidr c;
		void *list = v->v;

		if (strcmp(l->v[i], "none") == 0)
			continue;
		if (hb_cidr_parse(hb_span_str(l->v[i]), &c) < 0) {
			hb_conf_error(l, "'%.64s' is not an address or network "
			    "such as 192.0.2.0/24 or 2001:db8::/32", l->v[i]);
			continue;
		}
		*(struct hb_cidr *)hb_conf_grow(l->arena, &list, &v->n,
		    sizeof(c)) = c;
		v->v = list;
	}
}

static void
dump_cidrs(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(cidrs, field);
	char text[HB_NETADDR_TEXT];

	if (v->n == 0)
		put_line(out, word, "none");
	for (size_t i = 0; i < v->n; i++) {
		hb_cidr_format(&v->v[i], text);
		put_line(out, word, text);
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
		put_line(out, word, text);
	}
}

static void
parse_addr(struct hb_conf_line *l, void *field)
{
	TYPE(addr, field);

	if (one_value(l) && hb_netaddr_parse(hb_span_str(l->v[0]), v) < 0)
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
	put_line(out, word, text);
}

/* listen */

static void
listen_option(struct hb_conf_line *l, struct hb_listen *at, const char *word)
{
	const char *s;
	int i;

	if ((s = option(word, "tls")) != NULL) {
		i = must_choose(l, &demands, s);
		at->tls = i >= 0 ? (enum hb_demand)i : at->tls;
	} else if ((s = option(word, "auth")) != NULL) {
		i = must_choose(l, &demands, s);
		at->auth = i >= 0 ? (enum hb_demand)i : at->auth;
	} else if (option(word, "proxy-protocol") != NULL) {
		hb_conf_error(l, "'proxy-protocol' has no function in this "
		    "build, and ignoring it would take the balancer's address "
		    "for the client's");
	} else {
		bad_option(l, word);
	}
}

static void
parse_listens(struct hb_conf_line *l, void *field)
{
	TYPE(listens, field);
	struct hb_listen at = { .tls = HB_DEMAND_OFFER };
	void *list = v->v;
	int kind;

	if (l->n == 1 && strcmp(l->v[0], "none") == 0)
		return;
	if (l->n < 2) {
		bad_option(l, l->v[0]);
		return;
	}
	if (hb_netaddr_parse_port(hb_span_str(l->v[0]), &at.addr) < 0 ||
	    at.addr.port == 0) {
		hb_conf_error(l, "'%.64s' is not ADDR:PORT (IPv6 in brackets, "
		    "* for every address)", l->v[0]);
		return;
	}
	at.any = at.addr.family == 0;
	kind = must_choose(l, &listen_kinds, l->v[1]);
	if (kind < 0)
		return;
	at.kind = (enum hb_listen_kind)kind;
	if (at.kind == HB_LISTEN_SUBMISSION || at.kind == HB_LISTEN_SUBMISSIONS)
		at.tls = at.auth = HB_DEMAND_REQUIRE;
	for (size_t i = 2; i < l->n; i++)
		listen_option(l, &at, l->v[i]);
	*(struct hb_listen *)hb_conf_grow(l->arena, &list, &v->n,
	    sizeof(at)) = at;
	v->v = list;
}

static void
dump_listens(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(listens, field);
	char text[HB_NETADDR_TEXT];

	if (v->n == 0)
		put_line(out, word, "none");
	for (size_t i = 0; i < v->n; i++) {
		hb_netaddr_format_port(&v->v[i].addr, text);
		hb_buf_addf(out, "%s %s %s tls=%s auth=%s\n", word, text,
		    listen_kinds.words[v->v[i].kind],
		    demands.words[v->v[i].tls], demands.words[v->v[i].auth]);
	}
}

/* tls-certificate FILE key=FILE */

static void
parse_certs(struct hb_conf_line *l, void *field)
{
	TYPE(certs, field);
	const char *key = l->n == 2 ? option(l->v[1], "key") : NULL;
	struct hb_cert *c;
	void *list = v->v;

	if (key == NULL) {
		bad_option(l, l->v[l->n - 1]);
		return;
	}
	c = hb_conf_grow(l->arena, &list, &v->n, sizeof(*c));
	v->v = list;
	c->chain = hb_conf_path(l, l->v[0]);
	c->key = hb_conf_path(l, key);
}

/* "WORD A NAME=B" */
static void
put_pair(struct hb_buf *out, const char *word, const char *a, const char *name,
    const char *b)
{
	struct hb_buf opt = HB_BUF_INIT(0);

	hb_buf_adds(out, word);
	hb_conf_put_word(out, a);
	if (b != NULL) {
		hb_buf_addf(&opt, "%s=%s", name, b);
		hb_buf_add(&opt, hb_span("", 1));
		hb_conf_put_word(out, (const char *)opt.p);
	}
	hb_buf_adds(out, "\n");
	hb_buf_free(&opt);
}

static void
dump_certs(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(certs, field);

	for (size_t i = 0; i < v->n; i++)
		put_pair(out, word, v->v[i].chain, "key", v->v[i].key);
}

/* enums */

#define ENUM_TYPE(name, choices)                                               \
	static void parse_##name(struct hb_conf_line *l, void *field)          \
	{                                                                      \
		TYPE(name, field);                                             \
		int i = one_value(l) ? must_choose(l, &(choices), l->v[0])     \
				     : -1;                                     \
                                                                               \
		if (i >= 0)                                                    \
			*v = (hb_conf_type_##name)i;                           \
	}                                                                      \
	static void dump_##name(const char *word, const void *field,           \
	    struct hb_buf *out)                                                \
	{                                                                      \
		CTYPE(name, field);                                            \
                                                                               \
		put_line(out, word, (choices).words[*v]);                      \
	}
ENUM_TYPE(tlsver, tls_versions)
ENUM_TYPE(trust_ad, trusts)

static void
refuse_value(struct hb_conf_line *l)
{
	hb_conf_error(l, "'%s %s' has no function in this build, and ignoring "
	    "it would weaken what it demands", l->row->word, l->v[0]);
}

static void
parse_downgrade(struct hb_conf_line *l, void *field)
{
	TYPE(downgrade, field);
	int i = one_value(l) ? must_choose(l, &downgrades, l->v[0]) : -1;

	if (i == HB_DOWNGRADE_DEFER)
		refuse_value(l);
	else if (i >= 0)
		*v = (enum hb_downgrade)i;
}

static void
dump_downgrade(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(downgrade, field);

	put_line(out, word, downgrades.words[*v]);
}

static void
parse_dmarc(struct hb_conf_line *l, void *field)
{
	TYPE(dmarc, field);
	int i = one_value(l) ? must_choose(l, &dmarcs, l->v[0]) : -1;

	if (i == HB_DMARC_ENFORCE)
		refuse_value(l);
	else if (i >= 0)
		*v = (enum hb_dmarc)i;
}

static void
dump_dmarc(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(dmarc, field);

	put_line(out, word, dmarcs.words[*v]);
}

static void
parse_bool(struct hb_conf_line *l, void *field)
{
	TYPE(bool, field);

	if (!one_value(l))
		return;
	*v = strcmp(l->v[0], "on") == 0;
	if (!*v && strcmp(l->v[0], "off") != 0)
		hb_conf_error(l, "'%.64s' is not one of: on, off", l->v[0]);
}

static void
dump_bool(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(bool, field);

	put_line(out, word, *v ? "on" : "off");
}

/* auth */

static void
parse_auths(struct hb_conf_line *l, void *field)
{
	TYPE(auths, field);
	struct hb_authsrc *a;
	void *list = v->v;
	int kind;

	if (l->n != 2) {
		bad_option(l, l->v[0]);
		return;
	}
	kind = must_choose(l, &auth_kinds, l->v[0]);
	if (kind < 0)
		return;
	if (kind != HB_AUTHSRC_PASSWD_FILE) {
		l->unbuilt = kind == HB_AUTHSRC_PAM ? "auth pam"
						    : "auth dovecot";
		return;
	}
	a = hb_conf_grow(l->arena, &list, &v->n, sizeof(*a));
	v->v = list;
	a->kind = (enum hb_auth_kind)kind;
	a->arg = hb_conf_path(l, l->v[1]);
}

static void
dump_auths(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(auths, field);

	for (size_t i = 0; i < v->n; i++) {
		hb_buf_addf(out, "%s %s", word, auth_kinds.words[v->v[i].kind]);
		hb_conf_put_word(out, v->v[i].arg);
		hb_buf_adds(out, "\n");
	}
}

/* maps */

static void
map_word(struct hb_conf_line *l, const char *s, struct hb_mapspec *v)
{
	v->kind = HB_MAP_AUTO;
	if (strncmp(s, "socketmap:", 10) == 0) {
		hb_conf_error(l, "socket maps have no function in this build");
		return;
	}
	if (strncmp(s, "hash:", 5) == 0) {
		v->kind = HB_MAP_HASH;
		s += 5;
	} else if (strncmp(s, "text:", 5) == 0) {
		v->kind = HB_MAP_TEXT;
		s += 5;
	}
	if (*s == '\0')
		hb_conf_error(l, "a map needs a file");
	v->arg = hb_conf_path(l, s);
}

static void
parse_map(struct hb_conf_line *l, void *field)
{
	if (one_value(l))
		map_word(l, l->v[0], field);
}

static void
put_map(struct hb_buf *out, const char *word, const struct hb_mapspec *m)
{
	static const char *const prefixes[] = { "", "", "hash:", "text:",
		"socketmap:" };
	struct hb_buf b = HB_BUF_INIT(0);

	hb_buf_addf(&b, "%s%s", prefixes[m->kind], m->arg);
	hb_buf_add(&b, hb_span("", 1));
	put_line(out, word, (const char *)b.p);
	hb_buf_free(&b);
}

static void
dump_map(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(map, field);

	if (v->kind != HB_MAP_NONE)
		put_map(out, word, v);
}

static void
parse_users_map(struct hb_conf_line *l, void *field)
{
	TYPE(users_map, field);

	if (!one_value(l))
		return;
	v->passwd = strcmp(l->v[0], "passwd") == 0;
	if (!v->passwd)
		map_word(l, l->v[0], &v->map);
}

static void
dump_users_map(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(users_map, field);

	if (v->passwd)
		put_line(out, word, "passwd");
	else
		put_map(out, word, &v->map);
}

/* numbers */

static void
parse_size(struct hb_conf_line *l, void *field)
{
	TYPE(size, field);
	char least[24], most[24];

	if (!one_value(l))
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
	put_line(out, word, text);
}

static void
parse_count(struct hb_conf_line *l, void *field)
{
	TYPE(count, field);
	uint64_t n;

	if (!one_value(l))
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

	if (!one_value(l) || strcmp(l->v[0], "off") == 0)
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
		put_line(out, word, "off");
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

	if (one_value(l))
		duration_word(l, l->v[0], v);
}

static void
dump_duration(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(duration, field);
	char text[24];

	hb_duration_format(*v, text);
	put_line(out, word, text);
}

static void
parse_duration_off(struct hb_conf_line *l, void *field)
{
	TYPE(duration_off, field);

	*v = 0;
	if (one_value(l) && strcmp(l->v[0], "off") != 0)
		duration_word(l, l->v[0], v);
}

static void
dump_duration_off(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(duration_off, field);

	if (*v == 0)
		put_line(out, word, "off");
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
		const char *s = option(l->v[i], "first");

		if (s != NULL)
			duration_word(l, s, &v->first_ms);
		else if ((s = option(l->v[i], "max")) != NULL)
			duration_word(l, s, &v->max_ms);
		else
			bad_option(l, l->v[i]);
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

/* deliver */

static void
parse_deliver(struct hb_conf_line *l, void *field)
{
	TYPE(deliver, field);
	bool path;
	int kind = must_choose(l, &deliver_kinds, l->v[0]);

	if (kind < 0)
		return;
	if (l->n != 2) {
		bad_option(l, l->v[0]);
		return;
	}
	v->kind = (enum hb_deliver_kind)kind;
	path = v->kind == HB_DELIVER_MAILDIR || v->kind == HB_DELIVER_MBOX;
	if (path && l->v[1][0] != '~' && l->v[1][0] != '%')
		v->arg = hb_conf_path(l, l->v[1]);
	else
		v->arg = keep(l, l->v[1]);
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

	if (!one_value(l))
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

	put_line(out, word, *v == '\0' ? "off" : text);
}

/* smarthost, route */

/* The canonical text of a route word; NULL after reporting. */
static char *
route_word(struct hb_conf_line *l, const char *s)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_route r;
	char *text = NULL;

	if (hb_route_parse(hb_span_str(s), &r) == 0) {
		if (r.kind == HB_ROUTE_LMTP_UNIX)
			r.rest = hb_span_str(hb_conf_path(l,
			    hb_arena_cstr(l->arena, r.rest)));
		if (hb_route_format(&r, &b) == 0)
			text = hb_arena_cstr(l->arena, hb_buf_span(&b));
	}
	if (text == NULL)
		hb_conf_error(l, "'%.64s' is not a destination such as "
		    "smtp://HOST:PORT, smtp+tls://HOST, smtps://HOST, "
		    "mx://DOMAIN, lmtp://HOST:PORT or lmtp:PATH", s);
	hb_buf_free(&b);
	return text;
}

static void
parse_smarthost(struct hb_conf_line *l, void *field)
{
	TYPE(smarthost, field);

	v->route = route_word(l, l->v[0]);
	for (size_t i = 1; i < l->n; i++) {
		const char *s = option(l->v[i], "auth");

		if (s == NULL) {
			bad_option(l, l->v[i]);
			continue;
		}
		v->auth_file = hb_conf_path(l, s);
		l->unbuilt = "smarthost auth=";
	}
}

static void
dump_smarthost(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(smarthost, field);

	if (v->route != NULL)
		put_pair(out, word, v->route, "auth", v->auth_file);
}

/* "name", ".name" or "*", in lower case; NULL after reporting. */
static char *
pattern_word(struct hb_conf_line *l, const char *s)
{
	char *name, *dotted;
	size_t n;

	if (strcmp(s, "*") == 0)
		return keep(l, s);
	name = domain_word(l, s[0] == '.' ? s + 1 : s);
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
		bad_option(l, l->v[0]);
		return;
	}
	row.pattern = pattern_word(l, l->v[0]);
	for (size_t i = 1; i < l->n; i++)
		hb_buf_addf(&text, "%s%s", i > 1 ? " " : "", l->v[i]);
	hb_buf_add(&text, hb_span("", 1));
	if (strcmp((const char *)text.p, "local") == 0)
		row.route = keep(l, "local");
	else
		row.route = route_word(l, (const char *)text.p);
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

/* tls-policy */

static void
policy_names(struct hb_conf_line *l, struct hb_tls_policy *p, const char *s)
{
	struct hb_span rest = hb_span_str(s);

	while (rest.n > 0) {
		struct hb_span name = hb_span_cut(&rest, ',');
		char *d = domain_word(l, hb_arena_cstr(l->arena, name));

		if (d != NULL)
			hb_strs_add(l->arena, &p->names, d);
	}
}

static void
policy_option(struct hb_conf_line *l, struct hb_tls_policy *p,
    const char *word)
{
	const char *s;
	int64_t day;

	if ((s = option(word, "names")) != NULL) {
		policy_names(l, p, s);
	} else if ((s = option(word, "until")) != NULL) {
		if (hb_date_parse(hb_span_str(s), &day) < 0)
			hb_conf_error(l, "'%.64s' is not a date YYYY-MM-DD", s);
		else
			p->until_ms = day + 86400000;
	} else if ((s = option(word, "reason")) != NULL) {
		p->reason = keep(l, s);
	} else {
		bad_option(l, word);
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
		bad_option(l, l->v[0]);
		return;
	}
	p.pattern = pattern_word(l, l->v[0]);
	level = must_choose(l, &tls_levels, l->v[1]);
	if (p.pattern == NULL || level < 0)
		return;
	p.level = (enum hb_tls_level)level;
	if (p.level == HB_TLS_DANE)
		hb_conf_error(l, "level 'dane' has no function in this build, "
		    "and ignoring it would weaken what it demands");
	for (size_t i = 2; i < l->n; i++)
		policy_option(l, &p, l->v[i]);
	if (p.names.n > 0 && p.level != HB_TLS_VERIFY)
		hb_conf_error(l, "names= goes with level verify");
	*(struct hb_tls_policy *)hb_conf_grow(l->arena, &list, &v->n,
	    sizeof(p)) = p;
	v->v = list;
}

static void
put_date(struct hb_buf *out, int64_t ms)
{
	char text[HB_TIME_RFC3339_SIZE];

	hb_time_rfc3339(ms, text);
	hb_buf_addf(out, " until=%.10s", text);
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
		if (p->until_ms != 0)
			put_date(out, p->until_ms - 86400000);
		if (p->reason != NULL) {
			hb_buf_addf(&reason, "reason=%s", p->reason);
			hb_buf_add(&reason, hb_span("", 1));
			hb_conf_put_word(out, (const char *)reason.p);
			hb_buf_free(&reason);
		}
		hb_buf_adds(out, "\n");
	}
}

/* tls-report on|off and options: kept as words */

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

/* log */

static void
log_option(struct hb_conf_line *l, struct hb_logspec *v, const char *word)
{
	const char *s;
	int i;

	if ((s = option(word, "format")) != NULL) {
		i = must_choose(l, &formats, s);
		v->format = i >= 0 ? (enum hb_log_format)i : v->format;
	} else if ((s = option(word, "level")) != NULL) {
		i = must_choose(l, &levels, s);
		v->level = i >= 0 ? (enum hb_level)i : v->level;
	} else {
		bad_option(l, word);
	}
}

static void
parse_log(struct hb_conf_line *l, void *field)
{
	TYPE(log, field);

	v->level = HB_LOG_INFO;
	v->given = !l->is_default;
	if (strcmp(l->v[0], "syslog") == 0) {
		v->kind = HB_LOGTO_SYSLOG;
	} else if (strcmp(l->v[0], "stderr") == 0) {
		v->kind = HB_LOGTO_STDERR;
	} else {
		v->kind = HB_LOGTO_FILE;
		v->file = hb_conf_path(l, l->v[0]);
	}
	for (size_t i = 1; i < l->n; i++)
		log_option(l, v, l->v[i]);
}

static void
dump_log(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(log, field);

	hb_buf_adds(out, word);
	hb_conf_put_word(out, v->kind == HB_LOGTO_FILE ? v->file
		: v->kind == HB_LOGTO_STDERR	       ? "stderr"
						       : "syslog");
	hb_buf_addf(out, " format=%s level=%s\n", formats.words[v->format],
	    levels.words[v->level]);
}

const struct hb_conf_type_ops hb_conf_types[HB_CONF_TYPE_COUNT] = {
#define ROW(type, parse, dump, syntax)                                         \
	[HB_CONF_T_##type] = { syntax, parse, dump }
	ROW(host, parse_host, dump_str, "NAME"),
	ROW(names, parse_names, dump_strs, "NAME|file:PATH ..."),
	ROW(words, parse_words, dump_strs, "WORD ..."),
	ROW(paths, parse_paths, dump_strs, "FILE ..."),
	ROW(path, parse_path, dump_str, "PATH"),
	ROW(users, parse_users, dump_users, "ROLE NAME"),
	ROW(workers, parse_workers, dump_workers, "smtpd=N delivery=M"),
	ROW(listens, parse_listens, dump_listens,
	    "ADDR:PORT smtp|submission|submissions|lmtp "
	    "[tls=off|offer|require] [auth=off|offer|require] "
	    "[proxy-protocol=CIDR,...]"),
	ROW(certs, parse_certs, dump_certs, "FILE key=FILE"),
	ROW(tlsver, parse_tlsver, dump_tlsver, "1.2|1.3"),
	ROW(auths, parse_auths, dump_auths,
	    "passwd-file FILE|dovecot SOCKET|pam SERVICE"),
	ROW(map, parse_map, dump_map, "[hash:|text:]FILE"),
	ROW(cidrs, parse_cidrs, dump_cidrs, "CIDR ...|none"),
	ROW(size, parse_size, dump_size, "SIZE"),
	ROW(count, parse_count, dump_count, "N"),
	ROW(rate, parse_rate, dump_rate, "N/TIME|off"),
	ROW(duration, parse_duration, dump_duration, "TIME"),
	ROW(duration_off, parse_duration_off, dump_duration_off, "TIME|off"),
	ROW(deliver, parse_deliver, dump_deliver,
	    "maildir PATH|mbox PATH|lmtp ENDPOINT|command CMD"),
	ROW(users_map, parse_users_map, dump_users_map, "passwd|MAP"),
	ROW(bool, parse_bool, dump_bool, "on|off"),
	ROW(delimiter, parse_delimiter, dump_delimiter, "CHAR|off"),
	ROW(smarthost, parse_smarthost, dump_smarthost, "URL [auth=FILE]"),
	ROW(routes, parse_routes, dump_routes, "PATTERN DESTINATION"),
	ROW(addrs, parse_addrs, dump_addrs, "ADDR ..."),
	ROW(addr, parse_addr, dump_addr, "ADDR"),
	ROW(tls_policies, parse_tls_policies, dump_tls_policies,
	    "PATTERN none|may|encrypt|verify|sts|dane [names=N,...] "
	    "[until=YYYY-MM-DD] [reason=TEXT]"),
	ROW(downgrade, parse_downgrade, dump_downgrade, "off|warn|defer"),
	ROW(endpoints, parse_endpoints, dump_addrs, "ADDR[:PORT] ..."),
	ROW(trust_ad, parse_trust_ad, dump_trust_ad, "auto|yes|no"),
	ROW(retry, parse_retry, dump_retry, "first=TIME max=TIME"),
	ROW(dmarc, parse_dmarc, dump_dmarc, "off|report-only|enforce"),
	ROW(switch_words, parse_switch_words, dump_switch_words,
	    "on|off [from=ADDR] [contact=ADDR] [organization=TEXT]"),
	ROW(log, parse_log, dump_log,
	    "syslog|stderr|FILE [format=text|json] "
	    "[level=error|warn|info|debug]"),
#undef ROW
};
