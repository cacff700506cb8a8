/* Opening logs for all roles.  Floor 4. */
#include "config.h"

#include <fcntl.h>
#include <unistd.h>

#include <sysexits.h>

#include "common/parent/parent.h"

enum { SYSLOG_RETRY_MS = 1000 };

/* Standard error in the foreground unless the configuration says otherwise. */
static struct hb_logspec
log_spec(const struct pd_parent *pd)
{
	struct hb_logspec spec = pd->now.conf->log;

	if (pd->foreground && !spec.given)
		spec.kind = HB_LOGTO_STDERR;
	return spec;
}

void
pd_spread_log(struct pd_parent *pd)
{
	for (size_t i = 0; i < pd->nprocs; i++) {
		pd_send_log(&pd->procs[i]);
		pd_send_logread(&pd->procs[i]);
	}
}

static void
retry(void *ctx)
{
	struct pd_parent *pd = ctx;
	struct hb_buf err = HB_BUF_INIT(0);

	if (pd_open_log(pd, &err) == 0 && pd->log.up)
		pd_spread_log(pd);
	hb_buf_free(&err);
}

void
pd_log_lost(void *ctx)
{
	struct pd_parent *pd = ctx;

	if (pd->log_retry == NULL)
		pd->log_retry = hb_timer_new(pd->loop, retry, pd);
	if (!hb_timer_is_set(pd->log_retry))
		hb_timer_set(pd->log_retry, SYSLOG_RETRY_MS);
}

int
pd_open_log(struct pd_parent *pd, struct hb_buf *err)
{
	struct hb_logspec spec = log_spec(pd);
	struct hb_logdest dest;
	int r = hb_logdest_open(&spec, &dest), own;

	if (r < 0) {
		hb_buf_addf(err, "cannot open the log %s: %s",
		    spec.kind == HB_LOGTO_FILE ? spec.file : "", strerror(-r));
		return EX_CANTCREAT;
	}
	if (pd->log.fd >= 0)
		close(pd->log.fd);
	pd->log = dest;
	/* The log for hauberkctl trace: read-only, by control. */
	if (pd->log_read_fd >= 0)
		close(pd->log_read_fd);
	pd->log_read_fd = spec.kind == HB_LOGTO_FILE
	    ? open(spec.file, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
	own = fcntl(dest.fd, F_DUPFD_CLOEXEC, 3);
	if (own >= 0)
		hb_logsink_set(own, dest.kind, spec.format, spec.level);
	if (!dest.up)
		pd_log_lost(pd);
	return 0;
}
