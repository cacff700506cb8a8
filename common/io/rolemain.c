/* The main program shared by all roles.  Floor 3. */
#include "config.h"

#include "common/io/rolemain.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/table.h"
#include "common/io/logsink.h"
#include "common/io/rolectl.h"
#include "common/io/sandbox.h"
#include "common/proto/here.h"
#include "common/io/trouble.h"

enum {
	PARENT_FD = 3,
	LOCK_FD = 4,	 /* queue alone: the lock of the spool */
	PEERS_MAX = 512, /* channels to other roles */
	FILES_MAX = 256,
	TEXT_MAX = 16 * 1024 * 1024,
	FLUSH_MS = 1000
};

#define IPC_TAKES(from, to) ((to) == HB_ANY)
#define IPC_CTX struct hb_role_env
#define IPC_ON(name) hb_role_on_##name
#include "common/io/handlers.h"

struct role_file {
	enum hb_file_kind kind;
	unsigned index;
	bool whole;
	struct hb_buf bytes;
};

struct role_priv {
	const struct hb_role_spec *spec;
	struct hb_peer *peers[PEERS_MAX];
	size_t npeers;
	struct hb_conf *conf;
	bool gathering, stopping;
	struct hb_buf text;
	struct role_file files[FILES_MAX];
	size_t nfiles;
};

static struct role_priv *
priv_of(const struct hb_role_env *env)
{
	return env->priv;
}

/* Its first configuration is in use. */
static bool
is_running(const struct hb_role_env *env)
{
	return hb_peer_state(env->parent) == HB_CHANNEL_SERVING;
}

static void HB_NORETURN
leave(int code)
{
	hb_logsink_flush();
	_exit(code);
}

void
hb_role_exit(struct hb_role_env *env)
{
	hb_loop_stop(env->loop);
}

bool
hb_role_file(const struct hb_role_env *env, enum hb_file_kind kind,
    unsigned index, struct hb_span *content)
{
	const struct role_priv *priv = priv_of(env);

	for (size_t i = 0; i < priv->nfiles; i++) {
		const struct role_file *f = &priv->files[i];

		if (f->kind != kind || f->index != index || !f->whole)
			continue;
		*content = hb_buf_span(&f->bytes);
		return true;
	}
	return false;
}

static void
forget_files(struct role_priv *priv)
{
	for (size_t i = 0; i < priv->nfiles; i++)
		hb_buf_wipe(&priv->files[i].bytes);
	priv->nfiles = 0;
}

/* --- peers --- */

static size_t
find_peer(const struct role_priv *priv, enum hb_role role, unsigned instance)
{
	size_t i = 0;

	while (i < priv->npeers &&
	    (hb_peer_role(priv->peers[i]) != role ||
		hb_peer_instance(priv->peers[i]) != instance))
		i++;
	return i;
}

struct hb_peer *
hb_role_peer(const struct hb_role_env *env, enum hb_role role,
    unsigned instance)
{
	const struct role_priv *priv = priv_of(env);

	size_t at = find_peer(priv, role, instance);

	return at < priv->npeers ? priv->peers[at] : NULL;
}

/* Out of the list first: the role must not find a peer that is gone. */
static void
drop_peer(struct hb_role_env *env, size_t at)
{
	struct role_priv *priv = priv_of(env);
	struct hb_peer *p = priv->peers[at];

	priv->peers[at] = priv->peers[--priv->npeers];
	if (priv->spec->on_peer_lost != NULL)
		priv->spec->on_peer_lost(env, p);
}

static void
on_peer_close(void *ctx, struct hb_peer *p, const char *why)
{
	struct hb_role_env *env = ctx;
	struct role_priv *priv = priv_of(env);
	struct ipc_peer_lost m = { .role = hb_peer_role(p),
		.instance = hb_peer_instance(p), .why = hb_span_str(why) };
	size_t at = find_peer(priv, hb_peer_role(p), hb_peer_instance(p));

	if (at < priv->npeers && priv->peers[at] == p)
		drop_peer(env, at);
	if (!hb_peer_broke(p))
		return;
	HB_LOG(HB_LOG_ERROR, HB_EV_PEER, hb_kv_str(HB_K_STATE, "broken"),
	    hb_kv_str(HB_K_PEER, hb_role_name(hb_peer_role(p))),
	    hb_kv_str(HB_K_ERROR, why));
	m.why = hb_span_head(m.why, 256);
	hb_peer_post(env->parent, HB_IPC_PEER_LOST, &m, -1);
}

static void
on_peer_drain(void *ctx, struct hb_peer *p)
{
	struct hb_role_env *env = ctx;

	if (priv_of(env)->spec->on_peer_drain != NULL)
		priv_of(env)->spec->on_peer_drain(env, p);
}

static const struct hb_peer_ops peer_ops; /* below */

static void
add_peer(struct hb_role_env *env, enum hb_role role, unsigned instance, int fd)
{
	struct role_priv *priv = priv_of(env);
	size_t at = find_peer(priv, role, instance);
	struct hb_peer *p;

	if (at < priv->npeers) {
		p = priv->peers[at];
		drop_peer(env, at);
		hb_peer_free(&p);
	}
	if (priv->spec->claim_peer != NULL &&
	    priv->spec->claim_peer(env, role, instance, fd))
		return;
	if (priv->npeers == PEERS_MAX) {
		close(fd);
		return;
	}
	p = hb_peer_new(env->loop, fd, env->role, role, instance,
	    &peer_ops, env);
	priv->peers[priv->npeers++] = p;
	if (priv->spec->on_peer != NULL)
		priv->spec->on_peer(env, p);
}

/* --- frames of the parent --- */

void
hb_role_on_peer(struct hb_role_env *env, struct hb_peer *p,
    const struct ipc_peer *m, int fd)
{
	if (!hb_role_may_talk(env->role, (enum hb_role)m->role))
		hb_peer_violation(p, "PEER without sense");
	else
		add_peer(env, (enum hb_role)m->role, m->instance, fd);
}

void
hb_role_on_logfd(struct hb_role_env *env, struct hb_peer *p,
    const struct ipc_logfd *m, int fd)
{
	hb_logsink_set(fd, m->kind == 1 ? HB_LOGFD_SYSLOG : HB_LOGFD_FILE,
	    (enum hb_log_format)m->format, (enum hb_level)m->level);
}

void
hb_role_on_clock(struct hb_role_env *env, struct hb_peer *p,
    const struct ipc_clock *m)
{
	const struct role_priv *priv = priv_of(env);
	struct ipc_clock_set now = { .ahead_ms = m->ahead_ms };

	hb_clock_set_ahead(m->ahead_ms);
	if (is_running(env) && priv->spec->on_clock != NULL)
		priv->spec->on_clock(env);
	hb_peer_post(p, HB_IPC_CLOCK_SET, &now, -1);
}

void
hb_role_on_ping(struct hb_role_env *env, struct hb_peer *p,
    const struct ipc_ping *m)
{
	struct ipc_pong pong = { 0 };

	hb_peer_post(p, HB_IPC_PONG, &pong, -1);
}

void
hb_role_on_stop(struct hb_role_env *env, struct hb_peer *p,
    const struct ipc_stop *m)
{
	struct role_priv *priv = priv_of(env);

	if (priv->stopping)
		return;
	priv->stopping = true;
	if (is_running(env) && priv->spec->on_stop != NULL)
		priv->spec->on_stop(env);
	else
		hb_role_exit(env);
}

/* A new configuration begins with its first part or file. */
static void
gather(struct role_priv *priv)
{
	if (priv->gathering)
		return;
	priv->gathering = true;
	hb_buf_clear(&priv->text);
	forget_files(priv);
}

void
hb_role_on_conf_part(struct hb_role_env *env, struct hb_peer *p,
    const struct ipc_conf_part *m)
{
	struct role_priv *priv = priv_of(env);

	gather(priv);
	if (hb_buf_put(&priv->text, m->text))
		hb_peer_violation(p, "configuration too long");
}

static struct role_file *
file_in_work(struct role_priv *priv, const struct ipc_file_part *m)
{
	struct role_file *f;

	if (priv->nfiles > 0) {
		f = &priv->files[priv->nfiles - 1];
		if (!f->whole)
			return f->kind == m->kind && f->index == m->index ? f
									  : NULL;
	}
	if (priv->nfiles == FILES_MAX)
		return NULL;
	f = &priv->files[priv->nfiles++];
	*f = (struct role_file){ .kind = (enum hb_file_kind)m->kind,
		.index = m->index, .bytes = HB_BUF_INIT(TEXT_MAX) };
	return f;
}

void
hb_role_on_file_part(struct hb_role_env *env, struct hb_peer *p,
    const struct ipc_file_part *m)
{
	struct role_priv *priv = priv_of(env);
	struct role_file *f;

	gather(priv);
	f = file_in_work(priv, m);
	if (f == NULL || hb_buf_put(&f->bytes, m->bytes) != 0) {
		hb_peer_violation(p, "file too long or out of order");
		return;
	}
	f->whole = m->last != 0;
}

/* The configuration that has come.  Returns owned, or NULL with ERR filled. */
static struct hb_conf *
make_conf(const struct hb_role_env *env, struct hb_buf *err)
{
	const struct role_priv *priv = priv_of(env);
	struct hb_span interfaces;
	struct hb_conf_source src = { .file = "(parent)", .dir = "/",
		.text = hb_buf_span(&priv->text) };
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	struct hb_conf *conf = hb_conf_parse(&src, &report);

	if (report.errors > 0) {
		hb_buf_add(err, hb_span_trim(hb_buf_span(&report.text)));
		hb_conf_free(&conf);
	} else if (hb_role_file(env, HB_FILE_INTERFACES, 0, &interfaces)) {
		hb_here_set_interfaces(conf, interfaces);
	}
	hb_buf_free(&report.text);
	return conf;
}

static int
start(struct hb_role_env *env, struct hb_buf *err)
{
	struct role_priv *priv = priv_of(env);
	int r;

	priv->conf = make_conf(env, err);
	if (priv->conf == NULL)
		return HB_E_SYNTAX;
	env->conf = priv->conf;
	r = priv->spec->setup(env, err);
	if (r == 0)
		r = hb_sandbox_enter(env->role, env->conf, err);
	if (r == 0 && priv->spec->started != NULL)
		r = priv->spec->started(env, err);
	if (r != 0)
		return r;
	hb_peer_set_state(env->parent, HB_CHANNEL_SERVING);
	hb_loop_serves();
	return 0;
}

static int
reload(struct hb_role_env *env, struct hb_buf *err)
{
	struct role_priv *priv = priv_of(env);
	struct hb_conf *old = priv->conf, *conf = make_conf(env, err);
	int r = 0;

	if (conf == NULL)
		return HB_E_SYNTAX;
	env->conf = priv->conf = conf;
	if (priv->spec->on_reload != NULL)
		r = priv->spec->on_reload(env, old, err);
	if (r != 0) {
		env->conf = priv->conf = old;
		old = conf;
	}
	hb_conf_free(&old);
	return r;
}

static void
tell_ready(struct hb_role_env *env, uint32_t generation, struct hb_buf *err)
{
	struct ipc_ready m = { .generation = generation,
		.error = hb_span_head(hb_buf_span(err), 512) };

	hb_peer_post(env->parent, HB_IPC_READY, &m, -1);
}

void
hb_role_on_conf_end(struct hb_role_env *env, struct hb_peer *p,
    const struct ipc_conf_end *m)
{
	struct role_priv *priv = priv_of(env);
	struct hb_buf err = HB_BUF_INIT(0);
	bool first = !is_running(env);
	int r;

	env->instance = m->instance;
	env->build_ms = (int64_t)m->build_time * 1000;
	r = first ? start(env, &err) : reload(env, &err);
	if (r == 0)
		env->generation = m->generation;
	else if (err.n == 0)
		hb_buf_adds(&err, hb_strerror(r));
	priv->gathering = false;
	forget_files(priv);
	tell_ready(env, m->generation, &err);
	hb_buf_free(&err);
	if (r != 0 && first) {
		hb_peer_flush(env->parent, FLUSH_MS);
		leave(EX_CONFIG);
	}
}

static void
on_parent_close(void *ctx, struct hb_peer *p, const char *why)
{
	leave(EX_UNAVAILABLE);
}

void
hb_role_on_ctl(struct hb_role_env *env, struct hb_peer *p,
    const struct ipc_ctl *m)
{
	hb_rolectl_answer(env, priv_of(env)->spec, p, m);
}

/* --- the whole main() --- */

/* The frames that every role takes are served here, the role's own by it.  A
 * listener is known by its place in a configuration: one of a configuration
 * that the role could not use is dropped. */
static bool
on_frame(void *ctx, struct hb_peer *p, enum hb_ipc_type type,
    const union hb_ipc_any *m, int fd)
{
	struct hb_role_env *env = ctx;

	if (type == HB_IPC_LISTEN && m->listen.generation != env->generation) {
		close(fd);
		return true;
	}
	return hb_role_on_frame(env, p, type, m, fd) ||
	    priv_of(env)->spec->on(env->ctx, p, type, m, fd);
}

static const struct hb_peer_ops parent_ops = { .on = on_frame,
	.on_close = on_parent_close };
static const struct hb_peer_ops peer_ops = { .on = on_frame,
	.on_close = on_peer_close, .on_drain = on_peer_drain };

/* The parent stops us by STOP or by its end; a signal to the whole group of
 * processes is the parent's to act on. */
static void
ignore_signals(void)
{
	static const int ignored[] = { SIGPIPE, SIGHUP, SIGINT, SIGTERM };

	for (size_t i = 0; i < HB_ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
}

static void
log_lost(void *ctx)
{
	struct hb_role_env *env = ctx;
	struct ipc_log_lost m = { 0 };

	hb_peer_post(env->parent, HB_IPC_LOG_LOST, &m, -1);
}

static void
tell_trouble(void *ctx, enum hb_event ev, bool on, struct hb_span what,
    struct hb_span text)
{
	struct hb_role_env *env = ctx;
	struct ipc_trouble m = { .event = ev, .on = on, .what = what,
		.text = text };

	hb_peer_post(env->parent, HB_IPC_TROUBLE, &m, -1);
}

/* Tables of this process are hashed with a key of its own. */
static void
seed_tables(void)
{
	unsigned char key[16];

	hb_random(key, sizeof(key));
	hb_table_seed(key);
}

static void
prepare(struct hb_role_env *env, struct role_priv *priv)
{
	bool locks = hb_role_gets(env->role, HB_GETS_LOCK);

	seed_tables();
	tzset(); /* gmtime reads /etc/localtime once: before the sandbox */
	ignore_signals();
	close_range(locks ? LOCK_FD + 1 : LOCK_FD, ~0u, 0);
	env->loop = hb_loop_new();
	hb_log_set_role(hb_role_name(env->role), getpid());
	hb_logsink_start(env->loop, log_lost, env);
	priv->text = HB_BUF_INIT(TEXT_MAX);
	hb_rolectl_start();
	env->parent = hb_peer_new(env->loop, PARENT_FD, env->role,
	    HB_ROLE_PARENT, 0, &parent_ops, env);
	hb_peer_set_state(env->parent, HB_CHANNEL_STARTING);
	hb_trouble_tell(tell_trouble, env);
}

int
hb_role_run(const struct hb_role_spec *spec, int argc, char **argv)
{
	static struct role_priv priv;
	static struct hb_role_env env;

	if (argc != 1 || fcntl(PARENT_FD, F_GETFD) < 0) {
		fprintf(stderr, "%s: started by hauberkd only\n",
		    argc > 0 ? argv[0] : hb_role_name(spec->role));
		return EX_USAGE;
	}
	priv.spec = spec;
	env.role = spec->role;
	env.priv = &priv;
	prepare(&env, &priv);
	if (hb_loop_run(env.loop) != 0)
		return EX_SOFTWARE;
	for (size_t i = 0; i < priv.npeers; i++)
		hb_peer_flush(priv.peers[i], FLUSH_MS);
	hb_peer_flush(env.parent, FLUSH_MS);
	leave(EX_OK);
}
