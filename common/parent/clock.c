/*
 * The clock of the lab: `hauberkctl lab advance`.  Floor 4.
 *
 * The spool keeps the shift, beside the times that depend on it: after a
 * restart the lab continues at the same time.  Each role receives it before its
 * configuration, and all roles when it changes.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/timefmt.h"
#include "common/parent/parent.h"
#include "common/io/ctlreply.h"

#define FILE_NAME "lab-clock"
#define AHEAD_MAX_MS (INT64_C(3153600000) * 1000) /* a century */

/* The spool's top belongs to the parent alone. */
static int
open_spool(const struct pd_parent *pd)
{
	return open(pd->now.conf->spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int
read_ahead(int at, int64_t *ahead_ms)
{
	int fd = openat(
	    at, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[32];
	uint64_t ms;
	ssize_t n;

	*ahead_ms = 0;
	if (fd < 0)
		return errno == ENOENT ? 0 : HB_E_IO;
	n = read(fd, text, sizeof(text));
	close(fd);
	if (n < 0)
		return HB_E_IO;
	if (hb_span_u64(
		hb_span_trim(hb_span(text, (size_t)n)), AHEAD_MAX_MS, &ms) < 0)
		return HB_E_SYNTAX;
	*ahead_ms = (int64_t)ms;
	return 0;
}

/* Durable when it returns 0; else -errno. */
static int
write_ahead(int at, int64_t ahead_ms)
{
	int fd = openat(at, FILE_NAME ".new",
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (dprintf(fd, "%lld\n", (long long)ahead_ms) < 0 || fsync(fd) != 0 ||
	    renameat(at, FILE_NAME ".new", at, FILE_NAME) != 0 ||
	    fsync(at) != 0)
		r = -errno;
	close(fd);
	return r;
}

int
pd_clock_load(struct pd_parent *pd, struct hb_buf *err)
{
	int at = open_spool(pd), r = HB_E_IO;
	int64_t ahead_ms = 0;

	if (at >= 0) {
		r = read_ahead(at, &ahead_ms);
		close(at);
	}
	if (r < 0) {
		hb_buf_addf(err,
		    "%s/" FILE_NAME ": %s; without the file the "
		    "clock is the host's",
		    pd->now.conf->spool, hb_strerror(r));
		return EX_DATAERR;
	}
	if (ahead_ms > 0 && !pd->now.conf->lab) {
		HB_LOG(HB_LOG_WARN, HB_EV_CONFIG, hb_kv_str(HB_K_WORD, "lab"),
		    hb_kv_str(HB_K_TEXT,
			"this spool was used with a clock "
			"that was ahead: its times are in the future"));
		return 0;
	}
	pd->ahead_ms = ahead_ms;
	hb_clock_set_ahead(ahead_ms);
	return 0;
}

void
pd_send_clock(struct pd_proc *pr)
{
	struct ipc_clock m = { .ahead_ms = pr->pd->ahead_ms };

	if (pr->ahead_ms != m.ahead_ms)
		pd_post(pr, HB_IPC_CLOCK, &m, -1);
}

void
pd_on_clock_set(struct pd_parent *pd, struct hb_peer *p,
    const struct ipc_clock_set *m)
{
	struct pd_proc *pr = pd_find(pd, hb_peer_role(p), hb_peer_instance(p));

	if (pr != NULL)
		pr->ahead_ms = m->ahead_ms;
	pd_clock_done(pd);
}

static void
answer(struct pd_parent *pd, const struct pd_asker *a)
{
	struct hb_ctl c;

	if (!pd_asker_ctl(pd, a, &c))
		return;
	hb_ctl_object(&c, NULL);
	hb_ctl_int(&c, "ahead_s", pd->ahead_ms / 1000);
	hb_ctl_time(&c, "time", hb_now_ms());
	hb_ctl_close(&c);
	hb_ctl_end(&c, 0, NULL);
}

void
pd_clock_done(struct pd_parent *pd)
{
	for (size_t i = 0; i < pd->nprocs; i++)
		if (pd->procs[i].state != PD_DOWN &&
		    pd->procs[i].ahead_ms != pd->ahead_ms)
			return;
	for (size_t i = 0; i < pd->clock_askers.n; i++)
		answer(pd, &pd->clock_askers.v[i]);
	pd->clock_askers.n = 0;
}

static int
keep(const struct pd_parent *pd, int64_t ahead_ms, struct hb_buf *why)
{
	int at = open_spool(pd), r = -errno;

	if (at >= 0) {
		r = write_ahead(at, ahead_ms);
		close(at);
	}
	if (r < 0)
		hb_buf_addf(why, "cannot write " FILE_NAME " in the spool: %s",
		    strerror(-r));
	return r < 0 ? HB_E_IO : 0;
}

int
pd_clock_advance(struct pd_parent *pd, struct hb_span time, struct hb_buf *why)
{
	int64_t by;
	int r;

	if (!pd->now.conf->lab) {
		hb_buf_adds(why, "the clock moves in a lab alone: the "
				 "configuration does not say `lab on'");
		return HB_E_STATE;
	}
	r = hb_duration_parse(time, &by);
	if (r < 0) {
		hb_buf_adds(why, "the time is a number and s, m, h or d, as "
				 "in 30s 5m 4h 5d");
		return r;
	}
	if (by > AHEAD_MAX_MS - pd->ahead_ms) {
		hb_buf_adds(why, "the clock moves a century at most");
		return HB_E_RANGE;
	}
	r = keep(pd, pd->ahead_ms + by, why);
	if (r < 0)
		return r;
	pd->ahead_ms += by;
	hb_clock_set_ahead(pd->ahead_ms);
	HB_LOG(HB_LOG_WARN, HB_EV_CONFIG, hb_kv_str(HB_K_WORD, "lab"),
	    hb_kv_str(HB_K_ACTION, "advance"),
	    hb_kv_int(HB_K_DELAY_MS, pd->ahead_ms));
	for (size_t i = 0; i < pd->nprocs; i++)
		pd_send_clock(&pd->procs[i]);
	return 0;
}
