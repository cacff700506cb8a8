/* A million waiting recipients: memory and time of the scheduler. */
#include "config.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "queue/sched/sched.h"

enum { MESSAGES = 1000000 };

static uint32_t
below(uint32_t n)
{
	return (uint32_t)random() % n;
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int
main(void)
{
	struct q_sched_conf conf = { .first_ms = 300000, .max_ms = 14400000,
		.lifetime_ms = INT64_C(432000000), .warn_ms = 14400000,
		.host_memory_ms = 300000,
		.max_connections = 10, .workers = 2, .below = below };
	struct hb_outcome o = { .result = HB_RESULT_DEFER, .code = 450,
		.reason = HB_REASON_REMOTE_REPLY, .status = HB_SPAN("4.2.0"),
		.text = HB_SPAN("try again later") };
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd, after;
	struct q_sched *s = q_sched_new(&conf);
	double start = seconds(), filled;
	struct q_act act;

	for (uint64_t id = 1; id <= MESSAGES; id++) {
		struct sched_msg *m = q_sched_add(s, id, (int64_t)id, 4096, 0);

		q_sched_tried(s, q_sched_rcpt(s, m, 0, 0), 1 + below(9),
		    300000 + below(14400000), &o);
	}
	filled = seconds();
	after = mallinfo2().uordblks + mallinfo2().hblkhd;
	printf("%d recipients: %zu bytes each, filled in %.2f s\n", MESSAGES,
	    (after - before) / MESSAGES, filled - start);
	q_sched_router(s, true);
	for (unsigned n = 0; n < MESSAGES; n++) {
		q_sched_next(s, INT64_C(100000000), &act);
		if (act.kind != Q_ACT_WARN && act.kind != Q_ACT_ASK)
			break;
		if (act.kind == Q_ACT_ASK)
			q_sched_defer(s, act.rcpt, &o, INT64_C(200000000));
	}
	printf("each due once: %.2f s\n", seconds() - filled);
	q_sched_free(&s);
	return 0;
}
