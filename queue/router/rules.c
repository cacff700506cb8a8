/* Rules of the router.  Floor 2. */
#include "queue/router/rules.h"

#include "common/base/err.h"
#include "common/proto/address.h"
#include "common/proto/domain.h"
#include "common/proto/here.h"

const struct rt_verdict rt_accept = { HB_ACTION_ACCEPT, 250, "2.1.5",
	HB_REASON_OK, "Ok" };

bool
rt_is_local_domain(const struct hb_conf *c, struct hb_span domain)
{
	const struct hb_conf_route *r;

	if (hb_here_is_domain(c, domain))
		return true;
	r = hb_conf_route(c, domain);
	return r != NULL && strcmp(r->route, "local") == 0;
}

/* "[192.0.2.1]" or "[IPv6:...]", RFC 5321 s4.1.3; the port is that of MX
 * hosts. */
static int
literal_route(const struct hb_conf *c, struct hb_span domain,
    struct hb_buf *out)
{
	struct hb_netaddr addr;
	char text[HB_NETADDR_TEXT];
	struct hb_route r = { .kind = HB_ROUTE_SMTP, .literal = true,
		.port = (uint16_t)c->smtp_port };

	if (!hb_domain_literal(domain, &addr))
		return HB_E_SYNTAX;
	hb_netaddr_format(&addr, text);
	r.host = hb_span_str(text);
	return hb_route_format(&r, out);
}

int
rt_remote_route(const struct hb_conf *c, struct hb_span domain,
    struct hb_buf *out)
{
	const struct hb_conf_route *row = hb_conf_route(c, domain);
	struct hb_route r = { .kind = HB_ROUTE_MX, .host = domain };

	if (row != NULL && strcmp(row->route, "local") != 0)
		return hb_buf_put(out, hb_span_str(row->route));
	if (c->smarthost.route != NULL)
		return hb_buf_put(out, hb_span_str(c->smarthost.route));
	if (domain.n > 2 && domain.p[0] == '[')
		return literal_route(c, domain, out);
	return hb_route_format(&r, out);
}

void
rt_rule(const struct hb_conf *c, struct hb_span domain, struct hb_buf *out)
{
	const struct hb_conf_route *row = hb_conf_route(c, domain);

	if (domain.n > 0 && hb_conf_has_name(&c->domains, domain)) {
		hb_buf_adds(out, "domain ");
		hb_buf_add(out, domain);
	} else if (domain.n > 0 && hb_here_is_domain(c, domain)) {
		hb_buf_adds(out, "this host");
	} else if (domain.n > 0 && row != NULL) {
		hb_buf_addf(out, "route %s %s", row->pattern, row->route);
	} else if (domain.n > 0 && c->smarthost.route != NULL) {
		hb_buf_addf(out, "smarthost %s", c->smarthost.route);
	}
}

struct hb_span
rt_without_detail(const struct hb_conf *c, struct hb_span local)
{
	size_t at;

	if (c->recipient_delimiter == '\0')
		return local;
	at = hb_span_find(local, (unsigned char)c->recipient_delimiter);
	return at == 0 ? local : hb_span_head(local, at);
}

bool
rt_is_mailbox_name(struct hb_span name)
{
	if (name.n == 0 || name.n > HB_MAX_LOCAL_PART || name.p[0] == '.' ||
	    name.p[0] == '-')
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] == '/' || name.p[i] == 0x7f)
			return false;
	return true;
}

enum rt_target_kind
rt_target_kind(struct hb_span text, struct hb_span *rest)
{
	static const struct {
		const char *mark;
		size_t skip; /* of the mark, what is no part of the rest */
		enum rt_target_kind kind;
	} marks[] = {
		{ ":include:", 9, RT_TARGET_INCLUDE },
		{ "error:", 0, RT_TARGET_ERROR },
		{ "|", 1, RT_TARGET_PIPE },
		{ "/", 0, RT_TARGET_FILE },
		{ "\\", 1, RT_TARGET_FINAL },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(marks); i++)
		if (hb_span_has_prefix_nocase(text,
		    hb_span_str(marks[i].mark))) {
			*rest = hb_span_trim(hb_span_from(text, marks[i].skip));
			return marks[i].kind;
		}
	*rest = text;
	return RT_TARGET_ADDRESS;
}

bool
rt_may_relay(const struct hb_conf *c, const struct ipc_check *q)
{
	struct hb_netaddr a;

	return hb_netaddr_parse(q->client, &a) == 0 &&
	    hb_conf_relays_for(c, &a);
}

static bool
is_submission(const struct hb_conf *c, unsigned listen)
{
	return listen < c->listens.n &&
	    (c->listens.v[listen].kind == HB_LISTEN_SUBMISSION ||
		c->listens.v[listen].kind == HB_LISTEN_SUBMISSIONS);
}

static bool
is_listed(struct hb_span logins, struct hb_span user)
{
	struct hb_span word;

	while ((word = hb_span_word(&logins)).n > 0)
		if (hb_span_eq_nocase(word, user))
			return true;
	return false;
}

struct rt_verdict
rt_check_sender(const struct hb_conf *c, const struct ipc_check *q,
    enum rt_found found, struct hb_span logins)
{
	static const struct rt_verdict unread = { HB_ACTION_TEMPFAIL, 451,
		"4.3.0", HB_REASON_LOOKUP_TEMP,
		"Sender lookup failed, try again later" };
	static const struct rt_verdict refused = { HB_ACTION_REJECT, 550,
		"5.7.1", HB_REASON_RELAY_DENIED,
		"This login may not use this sender address" };
	struct hb_span local, domain;

	if (q->sender.n == 0 || q->user.n == 0 || !is_submission(c, q->listen))
		return rt_accept;
	if (c->sender_login.kind != HB_MAP_NONE && found == RT_TEMP)
		return unread;
	if (c->sender_login.kind != HB_MAP_NONE)
		return found == RT_FOUND && is_listed(logins, q->user)
		    ? rt_accept : refused;
	if (hb_span_eq_nocase(q->user, q->sender))
		return rt_accept;
	hb_addr_split(q->sender, &local, &domain);
	if (rt_is_local_domain(c, domain) &&
	    (hb_span_eq_nocase(local, q->user) ||
		hb_span_eq_nocase(rt_without_detail(c, local), q->user)))
		return rt_accept;
	return refused;
}

bool
rt_is_routed(const struct ipc_check *q)
{
	struct hb_span local, domain;

	hb_addr_split(q->rcpt, &local, &domain);
	for (size_t i = 0; i < local.n; i++)
		if (memchr("%!@", local.p[i], 3) != NULL)
			return true;
	return q->routed;
}

static bool
is_relay_domain(const struct hb_conf *c, struct hb_span domain)
{
	for (size_t i = 0; i < c->relay_domains.n; i++) {
		struct hb_span name = hb_span_str(c->relay_domains.v[i]);

		if (hb_domain_eq(domain, name) ||
		    hb_domain_is_below(domain, name))
			return true;
	}
	return false;
}

struct rt_verdict
rt_check_relay(const struct hb_conf *c, const struct ipc_check *q)
{
	static const struct rt_verdict denied = { HB_ACTION_REJECT, 550,
		"5.7.1", HB_REASON_RELAY_DENIED, "Relaying denied" };
	struct hb_span local, domain;

	if (q->user.n > 0 || rt_may_relay(c, q))
		return rt_accept;
	hb_addr_split(q->rcpt, &local, &domain);
	if (is_relay_domain(c, domain) && !rt_is_routed(q))
		return rt_accept;
	return denied;
}
