/*
 * The maildrop: takes up messages left by hauberk-submit.  Floor 4.
 *
 * One file at a time is read and checked; a few are made durable together, and
 * each is removed then: a crash in between delivers it twice and loses nothing.
 * A file in another format goes to corrupt/.  A large body is copied in slices.
 */
#include "config.h"

#include "queue/manager/drop-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/limits.h"
#include "common/base/timefmt.h"
#include "common/io/file.h"
#include "common/io/trouble.h"
#include "common/proto/intake.h"

enum { FLUSHED_MAX = 16 /* files that wait for the disk */ };

void
q_drop_path(const char *dir, const char *name, char out[Q_DROP_PATH])
{
	snprintf(out, Q_DROP_PATH, "%s/%s", dir, name);
}

void
q_drop_file_free(struct q_drop_file **fp)
{
	struct q_drop_file *f = *fp;

	*fp = NULL;
	if (f == NULL)
		return;
	if (f->fd >= 0)
		close(f->fd);
	q_intake_free(&f->in);
	hb_buf_free(&f->slice);
	hb_arena_free(&f->arena);
	free(f);
}

/* It is not in work any more. */
static void
end_file(struct q_drop_file *f)
{
	struct q_drop *d = f->d;

	if (f == d->file) {
		d->file = NULL;
	} else {
		TAILQ_REMOVE(&d->flushed, f, link);
		d->nflushed--;
	}
	q_drop_file_free(&f);
	hb_timer_set(d->step, 0);
}

/* Into corrupt/; what is no plain file holds no mail and is removed. */
static int
move_aside(struct q_drop_file *f)
{
	char from[Q_DROP_PATH], to[Q_DROP_PATH];
	struct stat st;

	q_drop_path(f->d->dir, f->name, from);
	q_drop_path(f->d->corrupt, f->name, to);
	if (lstat(from, &st) == 0 && !S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? rmdir(from) : unlink(from);
	/* Names of drops come again, and what was set aside stays. */
	if (lstat(to, &st) == 0)
		snprintf(to, sizeof(to), "%s/%s.%016llx", f->d->corrupt,
		    f->name, (unsigned long long)q_new_id(f->d->q,
			Q_DROP_INSTANCE));
	f->d->n_corrupt++;
	(void)mkdir(f->d->corrupt, 0700);
	return rename(from, to);
}

static void
set_aside(struct q_drop_file *f, const char *why)
{
	HB_LOG(HB_LOG_ERROR, HB_EV_CORRUPT, hb_kv_str(HB_K_FILE, f->name),
	    hb_kv_str(HB_K_ERROR, why));
	if (move_aside(f) < 0)
		HB_LOG(HB_LOG_ERROR, HB_EV_CORRUPT,
		    hb_kv_str(HB_K_FILE, f->name),
		    hb_kv_str(HB_K_ACTION, "move"),
		    hb_kv_str(HB_K_ERROR, strerror(errno)));
	q_intake_discard(&f->in);
	end_file(f);
}

/* The file stays where it is. */
static void
leave(struct q_drop_file *f)
{
	q_intake_discard(&f->in); /* the next try has another name */
	end_file(f);
}

/* Not now: the disk is full, or so. */
static void
leave_for_later(struct q_drop_file *f, int err)
{
	struct q_drop *d = f->d;

	HB_LOG(HB_LOG_WARN, HB_EV_SPOOL, hb_kv_str(HB_K_FILE, f->name),
	    hb_kv_str(HB_K_STATE, "waits"),
	    hb_kv_str(HB_K_ERROR, hb_strerror(err)));
	leave(f);
	d->paused = true;
	hb_timer_set(d->look, Q_DROP_SCAN_MS);
}

/* A bad disk is nobody's bad message, and others can be read: this one is
 * tried again when the folder is read through. */
static void
leave_unread(struct q_drop_file *f, int err)
{
	struct hb_buf text = HB_BUF_INIT(0);

	hb_buf_addf(&text, "%s cannot be read, it waits: %s", f->name,
	    hb_strerror(err));
	hb_trouble_begin(HB_EV_SPOOL, hb_span_str(f->d->dir),
	    hb_buf_span(&text));
	hb_buf_free(&text);
	f->d->unread = true;
	leave(f);
}

/* What was read is no message, or it could not be read. */
static void
give_up(struct q_drop_file *f, int err)
{
	if (err == HB_E_IO)
		leave_unread(f, err);
	else
		set_aside(f, hb_strerror(err));
}

static void
on_durable(void *ctx, int err)
{
	struct q_drop_file *f = ctx;
	const char *demand = hb_env_tls_demand(f->env.flags);
	struct hb_arena *a = f->arena;
	char path[Q_DROP_PATH];

	if (err < 0) {
		leave_for_later(f, err);
		return;
	}
	hb_stat(HB_STAT_ACCEPTED_MAILDROP);
	HB_LOG(HB_LOG_INFO, HB_EV_ACCEPT, hb_kv_id(HB_K_MSG, f->env.id),
	    hb_kv_span(HB_K_FROM, f->env.sender),
	    hb_kv_str(HB_K_CLIENT, "local"),
	    hb_kv_span(HB_K_USER, f->env.user),
	    hb_kv_int(HB_K_SIZE, (int64_t)f->env.size),
	    hb_kv_int(HB_K_NRCPT, (int64_t)f->nrcpt),
	    hb_kv_str(HB_K_TLS, "none"),
	    hb_kv_span(HB_K_MESSAGE_ID, f->env.message_id),
	    hb_kv_if(demand[0] != '\0', hb_kv_str(HB_K_TLS_DEMAND, demand)));
	q_drop_path(f->d->dir, f->name, path);
	if (unlink(path) < 0)
		HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL, hb_kv_str(HB_K_FILE, path),
		    hb_kv_str(HB_K_ERROR, strerror(errno)));
	f->arena = NULL;
	q_accept(f->d->q, a, &f->env, f->rcpts, f->nrcpt);
	end_file(f);
}

/* Its own time counts: the server may not have run then. */
static const char *
make_body(struct q_drop_file *f, struct q_body *body)
{
	struct hb_buf front = HB_BUF_INIT(0), from = HB_BUF_INIT(0);
	const char *host = f->d->q->env->conf->hostname, *why;
	struct hb_incoming_fields fields = { .completes = true,
		.hostname = hb_span_str(host), .date_ms = f->dropped_ms,
		.id = f->env.id };
	char when[HB_TIME_RFC5322_SIZE];

	/* RFC 5321 s4.4, for a message that came without SMTP. */
	hb_time_rfc5322(f->env.arrived_ms, when);
	hb_buf_addf(&front, "Received: by %s (Hauberk, from userid %u)\r\n"
	    "\tid %016llx; %s\r\n", f->d->q->env->conf->hostname,
	    (unsigned)f->uid, (unsigned long long)f->env.id, when);
	hb_buf_add(&from, f->env.sender);
	if (from.n == 0)
		hb_buf_addf(&from, "MAILER-DAEMON@%s", host);
	fields.front = hb_buf_span(&front);
	fields.from = hb_buf_span(&from);
	why = q_intake_end(&f->in, &fields, &f->env, body);
	hb_buf_free(&front);
	hb_buf_free(&from);
	return why;
}

static void
commit(struct q_drop_file *f)
{
	struct q_drop *d = f->d;
	struct q_body body;
	const char *why = f->crc != f->head.crc ? hb_strerror(HB_E_CORRUPT)
						: make_body(f, &body);
	int err;

	if (why != NULL) {
		set_aside(f, why);
		return;
	}
	q_env_head(&f->env, body.head, f->arena);
	err = q_spool_add(f->d->q->spool, &f->env, f->rcpts, f->nrcpt, &body,
	    on_durable, f);
	if (err < 0) {
		leave_for_later(f, err);
		return;
	}
	/* The spool has it: others can be read meanwhile, and share its
	 * flush. */
	close(f->fd);
	f->fd = -1;
	q_intake_free(&f->in);
	hb_buf_free(&f->slice);
	d->file = NULL;
	TAILQ_INSERT_TAIL(&d->flushed, f, link);
	d->nflushed++;
	hb_timer_set(d->step, 0);
}

/* Exactly N bytes of the file, appended to OUT.  0, HB_E_MORE, HB_E_IO. */
static int
read_bytes(const struct q_drop_file *f, size_t n, struct hb_buf *out)
{
	unsigned char *room;
	ssize_t got;

	if (hb_buf_reserve(out, n, &room) < 0)
		return HB_E_LIMIT;
	got = hb_read_some(f->fd, room, n);
	if (got < 0)
		return HB_E_IO;
	hb_buf_added(out, (size_t)got);
	return (size_t)got == n ? 0 : HB_E_MORE;
}

/* Takes a slice of the message. */
void
q_drop_more(struct q_drop_file *f)
{
	size_t n = f->left < Q_DROP_SLICE ? (size_t)f->left : Q_DROP_SLICE;
	int err;

	hb_buf_clear(&f->slice);
	err = read_bytes(f, n, &f->slice);
	if (err < 0) {
		give_up(f, err);
		return;
	}
	f->crc = hb_crc32c(f->crc, hb_buf_span(&f->slice));
	f->left -= n;
	f->d->nread += n;
	err = q_intake_feed(&f->in, hb_buf_span(&f->slice));
	if (err < 0)
		leave_for_later(f, err);
	else if (f->left > 0)
		hb_timer_set(f->d->step, 0);
	else
		commit(f);
}

static void
complete_env(struct q_drop_file *f)
{
	struct hb_env *e = &f->env;
	char user[24];

	snprintf(user, sizeof(user), "uid:%u", (unsigned)f->uid);
	e->id = q_new_id(f->d->q, Q_DROP_INSTANCE);
	e->arrived_ms = hb_now_ms();
	q_stamp_env(f->d->q, e);
	e->parent = 0;
	e->flags = (e->flags & (HB_ENV_SMTPUTF8 | HB_ENV_REQUIRETLS)) |
	    HB_ENV_LOCAL;
	/* the owner of the file, whatever stands in it */
	e->user = hb_arena_span(f->arena, hb_span_str(user));
	e->client = e->helo = e->tls = e->mail_auth = HB_SPAN_NONE;
	e->with = HB_SPAN("local");
}

static int
take_rcpts(struct q_drop_file *f, struct hb_span s)
{
	size_t cap = 16, most = f->d->q->env->conf->max_recipients;
	struct hb_rcpt *v = hb_calloc(cap, sizeof(*v)), r;
	int got, err = 0;

	f->nrcpt = 0;
	while (err == 0 && (got = hb_drop_rcpt(&s, &r)) > 0) {
		if (f->nrcpt == cap)
			v = hb_realloc(v, (cap *= 2) * sizeof(*v));
		err = f->nrcpt == most ? HB_E_LIMIT
		    : hb_intake_rcpt(&r, f->arena, &v[f->nrcpt]);
		f->nrcpt += err == 0;
	}
	f->nrcpt = q_rcpts_unique(v, f->nrcpt);
	f->rcpts = hb_arena_alloc(f->arena, f->nrcpt * sizeof(*v));
	memcpy(f->rcpts, v, f->nrcpt * sizeof(*v));
	free(v);
	if (err == 0 && got < 0)
		err = got;
	return err < 0 ? err : f->nrcpt == 0 ? HB_E_SYNTAX : 0;
}

/* Head, envelope and recipients. */
static int
take_records(struct q_drop_file *f, uint64_t size)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_span all;
	int err = read_bytes(f, HB_DROP_HEAD, &b);

	if (err == 0)
		err = hb_drop_head_parse(hb_buf_span(&b), &f->head);
	if (err == 0 && size != HB_DROP_HEAD + f->head.body_n +
	    f->head.env_n + f->head.rcpts_n)
		err = HB_E_MORE;
	hb_buf_clear(&b);
	if (err == 0)
		err = read_bytes(f, (size_t)f->head.env_n + f->head.rcpts_n, &b);
	f->d->nread += b.n;
	if (err == 0) {
		f->crc = hb_crc32c(0, hb_buf_span(&b));
		all = hb_arena_span(f->arena, hb_buf_span(&b));
		err = hb_drop_env(hb_span_head(all, f->head.env_n), &f->env);
		if (err == 0)
			err = hb_intake_env(&f->env, f->arena);
		if (err == 0)
			err = take_rcpts(f, hb_span_from(all, f->head.env_n));
	}
	hb_buf_free(&b);
	return err;
}

static void
take_file(struct q_drop_file *f)
{
	struct stat st;
	int err;
	struct hb_incoming_rules rules;

	if (fstat(f->fd, &st) < 0) {
		leave_unread(f, HB_E_IO);
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		set_aside(f, "no plain file");
		return;
	}
	f->arena = hb_arena_new();
	err = take_records(f, (uint64_t)st.st_size);
	if (err < 0) {
		give_up(f, err);
		return;
	}
	if (f->head.body_n > f->d->q->env->conf->max_message_size) {
		set_aside(f, "larger than max-message-size");
		return;
	}
	if (q_spool_space(f->d->q->spool) <
	    f->head.body_n + HB_MAX_OTHERS_ROOM) {
		leave_for_later(f, HB_E_NOSPACE);
		return;
	}
	f->uid = st.st_uid;
	f->dropped_ms = (int64_t)st.st_mtim.tv_sec * 1000 +
	    st.st_mtim.tv_nsec / 1000000;
	complete_env(f);
	rules = hb_incoming_dropped(f->d->q->env->conf);
	q_intake_start(&f->in, f->d->q->spool, f->env.id, f->head.body_n,
	    &rules);
	f->left = f->head.body_n;
	q_drop_more(f);
}

bool
q_drop_is_ready(const struct q_drop *d)
{
	return d->file == NULL && d->nflushed < FLUSHED_MAX;
}

bool
q_drop_has(const struct q_drop *d, const char *name)
{
	const struct q_drop_file *f;

	if (d->file != NULL && strcmp(name, d->file->name) == 0)
		return true;
	TAILQ_FOREACH(f, &d->flushed, link)
		if (strcmp(name, f->name) == 0)
			return true;
	return false;
}

/* Does E say nothing of the file, but that none can be opened now? */
static bool
is_passing(int e)
{
	return e == EMFILE || e == ENFILE || e == ENOMEM || e == EIO;
}

void
q_drop_take(struct q_drop *d, const char *name)
{
	struct q_drop_file *f = HB_NEW(struct q_drop_file);
	char path[Q_DROP_PATH];

	f->d = d;
	f->slice = HB_BUF_INIT(0);
	f->in.fd = -1;
	if (hb_span_copy(hb_span_str(name), f->name, sizeof(f->name)) < 0)
		HB_BUG("the name of a drop is too long");
	d->file = f;
	q_drop_path(d->dir, name, path);
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (f->fd >= 0)
		take_file(f);
	else if (errno == ENOENT)
		end_file(f);
	else if (is_passing(errno))
		leave_for_later(f, HB_E_IO);
	else
		set_aside(f, strerror(errno));
}
