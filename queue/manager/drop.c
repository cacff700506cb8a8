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
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/timefmt.h"

enum { FLUSHED_MAX = 16 /* files that wait for the disk */ };

/* What was read is no message, or it could not be read. */
static void
give_up(struct q_drop_file *f, int err)
{
	if (err == HB_E_IO)
		q_drop_leave_unread(f, err);
	else
		q_drop_set_aside(f, hb_strerror(err));
}

static void
on_durable(void *ctx, int err)
{
	struct q_drop_file *f = ctx;
	const char *demand = hb_env_tls_demand(f->env.flags);
	struct hb_arena *a = f->arena;

	if (err < 0) {
		q_drop_leave_for_later(f, err);
		return;
	}
	hb_stat(HB_STAT_ACCEPTED_MAILDROP);
	if ((f->env.flags & HB_ENV_SHORTENED) != 0)
		hb_stat(HB_STAT_CONVERTED_LINES);
	HB_LOG(HB_LOG_INFO, HB_EV_ACCEPT, hb_kv_id(HB_K_MSG, f->env.id),
	    hb_kv_span(HB_K_FROM, f->env.sender),
	    hb_kv_str(HB_K_CLIENT, "local"),
	    hb_kv_span(HB_K_USER, f->env.user),
	    hb_kv_int(HB_K_SIZE, (int64_t)f->env.size),
	    hb_kv_int(HB_K_NRCPT, (int64_t)f->nrcpt),
	    hb_kv_str(HB_K_TLS, "none"),
	    hb_kv_span(HB_K_MESSAGE_ID, f->env.message_id),
	    hb_kv_if(demand[0] != '\0', hb_kv_str(HB_K_TLS_DEMAND, demand)));
	q_drop_remove(f);
	f->arena = NULL;
	q_accept(f->d->q, a, &f->env, f->rcpts, f->nrcpt);
	q_drop_end(f);
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
	struct q_body body;
	const char *why = make_body(f, &body);
	int err;

	if (why != NULL) {
		q_drop_set_aside(f, why);
		return;
	}
	q_env_head(&f->env, body.head, f->arena);
	err = q_spool_add(f->d->q->spool, &f->env, f->rcpts, f->nrcpt, &body,
	    on_durable, f);
	if (err < 0) {
		q_drop_leave_for_later(f, err);
		return;
	}
	/* The spool has it: others can be read meanwhile, and share its
	 * flush. */
	close(f->fd);
	f->fd = -1;
	q_intake_free(&f->in);
	hb_buf_free(&f->slice);
	q_drop_move(f, &f->d->flushed);
}

/* Takes a slice of the message. */
void
q_drop_more(struct q_drop_file *f)
{
	int err;

	hb_buf_clear(&f->slice);
	err = hb_dropfile_more(&f->file, Q_DROP_SLICE, &f->slice);
	if (err < 0) {
		give_up(f, err);
		return;
	}
	f->d->nread += f->slice.n;
	err = q_intake_feed(&f->in, hb_buf_span(&f->slice));
	if (err < 0)
		q_drop_leave_for_later(f, err);
	else if (f->file.left > 0)
		hb_timer_set(f->d->step, 0);
	else
		commit(f);
}

static void
complete_env(struct q_drop_file *f)
{
	struct hb_env *e = &f->env;

	e->id = q_new_id(f->d->q, Q_DROP_INSTANCE);
	e->arrived_ms = hb_now_ms();
	q_stamp_env(f->d->q, e);
	e->flags &= HB_ENV_SMTPUTF8 | HB_ENV_REQUIRETLS | HB_ENV_SHORTENED;
	q_drop_local_env(e, f->uid, f->arena);
}

/* Head, envelope and recipients. */
static int
take_records(struct q_drop_file *f, uint64_t size)
{
	struct hb_dropped in;
	int err;

	f->file = (struct hb_dropfile){ .fd = f->fd };
	err = hb_dropfile_begin(&f->file, size,
	    f->d->q->env->conf->max_recipients, f->arena, &in);
	f->d->nread += (size_t)f->file.head.env_n + f->file.head.rcpts_n;
	f->env = in.env;
	f->rcpts = in.rcpts;
	f->nrcpt = f->is_refused ? q_drop_refuse(f, in.rcpts, in.n) : in.n;
	f->nrcpt = q_rcpts_unique(f->rcpts, f->nrcpt);
	return err == 0 && f->nrcpt == 0 ? HB_E_SYNTAX : err;
}

static void
take_message(struct q_drop_file *f, uint64_t size)
{
	struct hb_incoming_rules rules;
	int err;

	if (f->arena == NULL)
		f->arena = hb_arena_new();
	err = take_records(f, size);
	if (err < 0) {
		give_up(f, err);
		return;
	}
	if (f->file.head.body_n > f->d->q->env->conf->max_message_size) {
		q_drop_set_aside(f, "larger than max-message-size");
		return;
	}
	if (q_spool_space(f->d->q->spool) <
	    f->file.head.body_n + HB_MAX_OTHERS_ROOM) {
		q_drop_leave_for_later(f, HB_E_NOSPACE);
		return;
	}
	complete_env(f);
	rules = hb_incoming_dropped(f->d->q->env->conf);
	q_intake_start(&f->in, f->d->q->spool, f->env.id,
	    f->file.head.body_n, &rules);
	q_drop_more(f);
}

static void
take_file(struct q_drop_file *f)
{
	struct stat st;
	int err;

	if (fstat(f->fd, &st) < 0) {
		q_drop_leave_unread(f, HB_E_IO);
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		q_drop_set_aside(f, "no plain file");
		return;
	}
	f->uid = st.st_uid;
	f->dropped_ms = (int64_t)st.st_mtim.tv_sec * 1000 +
	    st.st_mtim.tv_nsec / 1000000;
	if (f->is_refused || !q_drop_is_filtered(f->d)) {
		take_message(f, (uint64_t)st.st_size);
		return;
	}
	err = q_drop_hand(f, (uint64_t)st.st_size);
	if (err < 0)
		q_drop_leave_for_later(f, err);
}

bool
q_drop_is_ready(const struct q_drop *d)
{
	return d->file == NULL && d->flushed.n < FLUSHED_MAX &&
	    q_drop_may_hand(d);
}

static bool
has(const struct q_drop_line *l, const char *name)
{
	const struct q_drop_file *f;

	TAILQ_FOREACH(f, &l->files, link)
		if (strcmp(name, f->name) == 0)
			return true;
	return false;
}

bool
q_drop_has(const struct q_drop *d, const char *name)
{
	return (d->file != NULL && strcmp(name, d->file->name) == 0) ||
	    has(&d->flushed, name) || has(&d->handed, name) ||
	    has(&d->refused, name);
}

/* Does E say nothing of the file, but that none can be opened now? */
static bool
is_passing(int e)
{
	return e == EMFILE || e == ENFILE || e == ENOMEM || e == EIO;
}

static void
open_file(struct q_drop_file *f)
{
	char path[Q_DROP_PATH];

	q_drop_path(f->d->dir, f->name, path);
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (f->fd >= 0)
		take_file(f);
	else if (errno == ENOENT)
		q_drop_end(f);
	else if (is_passing(errno))
		q_drop_leave_for_later(f, HB_E_IO);
	else
		q_drop_set_aside(f, strerror(errno));
}

void
q_drop_take(struct q_drop *d, const char *name)
{
	struct q_drop_file *f = HB_NEW(struct q_drop_file);

	f->d = d;
	f->fd = -1;
	f->slice = HB_BUF_INIT(0);
	f->in.fd = -1;
	if (hb_span_copy(hb_span_str(name), f->name, sizeof(f->name)) < 0)
		HB_BUG("the name of a drop is too long");
	q_drop_move(f, NULL);
	open_file(f);
}

void
q_drop_take_refused(struct q_drop *d)
{
	struct q_drop_file *f = TAILQ_FIRST(&d->refused.files);

	q_drop_move(f, NULL);
	open_file(f);
}
