/*
 * The process of a role: find it, send to it, end it.  Floor 4.  It calls only
 * common/parent/files.c.
 */
#include "config.h"

#include <signal.h>

#include "common/io/ctlreply.h"
#include "common/parent/parent.h"

struct pd_proc *
pd_find(struct pd_parent *pd, enum hb_role role, unsigned instance)
{
	for (size_t i = 0; i < pd->nprocs; i++)
		if (pd->procs[i].role == role &&
		    pd->procs[i].instance == instance)
			return &pd->procs[i];
	return NULL;
}

void
pd_kill(struct pd_proc *pr)
{
	if (pr->pid > 0 && !pr->ended)
		kill(pr->pid, SIGKILL);
}

/* Frames with descriptors leave at once: only a few of them may wait. */
void
pd_post(struct pd_proc *pr, enum hb_ipc_type type, const void *msg, int fd)
{
	if (pr->peer == NULL)
		return;
	hb_peer_post(pr->peer, type, msg, fd);
	if (pr->peer != NULL && fd >= 0)
		hb_peer_flush(pr->peer, 0);
}

static void
send_file(struct pd_proc *pr, const struct pd_file *f)
{
	struct hb_span rest = hb_buf_span(&f->bytes);

	do {
		struct ipc_file_part m = { .kind = f->kind, .index = f->index,
			.bytes = hb_span_take(&rest, HB_MAX_IPC_BODY) };

		m.last = rest.n == 0;
		pd_post(pr, HB_IPC_FILE_PART, &m, -1);
	} while (rest.n > 0);
}

void
pd_send_log(struct pd_proc *pr)
{
	const struct pd_parent *pd = pr->pd;
	struct ipc_logfd m = { .kind = pd->log.kind,
		.format = pd->now.conf->log.format,
		.level = pd->now.conf->log.level };

	pd_post(pr, HB_IPC_LOGFD, &m, pd->log.fd);
}

void
pd_send_logread(struct pd_proc *pr)
{
	const struct pd_parent *pd = pr->pd;
	struct ipc_logread r = { 0 };

	if (hb_role_gets(pr->role, HB_GETS_CONTROL) && pd->log_read_fd >= 0)
		pd_post(pr, HB_IPC_LOGREAD, &r, pd->log_read_fd);
}

/* The role uses it at CONF_END. */
void
pd_send_conf(struct pd_proc *pr)
{
	const struct pd_parent *pd = pr->pd;
	struct ipc_conf_end end = { .generation = pd->generation,
		.instance = pr->instance, .build_time = HB_BUILD_TIME };
	struct hb_span rest = hb_buf_span(&pd->text);

	while (rest.n > 0) {
		struct ipc_conf_part m = {
			.text = hb_span_take(&rest, HB_MAX_IPC_BODY)
		};

		pd_post(pr, HB_IPC_CONF_PART, &m, -1);
	}
	for (size_t i = 0; i < pd->now.files.n; i++)
		if (pd_file_is_for(pd->now.files.v[i].kind, pr->role))
			send_file(pr, &pd->now.files.v[i]);
	pd_post(pr, HB_IPC_CONF_END, &end, -1);
}

void
pd_send_listeners(struct pd_proc *pr)
{
	const struct pd_parent *pd = pr->pd;
	const struct pd_listeners *l = &pd->now.listeners;

	if (!hb_role_gets(pr->role, HB_GETS_LISTENERS) ||
	    pd->phase != PD_RUNNING)
		return;
	for (size_t i = 0; i < l->n; i++)
		for (size_t k = 0; k < l->v[i].n; k++) {
			struct ipc_listen m = { .index = (uint32_t)i,
				.generation = pd->generation };

			pd_post(pr, HB_IPC_LISTEN, &m, l->v[i].fd[k]);
		}
}

void
pd_renew(struct pd_parent *pd, bool (*wants)(enum hb_role role))
{
	for (size_t i = 0; i < pd->nprocs; i++) {
		struct pd_proc *pr = &pd->procs[i];

		if (pr->state == PD_DOWN || (wants != NULL && !wants(pr->role)))
			continue;
		pd_send_conf(pr);
		pd_send_listeners(pr);
	}
}

/* --- who waits for an answer --- */

bool
pd_asker_ctl(struct pd_parent *pd, const struct pd_asker *a, struct hb_ctl *c)
{
	struct pd_proc *pr = pd_find(pd, HB_ROLE_CONTROL, a->instance);

	*c = (struct hb_ctl){ pr != NULL ? pr->peer : NULL, a->ref };
	return hb_peer_is(c->peer, a->channel);
}

void
pd_answer_all(struct pd_parent *pd, struct pd_askers *askers,
    unsigned exit_code, const char *text)
{
	for (size_t i = 0; i < askers->n; i++) {
		struct hb_ctl c;

		if (pd_asker_ctl(pd, &askers->v[i], &c))
			hb_ctl_end(&c, exit_code, text);
	}
	askers->n = 0;
}
