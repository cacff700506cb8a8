/*
 * `explain`: the router says where an address goes, a delivery worker what it
 * would do there.  Floor 4.  The text is for someone who never read an RFC.
 */
#include "config.h"

#include "common/daemon/control.h"

#include <sysexits.h>

#include "common/proto/envelope.h"

enum { FLAG_LIVE = 1, ARG_MAX_BYTES = 1024 };

static const char *const route_words[HB_ROUTE_COUNT] = {
	[HB_ROUTE_MX] = "goes to the mail hosts (MX) of ",
	[HB_ROUTE_SMTP] = "goes to the host ",
	[HB_ROUTE_SMTP_TLS] = "goes with verified TLS to the host ",
	[HB_ROUTE_SMTPS] = "goes with verified TLS from the first byte to ",
	[HB_ROUTE_LMTP] = "is handed over by LMTP to ",
	[HB_ROUTE_LMTP_UNIX] = "is handed over by LMTP at ",
	[HB_ROUTE_LOCAL] = "is delivered here, to the mailbox ",
	[HB_ROUTE_FILE] = "is appended to the file ",
	[HB_ROUTE_PIPE] = "is given to the command ",
	[HB_ROUTE_ERROR] = "is refused: ",
	[HB_ROUTE_DISCARD] = "is taken and thrown away",
};

static const struct {
	const char *word, *text;
} verdict_words[] = {
	{ "proceed", "mail would be sent" },
	{ "skip", "would not be used" },
	{ "defer", "mail would wait and be tried again" },
	{ "fail", "mail would be returned to its sender" },
};

void
ctl_explain_begin(struct ctl_client *c)
{
	struct ipc_ctl q = { .verb = HB_CTL_EXPLAIN, .arg = c->args[0] };

	if (c->nargs == 2 && !hb_span_eq(c->args[1], HB_SPAN("--live"))) {
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

static struct hb_span
reason_text(struct hb_span word)
{
	for (unsigned i = 0; i < HB_REASON_COUNT && word.n > 0; i++)
		if (hb_span_eq(word, hb_span_str(
			hb_reason_word((enum hb_reason)i))))
			return hb_span_str(hb_reason_text((enum hb_reason)i));
	return HB_SPAN_NONE;
}

static void
add_reason(struct ctl_client *c, const json_t *v)
{
	struct hb_span word = ctl_member(v, "reason");

	ctl_add(c, " (");
	ctl_add_safe(c, word.n > 0 ? word : HB_SPAN("no reason given"));
	if (reason_text(word).n > 0) {
		ctl_add(c, ": ");
		ctl_add_safe(c, reason_text(word));
	}
	ctl_add(c, ")");
}

static void
add_route(struct ctl_client *c, struct hb_span route)
{
	struct hb_route r;
	struct hb_span what;

	ctl_add(c, "  ");
	if (hb_route_parse(route, &r) < 0) {
		ctl_add_safe(c, route);
		return;
	}
	what = r.host.n > 0	 ? r.host
	    : r.kind == HB_ROUTE_LOCAL ? r.user
				       : r.rest;
	ctl_add(c, route_words[r.kind]);
	ctl_add_safe(c, what);
	ctl_add(c, "   [");
	ctl_add_safe(c, route);
	ctl_add(c, "]\n");
}

static void
add_policy(struct ctl_client *c, const json_t *e)
{
	static const char *const keys[] = { "id", "fetched", "expires" };
	const json_t *p = json_object_get(e, "policy"), *mx;
	size_t i;

	if (!json_is_object(p)) {
		ctl_add(c, "  no MTA-STS policy");
		if (ctl_member(e, "no_policy").n > 0) {
			ctl_add(c, ": ");
			ctl_add_safe(c, reason_text(ctl_member(e, "no_policy")));
			ctl_add(c, " (");
			ctl_add_member(c, e, "no_policy");
			ctl_add(c, ")");
		}
		ctl_add(c, "\n");
		return;
	}
	ctl_add(c, "  MTA-STS policy of ");
	ctl_add_member(c, p, "domain");
	ctl_add(c, ": ");
	ctl_add_member(c, p, "mode");
	for (i = 0; i < HB_ARRAY_LEN(keys); i++) {
		ctl_addf(c, ", %s ", keys[i]);
		ctl_add_member(c, p, keys[i]);
	}
	ctl_add(c, "\n    it allows these mail hosts:");
	json_array_foreach(json_object_get(p, "mx"), i, mx)
	{
		ctl_add(c, " ");
		ctl_add_safe(c, ctl_string(mx));
	}
	ctl_add(c, "\n");
}

static void
add_verdict(struct ctl_client *c, const json_t *v, const char *used)
{
	struct hb_span word = ctl_member(v, "verdict");

	for (size_t i = 0; i < HB_ARRAY_LEN(verdict_words); i++)
		if (hb_span_eq(word, hb_span_str(verdict_words[i].word))) {
			ctl_add(c, i == 0 ? used : verdict_words[i].text);
			add_reason(c, v);
			return;
		}
	ctl_add_safe(c, word);
	add_reason(c, v);
}

static void
add_mx(struct ctl_client *c, const json_t *host)
{
	ctl_add(c, "  mail host ");
	ctl_add_member(c, host, "name");
	ctl_add(c, " (preference ");
	ctl_add_member(c, host, "preference");
	ctl_add(c, "): ");
	add_verdict(c, host, "would be used");
	if (ctl_member(host, "tls").n > 0) {
		ctl_add(c, ", TLS ");
		ctl_add_member(c, host, "tls");
	}
	if (ctl_member(host, "text").n > 0) {
		ctl_add(c, "\n    it said: ");
		ctl_add_member(c, host, "text");
	}
	ctl_add(c, "\n");
}

static void
add_text(struct ctl_client *c, const json_t *e)
{
	const json_t *v;
	size_t i;

	ctl_add_member(c, e, "address");
	ctl_add(c, "\n");
	if (ctl_member(e, "route").n > 0)
		add_route(c, ctl_member(e, "route"));
	if (json_is_string(json_object_get(e, "policy_domain")))
		add_policy(c, e);
	json_array_foreach(json_object_get(e, "mx"), i, v)
		add_mx(c, v);
	json_array_foreach(json_object_get(e, "recipients"), i, v)
	{
		ctl_add(c, "  recipient ");
		ctl_add_member(c, v, "address");
		ctl_add(c, " ");
		add_route(c, ctl_member(v, "route"));
	}
	ctl_add(c, "  ");
	add_verdict(c, e, verdict_words[0].text);
	if (ctl_member(e, "text").n > 0) {
		ctl_add(c, ": ");
		ctl_add_member(c, e, "text");
	}
	ctl_add(c, "\n");
}

/* What INTERFACE names and nobody has said yet. */
static void
complete(json_t *e, bool local)
{
	static const char *const nullable[] = { "route", "policy_domain",
		"policy", "dane" };

	for (size_t i = 0; i < HB_ARRAY_LEN(nullable); i++)
		if (json_object_get(e, nullable[i]) == NULL)
			(void)json_object_set_new(e, nullable[i], json_null());
	if (json_object_get(e, "mx") == NULL)
		(void)json_object_set_new(e, "mx", json_array());
	if (local)
		(void)json_object_set_new(e, "verdict",
		    json_string("proceed"));
}

static void
show(struct ctl_client *c, json_t *e)
{
	if (c->q.json) {
		ctl_add_json(c, e, JSON_INDENT(2));
		ctl_add(c, "\n");
	} else {
		add_text(c, e);
	}
	json_decref(e);
	ctl_exit(c, 0);
}

/* The part that the router knows. */
static json_t *
routing(const struct ctl_client *c, const json_t *route)
{
	json_t *e = json_object(),
	       *routes = json_object_get(c->first, "routes");
	struct hb_span asked = c->args[0];

	(void)json_object_set_new(e, "address",
	    json_stringn((const char *)asked.p, asked.n));
	if (route != NULL)
		(void)json_object_set(e, "route",
		    json_object_get(route, "route"));
	if (json_array_size(routes) > 1)
		(void)json_object_set(e, "recipients", routes);
	return e;
}

/* Nothing to ask delivery about. */
static void
finish_here(struct ctl_client *c, const json_t *route)
{
	json_t *e = routing(c, route);

	complete(e, route != NULL);
	if (route == NULL)
		(void)json_object_set(e, "verdict",
		    json_object_get(c->first, "result"));
	(void)json_object_set(e, "reason", json_object_get(c->first, "reason"));
	if (ctl_member(c->first, "text").n > 0)
		(void)json_object_set(e, "text",
		    json_object_get(c->first, "text"));
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
	c->first = json_incref(a->tree.root);
	route = choose(json_object_get(c->first, "routes"), &r);
	if (route == NULL || !hb_route_is_remote(r.kind)) {
		finish_here(c, route);
		return;
	}
	q.arg = ctl_member(route, "route");
	q.arg2 = r.literal ? HB_SPAN_NONE : r.host;
	q.flags = c->nargs == 2 ? FLAG_LIVE : 0;
	ctl_ask(c, HB_ROLE_DELIVERY, 0, &q);
	if (c->waiting == 0)
		ctl_exit_worst(c);
}

static void
finish_delivery(struct ctl_client *c)
{
	const struct ctl_ask *a = c->asks[1];
	struct hb_route r;
	json_t *e;

	if (a->exit_code != 0 || !a->tree.whole) {
		ctl_exit_worst(c);
		return;
	}
	e = routing(c, choose(json_object_get(c->first, "routes"), &r));
	(void)json_object_update(e, a->tree.root);
	complete(e, false);
	show(c, e);
}

void
ctl_explain_finish(struct ctl_client *c)
{
	if (c->first == NULL)
		finish_router(c);
	else
		finish_delivery(c);
}
