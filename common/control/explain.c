/*
 * `explain`: the router reports where an address goes, a delivery worker what
 * it would do there; common/control/explain_text.c writes the page.  Floor 4.
 */
#include "config.h"

#include "common/control/control.h"

#include <sysexits.h>

#include "common/control/explain_text.h"
#include "common/proto/envelope.h"
#include "common/proto/route.h"

enum { FLAG_LIVE = 1, ARG_MAX_BYTES = 1024 };

static bool
has_option(const struct ctl_client *c, struct hb_span option)
{
	return c->nargs == 2 && hb_span_eq(c->args[1], option);
}

static bool
is_option(struct hb_span word)
{
	return hb_span_eq(hb_span_head(word, 2), HB_SPAN("--"));
}

/* A name without a dot is a mailbox or an alias of this host. */
static struct hb_span
subject(struct ctl_client *c, struct hb_span arg)
{
	if (arg.n == 0 || hb_span_find(arg, '@') < arg.n ||
	    hb_span_find(arg, '.') < arg.n)
		return ctl_without_dot(arg);
	hb_buf_clear(&c->user);
	hb_buf_add(&c->user, arg);
	hb_buf_addf(&c->user, "@%s", hb_conf_origin(c->ctl->env->conf));
	return hb_buf_span(&c->user);
}

void
ctl_explain_begin(struct ctl_client *c)
{
	struct ipc_ctl q = { .verb = HB_CTL_EXPLAIN };

	if (c->nargs == 2 && is_option(c->args[0])) {
		struct hb_span option = c->args[0];

		c->args[0] = c->args[1];
		c->args[1] = option;
	}
	q.arg = c->args[0] = subject(c, c->args[0]);
	if (c->nargs == 2 && !has_option(c, HB_SPAN("--live")) &&
	    !has_option(c, HB_SPAN("--verify"))) {
		ctl_err(c, "explain ADDRESS|DOMAIN [--live]");
		ctl_exit(c, EX_USAGE);
		return;
	}
	if (q.arg.n > ARG_MAX_BYTES) {
		ctl_err(c, "not an address or domain");
		ctl_exit(c, 1);
		return;
	}
	ctl_ask(c, HB_ROLE_ROUTER, 0, &q);
	if (c->waiting == 0)
		ctl_exit_worst(c);
}

/* The keys that every answer has: those that no role filled. */
static void
complete(json_t *e)
{
	static const char *const nullable[] = { "route", "policy_domain",
		"policy", "dane" };

	for (size_t i = 0; i < HB_ARRAY_LEN(nullable); i++)
		if (json_object_get(e, nullable[i]) == NULL)
			(void)json_object_set_new(e, nullable[i], json_null());
	if (json_object_get(e, "mx") == NULL)
		(void)json_object_set_new(e, "mx", json_array());
}

static void
add_why(json_t *e)
{
	json_t *host;
	size_t i;

	ctl_explain_why(e, true);
	json_array_foreach(json_object_get(e, "mx"), i, host)
		ctl_explain_why(host, false);
}

/* `sendmail -bv` wants to know by its exit code. */
static unsigned
code_of(const struct ctl_client *c, const json_t *e)
{
	enum hb_reason r = hb_reason_find(ctl_member(e, "reason"));

	if (!has_option(c, HB_SPAN("--verify")) ||
	    !hb_span_eq(ctl_member(e, "verdict"), HB_SPAN("fail")))
		return EX_OK;
	if (hb_reason_means(r, HB_WHY_NO_USER))
		return EX_NOUSER;
	return hb_reason_means(r, HB_WHY_NO_HOST) ? EX_NOHOST : EX_UNAVAILABLE;
}

static void
show(struct ctl_client *c, json_t *e)
{
	unsigned code = code_of(c, e);

	add_why(e);
	if (c->q.json) {
		ctl_add_json(c, e, JSON_INDENT(2));
		ctl_add(c, "\n");
	} else {
		ctl_explain_page(&c->text, e);
	}
	json_decref(e);
	ctl_exit(c, code);
}

static struct hb_span
domain_of(struct hb_span address)
{
	struct hb_span rest = hb_span_from(address,
	    hb_span_find(address, '@'));

	return hb_span_from(rest, rest.n > 0);
}

/* Is the address that a route is for another one than the one ASKED for?  A
 * domain stands for any address there. */
static bool
is_another(struct hb_span asked, struct hb_span address)
{
	if (hb_span_find(asked, '@') == asked.n)
		return !hb_span_eq_nocase(asked, domain_of(address));
	return !hb_span_eq_nocase(asked, address);
}

/* The part that the router knows. */
static json_t *
routing(const struct ctl_client *c, const json_t *route)
{
	json_t *e = json_object(),
	       *routes = json_object_get(c->state, "routes");
	struct hb_span asked = c->args[0];

	(void)json_object_set_new(e, "address",
	    json_stringn((const char *)asked.p, asked.n));
	if (route != NULL) {
		(void)json_object_set(e, "route",
		    json_object_get(route, "route"));
		(void)json_object_set(e, "rule",
		    json_object_get(route, "rule"));
		if (is_another(asked, ctl_member(route, "address")))
			(void)json_object_set(e, "for",
			    json_object_get(route, "address"));
	}
	if (json_array_size(routes) > 1)
		(void)json_object_set(e, "recipients", routes);
	return e;
}

static void
set_text(json_t *e, const char *key, struct hb_span text)
{
	(void)json_object_set_new(e, key,
	    json_stringn(text.n > 0 ? (const char *)text.p : "", text.n));
}

/* What the router said of the whole address. */
static void
take_outcome(json_t *e, const json_t *said)
{
	bool ok = hb_span_eq(ctl_member(said, "result"), HB_SPAN("ok"));

	set_text(e, "verdict", ok ? HB_SPAN("proceed")
				  : ctl_member(said, "result"));
	set_text(e, "reason", ctl_member(said, "reason"));
	if (ctl_member(said, "text").n > 0)
		set_text(e, "text", ctl_member(said, "text"));
}

/* Nothing to ask delivery about. */
static void
finish_here(struct ctl_client *c, const json_t *route, const struct hb_route *r)
{
	json_t *e = routing(c, route);
	enum hb_reason why = r->kind == HB_ROUTE_DISCARD
	    ? HB_REASON_DISCARDED : HB_REASON_ROUTE_ERROR;

	complete(e);
	take_outcome(e, c->state);
	if (route != NULL && (r->kind == HB_ROUTE_ERROR ||
		r->kind == HB_ROUTE_DISCARD)) {
		set_text(e, "verdict", r->kind == HB_ROUTE_ERROR
			? HB_SPAN("fail") : HB_SPAN("proceed"));
		set_text(e, "reason", hb_span_str(hb_reason_word(why)));
		set_text(e, "text", r->rest);
	}
	show(c, e);
}

/* The first route that delivery carries out, else the first of all. */
static const json_t *
choose(const json_t *routes, struct hb_route *parsed)
{
	const json_t *v;
	size_t i;

	json_array_foreach(routes, i, v)
		if (hb_route_parse(ctl_member(v, "route"), parsed) == 0 &&
		    hb_route_is_remote(parsed->kind))
			return v;
	v = json_array_get(routes, 0);
	if (v != NULL && hb_route_parse(ctl_member(v, "route"), parsed) < 0)
		parsed->kind = HB_ROUTE_ERROR;
	return v;
}

static void
free_state(struct ctl_client *c)
{
	json_decref(c->state);
}

static void
finish_router(struct ctl_client *c)
{
	const struct ctl_ask *a = ctl_first_good(c);
	const json_t *route;
	struct hb_route r = { .kind = HB_ROUTE_ERROR };
	struct ipc_ctl q = { .verb = HB_CTL_EXPLAIN_ROUTE };

	if (a == NULL) {
		ctl_exit_worst(c);
		return;
	}
	c->state = json_incref(a->tree.root); /* the router's answer */
	c->free_state = free_state;
	route = choose(json_object_get(c->state, "routes"), &r);
	if (route == NULL || !hb_route_is_remote(r.kind)) {
		finish_here(c, route, &r);
		return;
	}
	q.arg = ctl_member(route, "route");
	q.arg2 = domain_of(ctl_member(route, "address"));
	q.flags = has_option(c, HB_SPAN("--live")) ? FLAG_LIVE : 0;
	/* the worker that owns the domain answers, the others are silent */
	ctl_ask_all(c, HB_TO(DELIVERY), &q, false);
	if (c->waiting == 0)
		ctl_exit_worst(c);
}

static void
finish_delivery(struct ctl_client *c)
{
	json_t *answer = NULL;
	struct hb_route r;
	json_t *e;

	for (size_t i = 1; i < c->nasks && answer == NULL; i++)
		if (c->asks[i]->exit_code == 0 && c->asks[i]->tree.whole)
			answer = c->asks[i]->tree.root;
	if (answer == NULL) {
		ctl_err(c, "no delivery process answers for this domain now");
		ctl_exit(c, 1);
		return;
	}
	e = routing(c, choose(json_object_get(c->state, "routes"), &r));
	(void)json_object_update(e, answer);
	complete(e);
	show(c, e);
}

const char *
ctl_explain_waits_for(const struct ctl_client *c)
{
	if (c->state == NULL)
		return "the router, which looks the address up in its maps";
	if (has_option(c, HB_SPAN("--live")))
		return "DNS (policy, mail hosts, addresses) or a mail host";
	return "DNS: policy, mail hosts and addresses.  A resolver that does "
	       "not answer is given up after a minute and a half";
}

void
ctl_explain_finish(struct ctl_client *c)
{
	if (c->state == NULL)
		finish_router(c);
	else
		finish_delivery(c);
}
