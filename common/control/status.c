/* `status`: the parent's answer, with each role's own report added to its row.
 * Floor 4. */
#include "config.h"

#include "common/control/control.h"

#include <stdio.h>

#include "common/base/timefmt.h"

static json_t *
find_row(json_t *roles, const struct ctl_ask *a)
{
	size_t i;
	json_t *row;

	json_array_foreach(roles, i, row)
		if (hb_span_eq(ctl_member(row, "role"),
			hb_span_str(hb_role_name(a->role))) &&
		    json_integer_value(json_object_get(row, "instance")) ==
			(json_int_t)a->instance)
			return row;
	return NULL;
}

/* What every role says of itself stays in its row; the rest of queue's
 * answer are the counts of the queue. */
static bool
is_common(const char *key)
{
	static const char *const common[] = { "role", "pid", "instance",
		"uptime_s", "rss_kb", "longest_turn_ms",
		"log_dropped" };

	for (size_t i = 0; i < HB_ARRAY_LEN(common); i++)
		if (hb_span_eq(hb_span_str(key), hb_span_str(common[i])))
			return true;
	return false;
}

static void
merge(json_t *status, const struct ctl_ask *a)
{
	json_t *row = find_row(json_object_get(status, "roles"), a);
	json_t *queue = a->role == HB_ROLE_QUEUE ? json_object() : NULL;
	const char *key;
	json_t *v;

	if (row == NULL)
		row = status; /* keeps its own words */
	json_object_foreach(a->tree.root, key, v)
		if (queue != NULL && !is_common(key))
			(void)json_object_set(queue, key, v);
		else if (row != status && json_object_get(row, key) == NULL)
			(void)json_object_set(row, key, v);
	if (queue != NULL)
		(void)json_object_set_new(status, "queue", queue);
}

/* --- trouble that no process tells by itself --- */

static void
note_trouble(json_t *status, const char *kind, const char *what,
    const json_t *role, const char *text)
{
	json_t *row = json_object();

	(void)json_object_set_new(row, "kind", json_string(kind));
	(void)json_object_set_new(row, "what", json_string(what));
	(void)json_object_set_new(row, "text", json_string(text));
	(void)json_object_set(row, "role", json_object_get(role, "role"));
	(void)json_array_append_new(json_object_get(status, "trouble"), row);
}

/* A role that ended and is not back yet: what it does waits. */
static void
note_role(json_t *status, const json_t *row)
{
	const char *state = json_string_value(json_object_get(row, "state"));
	const char *name = json_string_value(json_object_get(row, "role"));
	char text[96];

	if (state == NULL || name == NULL || strcmp(state, "ready") == 0 ||
	    json_integer_value(json_object_get(row, "restarts")) == 0)
		return;
	snprintf(text, sizeof(text), "process %lld is %s, after %lld restarts",
	    (long long)json_integer_value(json_object_get(row, "instance")),
	    state,
	    (long long)json_integer_value(json_object_get(row, "restarts")));
	note_trouble(status, "role", name, row, text);
}

/* The workers of delivery see the same: one of them speaks. */
static void
note_delivery(json_t *status, const json_t *row, bool *clock, bool *policies)
{
	const char *word = json_string_value(json_object_get(row, "clock"));
	json_int_t failing =
	    json_integer_value(json_object_get(row, "policies_failing"));
	char text[128];

	if (word != NULL && strcmp(word, "good") != 0 && !*clock) {
		*clock = true;
		note_trouble(status, "clock", word, row, "it is not believed: "
		    "policies do not expire; set the clock of this host");
	}
	if (failing > 0 && !*policies) {
		*policies = true;
		snprintf(text, sizeof(text), "%lld known policies cannot be "
		    "refreshed; `sts list' says why", (long long)failing);
		note_trouble(status, "policy", "refresh", row, text);
	}
}

static void
note_all(json_t *status)
{
	const json_t *row;
	bool clock = false, policies = false;
	size_t i;

	json_array_foreach(json_object_get(status, "roles"), i, row)
	{
		note_role(status, row);
		note_delivery(status, row, &clock, &policies);
	}
}

static void
add_words(struct ctl_client *c, const json_t *status, const char *key,
    const char *what)
{
	const json_t *words = json_object_get(status, key), *w;
	size_t i;

	if (json_array_size(words) == 0)
		return;
	ctl_addf(c, "%s:", what);
	json_array_foreach(words, i, w)
	{
		ctl_add(c, " ");
		ctl_add_safe(c, ctl_string(w));
	}
	ctl_add(c, "\n");
}

static void
add_role(struct ctl_client *c, const json_t *row)
{
	ctl_add_text(c, row, "  {-role} {-instance}: {-state}<pid| pid {pid}>"
	    "<uptime_s|, up {#uptime_s}><restarts|, restarts {restarts}>"
	    "<rss_kb|, memory {rss_kb} KiB>\n");
}

enum { MOVED_S = 60 * 60 }; /* off by more is worth a line */

/* Waiting mail keeps its age when the clock moves (queue/sched/clock.h). */
static void
add_moved(struct ctl_client *c, json_int_t off_s)
{
	char by[32];

	if (off_s > -MOVED_S && off_s < MOVED_S)
		return;
	hb_time_amount((off_s > 0 ? off_s : -off_s) * 1000, by);
	ctl_addf(c, "clock: %s %s the time that queue counts; mail keeps "
	    "its age\n", by, off_s > 0 ? "ahead of" : "behind");
}

/* Local mail that waits, and what nobody will take any more. */
static void
add_maildrop(struct ctl_client *c, const json_t *queue)
{
	static const struct {
		const char *key, *text;
	} rows[] = {
		{ "maildrop_waiting",
		    "maildrop: waiting {maildrop_waiting}\n" },
		{ "maildrop_unfinished",
		    "maildrop: unfinished {maildrop_unfinished}\n" },
		{ "corrupt", "set aside in corrupt/: {corrupt}\n" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		if (json_integer_value(json_object_get(queue, rows[i].key))
		    != 0)
			ctl_add_text(c, queue, rows[i].text);
}

static void
add_queue(struct ctl_client *c, const json_t *queue)
{
	if (queue == NULL) {
		ctl_add(c, "queue: no answer\n");
		return;
	}
	ctl_add_text(c, queue, "queue: messages {-messages}, recipients "
	    "{-recipients}, active {-active}, deferred {-deferred}, held "
	    "{-held}\n");
	add_maildrop(c, queue);
	add_moved(c, json_integer_value(json_object_get(queue,
	    "clock_off_s")));
}

/* What the workers of delivery say of their policies, added up. */
static void
add_policies(struct ctl_client *c, const json_t *status)
{
	const json_t *row;
	json_int_t all = 0, failing = 0;
	bool counting = false;
	size_t i;

	json_array_foreach(json_object_get(status, "roles"), i, row)
	{
		all += json_integer_value(json_object_get(row, "policies"));
		failing += json_integer_value(
		    json_object_get(row, "policies_failing"));
		counting = counting || json_is_true(json_object_get(
		    row, "policies_counting"));
	}
	ctl_addf(c, "policies: kept %lld, refresh failing %lld%s\n",
	    (long long)all, (long long)failing,
	    counting ? ", still counting" : "");
}

/* Can DANE be used here?  The first worker that has an answer says so. */
static void
add_trust(struct ctl_client *c, const json_t *status)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(status, "roles"), i, row)
	{
		if (json_object_get(row, "trust_ad") == NULL)
			continue;
		ctl_add_text(c, row,
		    "DANE: trust_ad {-trust_ad}, {-trust_ad_why}\n");
		return;
	}
}

/* What the listeners show now; all of them show the same. */
static void
add_certificates(struct ctl_client *c, const json_t *status)
{
	const json_t *row, *certs = NULL, *cert;
	size_t i;

	json_array_foreach(json_object_get(status, "roles"), i, row)
		if (certs == NULL)
			certs = json_object_get(row, "certificates");
	json_array_foreach(certs, i, cert)
		ctl_add_text(c, cert, "certificate: {-name}, {-days} days "
		    "left<file|, {file}>\n");
}

/* What the first listener knows of them. */
static void
add_filters(struct ctl_client *c, const json_t *status)
{
	const json_t *row, *filters = NULL, *filter;
	size_t i;

	json_array_foreach(json_object_get(status, "roles"), i, row)
		if (filters == NULL)
			filters = json_object_get(row, "filters");
	json_array_foreach(filters, i, filter)
		ctl_add_text(c, filter, "filter: {-name}, {-state}"
		    "<since| since {since}>, {-sessions} sessions, "
		    "{-failures} failures\n");
}

static void
add_lab(struct ctl_client *c, const json_t *status)
{
	json_int_t ahead =
	    json_integer_value(json_object_get(status, "lab_ahead_s"));

	ctl_add(c, "*** lab is on: NOT FOR REAL MAIL ***\n");
	if (ahead > 0)
		ctl_add_text(c, status, "*** the clock is {#lab_ahead_s} "
		    "ahead: here it is {-lab_time} ***\n");
}

static void
add_paused(struct ctl_client *c, const json_t *status)
{
	const json_t *what;
	size_t i;

	json_array_foreach(json_object_get(status, "paused"), i, what)
		if (hb_span_eq(ctl_string(what), HB_SPAN("delivery")))
			ctl_add(c, "*** delivery is paused: mail is taken and "
				   "waits ***\n");
		else
			ctl_add(c, "*** listening is paused: no client can "
				   "connect ***\n");
}

/* Mail waits or is refused, and only the operator can change it. */
static void
add_trouble(struct ctl_client *c, const json_t *status)
{
	const json_t *t;
	size_t i;

	json_array_foreach(json_object_get(status, "trouble"), i, t)
		ctl_add_text(c, t, "*** {-kind} {-what}: {-text} ({-role}"
		    "<since|, since {since}>) ***\n");
}

static void
add_lines(struct ctl_client *c, const json_t *lines)
{
	const json_t *line;
	size_t i;

	json_array_foreach(lines, i, line)
	{
		ctl_add(c, "  ");
		ctl_add_safe(c, ctl_string(line));
		ctl_add(c, "\n");
	}
}

static void
add_text(struct ctl_client *c, const json_t *status)
{
	const json_t *row;
	size_t i;

	add_trouble(c, status);
	if (json_is_true(json_object_get(status, "lab")))
		add_lab(c, status);
	add_paused(c, status);
	ctl_add_text(c, status, "Hauberk {-version} on {-hostname}: {-state}, "
	    "up {#uptime_s}, pid {-pid}\nconfiguration: {-configuration}\n");
	add_lines(c, json_object_get(status, "warnings"));
	ctl_add_text(c, status, "sessions: {-sessions}\n");
	add_queue(c, json_object_get(status, "queue"));
	add_policies(c, status);
	add_trust(c, status);
	add_certificates(c, status);
	add_filters(c, status);
	add_words(c, status, "off", "off");
	add_words(c, status, "unbuilt", "words without function in this build");
	ctl_add(c, "roles:\n");
	json_array_foreach(json_object_get(status, "roles"), i, row)
		add_role(c, row);
}

void
ctl_status_finish(struct ctl_client *c)
{
	json_t *status = NULL;

	for (size_t i = 0; i < c->nasks; i++)
		if (c->asks[i]->role == HB_ROLE_PARENT)
			status = c->asks[i]->tree.root;
	if (!json_is_object(status)) {
		ctl_err(c, "the parent gave no answer");
		ctl_exit(c, 1);
		return;
	}
	for (size_t i = 0; i < c->nasks; i++)
		if (c->asks[i]->tree.root != status)
			merge(status, c->asks[i]);
	note_all(status);
	if (c->q.json)
		ctl_add_json(c, status, JSON_INDENT(2));
	else
		add_text(c, status);
	ctl_add(c, c->q.json ? "\n" : "");
	ctl_exit(c, 0);
}
