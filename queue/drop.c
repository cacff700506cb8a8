/*
 * The maildrop: messages left by hauberk-submit are taken up.  Floor 4.
 *
 * One file at a time: checked, made durable, removed; a crash between the
 * last two delivers it twice and loses nothing.  What is not such a file goes
 * to corrupt/.  A large body is copied in slices.
 */
#include "config.h"

#include "queue/role.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/timefmt.h"
#include "common/proto/maildrop.h"

enum {
	SCAN_MS = 1000,	 /* without inotify */
	IDLE_MS = 30000, /* with it, for what it did not tell */
	SLICE = 1 << 20,
	NAMES = 1000 /* taken from one look at the folder */
};

struct q_drop {
	struct q *q;
	int notify;
	struct hb_io *io;
	struct hb_timer *scan, *copy;
	char *dir, *corrupt;
	char **names; /* found, to be taken up */
	size_t n, at;
	/* the file in work */
	int fd;
	char name[72];
	struct hb_drop_head head;
	struct hb_arena *arena;
	struct hb_env env;
	struct hb_rcpt *rcpts;
	size_t nrcpt;
	struct hb_buf body; /* all of it, or a slice of a large one */
	int large;	    /* -1: none */
	uint32_t crc, body_crc;
	uint64_t left;
	bool busy, again;
};

static void next_file(struct q_drop *d);

static void
path_of(const struct q_drop *d, const char *dir, char *out, size_t size)
{
	snprintf(out, size, "%s/%s", dir, d->name);
}

static void
end_file(struct q_drop *d)
{
	if (d->fd >= 0)
		close(d->fd);
	if (d->large >= 0)
		close(d->large);
	d->fd = d->large = -1;
	hb_buf_free(&d->body);
	hb_arena_free(&d->arena);
	d->busy = false;
	hb_timer_set(d->copy, 0);
}

static void
remove_file(struct q_drop *d)
{
	char path[4352];

	path_of(d, d->dir, path, sizeof(path));
	if (unlink(path) < 0)
		HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL, hb_kv_str(HB_K_FILE, path),
		    hb_kv_str(HB_K_ERROR, strerror(errno)));
}

static void
set_aside(struct q_drop *d, int err)
{
	char from[4352], to[4352];

	path_of(d, d->dir, from, sizeof(from));
	path_of(d, d->corrupt, to, sizeof(to));
	HB_LOG(HB_LOG_ERROR, HB_EV_CORRUPT, hb_kv_str(HB_K_FILE, d->name),
	    hb_kv_str(HB_K_ERROR, hb_strerror(err)));
	(void)mkdir(d->corrupt, 0700);
	if (rename(from, to) < 0)
		HB_LOG(HB_LOG_ERROR, HB_EV_CORRUPT, hb_kv_str(HB_K_FILE, to),
		    hb_kv_str(HB_K_ERROR, strerror(errno)));
	if (d->large >= 0)
		q_spool_large_discard(d->q->spool, d->env.id);
	end_file(d);
}

/* Not now: the disk is full, or so.  The file stays where it is. */
static void
leave_for_later(struct q_drop *d, int err)
{
	HB_LOG(HB_LOG_WARN, HB_EV_SPOOL, hb_kv_str(HB_K_FILE, d->name),
	    hb_kv_str(HB_K_STATE, "waits"),
	    hb_kv_str(HB_K_ERROR, hb_strerror(err)));
	d->at = d->n;
	end_file(d);
	hb_timer_set(d->scan, SCAN_MS);
}

static void
on_durable(void *ctx, int err)
{
	struct q_drop *d = ctx;
	const char *demand = hb_env_tls_demand(d->env.flags);
	struct hb_arena *a = d->arena;

	if (err < 0) {
		leave_for_later(d, err);
		return;
	}
	hb_stat(HB_STAT_ACCEPTED_MAILDROP);
	HB_LOG(HB_LOG_INFO, HB_EV_ACCEPT, hb_kv_id(HB_K_MSG, d->env.id),
	    hb_kv_span(HB_K_FROM, d->env.sender),
	    hb_kv_str(HB_K_CLIENT, "local"),
	    hb_kv_span(HB_K_USER, d->env.user),
	    hb_kv_int(HB_K_SIZE, (int64_t)d->env.size),
	    hb_kv_int(HB_K_NRCPT, (int64_t)d->nrcpt),
	    hb_kv_str(HB_K_TLS, "none"),
	    hb_kv_if(demand[0] != '\0', hb_kv_str(HB_K_TLS_DEMAND, demand)));
	remove_file(d);
	d->arena = NULL;
	q_accept(d->q, a, &d->env, d->rcpts, d->nrcpt);
	end_file(d);
}

static void
commit(struct q_drop *d)
{
	struct q_body b = { .bytes = hb_buf_span(&d->body),
		.large = d->large >= 0, .size = d->env.size,
		.crc = d->body_crc };
	int err;

	if (d->crc != d->head.crc) {
		set_aside(d, HB_E_CORRUPT);
		return;
	}
	if (b.large) {
		b.bytes = HB_SPAN_NONE;
		d->env.flags |= HB_ENV_LARGE;
		close(d->large);
		d->large = -1;
	}
	err = q_spool_add(d->q->spool, &d->env, d->rcpts, d->nrcpt, &b,
	    on_durable, d);
	if (err < 0 && b.large)
		q_spool_large_discard(d->q->spool, d->env.id);
	if (err < 0)
		leave_for_later(d, err);
}

/* Exactly N bytes of the file, appended to OUT.  0, HB_E_MORE, HB_E_IO. */
static int
read_bytes(const struct q_drop *d, size_t n, struct hb_buf *out)
{
	while (n > 0) {
		unsigned char *room;
		ssize_t got;

		if (hb_buf_reserve(out, n, &room) < 0)
			return HB_E_LIMIT;
		got = read(d->fd, room, n);
		if (got <= 0)
			return got == 0 ? HB_E_MORE : HB_E_IO;
		hb_buf_added(out, (size_t)got);
		n -= (size_t)got;
	}
	return 0;
}

/* Takes a slice of the body. */
static void
copy_slice(struct q_drop *d)
{
	size_t n = d->left < SLICE ? (size_t)d->left : SLICE;
	size_t from = d->body.n;
	struct hb_span got;
	int err = read_bytes(d, n, &d->body);

	if (err < 0) {
		set_aside(d, err);
		return;
	}
	got = hb_span_from(hb_buf_span(&d->body), from);
	d->crc = hb_crc32c(d->crc, got);
	d->body_crc = hb_crc32c(d->body_crc, got);
	d->left -= n;
	if (d->large >= 0) {
		err = q_write_all(d->large, hb_buf_span(&d->body));
		hb_buf_clear(&d->body);
	}
	if (err < 0) {
		q_spool_large_discard(d->q->spool, d->env.id);
		leave_for_later(d, err);
	} else if (d->left > 0) {
		hb_timer_set(d->copy, 0);
	} else {
		commit(d);
	}
}

/* RFC 5321 s4.4, for a message that came without SMTP. */
static void
put_received(struct q_drop *d, uid_t uid)
{
	char when[HB_TIME_RFC5322_SIZE];

	hb_time_rfc5322(d->env.arrived_ms, when);
	hb_buf_addf(&d->body, "Received: by %s (Hauberk, from userid %u)\r\n"
	    "\tid %016llx; %s\r\n", d->q->env->conf->hostname, (unsigned)uid,
	    (unsigned long long)d->env.id, when);
	d->body_crc = hb_crc32c(0, hb_buf_span(&d->body));
	d->env.size = d->body.n + d->head.body_n;
}

static int
start_body(struct q_drop *d, uid_t uid)
{
	int err = 0;

	put_received(d, uid);
	d->left = d->head.body_n;
	if (d->env.size > HB_MAX_LARGE_MESSAGE)
		err = q_spool_large_create(d->q->spool, d->env.id, &d->large);
	if (d->large >= 0) {
		err = q_write_all(d->large, hb_buf_span(&d->body));
		hb_buf_clear(&d->body);
	}
	return err;
}

static void
complete_env(struct q_drop *d, uid_t uid)
{
	struct hb_env *e = &d->env;
	char user[24];

	snprintf(user, sizeof(user), "uid:%u", (unsigned)uid);
	e->id = q_new_id(d->q, Q_DROP_INSTANCE);
	e->arrived_ms = hb_now_ms();
	q_stamp_env(d->q, e);
	e->parent = 0;
	e->flags = hb_env_one_tls_flag(e->flags & (HB_ENV_SMTPUTF8 |
	    HB_ENV_REQUIRETLS | HB_ENV_TLS_OPTIONAL | HB_ENV_8BIT |
	    HB_ENV_DOTTED)) | HB_ENV_LOCAL;
	if (e->user.n == 0)
		e->user = hb_arena_span(d->arena, hb_span_str(user));
	e->client = e->helo = e->tls = HB_SPAN_NONE;
	e->with = HB_SPAN("local");
}

static int
take_rcpts(struct q_drop *d, struct hb_span s)
{
	size_t cap = 16;
	struct hb_rcpt *v = hb_calloc(cap, sizeof(*v)), r;
	int got;

	d->nrcpt = 0;
	while ((got = hb_drop_rcpt(&s, &r)) > 0) {
		if (d->nrcpt == cap)
			v = hb_realloc(v, (cap *= 2) * sizeof(*v));
		v[d->nrcpt++] = (struct hb_rcpt){ .address = r.address,
			.notify = r.notify, .orcpt = r.orcpt };
	}
	d->nrcpt = q_rcpts_unique(v, d->nrcpt);
	d->rcpts = hb_arena_alloc(d->arena, d->nrcpt * sizeof(*v));
	memcpy(d->rcpts, v, d->nrcpt * sizeof(*v));
	free(v);
	return got < 0 ? got : d->nrcpt == 0 ? HB_E_SYNTAX : 0;
}

/* Head, envelope and recipients. */
static int
take_records(struct q_drop *d, uint64_t size)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_span all;
	int err = read_bytes(d, HB_DROP_HEAD, &b);

	if (err == 0)
		err = hb_drop_head_parse(hb_buf_span(&b), &d->head);
	if (err == 0 && size != HB_DROP_HEAD + d->head.body_n +
	    d->head.env_n + d->head.rcpts_n)
		err = HB_E_MORE;
	hb_buf_clear(&b);
	if (err == 0)
		err = read_bytes(d, (size_t)d->head.env_n + d->head.rcpts_n, &b);
	if (err == 0) {
		d->crc = hb_crc32c(0, hb_buf_span(&b));
		all = hb_arena_span(d->arena, hb_buf_span(&b));
		err = hb_drop_env(hb_span_head(all, d->head.env_n), &d->env);
		if (err == 0)
			err = take_rcpts(d, hb_span_from(all, d->head.env_n));
	}
	hb_buf_free(&b);
	return err;
}

static void
take_file(struct q_drop *d)
{
	struct stat st;
	int err;

	if (fstat(d->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		set_aside(d, HB_E_SYNTAX);
		return;
	}
	d->arena = hb_arena_new();
	d->body = HB_BUF_INIT(0);
	err = take_records(d, (uint64_t)st.st_size);
	if (err < 0) {
		set_aside(d, err);
		return;
	}
	if (d->head.body_n > d->q->env->conf->max_message_size) {
		set_aside(d, HB_E_LIMIT);
		return;
	}
	complete_env(d, st.st_uid);
	err = start_body(d, st.st_uid);
	if (err < 0)
		leave_for_later(d, err);
	else
		copy_slice(d);
}

static void
next_file(struct q_drop *d)
{
	char path[4352];
	char *name;

	if (d->at == d->n) {
		if (d->again)
			hb_timer_set(d->scan, 0);
		return;
	}
	name = d->names[d->at];
	d->names[d->at++] = NULL;
	snprintf(d->name, sizeof(d->name), "%s", name);
	free(name);
	path_of(d, d->dir, path, sizeof(path));
	d->busy = true;
	d->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (d->fd >= 0)
		take_file(d);
	else if (errno == ENOENT)
		end_file(d);
	else
		set_aside(d, HB_E_PERM);
}

static void
forget_names(struct q_drop *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->names[i]);
	free(d->names);
	d->names = NULL;
	d->n = d->at = 0;
}

static void
read_names(struct q_drop *d, DIR *dir)
{
	struct dirent *e;

	d->names = hb_calloc(NAMES, sizeof(char *));
	while ((e = readdir(dir)) != NULL && d->n < NAMES)
		if (hb_drop_is_name(hb_span_str(e->d_name)))
			d->names[d->n++] = hb_strdup(e->d_name);
	d->again = d->n == NAMES;
}

static void
look(void *ctx)
{
	struct q_drop *d = ctx;
	DIR *dir;

	hb_timer_set(d->scan, d->notify >= 0 ? IDLE_MS : SCAN_MS);
	/* A step to come would else meet a file that is in work already. */
	if (d->busy || d->at < d->n || hb_timer_is_set(d->copy) ||
	    d->q->stopping) {
		d->again = true;
		return;
	}
	forget_names(d);
	dir = opendir(d->dir);
	if (dir == NULL)
		return;
	read_names(d, dir);
	closedir(dir);
	next_file(d);
}

static void
on_notify(void *ctx, unsigned what)
{
	struct q_drop *d = ctx;
	char events[4096];

	(void)what;
	while (read(d->notify, events, sizeof(events)) > 0)
		;
	look(d);
}

/* The next slice, or the next file. */
static void
on_copy(void *ctx)
{
	struct q_drop *d = ctx;

	if (d->busy)
		copy_slice(d);
	else
		next_file(d);
}

struct q_drop *
q_drop_new(struct hb_loop *loop, const char *dir)
{
	struct q_drop *d = HB_NEW(struct q_drop);

	d->fd = d->large = -1;
	d->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (d->notify >= 0 &&
	    inotify_add_watch(d->notify, dir, IN_MOVED_TO) < 0) {
		close(d->notify);
		d->notify = -1;
	}
	if (d->notify >= 0)
		d->io = hb_io_new(loop, d->notify, on_notify, d);
	d->scan = hb_timer_new(loop, look, d);
	d->copy = hb_timer_new(loop, on_copy, d);
	return d;
}

static char *
join(const char *root, const char *name)
{
	struct hb_buf b = HB_BUF_INIT(0);
	bool slash = root[strlen(root) - 1] == '/';

	hb_buf_addf(&b, slash ? "%s%s" : "%s/%s", root, name);
	hb_buf_add(&b, hb_span("", 1));
	return (char *)b.p;
}

void
q_drop_start(struct q *q, struct q_drop *d, const char *root)
{
	d->q = q;
	q->drop = d;
	d->dir = join(root, "maildrop");
	d->corrupt = join(root, "corrupt");
	if (d->io != NULL)
		hb_io_want(d->io, HB_IO_READ);
	hb_timer_set(d->scan, 0);
}

void
q_drop_free(struct q_drop **dp)
{
	struct q_drop *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	forget_names(d);
	if (d->fd >= 0)
		close(d->fd);
	if (d->large >= 0)
		close(d->large);
	hb_buf_free(&d->body);
	hb_arena_free(&d->arena);
	hb_io_free(&d->io);
	if (d->notify >= 0)
		close(d->notify);
	hb_timer_free(&d->scan);
	hb_timer_free(&d->copy);
	free(d->dir);
	free(d->corrupt);
	free(d);
}
