/*
 * The router: where a recipient goes, and who may do what.  Floor 4.  It
 * answers smtpd (CHECK, AUTH), queue (EXPAND) and control (EXPLAIN).
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/io/ctlreply.h"
#include "common/io/file.h"
#include "common/io/rolemain.h"
#include "common/io/trouble.h"
#include "common/io/workers.h"
#include "common/proto/address.h"
#include "common/proto/base64.h"
#include "common/proto/endpoint.h"
#include "common/proto/idna.h"
#include "common/proto/route.h"
#include "queue/router/lookup.h"
#include "queue/router/root.h"
#include "queue/router/expansion.h"

enum {
	PENDING_MAX = 1 << 20, /* output that waits for the one who asked */
	PENDING_MS = 2,
	PART = 500, /* items of an answer in a turn */
	OFFER_MS = 5000, /* how often the files of logins are looked at */
	NONCE = 18 /* octets; base64 makes 24 of them */
};

struct router {
	struct hb_role_env *env;
	struct rt_lookup *lookup;
	uint64_t checks, expansions, logins;
	struct rt_judge *judge;
	struct hb_timer *offer;
	bool scram; /* what smtpd was told */
};

/* A question under way.  Its peer may be gone when the answer is there: the
 * role and instance find the channel of then. */
struct router_request {
	struct router *router;
	enum hb_role role;
	unsigned instance;
	uint64_t channel; /* to see that it is still the same */
	uint64_t ref;
	struct hb_buf user;
	struct rt_expansion *walk;
	void (*done)(struct router_request *a); /* with WALK */
	struct hb_timer *timer; /* of a long walk, or NULL */
	void (*go)(struct router_request *a); /* when it is over */
};

#define IPC_TAKES(from, to) ((to) != HB_ANY && ((to) & HB_TO(ROUTER)) != 0)
#define IPC_CTX struct router
#define IPC_ON(name) rt_on_##name
#include "common/io/handlers.h"

static struct router_request *
asked_new(struct router *r, struct hb_peer *p, uint64_t ref)
{
	struct router_request *a = HB_NEW(struct router_request);

	a->router = r;
	a->role = hb_peer_role(p);
	a->instance = hb_peer_instance(p);
	a->channel = hb_peer_number(p);
	a->ref = ref;
	a->user = HB_BUF_INIT(0);
	return a;
}

static void
asked_free(struct router_request *a)
{
	hb_buf_free(&a->user);
	rt_expansion_free(&a->walk);
	hb_timer_free(&a->timer);
	free(a);
}

/* The one who asked, if that is still there. */
static struct hb_peer *
asker(const struct router_request *a)
{
	struct hb_peer *p = hb_role_peer(a->router->env, a->role, a->instance);

	return hb_peer_is(p, a->channel) ? p : NULL;
}

static void
answer(struct router_request *a, enum hb_ipc_type type, const void *msg)
{
	struct hb_peer *p = asker(a);

	if (p != NULL)
		hb_peer_post(p, type, msg, -1);
}

static unsigned
lane_of(const struct router_request *a)
{
	return a->role == HB_ROLE_SMTPD ? a->instance : RT_LANE_OWN;
}

static bool
is_full(const struct router_request *a)
{
	const struct hb_peer *p = asker(a);

	return p != NULL && hb_peer_pending(p) > PENDING_MAX;
}

/* --- expansions --- */

static enum rt_found
read_list(struct hb_span path, struct hb_buf *content)
{
	struct hb_buf why = HB_BUF_INIT(0);
	char name[PATH_MAX];
	bool good = hb_span_copy(path, name, sizeof(name)) == 0 &&
	    name[0] == '/';
	int r = good ? hb_read_file(name, HB_MAX_LIST_FILE, content) : -EINVAL;

	if (r == 0) {
		hb_trouble_end(HB_EV_MAP, path);
	} else {
		hb_buf_addf(&why, "a list's file cannot be read: %s",
		    good ? hb_file_error(r) : "its path does not begin with /");
		hb_trouble_begin(HB_EV_MAP, path, hb_buf_span(&why));
	}
	hb_buf_free(&why);
	return r == 0 ? RT_FOUND : RT_TEMP;
}

static void walk(struct router_request *a);

static void
on_later(void *ctx)
{
	struct router_request *a = ctx;

	a->go(a);
}

/* Goes on in another turn. */
static void
later(struct router_request *a, void (*go)(struct router_request *a))
{
	if (a->timer == NULL)
		a->timer = hb_timer_new(a->router->env->loop, on_later, a);
	a->go = go;
	hb_timer_set(a->timer, is_full(a) ? PENDING_MS : 0);
}

static void
looked_up(void *ctx, enum rt_found found)
{
	struct router_request *a = ctx;

	rt_expansion_answer(a->walk, found);
	walk(a);
}

static enum rt_found
look_up(struct router_request *a, const struct rt_query *q)
{
	if (q->kind == RT_QUERY_INCLUDE)
		return read_list(q->key, q->value);
	return rt_look_up(a->router->lookup, lane_of(a), q, looked_up, a);
}

static void
walk(struct router_request *a)
{
	const struct rt_query *q;
	enum rt_found found;
	enum rt_next next;

	while ((next = rt_expansion_run(a->walk, &q)) == RT_LOOK_UP) {
		found = look_up(a, q);
		if (found == RT_LATER)
			return;
		rt_expansion_answer(a->walk, found);
	}
	if (next == RT_DONE)
		a->done(a);
	else
		later(a, walk);
}

static void
walk_for(struct router_request *a, struct rt_expansion *w,
    void (*done)(struct router_request *a))
{
	a->walk = w;
	a->done = done;
	walk(a);
}

/* --- queue: EXPAND --- */

/* A long answer goes in parts, of which each is a turn. */
static void
expanded(struct router_request *a)
{
	struct hb_buf bytes = HB_BUF_INIT(0);
	struct ipc_expand_end end = { .ref = (uint32_t)a->ref };
	const struct rt_item *items;
	size_t n = rt_expansion_items(a->walk, is_full(a) ? 0 : PART, &items);

	for (size_t i = 0; i < n; i++) {
		struct ipc_expand_item m = { .ref = (uint32_t)a->ref,
			.address = items[i].address, .route = items[i].route,
			.flags = items[i].flags, .owner = items[i].owner };

		answer(a, HB_IPC_EXPAND_ITEM, &m);
	}
	if (rt_expansion_has_items(a->walk)) {
		later(a, expanded);
		return;
	}
	if (hb_tlv_encode(&hb_outcome_record, rt_expansion_outcome(a->walk),
		&bytes) < 0)
		HB_BUG("outcome of the walk");
	end.outcome = hb_buf_span(&bytes);
	answer(a, HB_IPC_EXPAND_END, &end);
	hb_buf_free(&bytes);
	asked_free(a);
}

void
rt_on_expand(struct router *r, struct hb_peer *p, const struct ipc_expand *m)
{
	r->expansions++;
	walk_for(asked_new(r, p, m->ref),
	    rt_expansion_new(&r->env->conf, m->address), expanded);
}

/* --- smtpd: CHECK --- */

static void
send_verdict(struct router_request *a, const struct rt_verdict *v)
{
	struct ipc_verdict m = { .ref = a->ref, .action = (uint32_t)v->action,
		.code = v->code, .status = hb_span_str(v->status),
		.reason = (uint32_t)v->reason, .text = hb_span_str(v->text) };

	answer(a, HB_IPC_VERDICT, &m);
	asked_free(a);
}

static void
rcpt_known(struct router_request *a)
{
	static const struct rt_verdict verdicts[] = {
		[HB_RESULT_DEFER] = { HB_ACTION_TEMPFAIL, 451, "4.3.0",
		    HB_REASON_LOOKUP_TEMP, "Recipient lookup failed, try again later" },
		[HB_RESULT_OK] = { HB_ACTION_ACCEPT, 250, "2.1.5",
		    HB_REASON_OK, "Ok" },
		[HB_RESULT_FAIL] = { HB_ACTION_REJECT, 550, "5.1.1",
		    HB_REASON_USER_UNKNOWN, "User unknown" },
	};

	send_verdict(a, &verdicts[rt_expansion_outcome(a->walk)->result]);
}

/* A refusal by a route comes before the message is transferred, as with
 * sendmail's mailertable, so that a forged sender gets no DSN. */
static bool
is_refused_by_route(struct router_request *a, struct hb_span domain)
{
	const struct hb_conf_route *row =
	    hb_conf_route(a->router->env->conf, domain);
	struct ipc_verdict m = { .ref = a->ref, .action = HB_ACTION_REJECT,
		.code = 550, .reason = HB_REASON_ROUTE_ERROR };
	struct hb_route r;

	if (row == NULL || hb_route_parse(hb_span_str(row->route), &r) < 0 ||
	    r.kind != HB_ROUTE_ERROR)
		return false;
	if (r.status.p[0] == '4') {
		m.action = HB_ACTION_TEMPFAIL;
		m.code = 451;
	}
	m.status = r.status;
	m.text = r.rest.n > 0 ? r.rest : HB_SPAN("refused here");
	answer(a, HB_IPC_VERDICT, &m);
	asked_free(a);
	return true;
}

static void
check_rcpt(struct router_request *a, const struct ipc_check *q)
{
	const struct hb_conf *c = a->router->env->conf;
	struct hb_span local, domain;
	struct rt_verdict v;

	hb_addr_split(q->rcpt, &local, &domain);
	if (rt_is_local_domain(c, domain)) {
		walk_for(a, rt_expansion_exists(&a->router->env->conf,
		    q->rcpt), rcpt_known);
		return;
	}
	v = rt_check_relay(c, q);
	if (v.action == HB_ACTION_ACCEPT && is_refused_by_route(a, domain))
		return;
	send_verdict(a, &v);
}

void
rt_on_check(struct router *r, struct hb_peer *p, const struct ipc_check *q)
{
	struct router_request *a = asked_new(r, p, q->ref);
	struct hb_buf logins = HB_BUF_INIT(0);
	enum rt_found found;
	struct rt_verdict v;

	r->checks++;
	if (q->stage == HB_STAGE_RCPT) {
		check_rcpt(a, q);
		return;
	}
	found = rt_lookup_sender(r->lookup, q->sender, &logins);
	v = rt_check_sender(r->env->conf, q, found, hb_buf_span(&logins));
	hb_buf_free(&logins);
	send_verdict(a, &v);
}

/* --- smtpd: AUTH --- */

static void
password_known(void *ctx, enum rt_found found)
{
	struct router_request *a = ctx;
	struct ipc_auth_result m = {
		.ref = a->ref,
		.result = found == RT_FOUND	  ? HB_AUTH_OK
		    : found == RT_NOTFOUND ? HB_AUTH_REFUSED
						  : HB_AUTH_TEMP,
		.user = hb_buf_span(&a->user),
	};

	answer(a, HB_IPC_AUTH_RESULT, &m);
	asked_free(a);
}

/* SCRAM keeps no state here: the login's verifier is looked up twice. */
static void
answer_scram(struct router *r, struct hb_peer *p, const struct ipc_auth *m)
{
	struct ipc_auth_result a = { .ref = m->ref, .user = m->user };
	unsigned char random[NONCE], signature[HB_SHA256];
	struct hb_buf nonce = HB_BUF_INIT(0);
	struct hb_scram_verifier v = { 0 };
	enum rt_found found = rt_lookup_verifier(r->lookup, m->user, &v);
	bool right = found != RT_TEMP && m->proof.n == HB_SHA256 &&
	    hb_scram_check(&v, m->message, m->proof.p, signature);

	hb_random(random, sizeof(random));
	if (found == RT_TEMP ||
	    hb_base64_encode(hb_span(random, sizeof(random)), &nonce) < 0) {
		a.result = HB_AUTH_TEMP;
	} else if (m->kind == HB_AUTHQ_SALT) {
		a.result = HB_AUTH_OK;
		a.salt = hb_span(v.salt, v.n_salt);
		a.iterations = v.iterations;
		a.nonce = hb_buf_span(&nonce);
	} else if (right && found == RT_FOUND) {
		a.result = HB_AUTH_OK;
		a.signature = hb_span(signature, sizeof(signature));
	} else {
		a.result = HB_AUTH_REFUSED;
	}
	hb_peer_post(p, HB_IPC_AUTH_RESULT, &a, -1);
	hb_wipe(&v, sizeof(v));
	hb_buf_free(&nonce);
}

static void
tell_offer(struct router *r, struct hb_peer *p)
{
	struct ipc_auth_offer m = { .scram = r->scram };

	if (p != NULL)
		hb_peer_post(p, HB_IPC_AUTH_OFFER, &m, -1);
}

/* What EHLO offers follows the files, without a question. */
static void
look_at_logins(void *ctx)
{
	struct router *r = ctx;
	bool scram = rt_lookup_scram(r->lookup);

	if (scram != r->scram) {
		r->scram = scram;
		for (unsigned i = 0; i < HB_MOST_WORKERS; i++)
			tell_offer(r, hb_role_peer(r->env, HB_ROLE_SMTPD, i));
	}
	if (r->env->conf->auth.n > 0)
		hb_timer_set(r->offer, OFFER_MS);
}

static void
on_peer(struct hb_role_env *env, struct hb_peer *p)
{
	if (hb_peer_role(p) == HB_ROLE_SMTPD)
		tell_offer(env->ctx, p);
}

void
rt_on_auth(struct router *r, struct hb_peer *p, const struct ipc_auth *m)
{
	struct router_request *a;
	enum rt_found found;

	r->logins++;
	if (m->kind != HB_AUTHQ_PASSWORD) {
		answer_scram(r, p, m);
		return;
	}
	a = asked_new(r, p, m->ref);
	hb_buf_add(&a->user, m->user);
	found = rt_lookup_password(r->lookup, lane_of(a), m, &a->user,
	    password_known, a);
	if (found != RT_LATER)
		password_known(a, found);
}

/* --- control: EXPLAIN answers the routes of an address --- */

static void
put_route(const struct hb_conf *conf, const struct hb_ctl *c,
    const struct rt_item *item)
{
	struct hb_buf rule = HB_BUF_INIT(0);
	struct hb_span local, domain;

	hb_addr_split(item->address, &local, &domain);
	rt_rule(conf, domain, &rule);
	hb_ctl_object(c, NULL);
	hb_ctl_str(c, "address", item->address);
	hb_ctl_str(c, "route", item->route);
	if (rule.n > 0)
		hb_ctl_str(c, "rule", hb_buf_span(&rule));
	else
		hb_ctl_null(c, "rule");
	hb_ctl_close(c);
	hb_buf_free(&rule);
}

static void
explained(struct router_request *a)
{
	const struct hb_outcome *outcome = rt_expansion_outcome(a->walk);
	const struct rt_item *items;
	size_t n = rt_expansion_items(a->walk, SIZE_MAX, &items);
	struct hb_peer *p = asker(a);
	struct hb_ctl c = { p, (uint32_t)a->ref };

	if (p == NULL) {
		asked_free(a);
		return;
	}
	hb_ctl_object(&c, NULL);
	hb_ctl_text(&c, "result",
	    hb_result_word((enum hb_result)outcome->result));
	hb_ctl_text(&c, "reason",
	    hb_reason_word((enum hb_reason)outcome->reason));
	hb_ctl_str(&c, "text", outcome->text);
	hb_ctl_array(&c, "routes");
	for (size_t i = 0; i < n; i++)
		put_route(a->router->env->conf, &c, &items[i]);
	hb_ctl_close(&c);
	hb_ctl_close(&c);
	hb_ctl_end(&c, 0, NULL);
	asked_free(a);
}

/* "user@domain", or a domain alone: any address there. */
static void
explain(struct hb_role_env *env, struct hb_peer *control,
    const struct ipc_ctl *q)
{
	struct hb_ctl c = { control, q->ref };
	struct hb_buf text = HB_BUF_INIT(0), canonical = HB_BUF_INIT(HB_MAX_PATH);
	struct hb_addr addr;

	if (hb_span_find(q->arg, '@') == q->arg.n)
		hb_buf_adds(&text, "postmaster@");
	hb_buf_add(&text, q->arg);
	if (hb_addr_parse(hb_buf_span(&text), HB_ADDR_UTF8 | HB_ADDR_IDN,
		&addr) < 0 ||
	    hb_addr_format(&addr, &canonical) < 0 ||
	    hb_idna_address(&canonical) < 0)
		hb_ctl_end(&c, 1, "not an address or domain");
	else
		walk_for(asked_new(env->ctx, control, q->ref),
		    rt_expansion_new(&env->conf, hb_buf_span(&canonical)),
		    explained);
	hb_buf_free(&text);
	hb_buf_free(&canonical);
}

static void
on_ctl(struct hb_role_env *env, struct hb_peer *control,
    const struct ipc_ctl *q)
{
	struct router *r = env->ctx;
	struct hb_ctl c = { control, q->ref };

	if (q->verb == HB_CTL_STATUS) {
		hb_ctl_int(&c, "checks", (int64_t)r->checks);
		hb_ctl_int(&c, "expansions", (int64_t)r->expansions);
		hb_ctl_int(&c, "logins", (int64_t)r->logins);
	} else if (q->verb == HB_CTL_EXPLAIN) {
		explain(env, control, q);
	} else {
		hb_ctl_end(&c, 1, "not a question for the router");
	}
}

/* The parent connects, with its rights. */
static void
connect_judge(void *ctx, uint32_t ref, const char *path)
{
	const struct router *r = ctx;
	struct ipc_endpoint_get m = { .ref = ref };

	if (hb_endpoint_find(r->env->conf, hb_span_str(path), &m.index) < 0)
		m.index = UINT32_MAX;
	hb_peer_post(r->env->parent, HB_IPC_ENDPOINT_GET, &m, -1);
}

void
rt_on_endpoint(struct router *r, struct hb_peer *p,
    const struct ipc_endpoint *m, int fd)
{
	rt_judge_endpoint(r->judge, m->ref,
	    m->error == 0 ? fd : -(int)m->error);
}

static int
setup(struct hb_role_env *env, struct hb_buf *err)
{
	struct router *r = HB_NEW(struct router);

	r->env = env;
	r->lookup = rt_lookup_new(env->loop, env->conf);
	r->judge = rt_judge_new(env->loop, connect_judge, r);
	rt_lookup_set_judge(r->lookup, r->judge);
	r->offer = hb_timer_new(env->loop, look_at_logins, r);
	env->ctx = r;
	return 0;
}

/* Before a peer is there: with the rights that stay. */
static int
started(struct hb_role_env *env, struct hb_buf *err)
{
	look_at_logins(env->ctx);
	return 0;
}

static int
on_reload(struct hb_role_env *env, const struct hb_conf *old,
    struct hb_buf *err)
{
	struct router *r = env->ctx;

	rt_lookup_reconf(r->lookup, env->conf);
	look_at_logins(r);
	return 0;
}

static const struct hb_role_spec spec = {
	.role = HB_ROLE_ROUTER,
	.on = rt_on_frame,
	.setup = setup,
	.started = started,
	.on_peer = on_peer,
	.on_reload = on_reload,
	.on_ctl = on_ctl,
};

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "-r") == 0)
		return rt_root_main(strcmp(argv[2], "accounts") == 0);
	return hb_role_run(&spec, argc, argv);
}
