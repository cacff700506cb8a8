/* Rules of the queue manager.  Floor 2. */
#include "queue/manager/rules.h"

#include "common/proto/address.h"

/* --- routes --- */

static bool
is_local(enum hb_route_kind k)
{
	return k == HB_ROUTE_LOCAL || k == HB_ROUTE_FILE || k == HB_ROUTE_PIPE;
}

/* Has the operator a word for DOMAIN that is not the next hop's as well?  One
 * whose time is over counts: the clock may be put right. */
static bool
has_word(const struct hb_conf *conf, const struct hb_route *p,
    struct hb_span domain)
{
	const struct hb_tls_policy *word =
	    hb_conf_tls_policy(conf, domain, 0, true);

	return word != NULL && hb_route_is_remote(p->kind) &&
	    word != hb_conf_tls_policy(conf, p->host, 0, true);
}

void
q_rule_route(const struct hb_conf *conf, const struct hb_route *p,
    struct hb_span route, struct hb_span owner, struct hb_span domain,
    struct hb_buf *key, struct q_route *to)
{
	bool lmtp = p->kind == HB_ROUTE_LOCAL &&
	    conf->deliver.kind == HB_DELIVER_LMTP;

	*to = (struct q_route){ .spread = p->kind != HB_ROUTE_MX };
	if (lmtp)
		hb_buf_adds(key, conf->deliver.arg);
	else
		hb_buf_add(key, route);
	to->route_n = key->n;
	if (owner.n > 0) {
		hb_buf_adds(key, "\n");
		hb_buf_add(key, owner);
	}
	to->local = is_local(p->kind) && !lmtp;
	if (!to->local && !lmtp && !p->literal)
		to->domain = p->host;
	if (!to->local && has_word(conf, p, domain)) {
		hb_buf_adds(key, "\n");
		hb_buf_add(key, domain);
		to->rcpts_n = domain.n;
	}
	to->key = hb_buf_span(key);
}

/* --- local deliveries --- */

bool
q_rule_discards(const struct hb_conf *conf, const struct hb_route *route)
{
	static const char nowhere[] = "/dev/null";

	if (route->kind == HB_ROUTE_FILE)
		return hb_span_eq(route->rest, hb_span_str(nowhere));
	if (route->kind == HB_ROUTE_LOCAL)
		return conf->deliver.kind == HB_DELIVER_MBOX &&
		    strcmp(conf->deliver.arg, nowhere) == 0;
	return route->kind == HB_ROUTE_DISCARD;
}

static void
rule_deliver(const struct hb_conf *conf, const struct hb_route *route,
    struct q_local *l)
{
	static const enum hb_local_kind kinds[] = {
		[HB_DELIVER_MAILDIR] = HB_LOCAL_MAILDIR,
		[HB_DELIVER_MBOX] = HB_LOCAL_MBOX,
		[HB_DELIVER_COMMAND] = HB_LOCAL_COMMAND,
		[HB_DELIVER_LMTP] = HB_LOCAL_NONE,
	};

	l->kind = kinds[conf->deliver.kind];
	l->target = hb_span_str(conf->deliver.arg);
	l->user = route->user;
	/* With a map of users nobody has an account of its own. */
	l->account = conf->local_users.passwd ? route->user
					      : HB_SPAN(HB_LOCAL_ACCOUNT);
}

void
q_rule_local(const struct hb_conf *conf, const struct hb_route *route,
    struct q_local *l)
{
	*l = (struct q_local){ .account = route->user, .target = route->rest };
	if (route->kind == HB_ROUTE_LOCAL)
		rule_deliver(conf, route, l);
	else if (route->kind == HB_ROUTE_FILE)
		l->kind = HB_LOCAL_FILE;
	else
		l->kind = HB_LOCAL_PIPE;
}
