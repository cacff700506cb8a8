/* Identity of this host.  Floor 1. */
#include "common/proto/here.h"

#include "common/proto/domain.h"

void
hb_here_set_interfaces(struct hb_conf *c, struct hb_span text)
{
	struct hb_span rest = text;
	size_t lines = 0;

	for (; rest.n > 0; lines++)
		hb_span_cut(&rest, '\n');
	c->interfaces.v = hb_arena_alloc(c->arena,
	    (lines + 1) * sizeof(*c->interfaces.v));
	c->interfaces.n = 0;
	while (text.n > 0)
		if (hb_netaddr_parse(hb_span_cut(&text, '\n'),
			&c->interfaces.v[c->interfaces.n]) == 0)
			c->interfaces.n++;
}

/* But for the port. */
static bool
same_address(struct hb_netaddr a, const struct hb_netaddr *b)
{
	a.port = b->port;
	return hb_netaddr_eq(&a, b);
}

static bool
is_of_interface(const struct hb_conf *c, const struct hb_netaddr *a)
{
	for (size_t i = 0; i < c->interfaces.n; i++)
		if (same_address(c->interfaces.v[i], a))
			return true;
	return false;
}

/* Does L take what comes to A, an address of this host? */
static bool
is_heard_by(const struct hb_conf *c, const struct hb_listen *l,
    const struct hb_netaddr *a)
{
	if (l->any || hb_netaddr_is_unspecified(&l->addr))
		return hb_netaddr_is_loopback(a) || is_of_interface(c, a);
	return same_address(l->addr, a);
}

bool
hb_here_is_endpoint(const struct hb_conf *c, const struct hb_netaddr *a)
{
	if (hb_netaddr_is_unspecified(a))
		return true;
	for (size_t i = 0; i < c->listens.n; i++)
		if (c->listens.v[i].addr.port == a->port &&
		    is_heard_by(c, &c->listens.v[i], a))
			return true;
	return false;
}

bool
hb_here_is_address(const struct hb_conf *c, const struct hb_netaddr *a)
{
	static const struct hb_netaddr first = { .family = 4,
		.b = { 127, 0, 0, 1 } };

	if (hb_netaddr_is_unspecified(a) || is_of_interface(c, a) ||
	    same_address(first, a) ||
	    (a->family == 6 && hb_netaddr_is_loopback(a)))
		return true;
	for (size_t i = 0; i < c->listens.n; i++)
		if (is_heard_by(c, &c->listens.v[i], a))
			return true;
	return false;
}

bool
hb_here_is_name(const struct hb_conf *c, struct hb_span name)
{
	return hb_domain_eq(name, HB_SPAN("localhost")) ||
	    hb_domain_eq(name, HB_SPAN("localhost.localdomain")) ||
	    (c->hostname != NULL &&
		hb_domain_eq(name, hb_span_str(c->hostname)));
}

bool
hb_here_is_domain(const struct hb_conf *c, struct hb_span domain)
{
	struct hb_netaddr a;

	if (domain.n == 0 || hb_conf_has_name(&c->domains, domain))
		return true;
	if (hb_domain_literal(domain, &a))
		return hb_here_is_address(c, &a);
	return hb_here_is_name(c, domain);
}
