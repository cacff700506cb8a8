/* Rules of the queue manager.  Floor 2. */
#include "queue/rules.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/proto/address.h"

/* Routes. */

static bool
is_local(enum hb_route_kind k)
{
	return k == HB_ROUTE_LOCAL || k == HB_ROUTE_FILE || k == HB_ROUTE_PIPE;
}

/* "lmtp:PATH" or "lmtp://HOST:PORT" of `deliver lmtp ENDPOINT`. */
static void
put_lmtp(const char *endpoint, struct hb_buf *out)
{
	bool known = strncmp(endpoint, "lmtp:", 5) == 0;

	if (strncmp(endpoint, "unix:", 5) == 0)
		endpoint += 5;
	else if (strncmp(endpoint, "inet:", 5) == 0)
		endpoint += 5;
	if (!known)
		hb_buf_adds(out, endpoint[0] == '/' ? "lmtp:" : "lmtp://");
	hb_buf_adds(out, endpoint);
}

void
q_rule_route(const struct hb_conf *conf, const struct hb_route *p,
    struct hb_span route, struct hb_span owner, struct hb_buf *key,
    struct q_route *to)
{
	bool lmtp = p->kind == HB_ROUTE_LOCAL &&
	    conf->deliver.kind == HB_DELIVER_LMTP;

	*to = (struct q_route){ .spread = p->kind != HB_ROUTE_MX };
	if (lmtp)
		put_lmtp(conf->deliver.arg, key);
	else
		hb_buf_add(key, route);
	to->route_n = key->n;
	if (owner.n > 0) {
		hb_buf_adds(key, "\n");
		hb_buf_add(key, owner);
	}
	to->key = hb_buf_span(key);
	to->local = is_local(p->kind) && !lmtp;
	if (!to->local && !lmtp && !p->literal)
		to->domain = p->host;
}

/* Merging. */

struct set {
	const struct hb_rcpt **v;
	size_t mask;
};

static uint64_t
hash_rcpt(const struct hb_rcpt *r)
{
	static const unsigned char key[16] = "address, route..";

	return hb_siphash(key, r->address) ^ hb_siphash(key, r->route) * 3 ^
	    hb_siphash(key, r->owner) * 5;
}

static bool
same(const struct hb_rcpt *a, const struct hb_rcpt *b)
{
	return hb_span_eq(a->address, b->address) &&
	    hb_span_eq(a->route, b->route) && hb_span_eq(a->owner, b->owner);
}

/* False when its like was there already. */
static bool
set_add(struct set *s, const struct hb_rcpt *r)
{
	size_t at = (size_t)hash_rcpt(r) & s->mask;

	for (; s->v[at] != NULL; at = (at + 1) & s->mask)
		if (same(s->v[at], r))
			return false;
	s->v[at] = r;
	return true;
}

size_t
q_rule_merge(const struct hb_rcpt *have, size_t nhave, uint32_t idx,
    struct hb_rcpt *items, size_t n)
{
	struct set s = { .mask = 7 };
	size_t kept = 0;

	while (s.mask < (nhave + n) * 2)
		s.mask = s.mask * 2 + 1;
	s.v = hb_calloc(s.mask + 1, sizeof(struct hb_rcpt *));
	for (size_t i = 0; i < nhave; i++)
		if (have[i].idx != idx)
			(void)set_add(&s, &have[i]);
	for (size_t i = 0; i < n; i++) {
		items[kept] = items[i];
		if (set_add(&s, &items[kept]))
			kept++;
	}
	free(s.v);
	return kept;
}

/* Local deliveries. */

/* What is put in for a % must not leave its place: no slash, nothing that a
 * shell reads, no leading dot or dash. */
static bool
is_harmless(struct hb_span s)
{
	static const char marks[] = "-_.+=@";

	if (s.n == 0 || s.p[0] == '.' || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!hb_is_alnum(s.p[i]) &&
		    memchr(marks, s.p[i], sizeof(marks) - 1) == NULL)
			return false;
	return true;
}

struct facts {
	struct hb_span user, domain, home, address;
};

static int
put_fact(struct hb_buf *out, char which, const struct facts *f)
{
	struct hb_span v = which == 'u' ? f->user
	    : which == 'd'		? f->domain
	    : which == 'a'		? f->address
					: f->home;

	if (which == 'h' && v.n == 0)
		return HB_E_NOTFOUND;
	if (which != 'h' && !is_harmless(v))
		return HB_E_SYNTAX;
	hb_buf_add(out, v);
	return 0;
}

/* A tilde is the home at the start of the template and of a word of it. */
static bool
is_home(const char *template, const char *at)
{
	return *at == '~' && (at == template || at[-1] == ' ') &&
	    (at[1] == '/' || at[1] == 0);
}

static int
fill(const char *template, const struct facts *f, struct hb_buf *out)
{
	int err = 0;

	for (const char *c = template; *c != 0 && err == 0; c++) {
		if (is_home(template, c))
			err = put_fact(out, 'h', f);
		else if (c[0] != '%' || c[1] == 0)
			hb_buf_add(out, hb_span(c, 1));
		else if (strchr("udha", *++c) != NULL)
			err = put_fact(out, *c, f);
		else
			hb_buf_add(out, hb_span(*c == '%' ? c : c - 1,
			    *c == '%' ? 1 : 2));
	}
	return err;
}

/* With a map of users deliveries run as `user local NAME`. */
static void
put_account(const struct hb_conf *conf, struct hb_span user,
    struct hb_buf *out)
{
	if (conf->local_users.passwd) {
		hb_buf_add(out, user);
		return;
	}
	for (size_t i = 0; i < conf->users.n; i++)
		if (strcmp(conf->users.v[i].role, "local") == 0)
			hb_buf_adds(out, conf->users.v[i].account);
}

static int
rule_deliver(const struct hb_conf *conf, const struct hb_route *route,
    struct hb_span address, struct q_local *l)
{
	static const enum hb_local_kind kinds[] = {
		[HB_DELIVER_MAILDIR] = HB_LOCAL_MAILDIR,
		[HB_DELIVER_MBOX] = HB_LOCAL_MBOX,
		[HB_DELIVER_COMMAND] = HB_LOCAL_COMMAND,
		[HB_DELIVER_LMTP] = HB_LOCAL_NONE,
	};
	struct facts f = { .user = route->user, .home = route->rest,
		.address = address };
	struct hb_span local;

	hb_addr_split(address, &local, &f.domain);
	l->kind = kinds[conf->deliver.kind];
	return fill(conf->deliver.arg, &f, &l->target);
}

int
q_rule_local(const struct hb_conf *conf, const struct hb_route *route,
    struct hb_span address, struct q_local *l)
{
	put_account(conf, route->user, &l->account);
	if (route->kind == HB_ROUTE_LOCAL)
		return rule_deliver(conf, route, address, l);
	l->kind = route->kind == HB_ROUTE_FILE ? HB_LOCAL_FILE
					       : HB_LOCAL_COMMAND;
	hb_buf_add(&l->target, route->rest);
	return 0;
}
