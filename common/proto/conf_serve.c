/* Value parsers of the configuration: accounts, listeners, logins, maps, log.
 * Floor 1. */
#include "common/proto/conf-priv.h"

#include "common/base/limits.h"
#include "common/base/timefmt.h"
#include "common/proto/endpoint.h"

static const struct hb_conf_choice listen_kinds = {
	(const char *const[]){ "smtp", "submission", "submissions", "lmtp" }, 4
};
static const struct hb_conf_choice demands = {
	(const char *const[]){ "off", "offer", "require" }, 3
};
static const struct hb_conf_choice auth_kinds = {
	(const char *const[]){ "passwd-file", "dovecot", "pam" }, 3
};
static const struct hb_conf_choice formats = {
	(const char *const[]){ "text", "json" }, 2
};

/* --- user ROLE NAME --- */

static bool
is_user_role(const char *role)
{
	for (int r = HB_ROLE_PARENT + 1; r < HB_ROLE_COUNT; r++)
		if (strcmp(role, hb_role_name((enum hb_role)r)) == 0)
			return true;
	return strcmp(role, "submit") == 0;
}

static void
parse_users(struct hb_conf_line *l, void *field)
{
	TYPE(users, field);
	struct hb_role_user *u;
	void *list = v->v;

	if (l->n != 2 || !is_user_role(l->v[0])) {
		hb_conf_bad_option(l, l->v[0]);
		return;
	}
	u = hb_conf_grow(l->arena, &list, &v->n, sizeof(*u));
	v->v = list;
	u->role = hb_conf_keep(l, l->v[0]);
	u->account = hb_conf_keep(l, l->v[1]);
	hb_conf_place(l, &(struct hb_place){ .kind = HB_PLACE_ACCOUNT,
		.path = u->account, .more = u->role });
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

OPS(users, parse_users, dump_users, "ROLE NAME")

/* --- workers --- */

static void
parse_workers(struct hb_conf_line *l, void *field)
{
	TYPE(workers, field);

	for (size_t i = 0; i < l->n; i++) {
		const char *s = hb_conf_option(l->v[i], "smtpd");
		unsigned *to = s != NULL ? &v->smtpd : &v->delivery;
		uint64_t n;

		if (s == NULL)
			s = hb_conf_option(l->v[i], "delivery");
		if (s == NULL)
			hb_conf_bad_option(l, l->v[i]);
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

OPS(workers, parse_workers, dump_workers, "smtpd=N delivery=M")

/* --- listen --- */

/* NAMES: networks with commas between. */
static void
add_proxies(struct hb_conf_line *l, struct hb_cidrs *v, const char *names)
{
	struct hb_span rest = hb_span_str(names);
	char word[HB_NETADDR_TEXT + 8];

	do {
		struct hb_span name = hb_span_cut(&rest, ',');

		if (hb_span_copy(name, word, sizeof(word)) < 0)
			word[0] = '\0';
		hb_conf_add_cidr(l, v, word);
	} while (rest.n > 0);
}

static void
dump_proxies(const struct hb_cidrs *v, struct hb_buf *out)
{
	char text[HB_NETADDR_TEXT];

	for (size_t i = 0; i < v->n; i++) {
		hb_cidr_format(&v->v[i], text);
		hb_buf_addf(out, "%s%s", i == 0 ? " proxy-protocol=" : ",",
		    text);
	}
}

static void
listen_option(struct hb_conf_line *l, struct hb_listen *at, const char *word)
{
	const char *s;
	int i;

	if ((s = hb_conf_option(word, "tls")) != NULL) {
		i = hb_conf_choose(l, &demands, s);
		at->tls = i >= 0 ? (enum hb_demand)i : at->tls;
	} else if ((s = hb_conf_option(word, "auth")) != NULL) {
		i = hb_conf_choose(l, &demands, s);
		at->auth = i >= 0 ? (enum hb_demand)i : at->auth;
	} else if ((s = hb_conf_option(word, "proxy-protocol")) != NULL) {
		add_proxies(l, &at->proxies, s);
	} else {
		hb_conf_bad_option(l, word);
	}
}

/* Do both take the same connections? */
static bool
overlaps(const struct hb_listen *a, const struct hb_listen *b)
{
	static const unsigned char none[16];
	const struct hb_netaddr *x = &a->addr, *y = &b->addr;
	size_t n = x->family == 4 ? 4 : 16;

	if (x->port != y->port)
		return false;
	if (a->any || b->any)
		return true;
	return x->family == y->family &&
	    (memcmp(x->b, y->b, n) == 0 || memcmp(x->b, none, n) == 0 ||
		memcmp(y->b, none, n) == 0);
}

static void
check_listen(struct hb_conf_line *l, const struct hb_listens *v,
    const struct hb_listen *at)
{
	char other[HB_NETADDR_TEXT];

	if (at->kind == HB_LISTEN_SUBMISSIONS && at->tls == HB_DEMAND_OFF)
		hb_conf_error(l, "submissions is TLS from its first byte: "
		    "there is no tls=off");
	if (at->kind == HB_LISTEN_LMTP && at->addr.port == 25)
		hb_conf_warn(l, "port 25 is that of SMTP: LMTP there is not "
		    "what others expect (RFC 2033)");
	for (size_t i = 0; i < v->n; i++) {
		if (!overlaps(&v->v[i], at))
			continue;
		hb_netaddr_format_port(&v->v[i].addr, other);
		hb_conf_error(l, "'%.64s' is listened on already, by 'listen "
		    "%s'", l->v[0], other);
		return;
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
		hb_conf_bad_option(l, l->v[0]);
		return;
	}
	if (hb_netaddr_parse_port(hb_span_str(l->v[0]), &at.addr) < 0 ||
	    at.addr.port == 0) {
		hb_conf_error(l, "'%.64s' is not ADDR:PORT (IPv6 in brackets, "
		    "* for every address)", l->v[0]);
		return;
	}
	at.any = at.addr.family == 0;
	kind = hb_conf_choose(l, &listen_kinds, l->v[1]);
	if (kind < 0)
		return;
	at.kind = (enum hb_listen_kind)kind;
	if (at.kind == HB_LISTEN_SUBMISSION || at.kind == HB_LISTEN_SUBMISSIONS)
		at.tls = at.auth = HB_DEMAND_REQUIRE;
	for (size_t i = 2; i < l->n; i++)
		listen_option(l, &at, l->v[i]);
	check_listen(l, v, &at);
	if (at.auth != HB_DEMAND_OFF && at.tls == HB_DEMAND_OFF &&
	    at.kind != HB_LISTEN_SUBMISSIONS)
		hb_conf_warn(l, "passwords are taken inside TLS alone: nobody "
		    "can log in with auth=%s and tls=off",
		    demands.words[at.auth]);
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
		hb_conf_put_line(out, word, "none");
	for (size_t i = 0; i < v->n; i++) {
		hb_netaddr_format_port(&v->v[i].addr, text);
		hb_buf_addf(out, "%s %s %s tls=%s auth=%s", word, text,
		    listen_kinds.words[v->v[i].kind],
		    demands.words[v->v[i].tls], demands.words[v->v[i].auth]);
		dump_proxies(&v->v[i].proxies, out);
		hb_buf_adds(out, "\n");
	}
}

OPS(listens, parse_listens, dump_listens,
    "ADDR:PORT smtp|submission|submissions|lmtp "
    "[tls=off|offer|require] [auth=off|offer|require] "
    "[proxy-protocol=CIDR,...]")

/* --- tls-certificate FILE key=FILE --- */

static void
parse_certs(struct hb_conf_line *l, void *field)
{
	TYPE(certs, field);
	const char *key = l->n == 2 ? hb_conf_option(l->v[1], "key") : NULL;
	struct hb_cert *c;
	void *list = v->v;

	if (key == NULL) {
		hb_conf_bad_option(l, l->v[l->n - 1]);
		return;
	}
	if (v->n == HB_MAX_CERTIFICATES) {
		hb_conf_error(l, "more than %d certificates",
		    HB_MAX_CERTIFICATES);
		return;
	}
	c = hb_conf_grow(l->arena, &list, &v->n, sizeof(*c));
	v->v = list;
	c->chain = hb_conf_path(l, l->v[0]);
	c->key = hb_conf_path(l, key);
	hb_conf_place(l, &(struct hb_place){ .kind = HB_PLACE_CERT,
		.path = c->chain, .more = c->key });
}

static void
dump_certs(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(certs, field);

	for (size_t i = 0; i < v->n; i++)
		hb_conf_put_pair(out, word, v->v[i].chain, "key", v->v[i].key);
}

OPS(certs, parse_certs, dump_certs, "FILE key=FILE")

/* --- auth --- */

static void
parse_auths(struct hb_conf_line *l, void *field)
{
	TYPE(auths, field);
	struct hb_authsrc *a;
	void *list = v->v;
	int kind;

	if (l->n != 2) {
		hb_conf_bad_option(l, l->v[0]);
		return;
	}
	kind = hb_conf_choose(l, &auth_kinds, l->v[0]);
	if (kind < 0)
		return;
	if (kind == HB_AUTHSRC_PAM) {
		l->unbuilt = "auth pam";
		return;
	}
	if (kind == HB_AUTHSRC_DOVECOT) {
		if (v->dovecot != NULL)
			hb_conf_error(l, "one `auth dovecot` is enough");
		v->dovecot = hb_conf_path(l, l->v[1]);
		hb_conf_place(l, &(struct hb_place){ .kind = HB_PLACE_SOCKET,
			.path = v->dovecot });
		return;
	}
	a = hb_conf_grow(l->arena, &list, &v->n, sizeof(*a));
	v->v = list;
	a->kind = (enum hb_auth_kind)kind;
	a->arg = hb_conf_path(l, l->v[1]);
	hb_conf_place(l, &(struct hb_place){ .kind = HB_PLACE_LOGINS,
		.path = a->arg, .map = HB_MAP_TEXT });
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
	if (v->dovecot != NULL) {
		hb_buf_addf(out, "%s %s", word,
		    auth_kinds.words[HB_AUTHSRC_DOVECOT]);
		hb_conf_put_word(out, v->dovecot);
		hb_buf_adds(out, "\n");
	}
}

OPS(auths, parse_auths, dump_auths,
    "passwd-file FILE|dovecot SOCKET|pam SERVICE")

/* --- milter --- */

static const struct hb_conf_choice failures = {
	(const char *const[]){ "tempfail", "accept", "reject" }, 3
};

enum { FILTER_MS = 30000, FILTER_MOST_MS = 3600000 };

/* Reads where the filter is. */
static bool
read_place(struct hb_conf_line *l, const char *word, struct hb_filter *f)
{
	struct hb_span s = hb_span_str(word), local = HB_SPAN("localhost:");
	struct hb_buf text = HB_BUF_INIT(0);
	bool ok;

	if (hb_endpoint_unix(s).n > 0 &&
	    hb_span_has_prefix_nocase(s, HB_SPAN("unix:"))) {
		f->path = hb_conf_keep(l, word + 5);
		return true;
	}
	if (!hb_span_has_prefix_nocase(s, HB_SPAN("inet:")))
		return false;
	s = hb_span_from(s, 5);
	if (hb_span_has_prefix_nocase(s, local)) {
		hb_buf_adds(&text, "127.0.0.1:");
		s = hb_span_from(s, local.n);
	}
	hb_buf_add(&text, s);
	ok = hb_netaddr_parse_port(hb_buf_span(&text), &f->addr) == 0 &&
	    f->addr.family != 0 && f->addr.port != 0;
	hb_buf_free(&text);
	return ok;
}

/* True: WORD is one of the options, and was read or reported. */
static bool
read_filter_option(struct hb_conf_line *l, const char *word,
    struct hb_filter *f)
{
	const char *time = hb_conf_option(word, "timeout");
	const char *failure = hb_conf_option(word, "on-failure");
	int i;

	if (time != NULL) {
		if (hb_duration_parse(hb_span_str(time), &f->timeout_ms) < 0 ||
		    f->timeout_ms < 1000 || f->timeout_ms > FILTER_MOST_MS)
			hb_conf_error(l, "'%.64s' is no time from 1s to 1h",
			    time);
		return true;
	}
	if (failure == NULL)
		return false;
	i = hb_conf_choose(l, &failures, failure);
	if (i >= 0)
		f->on_failure = (enum hb_on_failure)i;
	return true;
}

static void
parse_milters(struct hb_conf_line *l, void *field)
{
	TYPE(milters, field);
	struct hb_filter *f;
	void *list = v->v;

	if (v->n == HB_MAX_MILTERS) {
		hb_conf_error(l, "more than %d filters", HB_MAX_MILTERS);
		return;
	}
	f = hb_conf_grow(l->arena, &list, &v->n, sizeof(*f));
	v->v = list;
	f->name = hb_conf_keep(l, l->v[0]);
	f->timeout_ms = FILTER_MS;
	if (!read_place(l, l->v[0], f)) {
		hb_conf_error(l, "'%.64s' is not unix:/PATH or "
		    "inet:ADDRESS:PORT", l->v[0]);
		return;
	}
	for (size_t i = 1; i < l->n; i++)
		if (!read_filter_option(l, l->v[i], f))
			hb_conf_bad_option(l, l->v[i]);
}

static void
dump_milters(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(milters, field);
	char time[32];

	for (size_t i = 0; i < v->n; i++) {
		hb_buf_adds(out, word);
		hb_conf_put_word(out, v->v[i].name);
		hb_duration_format(v->v[i].timeout_ms, time);
		hb_buf_addf(out, " timeout=%s on-failure=%s\n", time,
		    failures.words[v->v[i].on_failure]);
	}
}

OPS(milters, parse_milters, dump_milters,
    "unix:PATH|inet:HOST:PORT [timeout=TIME] [on-failure=tempfail|accept|reject]")

/* --- maps --- */

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
place_map(struct hb_conf_line *l, enum hb_place_kind kind,
    const struct hb_mapspec *v)
{
	if (v->arg != NULL)
		hb_conf_place(l, &(struct hb_place){ .kind = kind,
			.path = v->arg, .map = v->kind });
}

static void
parse_map(struct hb_conf_line *l, void *field)
{
	if (hb_conf_one_value(l))
		map_word(l, l->v[0], field);
	if (strcmp(l->row->word, "aliases") == 0)
		place_map(l, HB_PLACE_ALIASES, field);
	else if (strcmp(l->row->word, "sender-login") == 0)
		place_map(l, HB_PLACE_SENDERS, field);
}

static void
put_map(struct hb_buf *out, const char *word, const struct hb_mapspec *m)
{
	static const char *const prefixes[] = { "", "", "hash:", "text:",
		"socketmap:" };
	struct hb_buf b = HB_BUF_INIT(0);

	hb_buf_addf(&b, "%s%s", prefixes[m->kind], m->arg);
	hb_conf_put_line(out, word, hb_buf_cstr(&b));
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

	if (!hb_conf_one_value(l))
		return;
	v->passwd = strcmp(l->v[0], "passwd") == 0;
	if (v->passwd)
		return;
	map_word(l, l->v[0], &v->map);
	place_map(l, HB_PLACE_USERS, &v->map);
}

static void
dump_users_map(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(users_map, field);

	if (v->passwd)
		hb_conf_put_line(out, word, "passwd");
	else
		put_map(out, word, &v->map);
}

OPS(map, parse_map, dump_map, "[hash:|text:]FILE")
OPS(users_map, parse_users_map, dump_users_map, "passwd|MAP")

/* --- log --- */

static void
log_option(struct hb_conf_line *l, struct hb_logspec *v, const char *word)
{
	const char *s;
	int i;

	if ((s = hb_conf_option(word, "format")) != NULL) {
		i = hb_conf_choose(l, &formats, s);
		v->format = i >= 0 ? (enum hb_log_format)i : v->format;
	} else if ((s = hb_conf_option(word, "level")) != NULL) {
		if (hb_level_parse(hb_span_str(s), &v->level) < 0)
			hb_conf_error(l, "'%.64s' is not one of: error, warn, "
			    "info, debug", s);
	} else {
		hb_conf_bad_option(l, word);
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
		hb_conf_place(l, &(struct hb_place){ .kind = HB_PLACE_LOG,
			.path = v->file });
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
	    hb_level_name(v->level));
}

OPS(log, parse_log, dump_log,
    "syslog|stderr|FILE [format=text|json] "
    "[level=error|warn|info|debug]")
