/* A file of the maildrop, and where it is in the work on it.  Floor 4. */
#include "config.h"

#include "queue/manager/drop-priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/io/trouble.h"

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
	free(f->refusals);
	free(f);
}

void
q_drop_line_free(struct q_drop_line *l)
{
	struct q_drop_file *f;

	while ((f = TAILQ_FIRST(&l->files)) != NULL) {
		TAILQ_REMOVE(&l->files, f, link);
		q_drop_file_free(&f);
	}
	l->n = 0;
}

static void
take_out(struct q_drop_file *f)
{
	if (f == f->d->file)
		f->d->file = NULL;
	if (f->line == NULL)
		return;
	TAILQ_REMOVE(&f->line->files, f, link);
	f->line->n--;
	f->line = NULL;
}

void
q_drop_move(struct q_drop_file *f, struct q_drop_line *to)
{
	take_out(f);
	f->line = to;
	if (to != NULL) {
		TAILQ_INSERT_TAIL(&to->files, f, link);
		to->n++;
	} else {
		f->d->file = f;
	}
	hb_timer_set(f->d->step, 0);
}

void
q_drop_end(struct q_drop_file *f)
{
	struct q_drop *d = f->d;

	take_out(f);
	q_drop_file_free(&f);
	hb_timer_set(d->step, 0);
}

void
q_drop_remove(struct q_drop_file *f)
{
	char path[Q_DROP_PATH];

	q_drop_path(f->d->dir, f->name, path);
	if (unlink(path) < 0)
		HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL, hb_kv_str(HB_K_FILE, path),
		    hb_kv_str(HB_K_ERROR, strerror(errno)));
}

void
q_drop_local_env(struct hb_env *e, uid_t uid, struct hb_arena *a)
{
	char user[24];

	snprintf(user, sizeof(user), "uid:%u", (unsigned)uid);
	e->parent = 0;
	e->flags |= HB_ENV_LOCAL;
	/* the owner of the file, whatever stands in it */
	e->user = hb_arena_span(a, hb_span_str(user));
	e->client = e->helo = e->tls = e->mail_auth = HB_SPAN_NONE;
	e->with = HB_SPAN("local");
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

void
q_drop_set_aside(struct q_drop_file *f, const char *why)
{
	HB_LOG(HB_LOG_ERROR, HB_EV_CORRUPT, hb_kv_str(HB_K_FILE, f->name),
	    hb_kv_str(HB_K_ERROR, why));
	if (move_aside(f) < 0)
		HB_LOG(HB_LOG_ERROR, HB_EV_CORRUPT,
		    hb_kv_str(HB_K_FILE, f->name),
		    hb_kv_str(HB_K_ACTION, "move"),
		    hb_kv_str(HB_K_ERROR, strerror(errno)));
	q_intake_discard(&f->in);
	q_drop_end(f);
}

void
q_drop_leave(struct q_drop_file *f)
{
	q_intake_discard(&f->in); /* the next try has another name */
	q_drop_end(f);
}

/* Not now: the disk is full, or so. */
void
q_drop_leave_for_later(struct q_drop_file *f, int err)
{
	struct q_drop *d = f->d;

	HB_LOG(HB_LOG_WARN, HB_EV_SPOOL, hb_kv_str(HB_K_FILE, f->name),
	    hb_kv_str(HB_K_STATE, "waits"),
	    hb_kv_str(HB_K_ERROR, hb_strerror(err)));
	q_drop_leave(f);
	d->paused = true;
	hb_timer_set(d->look, Q_DROP_SCAN_MS);
}

/* A bad disk is nobody's bad message, and others can be read: this one is
 * tried again when the folder is read through. */
void
q_drop_leave_unread(struct q_drop_file *f, int err)
{
	struct hb_buf text = HB_BUF_INIT(0);

	hb_buf_addf(&text, "%s cannot be read, it waits: %s", f->name,
	    hb_strerror(err));
	hb_trouble_begin(HB_EV_SPOOL, hb_span_str(f->d->dir),
	    hb_buf_span(&text));
	hb_buf_free(&text);
	f->d->unread = true;
	q_drop_leave(f);
}
