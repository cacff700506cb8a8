/* Requests to roles, and their answers.  Floor 4. */
#include "config.h"

#include "common/control/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
on_row(struct ctl_ask *a, json_t *v,
    void (*show)(struct ctl_client *c, json_t *v))
{
	struct ctl_client *c = a->client;

	if (c->too_slow || c->leaving)
		return;
	show(c, v);
	ctl_push(c, false);
	if (ctl_client_is_full(c))
		ctl_balance(c->ctl, a->peer);
}

static void
on_element(void *ctx, json_t *v)
{
	struct ctl_ask *a = ctx;

	on_row(a, v, a->client->cmd->element);
}

static void
on_part(void *ctx, json_t *v)
{
	struct ctl_ask *a = ctx;

	on_row(a, v, a->client->cmd->part);
}

static struct ctl_ask *
ask_new(struct ctl_client *c, enum hb_role role, unsigned instance)
{
	struct ctl_ask *a = HB_NEW(struct ctl_ask);

	a->client = c;
	a->role = role;
	a->instance = instance;
	a->tree.raw = !c->q.json;
	c->asks[c->nasks++] = a;
	return a;
}

static void
ask_free(struct ctl_ask **ap)
{
	ctl_tree_free(&(*ap)->tree);
	free(*ap);
	*ap = NULL;
}

/* The answer is complete, or there will be none. */
static void
ask_done(struct ctl *ctl, struct ctl_ask *a, unsigned exit_code,
    struct hb_span text)
{
	struct hb_peer *p = a->peer;
	struct ctl_client *c = a->client;

	a->exit_code = exit_code;
	if (hb_span_copy(text, a->text, sizeof(a->text)) < 0)
		a->text[0] = '\0';
	a->peer = NULL;
	TAILQ_REMOVE(&ctl->asks, a, link);
	ctl_balance(ctl, p);
	if (c == NULL) {
		ask_free(&a);
		return;
	}
	c->alive_ms = hb_mono_ms();
	if (--c->waiting == 0 && !c->leaving)
		c->cmd->finish(c);
}

static struct hb_peer *
find_peer(const struct ctl *ctl, enum hb_role role, unsigned instance)
{
	return role == HB_ROLE_PARENT
	    ? ctl->env->parent
	    : hb_role_peer(ctl->env, role, instance);
}

/* A role that is away: its question is answered at once. */
static void
nobody_there(struct ctl_ask *a)
{
	a->exit_code = 1;
	snprintf(a->text, sizeof(a->text), "%s does not run",
	    hb_role_name(a->role));
}

static void
send_ask(struct ctl_ask *a, struct hb_peer *p, const struct ipc_ctl *q)
{
	struct ctl *ctl = a->client->ctl;
	struct ipc_ctl m = *q;

	m.ref = ++ctl->next_ref;
	if (p == NULL || hb_peer_send(p, HB_IPC_CTL, &m, -1) < 0) {
		nobody_there(a);
		return;
	}
	a->ref = m.ref;
	a->peer = p;
	a->client->waiting++;
	TAILQ_INSERT_TAIL(&ctl->asks, a, link);
	ctl_balance(ctl, p);
}

void
ctl_ask(struct ctl_client *c, enum hb_role role, unsigned instance,
    const struct ipc_ctl *q)
{
	if (c->nasks < CTL_ASKS_MAX)
		send_ask(ask_new(c, role, instance),
		    find_peer(c->ctl, role, instance), q);
}

static void
ask_peer(struct ctl_client *c, struct hb_peer *p, const struct ipc_ctl *q,
    bool stream)
{
	struct ctl_ask *a;

	if (c->nasks == CTL_ASKS_MAX)
		return;
	a = ask_new(c, hb_peer_role(p), hb_peer_instance(p));
	if (stream) {
		a->tree.element = on_element;
		a->tree.part = c->cmd->part != NULL ? on_part : NULL;
		a->tree.ctx = a;
	}
	send_ask(a, p, q);
}

void
ctl_ask_all(struct ctl_client *c, uint32_t roles, const struct ipc_ctl *q,
    bool stream)
{
	const struct ctl *ctl = c->ctl;

	if ((roles & HB_TO(PARENT)) != 0)
		ask_peer(c, ctl->env->parent, q, stream);
	for (size_t i = 0; i < ctl->npeers; i++)
		if ((roles >> hb_peer_role(ctl->peers[i]) & 1) != 0)
			ask_peer(c, ctl->peers[i], q, stream);
}

void
ctl_asks_drop(struct ctl_client *c)
{
	for (size_t i = 0; i < c->nasks; i++) {
		struct ctl_ask *a = c->asks[i];

		if (a->peer == NULL) {
			ask_free(&a);
			continue;
		}
		a->client = NULL;
		ctl_tree_free(&a->tree);
		ctl_balance(c->ctl, a->peer);
	}
	c->nasks = c->waiting = 0;
}

static struct ctl_ask *
find_ask(const struct ctl *ctl, const struct hb_peer *p, uint32_t ref)
{
	struct ctl_ask *a;

	TAILQ_FOREACH(a, &ctl->asks, link)
		if (a->ref == ref && a->peer == p)
			return a;
	return NULL;
}

void
ctl_on_ctl_item(struct ctl *ctl, struct hb_peer *p,
    const struct ipc_ctl_item *m)
{
	struct ctl_ask *a = find_ask(ctl, p, m->ref);
	const char *why;

	if (a == NULL) {
		hb_peer_violation(p, "an answer nobody asked for");
		return;
	}
	if (a->client == NULL)
		return;
	a->client->alive_ms = hb_mono_ms();
	why = ctl_tree_add(&a->tree, m);
	if (why != NULL)
		hb_peer_violation(p, why);
}

void
ctl_on_ctl_end(struct ctl *ctl, struct hb_peer *p, const struct ipc_ctl_end *m)
{
	struct ctl_ask *a = find_ask(ctl, p, m->ref);

	if (a == NULL)
		hb_peer_violation(p, "an answer nobody asked for");
	else if (a->client != NULL && a->tree.root != NULL && !a->tree.whole)
		hb_peer_violation(p, "an answer that is cut short");
	else
		ask_done(ctl, a, m->exit, m->text);
}

void
ctl_peer_lost(struct ctl *ctl, struct hb_peer *p)
{
	struct ctl_ask *a, *next;

	for (a = TAILQ_FIRST(&ctl->asks); a != NULL; a = next) {
		char text[64];

		next = TAILQ_NEXT(a, link);
		if (a->peer != p)
			continue;
		snprintf(text, sizeof(text), "%s ended while it was asked",
		    hb_role_name(a->role));
		ask_done(ctl, a, 1, hb_span_str(text));
		next = TAILQ_FIRST(&ctl->asks); /* others may be gone too */
	}
}

/* A client that does not read holds up the role, unless others wait for it:
 * then what it does not read is kept, up to the bound where it is let go. */
void
ctl_balance(struct ctl *ctl, struct hb_peer *p)
{
	bool full = false, others = false;
	struct ctl_ask *a;

	if (p == ctl->env->parent)
		return;
	TAILQ_FOREACH(a, &ctl->asks, link) {
		if (a->peer != p)
			continue;
		if (a->client != NULL && ctl_client_is_full(a->client) &&
		    !a->client->too_slow)
			full = true;
		else
			others = true;
	}
	hb_peer_pause(p, full && !others);
}

struct ctl_ask *
ctl_first_good(const struct ctl_client *c)
{
	for (size_t i = 0; i < c->nasks; i++)
		if (c->asks[i]->exit_code == 0 && c->asks[i]->tree.whole)
			return c->asks[i];
	return NULL;
}

/* Did an earlier answer say the same?  Once is enough. */
static bool
is_said(const struct ctl_client *c, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (c->asks[k]->exit_code != 0 &&
		    strcmp(c->asks[k]->text, c->asks[i]->text) == 0)
			return true;
	return false;
}

void
ctl_exit_worst(struct ctl_client *c)
{
	unsigned worst = c->nasks > 0 ? 0 : 1;

	if (c->nasks == 0)
		ctl_err(c, "the role that knows it does not run");
	for (size_t i = 0; i < c->nasks; i++) {
		const struct ctl_ask *a = c->asks[i];

		if (a->exit_code > worst)
			worst = a->exit_code;
		if (a->exit_code != 0 && a->text[0] != '\0' && !is_said(c, i))
			ctl_err(c, a->text);
	}
	ctl_exit(c, worst);
}
