/*
 * The maildrop: messages left by hauberk-submit are taken up.  Floor 4.
 *
 * One file at a time: checked, made durable, removed; a crash between the
 * last two delivers it twice and loses nothing.  What is not such a file goes
 * to corrupt/.  A large body is copied in slices.
 */
#include "config.h"

#include "queue/drop-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/timefmt.h"
#include "common/proto/intake.h"

enum {
	SLICE = 1 << 20,
	OTHERS_ROOM = 2 << 20 /* bytes that local mail leaves to other mail */
};

void
q_drop_path(const char *dir, const char *name, char out[Q_DROP_PATH])
{
	snprintf(out, Q_DROP_PATH, "%s/%s", dir, name);
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
	hb_timer_set(d->step, 0);
}

static void
remove_file(struct q_drop *d)
{
	char path[Q_DROP_PATH];

	q_drop_path(d->dir, d->name, path);
	if (unlink(path) < 0)
		HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL, hb_kv_str(HB_K_FILE, path),
		    hb_kv_str(HB_K_ERROR, strerror(errno)));
}

/* Into corrupt/; what is no plain file holds no mail and is removed. */
static int
move_aside(struct q_drop *d)
{
	char from[Q_DROP_PATH], to[Q_DROP_PATH];
	struct stat st;

	q_drop_path(d->dir, d->name, from);
	q_drop_path(d->corrupt, d->name, to);
	if (lstat(from, &st) == 0 && !S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? rmdir(from) : unlink(from);
	d->n_corrupt++;
	(void)mkdir(d->corrupt, 0700);
	return rename(from, to);
}

static void
set_aside(struct q_drop *d, const char *why)
{
	HB_LOG(HB_LOG_ERROR, HB_EV_CORRUPT, hb_kv_str(HB_K_FILE, d->name),
	    hb_kv_str(HB_K_ERROR, why));
	if (move_aside(d) < 0)
		HB_LOG(HB_LOG_ERROR, HB_EV_CORRUPT,
		    hb_kv_str(HB_K_FILE, d->name),
		    hb_kv_str(HB_K_ACTION, "move"),
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
	if (d->large >= 0)
		q_spool_large_discard(d->q->spool, d->env.id);
	end_file(d);
	q_drop_pause(d);
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
	unsigned seen = hb_wire_end(&d->wire);
	int err;

	if (d->crc != d->head.crc || (seen & HB_WIRE_FAULTS) != 0) {
		set_aside(d, d->crc != d->head.crc
			? hb_strerror(HB_E_CORRUPT) : hb_wire_fault(seen));
		return;
	}
	d->env.flags |= ((seen & HB_WIRE_8BIT) != 0 ? HB_ENV_8BIT : 0) |
	    ((seen & HB_WIRE_DOTTED) != 0 ? HB_ENV_DOTTED : 0);
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
		set_aside(d, hb_strerror(err));
		return;
	}
	got = hb_span_from(hb_buf_span(&d->body), from);
	d->crc = hb_crc32c(d->crc, got);
	d->body_crc = hb_crc32c(d->body_crc, got);
	d->left -= n;
	(void)hb_wire_feed(&d->wire, got);
	if (d->large >= 0) {
		err = q_write_all(d->large, hb_buf_span(&d->body));
		hb_buf_clear(&d->body);
	}
	if (err < 0)
		leave_for_later(d, err);
	else if (d->left > 0)
		hb_timer_set(d->step, 0);
	else
		commit(d);
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
	hb_wire_init(&d->wire);
	d->left = d->head.body_n;
	if (d->env.size > HB_MAX_LARGE_MESSAGE)
		err = q_spool_large_create(d->q->spool, d->env.id, &d->large);
	if (d->large >= 0) {
		err = q_write_all(d->large, hb_buf_span(&d->body));
		hb_buf_clear(&d->body);
	}
	if (err < 0 && d->large >= 0) /* the next try has another name */
		q_spool_large_discard(d->q->spool, d->env.id);
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
	    HB_ENV_REQUIRETLS | HB_ENV_TLS_OPTIONAL)) | HB_ENV_LOCAL;
	/* the owner of the file, whatever stands in it */
	e->user = hb_arena_span(d->arena, hb_span_str(user));
	e->client = e->helo = e->tls = e->mail_auth = HB_SPAN_NONE;
	e->with = HB_SPAN("local");
}

static int
take_rcpts(struct q_drop *d, struct hb_span s)
{
	size_t cap = 16, most = d->q->env->conf->max_recipients;
	struct hb_rcpt *v = hb_calloc(cap, sizeof(*v)), r;
	int got, err = 0;

	d->nrcpt = 0;
	while (err == 0 && (got = hb_drop_rcpt(&s, &r)) > 0) {
		if (d->nrcpt == cap)
			v = hb_realloc(v, (cap *= 2) * sizeof(*v));
		err = d->nrcpt == most ? HB_E_LIMIT
		    : hb_intake_rcpt(&r, d->arena, &v[d->nrcpt],
			  &d->env.flags);
		d->nrcpt += err == 0;
	}
	d->nrcpt = q_rcpts_unique(v, d->nrcpt);
	d->rcpts = hb_arena_alloc(d->arena, d->nrcpt * sizeof(*v));
	memcpy(d->rcpts, v, d->nrcpt * sizeof(*v));
	free(v);
	if (err == 0 && got < 0)
		err = got;
	return err < 0 ? err : d->nrcpt == 0 ? HB_E_SYNTAX : 0;
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
			err = hb_intake_env(&d->env, d->arena);
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
		set_aside(d, "no plain file");
		return;
	}
	d->arena = hb_arena_new();
	d->body = HB_BUF_INIT(0);
	err = take_records(d, (uint64_t)st.st_size);
	if (err < 0) {
		set_aside(d, hb_strerror(err));
		return;
	}
	if (d->head.body_n > d->q->env->conf->max_message_size) {
		set_aside(d, "larger than max-message-size");
		return;
	}
	if (q_spool_space(d->q->spool) < d->head.body_n + OTHERS_ROOM) {
		leave_for_later(d, HB_E_NOSPACE);
		return;
	}
	complete_env(d, st.st_uid);
	err = start_body(d, st.st_uid);
	if (err < 0)
		leave_for_later(d, err);
	else
		copy_slice(d);
}

/* Does E say nothing of the file, but that none can be opened now? */
static bool
is_passing(int e)
{
	return e == EMFILE || e == ENFILE || e == ENOMEM || e == EIO;
}

void
q_drop_take(struct q_drop *d)
{
	char path[Q_DROP_PATH];

	q_drop_path(d->dir, d->name, path);
	d->busy = true;
	d->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (d->fd >= 0)
		take_file(d);
	else if (errno == ENOENT)
		end_file(d);
	else if (is_passing(errno))
		leave_for_later(d, HB_E_IO);
	else
		set_aside(d, strerror(errno));
}

/* The next slice, or the next file. */
void
q_drop_step(void *ctx)
{
	struct q_drop *d = ctx;

	if (d->busy)
		copy_slice(d);
	else
		q_drop_next(d);
}
