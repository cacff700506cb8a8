/* `stats`: counters of all roles, added up, and current sizes; as a table, as
 * JSON, as OpenMetrics text.  Floor 4. */
#include "config.h"

#include "common/control/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "common/proto/stats.h"

/* What is now, from the answers to `status', added up over a role; without a
 * role the highest of all. */
static const struct gauge {
	enum hb_role role;
	const char *key, *name, *help;
} gauges[] = {
	{ HB_ROLE_PARENT, "uptime_s", "uptime_seconds", "since the start" },
	{ HB_ROLE_PARENT, "sessions", "sessions", "SMTP sessions" },
	{ HB_ROLE_QUEUE, "messages", "queue_messages", "messages that wait" },
	{ HB_ROLE_QUEUE, "recipients", "queue_recipients",
	    "recipients that wait" },
	{ HB_ROLE_QUEUE, "active", "queue_active",
	    "recipients whose turn it is" },
	{ HB_ROLE_QUEUE, "deferred", "queue_deferred",
	    "recipients that wait for their next attempt" },
	{ HB_ROLE_QUEUE, "held", "queue_held",
	    "recipients held by the operator" },
	{ HB_ROLE_QUEUE, "spool_free", "spool_free_bytes",
	    "room for new mail" },
	{ HB_ROLE_DELIVERY, "connections", "outgoing_connections",
	    "connections to other servers" },
	{ HB_ROLE_COUNT, "longest_turn_ms", "longest_turn_milliseconds",
	    "for so long one of the processes heard nobody because it worked" },
};

struct totals {
	uint64_t counted[HB_STAT_COUNT];
	int64_t now[HB_ARRAY_LEN(gauges)];
};

void
ctl_stats_begin(struct ctl_client *c)
{
	struct ipc_ctl counted = { .verb = HB_CTL_STATS },
		       now = { .verb = HB_CTL_STATUS };

	if (c->nargs > 0 && !hb_span_eq(c->args[0], HB_SPAN("--prometheus"))) {
		ctl_err(c, "the argument is --prometheus, or none");
		ctl_exit(c, EX_USAGE);
		return;
	}
	ctl_ask_all(c, HB_ANY & ~HB_TO(PARENT), &counted, false);
	ctl_ask_all(c, HB_ANY, &now, false);
}

static void
add_counted(struct totals *t, const json_t *answer)
{
	char key[64];

	for (unsigned i = 0; i < HB_STAT_COUNT; i++) {
		hb_stat_key((enum hb_stat)i, key);
		t->counted[i] += (uint64_t)json_integer_value(
		    json_object_get(answer, key));
	}
}

static void
add_now(struct totals *t, enum hb_role role, const json_t *answer)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(gauges); i++) {
		int64_t n = json_integer_value(
		    json_object_get(answer, gauges[i].key));

		if (gauges[i].role == role)
			t->now[i] += n;
		else if (gauges[i].role == HB_ROLE_COUNT && n > t->now[i])
			t->now[i] = n;
	}
}

/* An answer to `status' says whose it is. */
static void
add_up(const struct ctl_client *c, struct totals *t)
{
	*t = (struct totals){ .counted = { 0 } };
	for (size_t i = 0; i < c->nasks; i++) {
		const struct ctl_ask *a = c->asks[i];

		if (json_object_get(a->tree.root, "role") != NULL)
			add_now(t, a->role, a->tree.root);
		else
			add_counted(t, a->tree.root);
	}
}

/* Reasons that never were are left out. */
static bool
is_shown(const struct totals *t, unsigned i)
{
	return i < HB_STAT_NAMED || t->counted[i] > 0;
}

static void
put_text(struct ctl_client *c, const struct totals *t)
{
	for (unsigned i = 0; i < HB_STAT_COUNT; i++) {
		struct hb_stat_info info = hb_stat_info((enum hb_stat)i);

		if (is_shown(t, i))
			ctl_addf(c, "%-24s %-18s %12" PRIu64 "\n", info.family,
			    info.value, t->counted[i]);
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(gauges); i++)
		ctl_addf(c, "%-24s %-18s %12" PRId64 "\n", gauges[i].name,
		    "now", t->now[i]);
}

static json_t *
as_json(const struct totals *t)
{
	json_t *all = json_object(), *now = json_object(), *family = NULL;

	for (unsigned i = 0; i < HB_STAT_COUNT; i++) {
		struct hb_stat_info info = hb_stat_info((enum hb_stat)i);
		json_t *n = json_integer((json_int_t)t->counted[i]);

		if (hb_stat_is_first((enum hb_stat)i) &&
		    info.label[0] != '\0') {
			family = json_object();
			(void)json_object_set_new(all, info.family, family);
		}
		if (info.label[0] == '\0')
			(void)json_object_set_new(all, info.family, n);
		else if (is_shown(t, i))
			(void)json_object_set_new(family, info.value, n);
		else
			json_decref(n);
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(gauges); i++)
		(void)json_object_set_new(now, gauges[i].name,
		    json_integer(t->now[i]));
	(void)json_object_set_new(all, "now", now);
	return all;
}

static void
put_head(struct ctl_client *c, const char *name, const char *type,
    const char *help)
{
	ctl_addf(c, "# TYPE hauberk_%s %s\n# HELP hauberk_%s %s\n", name, type,
	    name, help);
}

/* https://openmetrics.io: the words are ours, nothing needs an escape. */
static void
put_metrics(struct ctl_client *c, const struct totals *t)
{
	for (unsigned i = 0; i < HB_STAT_COUNT; i++) {
		struct hb_stat_info info = hb_stat_info((enum hb_stat)i);
		bool label = info.label[0] != '\0';

		if (hb_stat_is_first((enum hb_stat)i))
			put_head(c, info.family, "counter", info.help);
		if (!is_shown(t, i))
			continue;
		ctl_addf(c, "hauberk_%s_total", info.family);
		if (label)
			ctl_addf(c, "{%s=\"%s\"}", info.label, info.value);
		ctl_addf(c, " %" PRIu64 "\n", t->counted[i]);
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(gauges); i++) {
		put_head(c, gauges[i].name, "gauge", gauges[i].help);
		ctl_addf(c, "hauberk_%s %" PRId64 "\n", gauges[i].name,
		    t->now[i]);
	}
	ctl_add(c, "# EOF\n");
}

void
ctl_stats_finish(struct ctl_client *c)
{
	struct totals t;
	json_t *all;

	add_up(c, &t);
	if (c->nargs > 0) {
		put_metrics(c, &t);
	} else if (c->q.json) {
		all = as_json(&t);
		ctl_add_json(c, all, JSON_INDENT(2));
		ctl_add(c, "\n");
		json_decref(all);
	} else {
		put_text(c, &t);
	}
	ctl_exit_worst(c);
}
