/* Lookups in the configuration, and copies of parts of it.  Floor 1. */
#include "common/proto/conf.h"

#include "common/proto/domain.h"

const struct hb_strs *
hb_strs_keep(const struct hb_strs *from, struct hb_arena *arena)
{
	struct hb_strs *to = hb_arena_alloc(arena, sizeof(*to));

	to->v = hb_arena_alloc(arena, (from->n + 1) * sizeof(*to->v));
	for (to->n = 0; to->n < from->n; to->n++)
		to->v[to->n] = hb_arena_cstr(arena,
		    hb_span_str(from->v[to->n]));
	return to;
}

bool
hb_conf_has_name(const struct hb_strs *names, struct hb_span domain)
{
	for (size_t i = 0; i < names->n; i++)
		if (hb_span_eq_nocase(hb_span_str(names->v[i]), domain))
			return true;
	return false;
}

const char *
hb_conf_origin(const struct hb_conf *c)
{
	const char *name = c->hostname != NULL ? c->hostname : "localhost";

	if (c->domains.n > 0 && !hb_conf_has_name(&c->domains,
				    hb_span_str(name)))
		name = c->domains.v[0];
	return name;
}

bool
hb_cidrs_have(const struct hb_cidrs *v, const struct hb_netaddr *a)
{
	for (size_t i = 0; i < v->n; i++)
		if (hb_cidr_has(&v->v[i], a))
			return true;
	return false;
}

bool
hb_conf_relays_for(const struct hb_conf *c, const struct hb_netaddr *a)
{
	return hb_cidrs_have(&c->relay_from, a);
}

/* How exact PATTERN fits DOMAIN: 0 not at all, 1 "*", more for longer. */
static size_t
match_weight(const char *pattern, struct hb_span domain)
{
	struct hb_span p = hb_span_str(pattern);

	if (hb_span_eq(p, HB_SPAN("*")))
		return 1;
	if (hb_span_eq_nocase(p, domain))
		return SIZE_MAX;
	if (p.n > 0 && p.p[0] == '.' &&
	    hb_domain_is_below(domain, hb_span_from(p, 1)))
		return p.n;
	return 0;
}

bool
hb_pattern_match(const char *pattern, struct hb_span domain)
{
	return match_weight(pattern, domain) > 0;
}

const char *
hb_conf_account(const struct hb_conf *c, enum hb_role role)
{
	for (size_t i = 0; i < c->users.n; i++)
		if (strcmp(c->users.v[i].role, hb_role_name(role)) == 0)
			return c->users.v[i].account;
	return hb_role_info(role)->account;
}

bool
hb_conf_is_own_account(const struct hb_conf *c, struct hb_span name)
{
	/* those that a later build asks for may be there already */
	if (hb_span_has_prefix_nocase(name, HB_SPAN("_hauberk")))
		return true;
	for (int r = HB_ROLE_PARENT + 1; r < HB_ROLE_HELPER; r++)
		if (hb_span_eq_nocase(name,
			hb_span_str(hb_conf_account(c, (enum hb_role)r))))
			return true;
	return false;
}

const struct hb_conf_route *
hb_conf_route(const struct hb_conf *c, struct hb_span domain)
{
	const struct hb_conf_route *best = NULL;
	size_t most = 0;

	for (size_t i = 0; i < c->route.n; i++) {
		size_t w = match_weight(c->route.v[i].pattern, domain);

		if (w > most) {
			most = w;
			best = &c->route.v[i];
		}
	}
	return best;
}

static bool
is_over(const struct hb_tls_policy *p, int64_t now_ms, bool believed)
{
	return p->until_ms != 0 && now_ms >= p->until_ms &&
	    (believed || p->level < HB_TLS_VERIFY);
}

const struct hb_tls_policy *
hb_conf_tls_policy(const struct hb_conf *c, struct hb_span domain,
    int64_t now_ms, bool believed)
{
	const struct hb_tls_policy *best = NULL;
	size_t most = 0;

	for (size_t i = 0; i < c->tls_policies.n; i++) {
		const struct hb_tls_policy *p = &c->tls_policies.v[i];
		size_t w = match_weight(p->pattern, domain);

		if (w > most && !is_over(p, now_ms, believed)) {
			most = w;
			best = p;
		}
	}
	return best;
}

bool
hb_conf_says_route(const struct hb_conf *c, struct hb_span route)
{
	if (c->smarthost.route != NULL &&
	    hb_span_eq(route, hb_span_str(c->smarthost.route)))
		return true;
	for (size_t i = 0; i < c->route.n; i++)
		if (hb_span_eq(route, hb_span_str(c->route.v[i].route)))
			return true;
	return false;
}
