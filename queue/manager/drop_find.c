/*
 * Which file of the maildrop is next.  Floor 4.
 *
 * The kernel reports new files; the folder is scanned, in slices, at the start,
 * now and then, and when a report was missed.  The users take turns (turns.h).
 * Leftovers of a killed hauberk-submit are removed.
 */
#include "config.h"

#include "queue/manager/drop-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io/ctlreply.h"
#include "common/io/trouble.h"

enum {
	IDLE_MS = 30000,  /* with it, for what it did not tell */
	SCAN_SLICE = 200, /* names read in one turn of the loop */
	GRACE_MS = 3600000 /* of what a submit has not finished */
};

/* Did a hauberk-submit that was killed leave it?  It is old then, and nobody
 * holds its lock. */
static bool
is_left_over(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int64_t now_ms = hb_now_ms() - hb_clock_ahead();
	struct stat st;
	bool old;

	if (fd < 0)
		return false;
	old = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (int64_t)st.st_mtim.tv_sec * 1000 + GRACE_MS < now_ms &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0;
	close(fd);
	return old;
}

static void
found_unfinished(struct q_drop *d, const char *name)
{
	char path[Q_DROP_PATH];

	q_drop_path(d->dir, name, path);
	if (!is_left_over(path)) {
		d->seen_unfinished++;
		return;
	}
	HB_LOG(HB_LOG_WARN, HB_EV_SPOOL, hb_kv_str(HB_K_FILE, name),
	    hb_kv_str(HB_K_STATE, "unfinished"),
	    hb_kv_str(HB_K_ACTION, "remove"));
	if (unlink(path) < 0)
		HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL, hb_kv_str(HB_K_FILE, path),
		    hb_kv_str(HB_K_ERROR, strerror(errno)));
}

static void
found(struct q_drop *d, const char *name)
{
	char path[Q_DROP_PATH];
	struct stat st;

	q_drop_path(d->dir, name, path);
	if (q_drop_has(d, name) || q_drop_is_deferred(d, name) ||
	    lstat(path, &st) < 0)
		return;
	if (!q_turns_add(d->turns, st.st_uid, name))
		d->again = true;
}

static void
see(struct q_drop *d, const char *name)
{
	struct hb_span s = hb_span_str(name);

	if (d->scans_corrupt) {
		d->seen += name[0] != '.';
	} else if (hb_drop_is_name(s)) {
		d->seen++;
		found(d, name);
	} else if (name[0] == '.' && hb_drop_is_name(hb_span_from(s, 1))) {
		found_unfinished(d, name);
	}
}

/* maildrop/ first, then corrupt/, of which the number is shown. */
static void
begin_scan(struct q_drop *d, bool corrupt)
{
	d->scan = opendir(corrupt ? d->corrupt : d->dir);
	d->scans_corrupt = corrupt;
	d->seen = 0;
	if (corrupt)
		return;
	d->seen_unfinished = 0;
	if (!d->unread)
		hb_trouble_end(HB_EV_SPOOL, hb_span_str(d->dir));
	d->again = d->paused = d->unread = false;
}

static void
end_scan(struct q_drop *d)
{
	if (d->scan != NULL)
		closedir(d->scan);
	d->scan = NULL;
	if (d->scans_corrupt) {
		d->n_corrupt = d->seen;
		return;
	}
	d->n_waiting = d->seen;
	d->n_unfinished = d->seen_unfinished;
	begin_scan(d, true);
	if (d->scan == NULL)
		d->n_corrupt = 0;
}

static void
look(void *ctx)
{
	struct q_drop *d = ctx;
	struct dirent *e = NULL;

	if (d->q->stopping)
		return;
	if (d->scan == NULL)
		begin_scan(d, false);
	for (int i = 0; d->scan != NULL && i < SCAN_SLICE; i++) {
		e = readdir(d->scan);
		if (e == NULL)
			break;
		see(d, e->d_name);
	}
	if (e == NULL)
		end_scan(d);
	hb_timer_set(d->look, d->scan != NULL ? 0
		: d->notify >= 0 && !d->paused ? IDLE_MS : Q_DROP_SCAN_MS);
	if (q_drop_is_ready(d))
		hb_timer_set(d->step, 0);
}

static bool
take_next(struct q_drop *d)
{
	const struct hb_rate *rate = &d->q->env->conf->max_rate_per_user;
	char name[Q_TURN_NAME];
	int64_t wait;

	if (d->paused || d->q->stopping)
		return false;
	q_turns_rate(d->turns, rate->count, rate->per_ms);
	if (q_turns_next(d->turns, hb_mono_ms(), name)) {
		d->n_waiting -= d->n_waiting > 0;
		q_drop_take(d, name);
		return true;
	}
	wait = q_turns_wait(d->turns, hb_mono_ms());
	if (wait >= 0)
		hb_timer_set(d->step, wait);
	else if (d->again && d->scan == NULL)
		hb_timer_set(d->look, 0);
	return false;
}

/* The next slice, or the next files: small ones share a turn, too. */
static void
step(void *ctx)
{
	struct q_drop *d = ctx;

	d->nread = 0;
	if (d->file != NULL)
		q_drop_more(d->file);
	else if (d->refused.n > 0 && !d->paused)
		q_drop_take_refused(d);
	while (q_drop_is_ready(d) && d->nread < Q_DROP_SLICE && take_next(d))
		continue;
}

static void
on_notify(void *ctx, unsigned what)
{
	struct q_drop *d = ctx;
	_Alignas(struct inotify_event) char events[4096];
	ssize_t n;

	while ((n = read(d->notify, events, sizeof(events))) > 0)
		for (char *p = events; p < events + n;) {
			const struct inotify_event *e = (const void *)p;

			if ((e->mask & IN_Q_OVERFLOW) != 0) {
				hb_timer_set(d->look, 0);
			} else if (e->len > 0 &&
			    hb_drop_is_name(hb_span_str(e->name))) {
				found(d, e->name);
				d->n_waiting++;
			}
			p += sizeof(*e) + e->len;
		}
	if (q_drop_is_ready(d))
		hb_timer_set(d->step, 0);
}

void
q_drop_status(const struct q_drop *d, const struct hb_ctl *c)
{
	size_t known = q_turns_count(d->turns) + d->flushed.n + d->handed.n +
	    d->refused.n + (d->file != NULL);

	hb_ctl_int(c, "maildrop_waiting",
	    (int64_t)(d->again && d->n_waiting > known ? d->n_waiting : known));
	hb_ctl_int(c, "maildrop_unfinished", (int64_t)d->n_unfinished);
	hb_ctl_int(c, "corrupt", (int64_t)d->n_corrupt);
	q_drop_filter_status(d, c);
}

struct q_drop *
q_drop_new(struct hb_loop *loop, const char *dir)
{
	struct q_drop *d = HB_NEW(struct q_drop);

	TAILQ_INIT(&d->flushed.files);
	q_drop_filter_init(d);
	d->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (d->notify >= 0 &&
	    inotify_add_watch(d->notify, dir, IN_MOVED_TO) < 0) {
		close(d->notify);
		d->notify = -1;
	}
	if (d->notify >= 0)
		d->io = hb_io_new(loop, d->notify, on_notify, d);
	d->look = hb_timer_new(loop, look, d);
	d->step = hb_timer_new(loop, step, d);
	d->turns = q_turns_new();
	return d;
}

static char *
join(const char *root, const char *name)
{
	struct hb_buf b = HB_BUF_INIT(0);
	bool slash = root[strlen(root) - 1] == '/';

	hb_buf_addf(&b, slash ? "%s%s" : "%s/%s", root, name);
	return hb_buf_cstr(&b);
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
	hb_timer_set(d->look, 0);
}

void
q_drop_free(struct q_drop **dp)
{
	struct q_drop *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	if (d->scan != NULL)
		closedir(d->scan);
	q_turns_free(&d->turns);
	q_drop_file_free(&d->file);
	q_drop_line_free(&d->flushed);
	q_drop_filter_free(d);
	hb_io_free(&d->io);
	if (d->notify >= 0)
		close(d->notify);
	hb_timer_free(&d->look);
	hb_timer_free(&d->step);
	free(d->dir);
	free(d->corrupt);
	free(d);
}
