/*
 * The main program shared by all roles.  Floor 3.
 *
 * The parent starts `hauberk-ROLE` with its own channel as descriptor 3 and
 * everything else closed.  hb_role_run reads configuration and files from it,
 * calls setup, enters the sandbox, sends READY to the parent, and runs the
 * loop: peers come and go, a reload replaces the configuration.  All frames
 * except LOGFD, CLOCK, PING and STOP come after the first CONF_END.
 */
#ifndef HB_IO_ROLEMAIN_H
#define HB_IO_ROLEMAIN_H

#include "common/io/peer.h"
#include "common/proto/conf.h"

struct hb_role_env {
	struct hb_loop *loop;
	struct hb_peer *parent;
	const struct hb_conf *conf; /* replaced at reload, see on_reload */
	enum hb_role role;
	unsigned instance;
	uint32_t generation; /* of conf */
	int64_t build_ms; /* build time: a correct clock is not before it */
	void *ctx;
	/* Files that came with the configuration, until setup or on_reload
	 * returns.  hb_role_file finds them. */
	void *priv;
};

struct hb_role_spec {
	enum hb_role role;
	/* Handles frames of parent and peers; CTX is env->ctx.  Those to every
	 * role (CONF_*, FILE_PART, PEER, LOGFD, STOP, CLOCK, PING, CTL) are
	 * served by hb_role_run.  LISTEN is of the configuration in use:
	 * on_reload closes the listeners of the one before. */
	hb_peer_handler on;
	/* Makes the role's state (env->ctx).  Runs as started: root, no
	 * sandbox; chroot and accounts follow.  0 or HB_E_*, ERR filled. */
	int (*setup)(struct hb_role_env *env, struct hb_buf *err);
	/* Runs after the sandbox, before READY is sent to the parent and before
	 * the first LISTEN, COUNTERS and peer: slow starts (replay) and threads
	 * belong here.  0 or HB_E_*, ERR filled: whoever starts the server
	 * reads it.  May be NULL. */
	int (*started)(struct hb_role_env *env, struct hb_buf *err);
	/* env->conf is new; OLD is freed after the call.  0, or HB_E_* to keep
	 * the old one.  May be NULL. */
	int (*on_reload)(struct hb_role_env *env, const struct hb_conf *old,
	    struct hb_buf *err);
	/* A channel to another role is up (possibly again, after a loss) or
	 * lost.  May be NULL. */
	void (*on_peer)(struct hb_role_env *env, struct hb_peer *p);
	void (*on_peer_lost)(struct hb_role_env *env, struct hb_peer *p);
	/* The clock has moved (lab): check again what waits for a time.  May be
	 * NULL. */
	void (*on_clock)(struct hb_role_env *env);
	void (*on_peer_drain)(struct hb_role_env *env, struct hb_peer *p);
	/* True: the role took FD, a raw channel, for itself (the synchronous
	 * channel to the key agent), which then does not become a peer.  May be
	 * NULL. */
	bool (*claim_peer)(struct hb_role_env *env, enum hb_role role,
	    unsigned instance, int fd);
	/* The parent requested a stop: call hb_role_exit when done.  NULL: the
	 * role exits at once. */
	void (*on_stop)(struct hb_role_env *env);
	/* A CTL request; answer it with hb_ctl_* (ctlreply.h).  STATUS: an
	 * object is open, only add to it; other verbs: the whole answer.  STATS
	 * and LOG_LEVEL do not come here.  May be NULL. */
	void (*on_ctl)(struct hb_role_env *env, struct hb_peer *control,
	    const struct ipc_ctl *q);
};

/* The whole main(): returns the exit code. */
int hb_role_run(const struct hb_role_spec *spec, int argc, char **argv);
void hb_role_exit(struct hb_role_env *env);
/* A file sent by the parent; false if there is none. */
bool hb_role_file(const struct hb_role_env *env, enum hb_file_kind kind,
    unsigned index, struct hb_span *content);
/* The channel to ROLE's INSTANCE; NULL while it is down. */
struct hb_peer *hb_role_peer(const struct hb_role_env *env, enum hb_role role,
    unsigned instance);
/* Descriptors that only the parent can open are requested with ENDPOINT_GET. */

#endif
