/* Control requests to every role: STATUS, STATS, LOG_LEVEL.  Floor 3. */
#include "config.h"

#include "common/io/rolectl.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/io/ctlreply.h"
#include "common/io/logsink.h"
#include "common/proto/stats.h"

static int64_t started_ms; /* hb_boot_ms */
static int statm; /* /proc/self/statm, opened before the sandbox */

void
hb_rolectl_start(void)
{
	statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	started_ms = hb_boot_ms();
}

static int64_t
memory_kb(void)
{
	char buf[128];
	ssize_t n = pread(statm, buf, sizeof(buf), 0);
	struct hb_span s = hb_span(buf, n > 0 ? (size_t)n : 0);
	uint64_t pages;

	(void)hb_span_word(&s);
	if (hb_span_u64(hb_span_word(&s), UINT32_MAX, &pages) != 0)
		return 0;
	return (int64_t)pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void
answer_status(struct hb_role_env *env, const struct hb_role_spec *spec,
    struct hb_peer *p, const struct ipc_ctl *q)
{
	struct hb_ctl c = { .peer = p, .ref = q->ref };

	hb_ctl_object(&c, NULL);
	hb_ctl_text(&c, "role", hb_role_name(env->role));
	hb_ctl_int(&c, "pid", getpid());
	hb_ctl_int(&c, "instance", env->instance);
	hb_ctl_int(&c, "uptime_s", (hb_boot_ms() - started_ms) / 1000);
	hb_ctl_int(&c, "rss_kb", memory_kb());
	hb_ctl_int(&c, "longest_turn_ms", hb_loop_longest_ms());
	hb_ctl_int(&c, "log_dropped", (int64_t)hb_logsink_dropped());
	if (spec->on_ctl != NULL)
		spec->on_ctl(env, p, q);
	hb_ctl_close(&c);
	hb_ctl_end(&c, 0, NULL);
}

/* What is not zero, under "family/value"; control adds up all roles'. */
static void
answer_stats(struct hb_peer *p, const struct ipc_ctl *q)
{
	struct hb_ctl c = { .peer = p, .ref = q->ref };
	char key[64];

	hb_ctl_object(&c, NULL);
	for (unsigned i = 0; i < HB_STAT_COUNT; i++) {
		if (hb_stats[i] == 0)
			continue;
		hb_stat_key((enum hb_stat)i, key);
		hb_ctl_int(&c, key, (int64_t)hb_stats[i]);
	}
	hb_ctl_close(&c);
	hb_ctl_end(&c, 0, NULL);
}

static void
answer_level(struct hb_peer *p, const struct ipc_ctl *q)
{
	struct hb_ctl c = { .peer = p, .ref = q->ref };
	enum hb_level level;

	if (hb_level_parse(q->arg, &level) != 0) {
		hb_ctl_end(&c, 1, "the level is error, warn, info or debug");
		return;
	}
	hb_log_set_level(level);
	hb_ctl_end(&c, 0, NULL);
}

void
hb_rolectl_answer(struct hb_role_env *env, const struct hb_role_spec *spec,
    struct hb_peer *p, const struct ipc_ctl *q)
{
	struct hb_ctl c = { .peer = p, .ref = q->ref };

	if (q->verb == HB_CTL_STATUS)
		answer_status(env, spec, p, q);
	else if (q->verb == HB_CTL_STATS)
		answer_stats(p, q);
	else if (q->verb == HB_CTL_LOG_LEVEL)
		answer_level(p, q);
	else if (spec->on_ctl != NULL)
		spec->on_ctl(env, p, q);
	else
		hb_ctl_end(&c, 1, "not a question for this role");
}
