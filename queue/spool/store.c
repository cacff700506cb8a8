/*
 * The store over Berkeley DB.  Floor 3, a named adaptor of that library.
 *
 * A put commits without a flush; the helper thread then flushes the log once
 * for all puts of a turn and takes a checkpoint when enough log has
 * accumulated, so that old logs can be removed.  If the environment fails it is
 * opened again with recovery; if that fails it is renamed and an empty one
 * made.
 */
#include "config.h"

#include "queue/spool/store.h"

#include <db.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	CACHE_BYTES = 256 << 10,
	LOG_MAX = 1 << 20,
	LOG_BUFFER = 128 << 10,
	CHECKPOINT_KB = 256,
	LAZY_MS = 10000,
	LIST_BYTES = 1 << 20, /* of one list's rows, and one row more */
	PATH_SIZE = 512
};

struct waiter {
	STAILQ_ENTRY(waiter) link;
	void (*done)(void *ctx, int err);
	void *ctx;
	int err; /* known already, or 0 */
};
STAILQ_HEAD(waiters, waiter);

struct q_store {
	struct flush_task job; /* the flush */
	const struct q_exec *exec;
	struct hb_hook *hook;
	struct hb_timer *timer;
	char home[PATH_SIZE];
	DB_ENV *env; /* NULL: broken for now */
	DB *db[HB_TABLE_COUNT];
	struct waiters waiting, flying;
	bool under_way, broken;
	int result; /* of the flush */
};

static const char *const files[HB_TABLE_COUNT] = {
	[HB_TABLE_POLICY] = "policy.db",
	[HB_TABLE_LEDGER] = "ledger.db",
	[HB_TABLE_GREY] = "greylist.db",
};

static void
on_error(const DB_ENV *env, const char *prefix, const char *text)
{
	HB_LOG(HB_LOG_ERROR, HB_EV_STORE, hb_kv_str(HB_K_TEXT, text));
}

/* --- opening --- */

static void
close_env(struct q_store *s)
{
	for (size_t i = 0; i < HB_TABLE_COUNT; i++)
		if (s->db[i] != NULL) {
			s->db[i]->close(s->db[i], 0);
			s->db[i] = NULL;
		}
	if (s->env != NULL)
		s->env->close(s->env, 0);
	s->env = NULL;
}

static int
set_up_env(DB_ENV *env)
{
	int r = env->set_cachesize(env, 0, CACHE_BYTES, 1);

	env->set_errcall(env, on_error);
	if (r == 0)
		r = env->set_lg_max(env, LOG_MAX);
	if (r == 0)
		r = env->set_lg_bsize(env, LOG_BUFFER);
	if (r == 0)
		r = env->log_set_config(env, DB_LOG_AUTO_REMOVE, 1);
	/* to the kernel at commit, to the disk by the helper thread */
	if (r == 0)
		r = env->set_flags(env, DB_TXN_WRITE_NOSYNC, 1);
	return r;
}

static int
open_table(struct q_store *s, size_t table)
{
	DB *db;
	int r = db_create(&db, s->env, 0);

	if (r != 0)
		return r;
	s->db[table] = db;
	r = db->set_flags(db, DB_CHKSUM);
	if (r == 0)
		r = db->open(db, NULL, files[table], NULL, DB_BTREE,
		    DB_CREATE | DB_AUTO_COMMIT | DB_THREAD, 0600);
	return r;
}

static int
open_env(struct q_store *s)
{
	int r;

	if (mkdir(s->home, 0700) < 0 && errno != EEXIST)
		return errno;
	r = db_env_create(&s->env, 0);
	if (r != 0) {
		s->env = NULL;
		return r;
	}
	r = set_up_env(s->env);
	if (r == 0)
		r = s->env->open(s->env, s->home, DB_CREATE | DB_INIT_TXN |
		    DB_INIT_LOG | DB_INIT_MPOOL | DB_RECOVER | DB_PRIVATE |
		    DB_THREAD, 0600);
	for (size_t i = 0; i < HB_TABLE_COUNT && r == 0; i++)
		r = open_table(s, i);
	if (r != 0)
		close_env(s);
	return r;
}

/* What cannot be recovered is kept for a person to look at. */
static int
set_aside(struct q_store *s, int why)
{
	char to[PATH_SIZE + 40];

	snprintf(to, sizeof(to), "%s.broken-%lld", s->home,
	    (long long)(hb_now_ms() / 1000));
	HB_LOG(HB_LOG_ERROR, HB_EV_STORE, hb_kv_str(HB_K_ACTION, "set-aside"),
	    hb_kv_str(HB_K_FILE, to), hb_kv_str(HB_K_ERROR, db_strerror(why)));
	return rename(s->home, to) < 0 ? errno : 0;
}

static int
open_or_replace(struct q_store *s)
{
	int r = open_env(s);

	s->broken = false;
	if (r == 0)
		return 0;
	r = set_aside(s, r);
	return r == 0 ? open_env(s) : r;
}

/* A call failed.  Opened anew at once, or when the thread is out of it. */
static void
failed(struct q_store *s, int why)
{
	s->broken = true;
	if (s->under_way)
		return;
	HB_LOG(HB_LOG_WARN, HB_EV_STORE, hb_kv_str(HB_K_ACTION, "reopen"),
	    hb_kv_str(HB_K_ERROR, db_strerror(why)));
	close_env(s);
	if (open_or_replace(s) != 0)
		HB_LOG(HB_LOG_ERROR, HB_EV_STORE,
		    hb_kv_str(HB_K_ACTION, "lost"));
}

static bool
is_usable(struct q_store *s)
{
	if (s->broken || s->env == NULL)
		failed(s, DB_RUNRECOVERY);
	return !s->broken && s->env != NULL;
}

/* --- flushing --- */

static void
flush_run(struct flush_task *j)
{
	struct q_store *s = (struct q_store *)(void *)j;

	s->result = s->env->log_flush(s->env, NULL);
	if (s->result == 0)
		s->result = s->env->txn_checkpoint(s->env, CHECKPOINT_KB, 0,
		    0);
}

static void
tell(struct waiters *list, int err)
{
	struct waiter *w;

	while ((w = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, link);
		w->done(w->ctx, w->err < 0 ? w->err : err);
		free(w);
	}
}

static void
flush_done(struct flush_task *j)
{
	struct q_store *s = (struct q_store *)(void *)j;
	struct waiters told = STAILQ_HEAD_INITIALIZER(told);
	int err = s->result == 0 ? 0 : HB_E_IO;

	s->under_way = false;
	STAILQ_CONCAT(&told, &s->flying);
	if (s->result != 0 || s->broken)
		failed(s, s->result);
	if (!STAILQ_EMPTY(&s->waiting))
		hb_hook_arm(s->hook);
	tell(&told, err);
}

static void
start_flush(void *ctx)
{
	struct q_store *s = ctx;

	if (s->under_way)
		return;
	hb_timer_clear(s->timer);
	if (s->env == NULL) {
		tell(&s->waiting, HB_E_IO);
		return;
	}
	STAILQ_CONCAT(&s->flying, &s->waiting);
	s->under_way = true;
	s->exec->submit(s->exec->ctx, &s->job);
}

/* --- the interface --- */

struct q_store *
q_store_open(struct hb_loop *l, struct q_flush *f, const char *dir,
    struct hb_buf *err)
{
	struct q_store *s = HB_NEW(struct q_store);
	int r;

	s->job.run = flush_run;
	s->job.done = flush_done;
	s->exec = q_flush_exec(f);
	STAILQ_INIT(&s->waiting);
	STAILQ_INIT(&s->flying);
	if (snprintf(s->home, sizeof(s->home), "%s/store", dir) >=
	    (int)sizeof(s->home))
		r = ENAMETOOLONG;
	else
		r = open_or_replace(s);
	if (r != 0) {
		hb_buf_addf(err, "store: %s", db_strerror(r));
		free(s);
		return NULL;
	}
	s->hook = hb_hook_new(l, start_flush, s);
	s->timer = hb_timer_new(l, start_flush, s);
	return s;
}

void
q_store_close(struct q_store **sp)
{
	struct q_store *s = *sp;

	if (s == NULL)
		return;
	start_flush(s);
	s->exec->drain(s->exec->ctx);
	tell(&s->waiting, HB_E_IO);
	if (s->env != NULL)
		s->env->txn_checkpoint(s->env, 0, 0, DB_FORCE);
	close_env(s);
	hb_hook_free(&s->hook);
	hb_timer_free(&s->timer);
	free(s);
	*sp = NULL;
}

static DBT
dbt_of(struct hb_span s)
{
	/* Berkeley DB does not write through what it is given */
	union {
		const void *in;
		void *out;
	} p = { s.n > 0 ? s.p : (const unsigned char *)"" };
	DBT t = { 0 };

	t.data = p.out;
	t.size = (u_int32_t)s.n;
	return t;
}

int
q_store_get(struct q_store *s, enum hb_table table, struct hb_span key,
    struct hb_buf *value)
{
	DBT k = dbt_of(key), v = { 0 };
	int r;

	if (!is_usable(s))
		return HB_E_IO;
	v.flags = DB_DBT_MALLOC;
	r = s->db[table]->get(s->db[table], NULL, &k, &v, 0);
	if (r == DB_NOTFOUND)
		return HB_E_NOTFOUND;
	if (r != 0) {
		failed(s, r);
		return HB_E_IO;
	}
	r = hb_buf_put(value, hb_span(v.data, v.size));
	free(v.data);
	return r;
}

static int
put_now(struct q_store *s, enum hb_table table, struct hb_span key,
    struct hb_span value)
{
	DB *db;
	DBT k = dbt_of(key), v = dbt_of(value);
	int r;

	if (!is_usable(s))
		return HB_E_IO;
	db = s->db[table];
	r = value.n > 0 ? db->put(db, NULL, &k, &v, 0)
			: db->del(db, NULL, &k, 0);
	if (r == 0 || (r == DB_NOTFOUND && value.n == 0))
		return 0;
	failed(s, r);
	return HB_E_IO;
}

void
q_store_put(struct q_store *s, enum hb_table table, struct hb_span key,
    struct hb_span value, bool lazy, void (*done)(void *ctx, int err),
    void *ctx)
{
	int r = put_now(s, table, key, value);
	struct waiter *w;

	/* once more, in what recovery has left */
	if (r < 0)
		r = put_now(s, table, key, value);
	if (done != NULL) {
		w = HB_NEW(struct waiter);
		*w = (struct waiter){ .done = done, .ctx = ctx, .err = r };
		STAILQ_INSERT_TAIL(&s->waiting, w, link);
	}
	if (!lazy)
		hb_hook_arm(s->hook);
	else if (!hb_timer_is_set(s->timer))
		hb_timer_set(s->timer, LAZY_MS);
}

static int
list_rows(DBC *c, struct hb_span after, size_t count,
    void (*row)(void *ctx, struct hb_span key, struct hb_span value),
    void *ctx, int *n, bool *more)
{
	DBT k = dbt_of(after), v = { 0 };
	size_t bytes = 0;
	int r = c->get(c, &k, &v, after.n > 0 ? DB_SET_RANGE : DB_FIRST);

	if (r == 0 && after.n > 0 &&
	    hb_span_eq(after, hb_span(k.data, k.size)))
		r = c->get(c, &k, &v, DB_NEXT);
	for (*n = 0; r == 0 && (size_t)*n < count && bytes < LIST_BYTES;
	     (*n)++) {
		row(ctx, hb_span(k.data, k.size), hb_span(v.data, v.size));
		bytes += k.size + v.size;
		r = c->get(c, &k, &v, DB_NEXT);
	}
	*more = r == 0 && (size_t)*n < count;
	return r == DB_NOTFOUND ? 0 : r;
}

int
q_store_list(struct q_store *s, enum hb_table table, struct hb_span after,
    size_t count, void (*row)(void *ctx, struct hb_span key,
    struct hb_span value), void *ctx)
{
	DBC *c;
	bool more = false;
	int n = 0, r;

	if (!is_usable(s))
		return HB_E_IO;
	r = s->db[table]->cursor(s->db[table], NULL, &c, 0);
	if (r == 0) {
		r = list_rows(c, after, count, row, ctx, &n, &more);
		c->close(c);
	}
	if (r != 0) {
		failed(s, r);
		return HB_E_IO;
	}
	return more ? HB_E_LIMIT : n;
}
