/* hauberk-queue: the queue manager.  Floor 4. */
#include "config.h"

#include "queue/manager/role.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"

/* What is found before the sandbox: where the spool will be seen from inside,
 * and the watch on the maildrop. */
static struct {
	char *root;
	struct q_drop *drop;
} before;

static int
setup(struct hb_role_env *env, struct hb_buf *err)
{
	struct hb_buf dir = HB_BUF_INIT(0);

	/* as root the role is rooted in the spool (HACKING "Roles") */
	before.root = hb_strdup(geteuid() == 0 ? "/" : env->conf->spool);
	hb_buf_addf(&dir, "%s/maildrop", env->conf->spool);
	before.drop = q_drop_new(env->loop, hb_buf_cstr(&dir));
	hb_buf_free(&dir);
	return 0;
}

static int
started(struct hb_role_env *env, struct hb_buf *err)
{
	struct q *q = q_new(env, before.root, err);

	if (q == NULL) {
		HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL,
		    hb_kv_str(HB_K_STATE, "unusable"),
		    hb_kv_span(HB_K_ERROR, hb_buf_span(err)));
		return HB_E_IO;
	}
	hb_buf_clear(err); /* a store that is lost stops nobody */
	env->ctx = q;
	q_drop_start(q, before.drop, before.root);
	return 0;
}

static int
on_reload(struct hb_role_env *env, const struct hb_conf *old,
    struct hb_buf *err)
{
	q_reload(env->ctx);
	return 0;
}

static void
on_peer(struct hb_role_env *env, struct hb_peer *p)
{
	q_peer_up(env->ctx, p);
}

static void
on_peer_lost(struct hb_role_env *env, struct hb_peer *p)
{
	q_peer_lost(env->ctx, p);
}

static void
on_peer_drain(struct hb_role_env *env, struct hb_peer *p)
{
	q_peer_drained(env->ctx, p);
}

static void
on_clock(struct hb_role_env *env)
{
	q_kick(env->ctx);
}

static void
on_stop(struct hb_role_env *env)
{
	q_stop(env->ctx);
}

static void
on_ctl(struct hb_role_env *env, struct hb_peer *control,
    const struct ipc_ctl *c)
{
	q_ctl(env->ctx, control, c);
}

int
main(int argc, char **argv)
{
	static const struct hb_role_spec spec = {
		.role = HB_ROLE_QUEUE,
		.on = q_on_frame,
		.setup = setup,
		.started = started,
		.on_reload = on_reload,
		.on_peer = on_peer,
		.on_peer_lost = on_peer_lost,
		.on_peer_drain = on_peer_drain,
		.on_clock = on_clock,
		.on_stop = on_stop,
		.on_ctl = on_ctl,
	};

	return hb_role_run(&spec, argc, argv);
}
