/*
 * A role without work, for the test of the parent: takes every frame, keeps
 * its peers, and does what its name asks.  Started as hauberk-ROLE.
 */
#include "config.h"

#include <stdlib.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/io/ctlreply.h"
#include "common/io/rolemain.h"

static bool
on_frame(void *ctx, struct hb_peer *p, enum hb_ipc_type type,
    const union hb_ipc_any *m, int fd)
{
	if (fd >= 0)
		close(fd);
	if (type == HB_IPC_LISTEN)
		HB_LOG(HB_LOG_INFO, HB_EV_CONFIG,
		    hb_kv_str(HB_K_STATE, "listening"),
		    hb_kv_int(HB_K_COUNT, m->listen.generation));
	return true;
}

static int
setup(struct hb_role_env *env, struct hb_buf *err)
{
	struct hb_span s;

	if (env->role == HB_ROLE_KEYAGENT &&
	    !hb_role_file(env, HB_FILE_KEY, 0, &s)) {
		hb_buf_adds(err, "no key");
		return HB_E_NOTFOUND;
	}
	return 0;
}

static void
on_peer(struct hb_role_env *env, struct hb_peer *p)
{
	HB_LOG(HB_LOG_INFO, HB_EV_PEER, hb_kv_str(HB_K_STATE, "up"),
	    hb_kv_str(HB_K_PEER, hb_role_name(hb_peer_role(p))),
	    hb_kv_int(HB_K_INSTANCE, hb_peer_instance(p)));
}

static void
on_peer_lost(struct hb_role_env *env, struct hb_peer *p)
{
	HB_LOG(HB_LOG_INFO, HB_EV_PEER, hb_kv_str(HB_K_STATE, "lost"),
	    hb_kv_str(HB_K_PEER, hb_role_name(hb_peer_role(p))),
	    hb_kv_int(HB_K_INSTANCE, hb_peer_instance(p)));
}

/* A host named A-blames-B.example.org: the last process of A says that the
 * first one of B broke the protocol. */
static void
blame(const struct hb_role_env *env)
{
	struct hb_span rest = hb_span_str(env->conf->hostname);
	struct hb_span by = hb_span_cut(&rest, '-'),
		       verb = hb_span_cut(&rest, '-'),
		       of = hb_span_cut(&rest, '.');
	struct ipc_peer_lost m = { .why = HB_SPAN("as asked") };

	if (!hb_span_eq(verb, HB_SPAN("blames")) ||
	    !hb_span_eq(by, hb_span_str(hb_role_name(env->role))) ||
	    env->instance != (env->role == HB_ROLE_SMTPD ? 1u : 0u))
		return;
	while (m.role < HB_ROLE_COUNT && !hb_span_eq(of,
		hb_span_str(hb_role_name((enum hb_role)m.role))))
		m.role++;
	hb_peer_post(env->parent, HB_IPC_PEER_LOST, &m, -1);
}

static int
on_reload(struct hb_role_env *env, const struct hb_conf *old,
    struct hb_buf *err)
{
	if (env->role == HB_ROLE_SMTPD && env->instance == 1 &&
	    strcmp(env->conf->hostname, "refused.example.org") == 0) {
		hb_buf_adds(err, "not this name");
		return HB_E_SYNTAX;
	}
	HB_LOG(HB_LOG_INFO, HB_EV_CONFIG, hb_kv_str(HB_K_STATE, "new"),
	    hb_kv_str(HB_K_NAME, env->conf->hostname));
	blame(env);
	return 0;
}

/* The role is the last part of our name. */
static enum hb_role
role_of(const char *name)
{
	const char *dash = strrchr(name, '-');

	for (int r = 0; dash != NULL && r < HB_ROLE_COUNT; r++)
		if (strcmp(hb_role_name((enum hb_role)r), dash + 1) == 0)
			return (enum hb_role)r;
	return HB_ROLE_COUNT;
}

int
main(int argc, char **argv)
{
	struct hb_role_spec spec = { .on = on_frame, .setup = setup,
		.on_peer = on_peer, .on_peer_lost = on_peer_lost,
		.on_reload = on_reload };

	if (argc == 3) /* the key agent's program makes certificates */
		return puts("-----BEGIN CERTIFICATE-----\n"
			    "-----BEGIN PRIVATE KEY-----") < 0;
	spec.role = role_of(argv[0]);
	if (spec.role == HB_ROLE_COUNT)
		return EXIT_FAILURE;
	return hb_role_run(&spec, argc, argv);
}
